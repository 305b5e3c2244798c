//! A connection over TLS.

use std::io::{self, ErrorKind};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::stream::Stream;
use crate::limits::BOT_CONNECT_MS;
use crate::tls::{Dialler, TlsCalls, Trust as Trusted};

/// How a connection with TLS recognises the right server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trust<'a> {
    /// By the CAs in this PEM file, and by its name. The file may also hold the server's own certificate, if that signed
    /// itself. Debian keeps the CAs that it trusts in `/etc/ssl/certs/ca-certificates.crt`.
    File(&'a Path),
    /// By the SHA-256 of its certificate, which the server's log names at the start.
    Fingerprint([u8; 32]),
}

/// What is needed to connect to a server with TLS.
#[derive(Debug)]
pub struct Opener(Dialler);

impl Opener {
    /// For a server that is called `HOST:PORT`.
    ///
    /// # Errors
    /// `InvalidInput`: what is wrong with the name, or with the file.
    pub fn new(server: &str, trust: Trust<'_>) -> io::Result<Opener> {
        let invalid = |problem: String| io::Error::new(ErrorKind::InvalidInput, problem);
        let host = server.rsplit_once(':').map(|(host, _)| host.trim_start_matches('[').trim_end_matches(']'));
        let host = host.ok_or_else(|| invalid(format!("{server:?}: expected HOST:PORT")))?;
        let trust = match trust {
            Trust::File(path) => Trusted::File(PathBuf::from(path)),
            Trust::Fingerprint(fingerprint) => Trusted::Fingerprint(fingerprint),
        };
        Dialler::new(&trust, host).map(Opener).map_err(invalid)
    }

    /// Shakes hands.
    ///
    /// # Errors
    /// Why that did not work.
    pub fn open(&self, tcp: TcpStream) -> io::Result<TlsCalls> {
        TlsCalls::connect(tcp, &self.0, Instant::now() + Duration::from_millis(BOT_CONNECT_MS))
    }
}

impl Stream for TlsCalls {
    fn tcp(&self) -> &TcpStream {
        TlsCalls::tcp(self)
    }

    fn shut_sending_side(&mut self) -> io::Result<()> {
        TlsCalls::shut_sending_side(self)
    }
}
