//! The far end of a connection, in memory: the bytes of a client in both directions, and the behaviour of its kernel.
//! It is the one socket of all tests that drive an engine by hand. The simulator's (`tests/simulation/pipes.rs`) has
//! two ends and a network between them.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::rc::Rc;

use cfp::core::engine::socket::{Received, Sent, Socket};
use cfp::limits::Keepalive;

/// Both ends look at this.
#[derive(Debug)]
pub struct Pipe {
    /// Sent by the client, not read by the server.
    pub input: VecDeque<u8>,
    /// The client has shut its sending side.
    pub is_ended: bool,
    /// The connection is broken.
    pub is_reset: bool,
    /// The next read is interrupted by a signal.
    pub is_interrupted: bool,
    /// So is the next write.
    pub is_write_interrupted: bool,
    /// So is the next look at what has come.
    pub is_peek_interrupted: bool,
    /// Most that one read returns.
    pub read_max_bytes: usize,
    /// What the server may still write before it blocks.
    pub room_bytes: usize,
    /// Written by the server, if `keeps_output`.
    pub output: Vec<u8>,
    /// Whether `output` is kept. If not, written bytes are only counted.
    pub keeps_output: bool,
    /// The server has shut its sending side.
    pub is_shut: bool,
    /// The settings that the kernel was given, in order.
    pub keepalives: Vec<Keepalive>,
    /// System calls so far.
    pub calls: u64,
    /// Bytes written so far.
    pub written_bytes: u64,
}

/// The server's end. The test holds a clone.
#[derive(Debug, Clone)]
pub struct PipeEnd(pub Rc<RefCell<Pipe>>);

impl PipeEnd {
    pub fn new() -> PipeEnd {
        PipeEnd(Rc::new(RefCell::new(Pipe {
            input: VecDeque::new(),
            is_ended: false,
            is_reset: false,
            is_interrupted: false,
            is_write_interrupted: false,
            is_peek_interrupted: false,
            read_max_bytes: usize::MAX,
            room_bytes: usize::MAX,
            output: Vec::new(),
            keeps_output: true,
            is_shut: false,
            keepalives: Vec::new(),
            calls: 0,
            written_bytes: 0,
        })))
    }
}

impl Pipe {
    /// One system call that writes `bytes`, after the bytes that this call has written before.
    fn take(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.room_bytes);
        if self.room_bytes != usize::MAX {
            self.room_bytes -= count;
        }
        self.written_bytes += count as u64;
        if self.keeps_output {
            self.output.extend_from_slice(&bytes[..count]);
        }
        count
    }
}

impl Socket for PipeEnd {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<Received> {
        let mut pipe = self.0.borrow_mut();
        pipe.calls += 1;
        if std::mem::take(&mut pipe.is_interrupted) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        // What was received before a reset is still there, as on Linux.
        if pipe.is_reset && pipe.input.is_empty() {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if pipe.input.is_empty() {
            return if pipe.is_ended { Ok(Received::End) } else { Err(io::ErrorKind::WouldBlock.into()) };
        }
        let count = buffer.len().min(pipe.read_max_bytes).min(pipe.input.len());
        // All of it at once: a short read tells the engine that there is no more.
        let (front, back) = pipe.input.as_slices();
        let from_front = count.min(front.len());
        buffer[..from_front].copy_from_slice(&front[..from_front]);
        buffer[from_front..count].copy_from_slice(&back[..count - from_front]);
        pipe.input.drain(..count);
        Ok(Received::plain(count, buffer.len()))
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<Sent> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<Sent> {
        let mut pipe = self.0.borrow_mut();
        pipe.calls += 1;
        assert!(!pipe.is_shut, "nothing is written behind the end");
        assert!(slices.iter().any(|slice| !slice.is_empty()), "nothing is written in vain");
        if std::mem::take(&mut pipe.is_write_interrupted) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if pipe.is_reset {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if pipe.room_bytes == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = slices.iter().map(|slice| pipe.take(slice)).sum();
        Ok(Sent::plain(count, slices.iter().map(|slice| slice.len()).sum()))
    }

    fn peek(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut pipe = self.0.borrow_mut();
        if std::mem::take(&mut pipe.is_peek_interrupted) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if pipe.is_reset && pipe.input.is_empty() {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if pipe.input.is_empty() && !pipe.is_ended {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = buffer.len().min(pipe.input.len());
        for (place, byte) in buffer.iter_mut().zip(&pipe.input) {
            *place = *byte;
        }
        Ok(count)
    }

    fn take_peeked(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut pipe = self.0.borrow_mut();
        for place in &mut *buffer {
            *place = pipe.input.pop_front().unwrap_or_default();
        }
        Ok(buffer.len())
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        let mut pipe = self.0.borrow_mut();
        pipe.calls += 1;
        pipe.is_shut = true;
        Ok(())
    }

    fn set_keepalive(&mut self, keepalive: Keepalive) {
        let mut pipe = self.0.borrow_mut();
        pipe.calls += 1;
        pipe.keepalives.push(keepalive);
    }
}
