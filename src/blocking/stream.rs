//! The bytes below a connection.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

/// A stream of bytes whose waits can be bounded.
pub(super) trait Stream: Read + Write + Send {
    /// The longest that a read waits; `None` is for ever. A read that waited for so long fails with `WouldBlock` or
    /// `TimedOut`.
    fn set_read_patience(&mut self, patience: Option<Duration>) -> io::Result<()>;
    /// The longest that a write waits.
    fn set_write_patience(&mut self, patience: Option<Duration>) -> io::Result<()>;
    /// Says that nothing more comes from here.
    fn shut_sending_side(&mut self) -> io::Result<()>;
}

impl Stream for TcpStream {
    fn set_read_patience(&mut self, patience: Option<Duration>) -> io::Result<()> {
        self.set_read_timeout(patience)
    }

    fn set_write_patience(&mut self, patience: Option<Duration>) -> io::Result<()> {
        self.set_write_timeout(patience)
    }

    fn shut_sending_side(&mut self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

/// Whether the wait was over before anything came.
pub(super) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}
