//! A connection that blocks, with one thread that reads and one that writes.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::{Dialler, TlsCipher};
use crate::core::engine::cipher::Cipher;
use crate::limits::{READ_BYTES, RECORD_BYTES};

/// A TCP connection with TLS over it. Its timeouts are the socket's own.
#[allow(missing_debug_implementations, reason = "rustls' connections have none")]
pub struct TlsStream {
    tcp: TcpStream,
    /// Held for as long as it takes to seal or open, and never while the socket is waited for.
    sealing: Mutex<Sealing>,
    opened: Mutex<Opened>,
    /// Records go out in the order in which they were sealed.
    writing: Mutex<()>,
}

struct Sealing {
    cipher: TlsCipher,
    /// What has not come whole.
    input: Vec<u8>,
}

/// Opened and not read: `plain[taken..]`.
#[derive(Default)]
struct Opened {
    plain: Vec<u8>,
    taken: usize,
    has_end: bool,
}

impl TlsStream {
    /// Shakes hands, until `deadline` at the latest. The socket's timeouts are what they were set to last.
    ///
    /// # Errors
    /// Why that did not work: in words if it is not the right server.
    pub fn connect(tcp: TcpStream, dialler: &Dialler, deadline: Instant) -> io::Result<TlsStream> {
        TlsStream::with_cipher(tcp, dialler.dial().map_err(io::Error::other)?, deadline)
    }

    /// With the cipher that is there.
    ///
    /// # Errors
    /// As above.
    pub fn with_cipher(tcp: TcpStream, cipher: TlsCipher, deadline: Instant) -> io::Result<TlsStream> {
        let sealing = Mutex::new(Sealing { cipher, input: Vec::new() });
        let stream = TlsStream { tcp, sealing, opened: Mutex::default(), writing: Mutex::default() };
        stream.open(&[], &mut lock(&stream.opened))?;
        while lock(&stream.sealing).cipher.is_handshaking() {
            let left = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero());
            stream.tcp.set_read_timeout(Some(left.ok_or(ErrorKind::TimedOut)?))?;
            match stream.read_records(&mut lock(&stream.opened)) {
                Ok(0) => return Err(io::Error::new(ErrorKind::UnexpectedEof, "the server closed the connection")),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => drop(result?),
            }
        }
        Ok(stream)
    }

    /// The socket.
    pub fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    /// Says that nothing more comes, and shuts the sending side.
    ///
    /// # Errors
    /// The socket's.
    pub fn shutdown_write(&self) -> io::Result<()> {
        let _writing = lock(&self.writing);
        let mut out = Vec::new();
        {
            let sealing = &mut *lock(&self.sealing);
            sealing.cipher.seal_end(&mut sealing.input, &mut out);
        }
        (&self.tcp).write_all(&out)?;
        self.tcp.shutdown(Shutdown::Write)
    }

    /// One read of the socket, opened. Returns how many bytes came.
    fn read_records(&self, opened: &mut Opened) -> io::Result<usize> {
        let mut came = vec![0; READ_BYTES];
        let count = (&self.tcp).read(&mut came)?;
        if count == 0 {
            opened.has_end = true;
        } else {
            self.open(came.get(..count).unwrap_or(&[]), opened)?;
        }
        Ok(count)
    }

    /// Opens what has come, and sends what there is to be said for it.
    fn open(&self, came: &[u8], place: &mut Opened) -> io::Result<()> {
        let mut out = Vec::new();
        let result = {
            let Sealing { cipher, input } = &mut *lock(&self.sealing);
            input.extend_from_slice(came);
            let mut plain = vec![0; input.len()];
            cipher.open(input, &mut plain, &mut out).map(|opened| {
                input.drain(..opened.consumed);
                plain.truncate(opened.plain);
                if place.taken == place.plain.len() {
                    (place.plain, place.taken) = (plain, 0);
                } else {
                    place.plain.extend_from_slice(&plain);
                }
                place.has_end |= opened.is_end;
            })
        };
        if !out.is_empty() {
            let _writing = lock(&self.writing);
            let written = (&self.tcp).write_all(&out);
            // After the handshake that is an alert, which says why to the server; our own user is told anyway.
            if result.is_ok() {
                written?;
            }
        }
        Ok(result?)
    }
}

impl Read for &TlsStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let opened = &mut *lock(&self.opened);
        loop {
            let waiting = opened.plain.get(opened.taken..).unwrap_or(&[]);
            if !waiting.is_empty() || opened.has_end {
                let count = waiting.len().min(buffer.len());
                for (place, byte) in buffer.iter_mut().zip(waiting) {
                    *place = *byte;
                }
                opened.taken += count;
                return Ok(count);
            }
            self.read_records(opened)?;
        }
    }
}

impl Write for &TlsStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = bytes.get(..bytes.len().min(RECORD_BYTES)).unwrap_or(bytes);
        let _writing = lock(&self.writing);
        let mut out = Vec::new();
        {
            let Sealing { cipher, input } = &mut *lock(&self.sealing);
            cipher.seal(input, piece, &mut out)?;
        }
        (&self.tcp).write_all(&out)?;
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
