//! The far end of a connection, in memory: what a client has sent and got, and how its kernel behaves.

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
    /// Most that one read returns.
    pub read_max_bytes: usize,
    /// What the server may still write before it blocks.
    pub room_bytes: usize,
    /// Written by the server.
    pub output: Vec<u8>,
    /// The server has shut its sending side.
    pub is_shut: bool,
}

/// The server's end.
#[derive(Debug, Clone)]
pub struct PipeEnd(pub Rc<RefCell<Pipe>>);

impl PipeEnd {
    pub fn new() -> PipeEnd {
        PipeEnd(Rc::new(RefCell::new(Pipe {
            input: VecDeque::new(),
            is_ended: false,
            is_reset: false,
            read_max_bytes: usize::MAX,
            room_bytes: usize::MAX,
            output: Vec::new(),
            is_shut: false,
        })))
    }
}

impl Socket for PipeEnd {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<Received> {
        let mut pipe = self.0.borrow_mut();
        if pipe.is_reset {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if pipe.input.is_empty() {
            return if pipe.is_ended { Ok(Received::End) } else { Err(io::ErrorKind::WouldBlock.into()) };
        }
        let count = buffer.len().min(pipe.read_max_bytes).min(pipe.input.len());
        for (place, byte) in buffer.iter_mut().zip(pipe.input.drain(..count)) {
            *place = byte;
        }
        Ok(Received::plain(count, buffer.len()))
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<Sent> {
        let mut pipe = self.0.borrow_mut();
        assert!(!pipe.is_shut, "nothing is written behind the end");
        assert!(!bytes.is_empty(), "nothing is written in vain");
        if pipe.is_reset {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if pipe.room_bytes == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = bytes.len().min(pipe.room_bytes);
        pipe.room_bytes -= count;
        pipe.output.extend_from_slice(&bytes[..count]);
        Ok(Sent::plain(count, bytes.len()))
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<Sent> {
        let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        self.write(&bytes)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.0.borrow_mut().is_shut = true;
        Ok(())
    }

    fn set_keepalive(&mut self, _: Keepalive) {}
}
