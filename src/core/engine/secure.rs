//! Encryption, between a socket and the engine.
//!
//! ```text
//!  kernel ─▶ ciphertext ─▶ open ─▶ the engine's read buffer
//!  kernel ◀─ unsent ◀───── seal ◀─ what the engine offers, one record after the other
//! ```
//!
//! Each connection keeps at most one record each way: one that has not come whole, and one of which the kernel took a
//! part. So edge-triggered readiness holds: after a read, no plaintext waits in here. [`Cipher`] hides which cipher it
//! is: TLS in the program, a toy in the simulator, which must write the same bytes for a seed.

mod rest;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::io::{self, ErrorKind, IoSlice};
use std::rc::Rc;

use self::rest::Rest;
use crate::core::engine::cipher::{Cipher, Ciphers, Opened, Refusal};
use crate::core::engine::socket::{Received, Records, Sent, Socket};
use crate::core::state::counters::TlsFailure;
use crate::limits::{EMPTY_READ_BYTES, EMPTY_RECORDS_MAX, HANDSHAKE_KEPT_MAX_BYTES, Keepalive, RECORD_BYTES};
use crate::limits::{RECORD_MAX_BYTES, TLS_FIRST_BYTE};
use crate::wire::ServerId;

/// What all connections share: the maker of ciphers, and buffers that are empty between two calls.
#[derive(Debug)]
pub struct Shared<F> {
    /// Makes ciphers.
    pub ciphers: F,
    buffers: RefCell<Buffers>,
}

#[derive(Debug, Default)]
struct Buffers {
    input: Vec<u8>,
    out: Vec<u8>,
    gathered: Vec<u8>,
}

impl<F> Shared<F> {
    /// Around a maker of ciphers.
    pub fn new(ciphers: F) -> Rc<Shared<F>> {
        Rc::new(Shared { ciphers, buffers: RefCell::default() })
    }
}

/// A socket that may be encrypted.
#[derive(Debug)]
pub struct Secure<S, F: Ciphers> {
    socket: S,
    layer: Layer<F>,
}

/// Small, since every idle client has one.
#[derive(Debug)]
enum Layer<F: Ciphers> {
    /// Bytes as they are.
    Plain,
    /// Nothing has come: the first byte decides (D40).
    Undecided(Rc<Shared<F>>),
    Encrypted(Box<Encryption<F>>),
}

#[derive(Debug)]
struct Encryption<F: Ciphers> {
    shared: Rc<Shared<F>>,
    state: Encrypted<F::Cipher>,
    /// The engine's note of the memory that it holds.
    counted_bytes: usize,
}

#[derive(Debug)]
struct Encrypted<C> {
    cipher: C,
    /// A record that has not come whole; before the end of the handshake, what waits for its turn.
    input: Vec<u8>,
    /// Sealed, and not taken by the kernel: `unsent[sent..]`.
    unsent: Vec<u8>,
    sent: usize,
    /// Nothing more comes in; the reader has yet to be told.
    has_end: bool,
    /// Our end has been sealed, and no more input is opened.
    has_said_end: bool,
    /// It failed: input and output are thrown away.
    is_broken: bool,
    /// The last read brought many records without content: the next one is short.
    has_said_nothing: bool,
}

impl<S: Socket, F: Ciphers> Secure<S, F> {
    /// For a connection that has come.
    pub fn accepted(socket: S, shared: &Rc<Shared<F>>) -> Secure<S, F> {
        Secure { socket, layer: Layer::Undecided(Rc::clone(shared)) }
    }

    /// For one that is never encrypted.
    pub fn plain(socket: S) -> Secure<S, F> {
        Secure { socket, layer: Layer::Plain }
    }

    /// For one that we opened, and on which we begin the handshake.
    pub fn dialled(socket: S, shared: &Rc<Shared<F>>, cipher: F::Cipher) -> Secure<S, F> {
        Secure { socket, layer: Layer::encrypted(shared, Encrypted::new(cipher)) }
    }

    /// The socket below.
    pub fn inner_mut(&mut self) -> &mut S {
        &mut self.socket
    }

    /// The socket below.
    pub fn inner(&self) -> &S {
        &self.socket
    }

