//! The bytes below a connection.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};

/// A stream of bytes over TCP.
pub trait Stream: Read + Write + Send {
    /// The socket, for its addresses and its patience: a read or a write that has waited for so long fails with
    /// `WouldBlock` or `TimedOut`.
    fn tcp(&self) -> &TcpStream;
    /// Says that nothing more comes from here.
    ///
    /// # Errors
    /// The socket's.
    fn shut_sending_side(&mut self) -> io::Result<()>;
}

impl Stream for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }

    fn shut_sending_side(&mut self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

impl Stream for Box<dyn Stream> {
    fn tcp(&self) -> &TcpStream {
        (**self).tcp()
    }

    fn shut_sending_side(&mut self) -> io::Result<()> {
        (**self).shut_sending_side()
    }
}

/// Whether the wait was over before anything came.
pub(super) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}
