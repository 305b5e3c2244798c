//! What was said in public in this turn, as the other servers get it: by the clients of this server, and in a routed
//! network by those behind a neighbour.
//!
//! Every public message travels to each server in a PCKFWD, or in a RELAY. The packets of two links differ only in the
//! destination. So they are encoded once, and the destination is set for one server after the other:
//!
//! ```text
//!     start                                      end
//!       ▼                                         ▼
//!       [ 50 destination | message ][ 50 destination | message ] …
//!            ▲ written anew for each link
//! ```
//!
//! A link that keeps up is one `write` of all that, as a client that keeps up is one of the log's new part.

use crate::limits::FORWARDS_KEPT_BYTES;
use crate::wire::{Envelope, ServerId};

/// The turn's packets. Positions are bytes since the server started.
#[derive(Debug, Default)]
pub struct LinkBatch {
    bytes: Vec<u8>,
    /// The position in `bytes` at which each packet begins.
    packets: Vec<usize>,
    start: u64,
}

impl LinkBatch {
    /// The position behind the newest packet.
    pub fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// Bytes of the turn so far.
    pub fn turn_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Appends one message, as clients get it, in an envelope for whatever destination. Returns the size of its packet.
    pub fn append(&mut self, envelope: &Envelope, message: &[u8]) -> usize {
        let start = self.bytes.len();
        self.packets.push(start);
        envelope.encode(&mut self.bytes);
        self.bytes.extend_from_slice(message);
        self.bytes.len() - start
    }

    /// Appends one that is in its envelope already.
    pub fn append_encoded(&mut self, packet: &[u8]) {
        self.packets.push(self.bytes.len());
        self.bytes.extend_from_slice(packet);
    }

    /// From now on the packets are for this server.
    pub fn set_destination(&mut self, server: ServerId) {
        for &packet in &self.packets {
            Envelope::set_destination(self.bytes.get_mut(packet..).unwrap_or_default(), server);
        }
    }

    /// The bytes behind `position`.
    pub fn since(&self, position: u64) -> &[u8] {
        self.bytes.get(self.offset(position)..).unwrap_or(&[])
    }

    /// The sizes of the packets that [`LinkBatch::since`] gives, and whether the first of them is the rest of one that
    /// began before.
    pub fn packets_since(&self, position: u64) -> (impl Iterator<Item = usize>, bool) {
        let offset = self.offset(position);
        let first = self.packets.partition_point(|&packet| packet <= offset).saturating_sub(1);
        let starts = self.packets.get(first..).unwrap_or(&[]).iter().copied();
        let ends = starts.clone().skip(1).chain([self.bytes.len()]);
        let is_rest = self.packets.get(first).is_some_and(|&packet| packet < offset);
        (starts.zip(ends).map(move |(start, end)| end - start.max(offset)), is_rest)
    }

    /// Every link has got them, or keeps them itself.
    pub fn clear(&mut self) {
        self.start = self.end();
        self.packets.clear();
        self.bytes.clear();
        self.bytes.shrink_to(FORWARDS_KEPT_BYTES);
    }

    fn offset(&self, position: u64) -> usize {
        usize::try_from(position.saturating_sub(self.start)).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOBODY: Envelope = Envelope::Forward(ServerId(0));

    #[test]
    fn packets_are_addressed_to_one_server_after_the_other() {
        let mut link_batch = LinkBatch::default();
        assert_eq!((link_batch.append(&NOBODY, b"hi"), link_batch.append(&NOBODY, b"ho")), (7, 7));
        link_batch.set_destination(ServerId(8));
        assert_eq!(link_batch.since(0), b"\x50\0\0\0\x08hi\x50\0\0\0\x08ho");
        link_batch.set_destination(ServerId(9));
        assert_eq!(link_batch.since(0), b"\x50\0\0\0\x09hi\x50\0\0\0\x09ho");
    }

    #[test]
    fn a_position_stands_between_two_packets_or_within_one() {
        let mut link_batch = LinkBatch::default();
        link_batch.append(&NOBODY, b"of an earlier turn");
        link_batch.clear();
        let start = link_batch.end();
        link_batch.append(&NOBODY, b"one");
        link_batch.append(&NOBODY, b"three");
        let rest = |offset| {
            let (packets, is_begun) = link_batch.packets_since(start + offset);
            (packets.collect::<Vec<_>>(), is_begun, link_batch.since(start + offset).len())
        };
        assert_eq!(rest(0), (vec![8, 10], false, 18));
        assert_eq!(rest(1), (vec![7, 10], true, 17));
        assert_eq!(rest(8), (vec![10], false, 10));
        assert_eq!(rest(17), (vec![1], true, 1));
    }
}