    fn read_first(&mut self, buffer: &mut [u8]) -> io::Result<Received> {
        let Layer::Undecided(shared) = &self.layer else { return self.socket.read(buffer) };
        let room = buffer.len().min(HANDSHAKE_KEPT_MAX_BYTES);
        let received = self.socket.read(buffer.get_mut(..room).unwrap_or(&mut []))?;
        let Received::Bytes { count, is_drained, .. } = received else { return Ok(received) };
        let input = buffer.get(..count).unwrap_or(&[]);
        let cipher = match input.first() {
            None => return Ok(received),
            Some(&TLS_FIRST_BYTE) => shared.ciphers.accept(),
            Some(_) if shared.ciphers.is_required() => return Err(Refusal::Plaintext.into()),
            Some(_) => None,
        };
        let Some(cipher) = cipher else {
            self.layer = Layer::Plain;
            return Ok(received);
        };
        let mut encrypted = Encrypted::new(cipher);
        encrypted.input.extend_from_slice(input);
        let received = encrypted.waits_for_turn(is_drained);
        self.layer = Layer::encrypted(shared, encrypted);
        Ok(received)
    }
}

impl<F: Ciphers> Layer<F> {
    fn encrypted(shared: &Rc<Shared<F>>, state: Encrypted<F::Cipher>) -> Layer<F> {
        Layer::Encrypted(Box::new(Encryption { shared: Rc::clone(shared), state, counted_bytes: 0 }))
    }

    fn as_encrypted(&self) -> Option<&Encrypted<F::Cipher>> {
        match self {
            Layer::Encrypted(encryption) => Some(&encryption.state),
            Layer::Plain | Layer::Undecided(_) => None,
        }
    }
}

impl<C: Cipher> Encrypted<C> {
    fn new(cipher: C) -> Encrypted<C> {
        let (input, unsent) = (Vec::new(), Vec::new());
        Encrypted {
            cipher,
            input,
            unsent,
            sent: 0,
            has_end: false,
            has_said_end: false,
            is_broken: false,
            has_said_nothing: false,
        }
    }

    fn waits_for_turn(&self, is_drained: bool) -> Received {
        if begins_with_record(&self.input) {
            Received::Handshake { is_drained }
        } else {
            Received::Bytes { count: 0, is_drained, records: Records::default() }
        }
    }

    /// More bytes of the handshake. They are only kept: handling them is work, which is done in portions.
    fn read_handshake<S: Socket>(&mut self, socket: &mut S, buffer: &mut [u8]) -> io::Result<Received> {
        let room = HANDSHAKE_KEPT_MAX_BYTES.saturating_sub(self.input.len()).min(buffer.len());
        if room == 0 {
            return Err(self.too_long());
        }
        match socket.read(buffer.get_mut(..room).unwrap_or(&mut []))? {
            Received::Bytes { count, is_drained, .. } => {
                self.input.extend_from_slice(buffer.get(..count).unwrap_or(&[]));
                Ok(self.waits_for_turn(is_drained))
            }
            other => Ok(other),
        }
    }

    fn read_records<S: Socket>(
        &mut self,
        socket: &mut S,
        plain: &mut [u8],
        buffers: &mut Buffers,
    ) -> io::Result<Received> {
        if self.has_end {
            return Ok(Received::End);
        }
        let kept = self.input.len();
        buffers.input.resize(plain.len(), 0);
        let most = if self.has_said_nothing { kept + EMPTY_READ_BYTES } else { plain.len() };
        let Some(room) = buffers.input.get_mut(kept..most) else { return Err(ErrorKind::InvalidInput.into()) };
        let Received::Bytes { count, is_drained, .. } = socket.read(room)? else {
            // The end without a word is the end, too (D42).
            self.has_end = true;
            return Ok(Received::End);
        };
        for (place, byte) in buffers.input.iter_mut().zip(&self.input) {
            *place = *byte;
        }
        let mut input = std::mem::take(&mut buffers.input);
        // Opening them may move what is in them.
        let all = count_records(input.get(..kept + count).unwrap_or(&[]));
        let opened = self.open(input.get_mut(..kept + count).unwrap_or(&mut []), plain, buffers);
        let left = opened.as_ref().map(|opened| input.get(opened.consumed..kept + count).unwrap_or(&[]));
        let is_kept = left.is_ok_and(|left| self.keep(left));
        buffers.input = input;
        let opened = opened?;
        if !is_kept {
            return Err(self.too_long());
        }
        if opened.is_end && opened.plain == 0 {
            return Ok(Received::End);
        }
        // The end is reported when all input before it is handled.
        let records = Records { all, without_bytes: all.saturating_sub(opened.records) };
        self.has_said_nothing = records.without_bytes > EMPTY_RECORDS_MAX;
        Ok(Received::Bytes { count: opened.plain, is_drained: is_drained && !opened.is_end, records })
    }

