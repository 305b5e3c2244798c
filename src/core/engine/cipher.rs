//! What encryption needs of a library for it.

use std::io::{self, ErrorKind};

use crate::core::state::counters::TlsFailure;
use crate::wire::ServerId;

/// One end of an encrypted connection.
pub trait Cipher {
    /// Takes whole records from the front of `input` and writes their content to `plain`, which has room for as much as
    /// `input`. Appends to `out` what the other side must be sent for it, also on failure.
    ///
    /// # Errors
    /// The other side's bytes can't be followed, or it is not let in.
    fn open(&mut self, input: &mut [u8], plain: &mut [u8], out: &mut Vec<u8>) -> Result<Opened, Refusal>;
    /// Appends one record with these bytes, at most [`RECORD_BYTES`](crate::limits::RECORD_BYTES). `input` is what
    /// [`Cipher::open`] has left, as it left it: it may hold the beginning of a message.
    ///
    /// # Errors
    /// No more can be sealed with this key.
    fn seal(&mut self, input: &mut [u8], plain: &[u8], out: &mut Vec<u8>) -> Result<(), Refusal>;
    /// Appends the last record: nothing more comes. `input` as above.
    fn seal_end(&mut self, input: &mut [u8], out: &mut Vec<u8>);
    /// Whether the handshake is not over.
    fn is_handshaking(&self) -> bool;
    /// The server IDs in the other side's certificate, if it has shown one of our network's.
    fn certified_ids(&self) -> Option<&[ServerId]>;
}

/// What [`Cipher::open`] came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Opened {
    /// Bytes of input that are done with.
    pub consumed: usize,
    /// Bytes of plaintext.
    pub plain: usize,
    /// Records that brought plaintext.
    pub records: usize,
    /// The other side has said that nothing more comes.
    pub is_end: bool,
}

/// Makes ciphers for connections that come.
pub trait Ciphers {
    /// What it makes.
    type Cipher: Cipher + std::fmt::Debug;
    /// For a connection that begins like TLS; none without a certificate.
    fn accept(&self) -> Option<Self::Cipher>;
    /// Whether a connection that does not is closed (D43).
    fn is_required(&self) -> bool;
}

/// Why a connection is not served. Comes as the inside of an [`io::Error`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// It speaks without TLS to a server that requires it (D43).
    Plaintext,
    /// The handshake failed, or what came after it is no TLS.
    Tls(TlsFailure, String),
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Refusal::Plaintext => f.write_str("no TLS"),
            Refusal::Tls(_, text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Refusal {}

impl From<Refusal> for io::Error {
    fn from(refusal: Refusal) -> io::Error {
        io::Error::new(ErrorKind::InvalidData, refusal)
    }
}
