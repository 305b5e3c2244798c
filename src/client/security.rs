//! TLS to the server, if it is asked for. There is no way back to a connection without it (D45).

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::PathBuf;

use crate::blocking;

/// What the command line says of TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsOptions {
    /// The name that the server's certificate must have.
    pub name: String,
    /// The authority for the certificate.
    pub trust: TrustOption,
}

/// The authority for the server's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrustOption {
    /// The CAs that this system trusts.
    System,
    /// The CAs in this file.
    File(PathBuf),
    /// The user, who knows its SHA-256.
    Fingerprint([u8; 32]),
}

/// A connection, with TLS or without.
pub enum Stream {
    /// As it is.
    Plain(TcpStream),
    /// Encrypted.
    #[cfg(feature = "tls")]
    Tls(Box<crate::tls::TlsStream>),
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Stream").field(self.tcp()).finish()
    }
}

impl Stream {
    /// The socket.
    pub fn tcp(&self) -> &TcpStream {
        match self {
            Stream::Plain(tcp) => tcp,
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => stream.tcp(),
        }
    }

    /// Says that nothing more comes.
    ///
    /// # Errors
    /// The socket's.
    pub fn shutdown_write(&self) -> io::Result<()> {
        match self {
            Stream::Plain(tcp) => tcp.shutdown(Shutdown::Write),
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => stream.shutdown_write(),
        }
    }
}

impl Read for &Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(tcp) => (&mut &*tcp).read(buffer),
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => (&mut &**stream).read(buffer),
        }
    }
}

impl Write for &Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(tcp) => (&mut &*tcp).write(bytes),
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => (&mut &**stream).write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Each of the two threads has one of these.
impl blocking::Stream for &Stream {
    fn tcp(&self) -> &TcpStream {
        Stream::tcp(self)
    }

    fn shut_sending_side(&mut self) -> io::Result<()> {
        self.shutdown_write()
    }
}

#[cfg(feature = "tls")]
pub use with_tls::Security;
#[cfg(not(feature = "tls"))]
pub use without_tls::Security;

#[cfg(feature = "tls")]
mod with_tls {
    use std::io::{self, ErrorKind};
    use std::net::TcpStream;
    use std::time::{Duration, Instant};

    use super::{Stream, TlsOptions, TrustOption};
    use crate::client::limits::CONNECT_MS;
    use crate::tls::{Dialler, TlsStream, Trust};

    /// Makes a connection secure, if that was asked for.
    #[derive(Debug, Clone)]
    pub struct Security(Option<Dialler>);

    impl Security {
        /// As the command line says.
        ///
        /// # Errors
        /// One line: the mistake in the name or the file.
        pub fn new(options: Option<&TlsOptions>) -> Result<Security, String> {
            let Some(options) = options else { return Ok(Security(None)) };
            let trust = match &options.trust {
                TrustOption::System => Trust::System,
                TrustOption::File(path) => Trust::File(path.clone()),
                TrustOption::Fingerprint(fingerprint) => Trust::Fingerprint(*fingerprint),
            };
            Ok(Security(Some(Dialler::new(&trust, &options.name)?)))
        }

        /// Shakes hands, if there is TLS.
        ///
        /// # Errors
        /// Why that did not work.
        pub fn secure(&self, tcp: TcpStream) -> io::Result<Stream> {
            let Some(dialler) = &self.0 else { return Ok(Stream::Plain(tcp)) };
            let deadline = Instant::now() + Duration::from_millis(CONNECT_MS);
            match TlsStream::connect(tcp, dialler, deadline) {
                Ok(stream) => Ok(Stream::Tls(Box::new(stream))),
                Err(error) => Err(match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::UnexpectedEof => {
                        io::Error::new(error.kind(), "no answer in TLS (does the server have a certificate?)")
                    }
                    _ => error,
                }),
            }
        }
    }
}

#[cfg(not(feature = "tls"))]
mod without_tls {
    use std::io;
    use std::net::TcpStream;

    use super::{Stream, TlsOptions};

    /// Nothing is done to connections.
    #[derive(Debug, Clone)]
    pub struct Security;

    impl Security {
        /// The command line has turned TLS down.
        ///
        /// # Errors
        /// None.
        pub fn new(_: Option<&TlsOptions>) -> Result<Security, String> {
            Ok(Security)
        }

        /// As it is.
        ///
        /// # Errors
        /// None.
        pub fn secure(&self, tcp: TcpStream) -> io::Result<Stream> {
            Ok(Stream::Plain(tcp))
        }
    }
}
