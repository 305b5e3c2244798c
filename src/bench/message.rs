//! Messages that carry their number, and the check of each delivery.
//!
//! Within one stream (from one sender, as one receiver gets it) every delivery has the same bytes but for a number:
//!
//! ```text
//!  head                                  | number | rest
//!  30 00000007 0000000a a1b2-00000 00000040 | 8 bytes | filler … (and what else ends the packet)
//! ```
//!
//! So a delivery is checked byte for byte by two comparisons and one number. What does not fit is taken apart for the
//! error's text: a lost, doubled or reordered delivery, or another packet altogether.

use super::{Fault, Result};
use crate::wire::{FrameLimits, Packet, Scan, scan};

/// Bytes of a chat message, as in the table that the figures are compared with.
pub const MESSAGE_BYTES: usize = 64;
/// Bytes of the number at a message's start.
const NUMBER_BYTES: usize = 8;

/// What a new connection says, and the answer after which it is in.
pub struct Hello {
    /// Sent first.
    pub greeting: Vec<u8>,
    /// What comes back ends with this.
    pub answer: Vec<u8>,
}

/// Text of `len` bytes that fills a message up behind its number.
pub fn filler(len: usize) -> Vec<u8> {
    b"the quick brown fox jumps over the lazy dog ".iter().copied().cycle().take(len).collect()
}

/// A packet with a place for a number: what a sender sends, or what a receiver gets.
#[derive(Debug, Clone, Default)]
pub struct Frame {
    head: Vec<u8>,
    rest: Vec<u8>,
}

impl Frame {
    /// The frame of `packet`, the bytes of one packet that contain a message or content made by [`numbered`].
    pub fn new(packet: &[u8]) -> Frame {
        let mark = encode_number(MARK);
        let at = packet.windows(NUMBER_BYTES).position(|window| window == mark).unwrap_or(0);
        let (head, rest) = packet.split_at_checked(at).unwrap_or((packet, &[]));
        Frame { head: head.to_vec(), rest: rest.get(NUMBER_BYTES..).unwrap_or_default().to_vec() }
    }

    /// Size of the packet in bytes.
    #[allow(clippy::len_without_is_empty, reason = "a frame holds a number at least")]
    pub fn len(&self) -> usize {
        self.head.len() + NUMBER_BYTES + self.rest.len()
    }

    /// Appends the packet with the number in it.
    pub fn append(&self, number: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head);
        out.extend_from_slice(&encode_number(number));
        out.extend_from_slice(&self.rest);
    }

    /// Takes the deliveries of this stream off the front of `bytes`, which must be numbers from `next` on and below
    /// `end`. Returns how many there were. Bytes behind them are left: another packet, or a part of one.
    ///
    /// Errors: a delivery of this stream that is not the next one.
    #[inline]
    pub fn take(&self, next: &mut u64, end: u64, bytes: &mut &[u8]) -> Result<u64> {
        let first = *next;
        while let Some((delivery, behind)) = bytes.split_at_checked(self.len()) {
            let Some(body) = delivery.strip_prefix(self.head.as_slice()) else { break };
            let Some((number, rest)) = body.split_first_chunk() else { break };
            if decode_number(*number) != *next || *next >= end || rest != self.rest.as_slice() {
                return Err(self.surprise(*next, bytes));
            }
            *next += 1;
            *bytes = behind;
        }
        Ok(*next - first)
    }

    /// As `take`, for a connection that gets nothing else: the bytes behind the deliveries must be the start of one.
    #[inline]
    pub fn take_all(&self, next: &mut u64, end: u64, bytes: &mut &[u8]) -> Result<u64> {
        let count = self.take(next, end, bytes)?;
        if self.is_start_of(bytes) { Ok(count) } else { Err(self.surprise(*next, bytes)) }
    }

    /// Whether `bytes` begin like a delivery of this stream.
    pub fn is_start_of(&self, bytes: &[u8]) -> bool {
        let start = bytes.len().min(self.head.len());
        bytes.get(..start) == self.head.get(..start)
    }

    /// The error for bytes that are not the delivery `expected`.
    #[cold]
    pub fn surprise(&self, expected: u64, bytes: &[u8]) -> Fault {
        let number = bytes.strip_prefix(self.head.as_slice()).and_then(|rest| rest.first_chunk()).copied();
        let what = match number.map(decode_number) {
            Some(found) if found > expected => format!("delivery {found}: lost or reordered"),
            Some(found) if found < expected => format!("delivery {found}: doubled or reordered"),
            Some(_) => "a delivery that nobody sent, or with another text".to_owned(),
            None => describe(bytes),
        };
        Fault::Wrong(format!("expected delivery {expected}, got {what}"))
    }
}

