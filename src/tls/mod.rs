//! TLS 1.3, by rustls: nothing outside this folder names it, or webpki.
//!
//! | file | |
//! |---|---|
//! | `trust.rs` | how a connection that we open recognises the right server |
//! | `pem.rs` | certificates from files |
//! | `calls.rs` | a connection that blocks, for the library |
//! | `cipher.rs` | one end of a connection, as the engine wants it |
//! | `files.rs` | the operator's certificates and keys |
//! | `stream.rs` | a connection that blocks, for the console client |
//! | `description.rs` | a certificate in words |
//!
//! The library has the first three alone, without the server. Only this file names the provider of cryptography.

mod calls;
#[cfg(feature = "server")]
mod cipher;
#[cfg(feature = "server")]
mod description;
#[cfg(feature = "server")]
mod files;
mod pem;
#[cfg(feature = "server")]
mod stream;
mod trust;

use std::sync::Arc;

pub use calls::TlsCalls;
#[cfg(feature = "server")]
pub use cipher::{Tls, TlsCipher};
#[cfg(feature = "server")]
pub use description::Description;
#[cfg(feature = "server")]
pub use files::Files;
#[cfg(feature = "server")]
pub use stream::TlsStream;
pub use trust::{Dialler, Trust};

use rustls::crypto::CryptoProvider;

/// The name of our protocol in a handshake (ALPN, D41).
const PROTOCOL: &[u8] = b"cfp";

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
