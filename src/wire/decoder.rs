//! From bytes as they come to decoded packets, for programs that have one connection.

use std::ops::Range;

use super::{Code, FrameLimits, Malformed, Packet, Scan, Skip, Skipped, scan};

/// Takes bytes in any pieces and gives packets.
///
/// It keeps at most one packet's bytes besides what was fed last. A packet that cannot be read is skipped exactly (D1)
/// and reported, and the stream goes on behind it.
///
/// ```
/// use cfp::wire::{Decoder, Packet};
///
/// let mut decoder = Decoder::new();
/// decoder.feed(b"\x20\0\0\0\x02h");
/// assert!(decoder.next().is_none());
/// decoder.feed(b"i\x20\0\0\0\x00");
/// assert_eq!(decoder.next(), Some(Ok(Packet::MsgPbl { message: "hi" })));
/// assert_eq!(decoder.next(), Some(Ok(Packet::MsgPbl { message: "" })));
/// assert!(decoder.next().is_none());
/// ```
#[derive(Debug, Default)]
pub struct Decoder {
    /// `bytes[taken..end]` was fed and neither given out nor skipped. Behind it is room for the next read.
    bytes: Vec<u8>,
    taken: usize,
    end: usize,
    skip: Option<Skip>,
    limits: FrameLimits,
}

/// Where a packet stands in a decoder, until that is fed again.
#[doc(hidden)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Its bytes; of one that is skipped, those up to what can't be read. None if its end came with later bytes.
    pub place: Range<usize>,
    /// Why it is skipped.
    pub fault: Option<Unreadable>,
}

/// A packet that was skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unreadable {
    /// A byte that is no packet's code (D2).
    UnknownCode,
    /// A field of a packet of this code is longer than it may be.
    Overlong {
        /// The packet's code.
        code: Code,
        /// Bytes that the field announces. More than 16 MiB means that the stream is out of frame.
        announced_bytes: u64,
    },
    /// The packet's content is not what its layout allows.
    Malformed(Malformed),
}

impl Decoder {
    /// A decoder for the default limit of messages, 65,536 bytes.
    pub fn new() -> Decoder {
        Decoder::default()
    }

    /// A decoder that takes messages of up to so many bytes. Servers can be started with a larger limit
    /// (`--max-message`), up to 16 MiB.
    pub fn with_message_max(bytes: usize) -> Decoder {
        Decoder { limits: FrameLimits { message_max_bytes: bytes, ..FrameLimits::DEFAULT }, ..Decoder::default() }
    }

    /// Takes bytes as they came.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.drop_taken();
        self.bytes.truncate(self.end);
        self.bytes.extend_from_slice(bytes);
        self.end = self.bytes.len();
    }

    /// The next packet, or why it was skipped; `None` before more bytes come.
    #[allow(clippy::should_implement_trait, reason = "a packet borrows from the decoder, which an iterator can't say")]
    pub fn next(&mut self) -> Option<Result<Packet<'_>, Unreadable>> {
        let frame = self.next_frame()?;
        Some(self.packet(&frame))
    }

    // What follows is for `blocking::PacketStream`, which reads into the decoder's own bytes, and compares packets by
    // them. No promise.

    /// With these limits.
    #[doc(hidden)]
    pub fn with_limits(limits: FrameLimits) -> Decoder {
        Decoder { limits, ..Decoder::default() }
    }

    /// Takes bytes without a copy: `read` fills the front of this many bytes, and returns how many it has filled.
    #[doc(hidden)]
    pub fn feed_with<E>(&mut self, count: usize, read: impl FnOnce(&mut [u8]) -> Result<usize, E>) -> Result<usize, E> {
        self.drop_taken();
        if self.bytes.len() < self.end + count {
            self.bytes.resize(self.end + count, 0);
        }
        let room = self.bytes.get_mut(self.end..self.end + count).unwrap_or_default();
        let filled = read(room)?.min(count);
        self.end += filled;
        Ok(filled)
    }

    /// Where the next packet is; `None` before more bytes come.
    #[doc(hidden)]
    pub fn next_frame(&mut self) -> Option<Frame> {
        loop {
            let start = self.taken;
            let rest = self.bytes.get(start..self.end).unwrap_or_default();
            let (len, fault) = if let Some(skip) = &mut self.skip {
                let mut behind = rest;
                let skipped = skip.advance(&mut behind);
                self.taken += rest.len() - behind.len();
                match skipped {
                    Skipped::More => return None,
                    Skipped::Done => {
                        self.skip = None;
                        continue;
                    }
                    Skipped::Unknown => {
                        self.skip = None;
                        (0, Some(Unreadable::UnknownCode))
                    }
                }
            } else {
                match scan(rest, &self.limits) {
                    Scan::Incomplete { .. } => return None,
                    Scan::Packet { len } => (len, None),
                    Scan::Overlong { code, head, skip } => {
                        let announced_bytes = skip.announced_bytes();
                        self.skip = Some(skip);
                        (head, Some(Unreadable::Overlong { code, announced_bytes }))
                    }
                    Scan::Unknown { len } => (len, Some(Unreadable::UnknownCode)),
                }
            };
            self.taken += len;
            return Some(Frame { place: start..start + len, fault });
        }
    }

    /// The bytes of a packet.
    #[doc(hidden)]
    pub fn bytes(&self, frame: &Frame) -> &[u8] {
        self.bytes.get(frame.place.clone()).unwrap_or_default()
    }

    /// A packet, decoded.
    #[doc(hidden)]
    pub fn packet(&self, frame: &Frame) -> Result<Packet<'_>, Unreadable> {
        match frame.fault {
            None => Packet::decode(self.bytes(frame)).map_err(Unreadable::Malformed),
            Some(fault) => Err(fault),
        }
    }

    /// Length of the field that is being skipped, as its packet announced it; 0 if none is. More than 16 MiB means that
    /// the stream is out of frame.
    #[doc(hidden)]
    pub fn skipped_field_bytes(&self) -> u64 {
        self.skip.as_ref().map_or(0, Skip::announced_bytes)
    }

    /// Bytes that were fed and neither given out nor skipped.
    #[doc(hidden)]
    pub fn kept_bytes(&self) -> usize {
        self.end - self.taken
    }

    /// Takes them out, and begins anew.
    #[doc(hidden)]
    pub fn take_rest(&mut self) -> Vec<u8> {
        self.skip = None;
        self.drop_taken();
        self.bytes.truncate(self.end);
        self.end = 0;
        std::mem::take(&mut self.bytes)
    }

    fn drop_taken(&mut self) {
        self.bytes.copy_within(self.taken..self.end, 0);
        self.end -= self.taken;
        self.taken = 0;
    }
}

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Unreadable::UnknownCode => f.write_str("unknown code"),
            Unreadable::Overlong { code, announced_bytes } => {
                write!(f, "a field of {announced_bytes} bytes in a packet {}", code.name())
            }
            Unreadable::Malformed(Malformed::NotUtf8) => f.write_str("a text that is not UTF-8"),
            Unreadable::Malformed(_) => f.write_str("a value that its layout does not allow"),
        }
    }
}

