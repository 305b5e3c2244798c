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
    match error.kind() {
        io::ErrorKind::WouldBlock => true,
        // One that the kernel of a Unix names so has ended the connection: nothing was acknowledged for too long.
        io::ErrorKind::TimedOut => cfg!(windows) || error.raw_os_error().is_none(),
        _ => false,
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_the_kernel_gave_up_is_no_wait() {
        let given_up = io::Error::from(rustix::io::Errno::TIMEDOUT);
        assert!(given_up.kind() == io::ErrorKind::TimedOut && !is_timeout(&given_up));
        assert!(is_timeout(&io::ErrorKind::TimedOut.into()) && is_timeout(&rustix::io::Errno::AGAIN.into()));
    }
}
