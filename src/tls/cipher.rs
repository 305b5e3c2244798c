//! One end of a connection, over rustls' interface without buffers: [`Secure`](crate::core::engine::secure::Secure) keeps
//! the waiting bytes, where they are bounded and counted.

use std::cell::RefCell;
use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::{CertificateDer, DnsName, ServerName};
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, UnbufferedStatus};
use rustls::{AlertDescription, CertificateError, Error};
use webpki::EndEntityCert;

use super::description::Description;
use super::files::{self, Files, Loaded};
use super::trust::{Dialler, in_words, unnamed};
use crate::core::engine::cipher::{Cipher, Ciphers, Opened, Refusal};
use crate::core::state::counters::TlsFailure;
use crate::wire::ServerId;

/// What a record takes besides its bytes, and a key update before it.
const OVERHEAD_BYTES: usize = 256;

/// TLS for connections that come, and for those to other servers.
#[derive(Debug)]
pub struct Tls {
    files: Option<Files>,
    /// Reading the files again changes all of it or nothing (D48).
    loaded: RefCell<Option<Loaded>>,
}

impl Tls {
    /// A server without a certificate.
    pub fn none() -> Tls {
        Tls { files: None, loaded: RefCell::new(None) }
    }

    /// Reads the files.
    ///
    /// # Errors
    /// One line: which file, and what is wrong with it.
    pub fn open(files: Files) -> Result<(Tls, Description), String> {
        let tls = Tls { files: Some(files), loaded: RefCell::new(None) };
        match tls.reload()? {
            Some(description) => Ok((tls, description)),
            None => Err("no certificate".to_owned()),
        }
    }

    /// Reads the files again. Connections that are there keep what they have.
    ///
    /// # Errors
    /// As [`Tls::open`]; what was read before stays.
    pub fn reload(&self) -> Result<Option<Description>, String> {
        let Some(files) = &self.files else { return Ok(None) };
        let (loaded, description) = files::load(files)?;
        *self.loaded.borrow_mut() = Some(loaded);
        Ok(Some(description))
    }

    /// For a connection to another server; `None` if those are plain. `server` is its ID, if that is known.
    pub fn dial(&self, server: Option<ServerId>) -> Option<TlsCipher> {
        let loaded = self.loaded.borrow();
        let config = loaded.as_ref()?.dialler.as_ref()?;
        let name = server.map_or_else(|| Some(unnamed()), |id| name_of(id).ok())?;
        let connection = UnbufferedClientConnection::new(Arc::clone(config), name).ok()?;
        Some(TlsCipher::new(Connection::Client(connection)))
    }
}

impl Dialler {
    /// One end of a connection.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn dial(&self) -> Result<TlsCipher, String> {
        let connection = UnbufferedClientConnection::new(Arc::clone(&self.config), self.name.clone());
        Ok(TlsCipher::new(Connection::Client(connection.map_err(|error| error.to_string())?)))
    }
}

impl Ciphers for Tls {
    type Cipher = TlsCipher;

    fn accept(&self) -> Option<TlsCipher> {
        let loaded = self.loaded.borrow();
        let connection = UnbufferedServerConnection::new(Arc::clone(&loaded.as_ref()?.server)).ok()?;
        Some(TlsCipher::new(Connection::Server(connection)))
    }

    fn is_required(&self) -> bool {
        self.files.as_ref().is_some_and(|files| files.is_required)
    }
}

/// One end of a TLS connection.
pub struct TlsCipher {
    connection: Connection,
    ids: Option<Box<[ServerId]>>,
}

/// Without the connection: rustls' have none.
impl std::fmt::Debug for TlsCipher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsCipher").field("ids", &self.ids).finish_non_exhaustive()
    }
}

enum Connection {
    Server(UnbufferedServerConnection),
    Client(UnbufferedClientConnection),
}

