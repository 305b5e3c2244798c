//! From bytes as they come to decoded packets, for programs that have one connection.

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
    bytes: Vec<u8>,
    /// `bytes[..taken]` was given out or skipped.
    taken: usize,
    skip: Option<Skip>,
    limits: FrameLimits,
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
        self.bytes.drain(..self.taken);
        self.taken = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next packet, or why it was skipped; `None` before more bytes come.
    #[allow(clippy::should_implement_trait, reason = "a packet borrows from the decoder, which an iterator can't say")]
    pub fn next(&mut self) -> Option<Result<Packet<'_>, Unreadable>> {
        loop {
            let rest = self.bytes.get(self.taken..).unwrap_or_default();
            if let Some(skip) = &mut self.skip {
                let mut behind = rest;
                let skipped = skip.advance(&mut behind);
                self.taken += rest.len() - behind.len();
                match skipped {
                    Skipped::More => return None,
                    Skipped::Done => self.skip = None,
                    Skipped::Unknown => {
                        self.skip = None;
                        return Some(Err(Unreadable::UnknownCode));
                    }
                }
                continue;
            }
            let start = self.taken;
            match scan(rest, &self.limits) {
                Scan::Incomplete { .. } => return None,
                Scan::Packet { len } => {
                    self.taken += len;
                    let packet = self.bytes.get(start..self.taken).unwrap_or_default();
                    return Some(Packet::decode(packet).map_err(Unreadable::Malformed));
                }
                Scan::Overlong { code, head, skip } => {
                    self.taken += head;
                    let announced_bytes = skip.announced_bytes();
                    self.skip = Some(skip);
                    return Some(Err(Unreadable::Overlong { code, announced_bytes }));
                }
                Scan::Unknown { len } => {
                    self.taken += len;
                    return Some(Err(Unreadable::UnknownCode));
                }
            }
        }
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

    fn decode(pieces: &[&[u8]]) -> Vec<String> {
        let mut decoder = Decoder::new();
        let mut found = Vec::new();
        for piece in pieces {
            decoder.feed(piece);
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
            prop_assert_eq!(decode(&pieces), decode(&[STREAM]));
        }
    }
}