    /// Opens whole records, and keeps what the cipher has to say.
    fn open(&mut self, input: &mut [u8], plain: &mut [u8], buffers: &mut Buffers) -> io::Result<Opened> {
        buffers.out.clear();
        let opened = self.cipher.open(input, plain, &mut buffers.out);
        self.unsent.extend_from_slice(&buffers.out);
        match opened {
            Ok(opened) => {
                self.has_end |= opened.is_end;
                Ok(opened)
            }
            Err(refusal) => {
                (self.is_broken, self.input) = (true, Vec::new());
                Err(refusal.into())
            }
        }
    }

    fn advance_handshake(&mut self, plain: &mut [u8], buffers: &mut Buffers) -> io::Result<Received> {
        let mut input = std::mem::take(&mut self.input);
        let opened = self.open(&mut input, plain, buffers)?;
        if !self.keep(input.get(opened.consumed..).unwrap_or(&[])) {
            return Err(self.too_long());
        }
        if opened.is_end && opened.plain == 0 {
            return Ok(Received::End);
        }
        Ok(Received::Bytes { count: opened.plain, is_drained: !opened.is_end, records: Records::default() })
    }

    /// Keeps the incomplete record, with no more capacity than that needs. Returns whether it is as short as it must
    /// be: a sender that cuts a message into ever more records could make it grow.
    fn keep(&mut self, left: &[u8]) -> bool {
        if left.is_empty() {
            self.input = Vec::new();
        } else {
            self.input.clear();
            self.input.extend_from_slice(left);
        }
        left.len() <= RECORD_MAX_BYTES
    }

    fn too_long(&mut self) -> io::Error {
        (self.is_broken, self.input) = (true, Vec::new());
        Refusal::Tls(TlsFailure::Protocol, "it sends a message that is too long".to_owned()).into()
    }

    fn unsent_bytes(&self) -> usize {
        self.unsent.len() - self.sent
    }

