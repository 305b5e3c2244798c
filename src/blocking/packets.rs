//! Packets over a stream that blocks: what a bot's connection, the console client, the conformance kit and the tests have
//! in common.

use std::io::{self, ErrorKind};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use super::login::{Login, LoginError};
use super::stream::{Stream, is_timeout};
use crate::limits::{BOT_WRITE_WAIT_MS, READ_BYTES};
use crate::wire::{AuthResponse, Decoder, Frame, FrameLimits, Packet};

/// A stream, and what has come over it. For the programs of this package, and for the tests. No promise.
#[derive(Debug)]
pub struct PacketStream<S> {
    stream: S,
    decoder: Decoder,
    read_bytes: usize,
    /// The longest that a read and a write wait, as the socket was told last: that is a system call.
    read_patience: Option<Option<Duration>>,
    write_patience: Option<Option<Duration>>,
}

/// What one read came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// Something has come.
    Some,
    /// Nothing has come for so long.
    Nothing,
    /// The end.
    End,
}

/// What came next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrival {
    /// A packet, or what can't be read.
    Frame(Frame),
    /// Nothing, before the time was over.
    Nothing,
    /// The end.
    End,
}

impl<S: Stream> PacketStream<S> {
    /// Over a stream on which nothing has come yet.
    pub fn new(stream: S, limits: FrameLimits) -> PacketStream<S> {
        PacketStream::resume(stream, Decoder::with_limits(limits))
    }

    /// Over a stream of which the decoder has got all so far.
    pub fn resume(stream: S, decoder: Decoder) -> PacketStream<S> {
        PacketStream { stream, decoder, read_bytes: READ_BYTES, read_patience: None, write_patience: None }
    }

    /// One read takes so much.
    pub fn with_read_bytes(self, read_bytes: usize) -> PacketStream<S> {
        PacketStream { read_bytes, ..self }
    }

    /// The stream itself.
    pub fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    /// The stream, without what has come over it.
    pub fn into_stream(self) -> S {
        self.stream
    }

    /// What has come, for another stream over the same connection.
    pub fn into_decoder(self) -> Decoder {
        self.decoder
    }

    /// What has come.
    pub fn decoder(&mut self) -> &mut Decoder {
        &mut self.decoder
    }

    /// The socket.
    pub fn tcp(&self) -> &TcpStream {
        self.stream.tcp()
    }

    /// Reads once, and waits for so long at the most; `None` is for ever.
    ///
    /// # Errors
    /// Whatever the socket reports.
    pub fn read(&mut self, patience: Option<Duration>) -> io::Result<Reading> {
        // A patience of zero would mean for ever.
        let patience = patience.map(|patience| patience.max(Duration::from_millis(1)));
        if self.read_patience != Some(patience) {
            self.stream.tcp().set_read_timeout(patience)?;
            self.read_patience = Some(patience);
        }
        loop {
            match self.decoder.feed_with(self.read_bytes, |room| self.stream.read(room)) {
                Ok(0) => return Ok(Reading::End),
                Ok(_) => return Ok(Reading::Some),
                // Stopped and continued meanwhile.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if is_timeout(&error) => return Ok(Reading::Nothing),
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits for the next packet, until then at the latest.
    ///
    /// # Errors
    /// Whatever the socket reports.
    pub fn next_until(&mut self, end: Option<Instant>) -> io::Result<Arrival> {
        loop {
            if let Some(frame) = self.decoder.next_frame() {
                return Ok(Arrival::Frame(frame));
            }
            match self.read(end.map(|end| end.saturating_duration_since(Instant::now())))? {
                Reading::Some => {}
                Reading::Nothing => return Ok(Arrival::Nothing),
                Reading::End => return Ok(Arrival::End),
            }
        }
    }

    /// Writes all of it. If the other side takes nothing for a moment, it may wait until we read: `on_blocked` does that,
    /// or gives up.
    ///
    /// # Errors
    /// Whatever the socket or `on_blocked` reports.
    pub fn write(
        &mut self,
        mut bytes: &[u8],
        mut on_blocked: impl FnMut(&mut PacketStream<S>) -> io::Result<()>,
    ) -> io::Result<()> {
        self.set_write_patience(Some(Duration::from_millis(BOT_WRITE_WAIT_MS)))?;
        while !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(error) if is_timeout(&error) => on_blocked(self)?,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        // With TLS, the end of it may be sealed and not yet written.
        loop {
            match self.stream.flush() {
                Err(error) if is_timeout(&error) => on_blocked(self)?,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// Logs in. The whole answer may take so long: one that comes byte by byte has no more time.
    ///
    /// # Errors
    /// Why we are not in.
    pub fn log_in(&mut self, login: Login<'_>, patience: Duration) -> Result<(), LoginError> {
        match self.exchange(login, patience).map_err(LoginError::Unreachable)? {
            AuthResponse::Accepted => Ok(()),
            refused => Err(LoginError::Refused(refused)),
        }
    }

    fn exchange(&mut self, login: Login<'_>, patience: Duration) -> io::Result<AuthResponse> {
        let end = Instant::now() + patience;
        let late = || io::Error::new(ErrorKind::TimedOut, "no answer to the login");
        let mut bytes = Vec::new();
        match login {
            Login::Guest(nickname) => Packet::AuthGst { nickname }.encode(&mut bytes),
            Login::User { nickname, password } => Packet::AuthUsr { nickname, password }.encode(&mut bytes),
        }
        self.write(&bytes, |_| if Instant::now() < end { Ok(()) } else { Err(late()) })?;
        match self.next_until(Some(end))? {
            Arrival::Frame(frame) => match self.decoder.packet(&frame) {
                Ok(Packet::AuthRsp { response }) => Ok(response),
                _ => {
                    let strange = "it does not answer like a server of the Chat Fusion Protocol";
                    Err(io::Error::new(ErrorKind::InvalidData, strange))
                }
            },
            Arrival::Nothing => Err(late()),
            Arrival::End => Err(io::Error::new(ErrorKind::UnexpectedEof, "the server closed the connection")),
        }
    }

    fn set_write_patience(&mut self, patience: Option<Duration>) -> io::Result<()> {
        if self.write_patience != Some(patience) {
            self.stream.tcp().set_write_timeout(patience)?;
            self.write_patience = Some(patience);
        }
        Ok(())
    }
}

/// Tries each address of the server in turn, each for so long.
///
/// # Errors
/// Why the last one did not work.
pub fn dial(server: impl ToSocketAddrs, patience: Duration) -> io::Result<TcpStream> {
    let mut last_error = io::Error::new(ErrorKind::NotFound, "this host has no address");
    for address in server.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, patience) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last_error = error,
        }
    }
    Err(last_error)
}