/// Lets rustls work through `input`; one function for both kinds of connection, whose types differ.
macro_rules! work {
    ($connection:expr, $input:expr, $plain:expr, $out:expr) => {{
        let mut opened = Opened::default();
        loop {
            let input = $input.get_mut(opened.consumed..).unwrap_or(&mut []);
            let UnbufferedStatus { discard, state } = $connection.process_tls_records(input);
            let is_done = match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(Ok(record)) = traffic.next_record() {
                        let end = opened.plain + record.payload.len();
                        if let Some(place) = $plain.get_mut(opened.plain..end) {
                            place.copy_from_slice(record.payload);
                            opened.plain = end;
                            opened.records += 1;
                        }
                    }
                    false
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    append($out, |room| data.encode(room));
                    false
                }
                Ok(ConnectionState::TransmitTlsData(data)) => {
                    data.done();
                    false
                }
                Ok(ConnectionState::PeerClosed) => {
                    opened.is_end = true;
                    false
                }
                Ok(_) => true,
                Err(error) => break Err((error, opened.consumed + discard)),
            };
            opened.consumed += discard;
            if is_done {
                break Ok(opened);
            }
        }
    }};
}

/// What rustls has to say after it has failed, an alert at its end. It must not be asked to go on after that.
macro_rules! take_alert {
    ($connection:expr, $input:expr, $out:expr) => {{
        while $connection.wants_write() {
            let Ok(ConnectionState::EncodeTlsData(mut data)) = $connection.process_tls_records($input).state else {
                break;
            };
            append($out, |room| data.encode(room));
        }
    }};
}

/// Seals with what is in the state that lets one write.
macro_rules! write_with {
    ($connection:expr, $input:expr, $out:expr, $write:expr) => {{
        loop {
            match $connection.process_tls_records($input).state {
                Ok(ConnectionState::EncodeTlsData(mut data)) => append($out, |room| data.encode(room)),
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::WriteTraffic(mut traffic)) => break $write(&mut traffic),
                Ok(_) => break Err(Error::HandshakeNotComplete),
                Err(error) => break Err(error),
            }
        }
    }};
}

impl TlsCipher {
    fn new(connection: Connection) -> TlsCipher {
        TlsCipher { connection, ids: None }
    }

    /// The other side's certificate was verified.
    fn learn_ids(&mut self) {
        let certificates = match &self.connection {
            Connection::Server(connection) => connection.peer_certificates(),
            Connection::Client(connection) => connection.peer_certificates(),
        };
        let certificate = certificates.and_then(<[CertificateDer<'_>]>::first);
        let ids = certificate.map(ids_in).unwrap_or_default();
        // One without such a name may be a person's.
        self.ids = (!ids.is_empty()).then(|| ids.into_boxed_slice());
    }
}

impl Cipher for TlsCipher {
    fn open(&mut self, input: &mut [u8], plain: &mut [u8], out: &mut Vec<u8>) -> Result<Opened, Refusal> {
        let was_handshaking = self.is_handshaking();
        let result = match &mut self.connection {
            Connection::Server(connection) => work!(connection, input, plain, out),
            Connection::Client(connection) => work!(connection, input, plain, out),
        };
        match result {
            Ok(mut opened) => {
                if was_handshaking && !self.is_handshaking() {
                    self.learn_ids();
                }
                if opened.is_end {
                    // Nothing may come behind it.
                    opened.consumed = input.len();
                }
                Ok(opened)
            }
            Err((error, consumed)) => {
                // The alert for the other side, if there is one to be sent. rustls reads the input once more.
                let rest = input.get_mut(consumed..).unwrap_or(&mut []);
                match &mut self.connection {
                    Connection::Server(connection) => take_alert!(connection, rest, out),
                    Connection::Client(connection) => take_alert!(connection, rest, out),
                }
                Err(Refusal::Tls(failure(&error, was_handshaking), in_words(&error)))
            }
        }
    }

    fn seal(&mut self, input: &mut [u8], plain: &[u8], out: &mut Vec<u8>) -> Result<(), Refusal> {
        let start = out.len();
        let mut end = start;
        macro_rules! encrypt {
            () => {
                |traffic: &mut rustls::unbuffered::WriteTraffic<'_, _>| {
                    let before = out.len();
                    out.resize(before + plain.len() + OVERHEAD_BYTES, 0);
                    let len = traffic.encrypt(plain, out.get_mut(before..).unwrap_or(&mut []));
                    end = before + len.map_err(|error| Error::General(error.to_string()))?;
                    Ok(())
                }
            };
        }
        let result = match &mut self.connection {
            Connection::Server(connection) => write_with!(connection, input, out, encrypt!()),
            Connection::Client(connection) => write_with!(connection, input, out, encrypt!()),
        };
        out.truncate(end.max(start));
        result.map_err(|error| Refusal::Tls(TlsFailure::Protocol, error.to_string()))
    }

    fn seal_end(&mut self, input: &mut [u8], out: &mut Vec<u8>) {
        let start = out.len();
        let mut end = start;
        macro_rules! close {
            () => {
                |traffic: &mut rustls::unbuffered::WriteTraffic<'_, _>| {
                    let before = out.len();
                    out.resize(before + OVERHEAD_BYTES, 0);
                    let len = traffic.queue_close_notify(out.get_mut(before..).unwrap_or(&mut []));
                    end = before + len.map_err(|error| Error::General(error.to_string()))?;
                    Ok(())
                }
            };
        }
        // A connection that can say nothing more just ends.
        let _: Result<(), Error> = match &mut self.connection {
            Connection::Server(connection) => write_with!(connection, input, out, close!()),
            Connection::Client(connection) => write_with!(connection, input, out, close!()),
        };
        out.truncate(end.max(start));
    }