impl std::error::Error for Unreadable {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Good packets between skipped ones.
    const STREAM: &[u8] =
        b"\x20\0\0\0\x02hi\x77\x20\xff\0\0\0\x30\0\0\0\x07\0\0\0\x03ana\0\0\0\x02ho\x20\0\0\0\x01\xff";

    #[test]
    fn what_is_kept_is_what_no_packet_has_used_up_yet() {
        let mut decoder = Decoder::new();
        assert_eq!(decoder.kept_bytes(), 0);
        decoder.feed(b"\x20\0\0\0\x02hi\x20\0\0");
        assert!(matches!(decoder.next(), Some(Ok(Packet::MsgPbl { message: "hi" }))));
        assert!(decoder.next().is_none());
        assert_eq!(decoder.kept_bytes(), 3);
    }

    fn decode(pieces: &[&[u8]], has_copies: bool) -> Vec<String> {
        let mut decoder = Decoder::new();
        let mut found = Vec::new();
        for piece in pieces {
            if has_copies {
                decoder.feed(piece);
            } else {
                let read = |room: &mut [u8]| {
                    room[..piece.len()].copy_from_slice(piece);
                    Ok::<_, ()>(piece.len())
                };
                assert_eq!(decoder.feed_with(64, read), Ok(piece.len()));
            }
            while let Some(packet) = decoder.next() {
                found.push(format!("{packet:?}"));
            }
        }
        found
    }

    #[test]
    fn a_field_over_its_limit_is_reported_and_skipped_whole() {
        let mut decoder = Decoder::with_message_max(3);
        decoder.feed(b"\x20\0\0\0\x04four\x20\0\0\0\x03yes");
        let overlong = Unreadable::Overlong { code: Code::MsgPbl, announced_bytes: 4 };
        assert_eq!(decoder.next(), Some(Err(overlong)));
        assert_eq!(decoder.next(), Some(Ok(Packet::MsgPbl { message: "yes" })));
        assert_eq!(decoder.next(), None);
    }

    #[test]
    fn what_stands_where_is_told_up_to_what_cannot_be_read() {
        let mut decoder = Decoder::new();
        decoder.feed(b"\x20\0\0\0\x02hi\x77\x20\xff\0\0\0rest");
        let mut next = || decoder.next_frame().map(|frame| (decoder.bytes(&frame).to_vec(), frame.fault.is_some()));
        assert_eq!(next(), Some((b"\x20\0\0\0\x02hi".to_vec(), false)));
        assert_eq!(next(), Some((b"\x77".to_vec(), true)));
        assert_eq!(next(), Some((b"\x20\xff\0\0\0".to_vec(), true)));
        assert_eq!((next(), decoder.skipped_field_bytes()), (None, 0xFF00_0000));
        let mut decoder = Decoder::new();
        decoder.feed(b"\x20\0\0\0\x02hi\x20\0\0");
        assert!(decoder.next().is_some() && decoder.next().is_none());
        assert_eq!((decoder.take_rest(), decoder.take_rest()), (b"\x20\0\0".to_vec(), Vec::new()));
    }

    #[test]
    fn what_is_unreadable_says_what_is_wrong() {
        let said = |unreadable: Unreadable| unreadable.to_string();
        assert_eq!(said(Unreadable::UnknownCode), "unknown code");
        let overlong = Unreadable::Overlong { code: Code::MsgPbl, announced_bytes: 70_000 };
        assert_eq!(said(overlong), "a field of 70000 bytes in a packet MSGPBL");
        assert_eq!(said(Unreadable::Malformed(Malformed::NotUtf8)), "a text that is not UTF-8");
        assert_eq!(said(Unreadable::Malformed(Malformed::Value)), "a value that its layout does not allow");
    }

    proptest! {
        #[test]
        fn it_finds_the_same_however_the_stream_is_cut(cuts in proptest::collection::vec(0..=STREAM.len(), 0..6)) {
            let mut cuts = cuts;
            cuts.extend([0, STREAM.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &STREAM[pair[0]..pair[1]]).collect();
            let whole = decode(&[STREAM], true);
            prop_assert_eq!(&decode(&pieces, true), &whole);
            prop_assert_eq!(&decode(&pieces, false), &whole);
        }
    }
}