/// What stands at the front of bytes that were not expected.
pub fn describe(bytes: &[u8]) -> String {
    if let Scan::Packet { len } = scan(bytes, &FrameLimits::default())
        && let Some(Ok(packet)) = bytes.get(..len).map(Packet::decode)
    {
        return format!("{packet:?}");
    }
    let shown = bytes.get(..32).unwrap_or(bytes);
    format!("bytes that begin with {:?}", shown.escape_ascii().to_string())
}

/// A message or content of `len` bytes with the mark that [`Frame::new`] looks for.
pub fn numbered(len: usize) -> Vec<u8> {
    let mut message = encode_number(MARK).to_vec();
    message.extend(filler(len.saturating_sub(NUMBER_BYTES)));
    message
}

/// A number that no stream comes to.
const MARK: u64 = (1 << 48) - 1;

/// 48 bits as 8 printable characters, six bits each.
fn encode_number(number: u64) -> [u8; NUMBER_BYTES] {
    std::array::from_fn(|index| b'0' + ((number >> (42 - 6 * index)) & 63) as u8)
}

/// The number in 8 characters; nonsense gives some other number, which is then not the expected one.
///
/// Pairs are put together, then pairs of pairs, then both halves.
#[inline]
fn decode_number(text: [u8; NUMBER_BYTES]) -> u64 {
    let six = u64::from_le_bytes(text).wrapping_sub(0x3030_3030_3030_3030);
    let twelve = ((six & 0x00FF_00FF_00FF_00FF) << 6) + ((six >> 8) & 0x00FF_00FF_00FF_00FF);
    let twenty_four = ((twelve & 0x0000_FFFF_0000_FFFF) << 12) + ((twelve >> 16) & 0x0000_FFFF_0000_FFFF);
    ((twenty_four & 0xFFFF_FFFF) << 24) + (twenty_four >> 32)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

    use super::*;
    use crate::wire::ServerId;

    fn frame() -> Frame {
        let text = numbered(MESSAGE_BYTES);
        let message = std::str::from_utf8(&text).unwrap();
        let mut packet = Vec::new();
        Packet::MsgPblInc { origin: ServerId(7), sender: "ana", message }.encode(&mut packet);
        Frame::new(&packet)
    }

    fn deliveries(numbers: &[u64]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for &number in numbers {
            frame().append(number, &mut bytes);
        }
        bytes
    }

    #[test]
    fn a_number_is_read_as_it_is_written() {
        for number in [0, 1, 63, 64, 4095, 4096, 123_456_789, MARK] {
            assert_eq!(decode_number(encode_number(number)), number);
        }
    }

    #[test]
    fn deliveries_in_order_are_counted_and_the_start_of_another_stays() {
        let bytes = deliveries(&[5, 6, 7]);
        let (mut next, mut input) = (5, &bytes[..bytes.len() - 1]);
        assert_eq!(frame().take_all(&mut next, 100, &mut input).unwrap(), 2);
        assert_eq!((next, input.len()), (7, frame().len() - 1));
    }

    #[test]
    fn a_lost_a_doubled_a_reordered_an_early_and_a_changed_delivery_are_errors() {
        let mut changed = deliveries(&[5]);
        *changed.last_mut().unwrap() ^= 1;
        for bytes in [deliveries(&[6]), deliveries(&[5, 5]), deliveries(&[5, 7, 6]), deliveries(&[5, 6, 7, 8]), changed]
        {
            let (mut next, mut input) = (5, bytes.as_slice());
            assert!(frame().take_all(&mut next, 8, &mut input).is_err());
        }
    }

    #[test]
    fn another_packet_in_the_place_of_a_delivery_is_an_error_that_names_it() {
        let mut error = Vec::new();
        Packet::Error { sender: "ana", reason: crate::wire::ErrorReason::UnknownReceiver }.encode(&mut error);
        let fault = frame().take_all(&mut 0, 1, &mut error.as_slice()).unwrap_err();
        assert!(fault.to_string().contains("UnknownReceiver"), "{fault}");
    }
}