    fn is_handshaking(&self) -> bool {
        match &self.connection {
            Connection::Server(connection) => connection.is_handshaking(),
            Connection::Client(connection) => connection.is_handshaking(),
        }
    }

    fn certified_ids(&self) -> Option<&[ServerId]> {
        self.ids.as_deref()
    }
}

/// Appends what `encode` writes, which says how much room it needs.
fn append(out: &mut Vec<u8>, mut encode: impl FnMut(&mut [u8]) -> Result<usize, EncodeError>) {
    let start = out.len();
    if let Err(EncodeError::InsufficientSize(needs)) = encode(&mut []) {
        out.resize(start + needs.required_size, 0);
        let len = encode(out.get_mut(start..).unwrap_or(&mut [])).unwrap_or(0);
        out.truncate(start + len);
    }
}

fn failure(error: &Error, is_handshaking: bool) -> TlsFailure {
    match error {
        Error::InvalidMessage(_) if is_handshaking => TlsFailure::NotTls,
        Error::NoCertificatesPresented | Error::AlertReceived(AlertDescription::CertificateRequired) => {
            TlsFailure::NoCertificate
        }
        Error::AlertReceived(AlertDescription::CertificateExpired) => TlsFailure::Expired,
        Error::AlertReceived(
            AlertDescription::UnknownCA | AlertDescription::BadCertificate | AlertDescription::CertificateUnknown,
        ) => TlsFailure::UnknownCa,
        Error::InvalidCertificate(error) => match error {
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => TlsFailure::Expired,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                TlsFailure::WrongName
            }
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => TlsFailure::WrongUse,
            _ => TlsFailure::UnknownCa,
        },
        _ => TlsFailure::Protocol,
    }
}

/// The servers that a certificate is for: its names that are `cfp-` and an ID (D44).
pub(super) fn ids_in(certificate: &CertificateDer<'_>) -> Vec<ServerId> {
    let Ok(certificate) = EndEntityCert::try_from(certificate) else { return Vec::new() };
    let id = |name: &str| {
        let id = ServerId(name.strip_prefix("cfp-")?.parse().ok()?);
        (dns_name(id) == name).then_some(id)
    };
    certificate.valid_dns_names().filter_map(id).collect()
}

pub(super) fn dns_name(id: ServerId) -> String {
    format!("cfp-{}", id.0)
}

fn name_of(id: ServerId) -> Result<ServerName<'static>, Error> {
    let name = DnsName::try_from(dns_name(id)).map_err(|_| Error::UnsupportedNameType)?;
    Ok(ServerName::DnsName(name))
}
