//! A connection that blocks, for the library: over rustls' own buffers, so that it needs nothing of the server.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Instant;

use rustls::ClientConnection;

use super::trust::{Dialler, in_words};

/// A TCP connection with TLS over it. Its timeouts are the socket's own.
#[derive(Debug)]
pub struct TlsCalls {
    tcp: TcpStream,
    connection: ClientConnection,
    is_ended: bool,
}

impl TlsCalls {
    /// Shakes hands, until `deadline` at the latest.
    ///
    /// # Errors
    /// Why that did not work: in words if it is not the right server.
    pub fn connect(tcp: TcpStream, dialler: &Dialler, deadline: Instant) -> io::Result<TlsCalls> {
        let connection = ClientConnection::new(Arc::clone(&dialler.config), dialler.name.clone());
        let mut calls = TlsCalls { tcp, connection: connection.map_err(io::Error::other)?, is_ended: false };
        while calls.connection.is_handshaking() {
            let left = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero());
            let left = left.ok_or(ErrorKind::TimedOut)?;
            calls.tcp.set_read_timeout(Some(left))?;
            calls.tcp.set_write_timeout(Some(left))?;
            calls.write_records()?;
            if calls.connection.is_handshaking() {
                calls.read_records()?;
            }
            if calls.is_ended {
                return Err(io::Error::new(ErrorKind::UnexpectedEof, "the server closed the connection"));
            }
        }
        calls.write_records()?;
        Ok(calls)
    }

    /// The socket.
    pub fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    /// Says that nothing more comes, and shuts the sending side.
    ///
    /// # Errors
    /// The socket's.
    pub fn shut_sending_side(&mut self) -> io::Result<()> {
        self.connection.send_close_notify();
        self.write_records()?;
        self.tcp.shutdown(Shutdown::Write)
    }

    /// One read of the socket.
    fn read_records(&mut self) -> io::Result<()> {
        let count = loop {
            match self.connection.read_tls(&mut self.tcp) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        self.is_ended |= count == 0;
        match self.connection.process_new_packets() {
            Ok(state) => {
                self.is_ended |= state.peer_has_closed();
                Ok(())
            }
            Err(error) => {
                // The alert says why to the server. Our own caller is told anyway.
                let _ = self.write_records();
                Err(io::Error::new(ErrorKind::InvalidData, in_words(&error)))
            }
        }
    }

    /// Writes what is sealed. What the socket does not take stays sealed.
    fn write_records(&mut self) -> io::Result<()> {
        while self.connection.wants_write() {
            match self.connection.write_tls(&mut self.tcp) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => drop(result?),
            }
        }
        Ok(())
    }
}

impl Read for TlsCalls {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.connection.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock && !self.is_ended => self.read_records()?,
                // An end without the word for it: a server that is killed cannot say it.
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::UnexpectedEof) => return Ok(0),
                result => return result,
            }
        }
    }
}

impl Write for TlsCalls {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Nothing more is sealed before all that is sealed was taken, so that no more than this waits.
        self.write_records()?;
        let count = self.connection.writer().write(bytes)?;
        match self.write_records() {
            Err(error) if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Err(error),
            _ => Ok(count),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.write_records()
    }
}
