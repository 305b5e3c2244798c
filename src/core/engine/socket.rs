//! What the engine needs of a stream of bytes.

use std::io::{self, IoSlice};
use std::net::SocketAddr;

use crate::limits::{self, Keepalive};
use crate::wire::ServerId;

/// A non-blocking stream of bytes, as the kernel has them: in the program a socket, in the simulator a pipe end.
pub trait Socket {
    /// Reads into `buffer`; `WouldBlock` means that nothing is there yet.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<Received>;
    /// Writes as much as fits now; `WouldBlock` if nothing does.
    fn write(&mut self, bytes: &[u8]) -> io::Result<Sent>;
    /// As `write`, gathered from several slices.
    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<Sent>;
    /// Looks at the first bytes that are there, without taking them; none is the end of input.
    fn peek(&mut self, buffer: &mut [u8]) -> io::Result<usize>;
    /// Takes bytes that were looked at, before anything is read.
    fn take_peeked(&mut self, buffer: &mut [u8]) -> io::Result<usize>;
    /// Tells the other side that nothing more comes.
    fn shutdown_write(&mut self) -> io::Result<()>;
    /// The address of our own end, if the kernel knows one.
    fn local_address(&self) -> Option<SocketAddr> {
        None
    }
    /// Tells the kernel how patient to be with a peer that says nothing.
    fn set_keepalive(&mut self, keepalive: Keepalive);

    /// Does what was put off with [`Received::Handshake`], and reads what came behind it. Sockets that never say that
    /// have nothing to do.
    fn advance_handshake(&mut self, _buffer: &mut [u8]) -> io::Result<Received> {
        Err(io::ErrorKind::WouldBlock.into())
    }
    /// Whether it encrypts, and the two sides have not agreed on how.
    fn is_handshaking(&self) -> bool {
        false
    }
    /// Whether it encrypts.
    fn is_encrypted(&self) -> bool {
        false
    }
    /// The server IDs in the other side's certificate, if it has one of our network's (D44).
    fn certified_ids(&self) -> Option<&[ServerId]> {
        None
    }
    /// Bytes that were taken by a write and that the kernel has not taken: the next write begins with them.
    fn unsent_bytes(&self) -> usize {
        0
    }
    /// Memory that it holds for input and output that waits, in bytes.
    fn held_bytes(&self) -> usize {
        0
    }
    /// The engine's note of how much of that it has counted, which is kept where there is something to count.
    fn counted_bytes(&self) -> usize {
        0
    }
    /// Makes that note.
    fn set_counted(&mut self, _bytes: usize) {}
}

/// What one read came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// So many bytes are in the buffer.
    Bytes {
        /// How many: none if the bytes read were not application data.
        count: usize,
        /// The kernel has nothing more now, and will say so when it has.
        is_drained: bool,
        /// What they came in.
        records: Records,
    },
    /// A step of a handshake has come. It costs work, and [`Socket::advance_handshake`] does it in a portion of the
    /// turn.
    Handshake {
        /// As above.
        is_drained: bool,
    },
    /// The end of input. All bytes before it were handed out earlier.
    End,
}

impl Received {
    /// The result of a read of `count` bytes into a buffer of `room` bytes, for a socket that passes bytes on
    /// unchanged: a short read has drained it (epoll(7)).
    pub fn plain(count: usize, room: usize) -> Received {
        if count == 0 {
            return Received::End;
        }
        Received::Bytes { count, is_drained: count < room, records: Records::default() }
    }
}

/// Records of encryption that one read brought: none if the bytes came as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Records {
    /// All of them.
    pub all: usize,
    /// Those that brought no bytes: empty ones, and what the two ciphers say to each other.
    pub without_bytes: usize,
}

impl Records {
    /// The work of opening them, besides what their bytes cost.
    pub fn work_bytes(self) -> usize {
        let work = self.all * limits::RECORD_WORK_BYTES + self.without_bytes * limits::EMPTY_RECORD_WORK_BYTES;
        work.min(limits::RECORDS_WORK_MAX_BYTES)
    }

    /// Bytes that the other side sent besides their content, at the least.
    pub fn overhead_bytes(self) -> usize {
        self.all * limits::RECORD_OVERHEAD_BYTES
    }
}

/// What one write came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// So many of the bytes that were offered were taken.
    pub bytes: usize,
    /// The kernel takes nothing more before it says so.
    pub is_stuck: bool,
}

impl Sent {
    /// The result of a write that took `bytes` of `offered`, for a socket that passes bytes on unchanged.
    pub fn plain(bytes: usize, offered: usize) -> Sent {
        Sent { bytes, is_stuck: bytes < offered }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_record_costs_work_and_an_empty_one_more_and_all_of_a_read_together_no_more_than_a_bound() {
        let work = |all, without_bytes| Records { all, without_bytes }.work_bytes();
        let (each, empty) = (limits::RECORD_WORK_BYTES, limits::EMPTY_RECORD_WORK_BYTES);
        assert_eq!([work(0, 0), work(3, 0), work(3, 2)], [0, 3 * each, 3 * each + 2 * empty]);
        assert_eq!(work(1 << 20, 1 << 20), limits::RECORDS_WORK_MAX_BYTES);
        let overhead = |all| Records { all, without_bytes: 0 }.overhead_bytes();
        assert_eq!([overhead(0), overhead(1), overhead(7)], [0, 1, 7].map(|all| all * limits::RECORD_OVERHEAD_BYTES));
    }
}
