//! TLS to the server under test, as bots have it.

use std::io;
use std::net::TcpStream;
use std::path::PathBuf;

use crate::blocking::Stream;

/// How the server under test is recognised.
#[derive(Debug, Clone)]
pub enum TrustOption {
    /// By the CAs in this file, and by its name.
    File(PathBuf),
    /// By the SHA-256 of its certificate.
    Fingerprint([u8; 32]),
}

/// How connections to a server are made.
#[derive(Debug, Clone)]
pub enum Security {
    /// As they are.
    Plain,
    /// Encrypted.
    #[cfg(feature = "tls")]
    Tls(std::sync::Arc<crate::blocking::Opener>),
}

impl Security {
    /// For the server at `HOST:PORT`. The error is one line.
    #[cfg(feature = "tls")]
    pub fn new(place: &str, trust: Option<&TrustOption>) -> Result<Security, String> {
        use crate::blocking::{Opener, Trust};
        let trust = match trust {
            None => return Ok(Security::Plain),
            Some(TrustOption::File(path)) => Trust::File(path),
            Some(TrustOption::Fingerprint(fingerprint)) => Trust::Fingerprint(*fingerprint),
        };
        Opener::new(place, trust)
            .map(|opener| Security::Tls(std::sync::Arc::new(opener)))
            .map_err(|error| error.to_string())
    }

    /// Without TLS there is nothing to it.
    #[cfg(not(feature = "tls"))]
    pub fn new(_: &str, trust: Option<&TrustOption>) -> Result<Security, String> {
        match trust {
            None => Ok(Security::Plain),
            Some(_) => Err("--tls: this cfp-conform was built without TLS (the feature tls)".to_owned()),
        }
    }

    /// Shakes hands, if there is TLS.
    pub fn secure(&self, tcp: TcpStream) -> io::Result<Box<dyn Stream>> {
        match self {
            Security::Plain => Ok(Box::new(tcp)),
            #[cfg(feature = "tls")]
            Security::Tls(opener) => Ok(Box::new(opener.open(tcp)?)),
        }
    }
}