    /// Offers the kernel the sealed bytes. Returns whether it took all of them.
    fn flush<S: Socket>(&mut self, socket: &mut S) -> io::Result<bool> {
        while let Some(rest) = self.unsent.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match socket.write(rest) {
                Ok(sent) => {
                    self.sent += sent.bytes;
                    if sent.is_stuck {
                        return Ok(false);
                    }
                }
                Err(error) if is_stuck(&error) => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        (self.unsent, self.sent) = (Vec::new(), 0);
        Ok(true)
    }

    fn write<S: Socket>(&mut self, socket: &mut S, slices: &[IoSlice<'_>], buffers: &mut Buffers) -> io::Result<Sent> {
        if self.cipher.is_handshaking() && !self.is_broken && self.unsent.is_empty() && self.input.is_empty() {
            // If we dialled, we send the first record.
            self.open(&mut [], &mut [], buffers)?;
        }
        let unsent_before = self.unsent_bytes();
        if !self.flush(socket)? {
            // A write that moves nothing is one that the kernel refused.
            let is_refused = self.unsent_bytes() == unsent_before;
            return if is_refused { Err(ErrorKind::WouldBlock.into()) } else { Ok(Sent { bytes: 0, is_stuck: true }) };
        }
        if self.is_broken {
            return Ok(Sent { bytes: slices.iter().map(|slice| slice.len()).sum(), is_stuck: false });
        }
        let has_more = slices.iter().any(|slice| !slice.is_empty());
        if self.cipher.is_handshaking() {
            return if has_more { Err(ErrorKind::WouldBlock.into()) } else { Ok(Sent { bytes: 0, is_stuck: false }) };
        }
        let mut rest = Rest::of(slices);
        let mut bytes = 0;
        loop {
            let piece = rest.take(RECORD_BYTES, &mut buffers.gathered);
            if piece.is_empty() {
                return Ok(Sent { bytes, is_stuck: false });
            }
            buffers.out.clear();
            if let Err(refusal) = self.cipher.seal(&mut self.input, piece, &mut buffers.out) {
                self.is_broken = true;
                return Err(refusal.into());
            }
            bytes += piece.len();
            let sent = match socket.write(&buffers.out) {
                Ok(sent) => sent,
                Err(error) if is_stuck(&error) => Sent { bytes: 0, is_stuck: true },
                Err(error) if error.kind() == ErrorKind::Interrupted => Sent { bytes: 0, is_stuck: false },
                Err(error) => return Err(error),
            };
            // What was sealed is sent whatever happens: its keys have moved on.
            self.unsent.extend_from_slice(buffers.out.get(sent.bytes..).unwrap_or(&[]));
            if !self.flush_if(!sent.is_stuck, socket)? {
                return Ok(Sent { bytes, is_stuck: true });
            }
        }
    }

    fn flush_if<S: Socket>(&mut self, may: bool, socket: &mut S) -> io::Result<bool> {
        if self.unsent.is_empty() { Ok(true) } else { Ok(may && self.flush(socket)?) }
    }
}

impl<S: Socket, F: Ciphers> Socket for Secure<S, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<Received> {
        let Encryption { shared, state, .. } = match &mut self.layer {
            Layer::Plain => return self.socket.read(buffer),
            Layer::Undecided(_) => return self.read_first(buffer),
            Layer::Encrypted(encryption) => &mut **encryption,
        };
        // What still comes is thrown away.
        if state.is_broken || state.has_said_end {
            self.socket.read(buffer)
        } else if state.cipher.is_handshaking() {
            state.read_handshake(&mut self.socket, buffer)
        } else {
            state.read_records(&mut self.socket, buffer, &mut shared.buffers.borrow_mut())
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<Sent> {
        match &mut self.layer {
            Layer::Plain | Layer::Undecided(_) => self.socket.write(bytes),
            Layer::Encrypted(_) => self.write_vectored(&[IoSlice::new(bytes)]),
        }
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<Sent> {
        match &mut self.layer {
            Layer::Plain | Layer::Undecided(_) => self.socket.write_vectored(slices),
            Layer::Encrypted(encryption) => {
                let Encryption { shared, state, .. } = &mut **encryption;
                state.write(&mut self.socket, slices, &mut shared.buffers.borrow_mut())
            }
        }
    }

    fn peek(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.peek(buffer)
    }

    fn take_peeked(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.take_peeked(buffer)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        if let Layer::Encrypted(encryption) = &mut self.layer {
            let state = &mut encryption.state;
            if !state.has_said_end && !state.is_broken && !state.cipher.is_handshaking() {
                state.has_said_end = true;
                state.cipher.seal_end(&mut state.input, &mut state.unsent);
                state.input = Vec::new();
            }
            if !state.flush(&mut self.socket)? {
                return Err(ErrorKind::WouldBlock.into());
            }
        }
        self.socket.shutdown_write()
    }

    fn set_keepalive(&mut self, keepalive: Keepalive) {
        self.socket.set_keepalive(keepalive);
    }

    fn advance_handshake(&mut self, buffer: &mut [u8]) -> io::Result<Received> {
        match &mut self.layer {
            Layer::Encrypted(encryption) if !encryption.state.is_broken => {
                let Encryption { shared, state, .. } = &mut **encryption;
                state.advance_handshake(buffer, &mut shared.buffers.borrow_mut())
            }
            _ => Err(ErrorKind::WouldBlock.into()),
        }
    }

    fn is_handshaking(&self) -> bool {
        self.layer.as_encrypted().is_some_and(|state| !state.is_broken && state.cipher.is_handshaking())
    }

    fn is_encrypted(&self) -> bool {
        self.layer.as_encrypted().is_some()
    }

    fn certified_ids(&self) -> Option<&[ServerId]> {
        self.layer.as_encrypted()?.cipher.certified_ids()
    }

    fn unsent_bytes(&self) -> usize {
        self.layer.as_encrypted().map_or(0, Encrypted::unsent_bytes)
    }

    fn held_bytes(&self) -> usize {
        self.layer.as_encrypted().map_or(0, |state| state.input.capacity() + state.unsent.capacity())
    }

    fn counted_bytes(&self) -> usize {
        match &self.layer {
            Layer::Encrypted(encryption) => encryption.counted_bytes,
            Layer::Plain | Layer::Undecided(_) => 0,
        }
    }

    fn set_counted(&mut self, bytes: usize) {
        if let Layer::Encrypted(encryption) = &mut self.layer {
            encryption.counted_bytes = bytes;
        }
    }
}

/// Whole records in `input`.
fn count_records(mut input: &[u8]) -> usize {
    let mut count = 0;
    while let [_, _, _, high, low, rest @ ..] = input {
        let Some(rest) = rest.get(usize::from(u16::from_be_bytes([*high, *low]))..) else { break };
        input = rest;
        count += 1;
    }
    count
}

/// Whether a whole record stands in front, or bytes that cannot become one. A header is the kind, a version, and a
/// length.
fn begins_with_record(input: &[u8]) -> bool {
    match input {
        [_, version, ..] if *version != 3 => true,
        [_, _, _, high, low, ..] => {
            let len = 5 + usize::from(u16::from_be_bytes([*high, *low]));
            len > RECORD_MAX_BYTES || input.len() >= len
        }
        _ => false,
    }
}

fn is_stuck(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected)
}
