//! TLS under the generator's connections, and the certificate of servers that are started for a measurement.

use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;

use super::server::scratch_folder;
use super::{Doing, Fault, Result};
use crate::core::engine::cipher::Cipher;
use crate::limits::RECORD_BYTES;

/// Makes the generator's end of a connection.
pub type Dial = Rc<dyn Fn() -> Result<Box<dyn Cipher>>>;

/// TLS of one connection.
pub struct Tls {
    cipher: Box<dyn Cipher>,
    /// A record that has not come whole.
    input: Vec<u8>,
    /// To be sent after the handshake.
    waiting: Vec<u8>,
}

/// What one read came to, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// From the kernel.
    pub sealed: usize,
    /// Of plaintext.
    pub plain: usize,
    /// The server has said that nothing more comes.
    pub is_end: bool,
}

impl Tls {
    /// Around one end; appends what it says first.
    pub fn new(cipher: Box<dyn Cipher>, out: &mut Vec<u8>) -> Result<Tls> {
        let mut tls = Tls { cipher, input: Vec::new(), waiting: Vec::new() };
        tls.cipher.open(&mut [], &mut [], out).map_err(|refusal| Fault::Wrong(refusal.to_string()))?;
        Ok(tls)
    }

    /// Whether the two ends have not agreed.
    pub fn is_handshaking(&self) -> bool {
        self.cipher.is_handshaking()
    }

    /// Whether something waits for the end of the handshake.
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Bytes of a record that has not come whole.
    pub fn kept_bytes(&self) -> usize {
        self.input.len()
    }

    /// One read of `stream`, by way of the buffer `sealed`. Appends to `out` what there is to be sent for it.
    pub fn read(
        &mut self,
        mut stream: impl Read,
        sealed: &mut [u8],
        plain: &mut [u8],
        out: &mut Vec<u8>,
    ) -> std::io::Result<Taken> {
        let kept = self.input.len();
        let room = sealed.len().min(plain.len());
        let count = stream.read(sealed.get_mut(kept..room).ok_or(ErrorKind::InvalidInput)?)?;
        if let Some(front) = sealed.get_mut(..kept) {
            front.copy_from_slice(&self.input);
        }
        let input = sealed.get_mut(..kept + count).ok_or(ErrorKind::InvalidInput)?;
        let opened = self.cipher.open(input, plain, out)?;
        self.input.clear();
        self.input.extend_from_slice(input.get(opened.consumed..).unwrap_or_default());
        if !self.cipher.is_handshaking() && !self.waiting.is_empty() {
            let waiting = std::mem::take(&mut self.waiting);
            self.seal(&waiting, out)?;
        }
        Ok(Taken { sealed: count, plain: opened.plain, is_end: opened.is_end })
    }

    /// Appends `bytes` as records; before the end of the handshake, keeps them.
    pub fn seal(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> std::io::Result<()> {
        if self.cipher.is_handshaking() {
            self.waiting.extend_from_slice(bytes);
            return Ok(());
        }
        for piece in bytes.chunks(RECORD_BYTES) {
            self.cipher.seal(&mut self.input, piece, out)?;
        }
        Ok(())
    }
}

/// A certificate for localhost that signs itself, in a folder of its own, which goes with it.
pub struct Certificate {
    folder: PathBuf,
}

impl Certificate {
    /// Makes one with openssl.
    pub fn new() -> Result<Certificate> {
        let certificate = Certificate { folder: scratch_folder()? };
        let mut command = Command::new("openssl");
        command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]);
        command.args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]);
        command.args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"]).arg(certificate.key());
        command.arg("-out").arg(certificate.path()).stdin(Stdio::null()).stderr(Stdio::null());
        if !command.status().doing("cannot run openssl, which makes a certificate")?.success() {
            return Err(Fault::Wrong("openssl made no certificate".into()));
        }
        Ok(certificate)
    }

    /// The certificate's file.
    pub fn path(&self) -> PathBuf {
        self.folder.join("cert.pem")
    }

    /// The file of its key.
    pub fn key(&self) -> PathBuf {
        self.folder.join("key.pem")
    }
}

impl Drop for Certificate {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Connections to a server whose certificate for localhost is signed by what is in this file.
#[cfg(feature = "tls")]
pub fn dial(ca: &Path) -> Result<Dial> {
    use crate::tls::{Dialler, Trust};
    let dialler = Dialler::new(&Trust::File(ca.to_owned()), "localhost").map_err(Fault::Usage)?;
    Ok(Rc::new(move || Ok(Box::new(dialler.dial().map_err(Fault::Wrong)?) as Box<dyn Cipher>)))
}

/// As above, in a program without TLS.
#[cfg(not(feature = "tls"))]
pub fn dial(_: &Path) -> Result<Dial> {
    Err(Fault::Usage("--tls: this cfp-bench was built without TLS (the feature tls, which is on by default)".into()))
}
