//! The meaning of a stream of bytes, stated a second time in the plainest way: over all of it at once, with the numbers
//! of the protocol written out. The program must get this result from the same bytes, in any pieces.

use cfp::wire::Code;

/// What one step of framing tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// One whole packet.
    Packet(Vec<u8>),
    /// A packet that is skipped, known to be so from these first bytes of it.
    Overlong(Code, Vec<u8>),
    /// A byte that is no code.
    Unknown,
}

/// Everything that `stream` tells, and whether it ends between two packets.
///
/// `is_routed`: it is the stream of a routed link (D24).
pub fn events(stream: &[u8], message_max_bytes: usize, is_routed: bool) -> (Vec<Event>, bool) {
    let mut events = Vec::new();
    let mut start = 0;
    while start < stream.len() {
        let mut reader = Reader { stream, position: start, overlong_at: None, message_max_bytes, is_routed };
        let end = reader.packet(false);
        if let Some(position) = reader.overlong_at {
            let code = Code::from_byte(stream[start]).unwrap();
            events.push(Event::Overlong(code, stream[start..position].to_vec()));
        }
        match end {
            None => return (events, false),
            Some(End::Unknown) => events.push(Event::Unknown),
            Some(End::Sound) if reader.overlong_at.is_some() => {}
            Some(End::Sound) => events.push(Event::Packet(stream[start..reader.position].to_vec())),
        }
        start = reader.position;
    }
    (events, true)
}

enum End {
    Sound,
    Unknown,
}

struct Reader<'a> {
    stream: &'a [u8],
    position: usize,
    /// The position at which it became known that the packet is to be skipped.
    overlong_at: Option<usize>,
    message_max_bytes: usize,
    is_routed: bool,
}

/// Each step is `None` if the stream ends before it does.
impl Reader<'_> {
    fn packet(&mut self, in_forward: bool) -> Option<End> {
        let code = self.byte()?;
        match code {
            0x00 => self.text(64)?,
            0x01 => {
                self.text(64)?;
                self.text(1024)?;
            }
            0x10 | 0xA2 => self.pass(1)?,
            0x20 => self.message()?,
            0x21 | 0x30 => {
                self.pass(4)?;
                self.text(64)?;
                self.message()?;
            }
            0x31 => {
                self.pass(4)?;
                self.text(64)?;
                self.text(64)?;
                self.message()?;
            }
            0x40 | 0x41 => {
                self.pass(4)?;
                self.text(64)?;
                if code == 0x41 {
                    self.text(64)?;
                }
                self.pass(4)?;
                self.text(255)?;
                self.pass(4)?;
                self.pass(1024)?;
            }
            0x32 | 0x50 => {
                if in_forward {
                    self.overlong_at.get_or_insert(self.position);
                }
                self.pass(4)?;
                return self.packet(true);
            }
            0x51 if self.is_routed && !in_forward => {
                self.pass(16)?;
                return self.packet(true);
            }
            0x52 if self.is_routed && !in_forward => {
                self.pass(20)?;
                let count = self.count(16)?;
                self.pass(8 * count)?;
            }
            0x53 if self.is_routed && !in_forward => self.pass(5)?,
            0x54 if self.is_routed && !in_forward => self.pass(4)?,
            0xA0 | 0xA1 => {
                self.pass(4)?;
                let count = self.count(if self.is_routed { 65 } else { 10 })?;
                self.pass(12 * count)?;
            }
            0xF0 => {
                self.text(64)?;
                self.pass(1)?;
            }
            _ => return Some(End::Unknown),
        }
        Some(End::Sound)
    }

    fn byte(&mut self) -> Option<u8> {
        self.pass(1)?;
        Some(self.stream[self.position - 1])
    }

    fn pass(&mut self, count: usize) -> Option<()> {
        self.position += count;
        (self.position <= self.stream.len()).then_some(())
    }

    fn count(&mut self, most: usize) -> Option<usize> {
        let bytes = [self.byte()?, self.byte()?, self.byte()?, self.byte()?];
        let count = u32::from_be_bytes(bytes) as usize;
        if count > most {
            self.overlong_at.get_or_insert(self.position);
        }
        Some(count)
    }

    fn text(&mut self, most: usize) -> Option<()> {
        let count = self.count(most)?;
        self.pass(count)
    }

    fn message(&mut self) -> Option<()> {
        self.text(self.message_max_bytes)
    }
}
