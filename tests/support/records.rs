//! A client of TLS that makes its records by hand: rustls shakes hands, and what comes after that is cut, doubled and
//! mixed as a test wants it.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConfig, ClientConnectionData, Resumption, UnbufferedClientConnection};
use rustls::crypto::cipher::{
    InboundOpaqueMessage, MessageDecrypter, MessageEncrypter, OutboundChunks, OutboundPlainMessage,
};
use rustls::kernel::KernelConnection;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::unbuffered::{ConnectionState, EncodeError};
use rustls::{
    ConnectionTrafficSecrets, ContentType, DigitallySignedStruct, Error, ProtocolVersion, SignatureScheme,
    Tls13CipherSuite,
};

/// The kinds of records (RFC 8446, section 5.1).
pub const ALERT: u8 = 21;
pub const HANDSHAKE: u8 = 22;
pub const DATA: u8 = 23;
/// The message that asks for nothing and changes the sender's keys, and the one that asks for the same in return.
pub const KEY_UPDATE: [u8; 5] = [24, 0, 0, 1, 0];
pub const KEY_UPDATE_REQUEST: [u8; 5] = [24, 0, 0, 1, 1];
/// The alert that says that nothing more comes.
pub const CLOSE_NOTIFY: [u8; 2] = [1, 0];

/// What all clients of a test have in common.
pub fn config() -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_protocol_versions(&[&rustls::version::TLS13]).unwrap().dangerous();
    let mut config = builder.with_custom_certificate_verifier(Arc::new(TrustsAll)).with_no_client_auth();
    config.resumption = Resumption::disabled();
    config.enable_secret_extraction = true;
    Arc::new(config)
}

/// A client whose handshake is not over.
pub struct Hello {
    connection: UnbufferedClientConnection,
    input: Vec<u8>,
}

impl Hello {
    pub fn new(config: &Arc<ClientConfig>) -> Hello {
        let name = ServerName::try_from("localhost").unwrap();
        Hello { connection: UnbufferedClientConnection::new(Arc::clone(config), name).unwrap(), input: Vec::new() }
    }

    /// What it has to say for `input`, and whether the handshake is over with that.
    pub fn advance(&mut self, input: &[u8]) -> Result<(Vec<u8>, bool), Error> {
        self.input.extend_from_slice(input);
        let mut out = Vec::new();
        loop {
            let status = self.connection.process_tls_records(&mut self.input);
            let discard = status.discard;
            let end = match status.state? {
                ConnectionState::EncodeTlsData(mut data) => {
                    let start = out.len();
                    if let Err(EncodeError::InsufficientSize(needs)) = data.encode(&mut []) {
                        out.resize(start + needs.required_size, 0);
                        data.encode(&mut out[start..]).unwrap();
                    }
                    None
                }
                ConnectionState::TransmitTlsData(data) => {
                    data.done();
                    None
                }
                ConnectionState::WriteTraffic(_) => Some(true),
                _ => Some(false),
            };
            self.input.drain(..discard);
            if let Some(is_over) = end {
                return Ok((out, is_over));
            }
        }
    }

    /// Its records, from now on by hand.
    pub fn finish(self) -> Records {
        let (secrets, kernel) = self.connection.dangerous_into_kernel_connection().unwrap();
        let suite = kernel.negotiated_cipher_suite().tls13().unwrap();
        Records {
            sealer: encrypter(suite, secrets.tx.1),
            sealed: secrets.tx.0,
            opener: decrypter(suite, secrets.rx.1),
            opened: secrets.rx.0,
            input: self.input,
            kernel,
            suite,
        }
    }
}

/// Seals and opens records.
pub struct Records {
    sealer: Box<dyn MessageEncrypter>,
    sealed: u64,
    opener: Box<dyn MessageDecrypter>,
    opened: u64,
    /// Has come, and is not a whole record.
    input: Vec<u8>,
    kernel: KernelConnection<ClientConnectionData>,
    suite: &'static Tls13CipherSuite,
}

impl Records {
    /// Shakes hands with whoever answers: `exchange` takes what is said and returns what comes back.
    pub fn shake_hands(config: &Arc<ClientConfig>, mut exchange: impl FnMut(&[u8]) -> Vec<u8>) -> Records {
        let mut hello = Hello::new(config);
        let mut came = Vec::new();
        loop {
            let (out, is_over) = hello.advance(&came).unwrap();
            if is_over {
                if !out.is_empty() {
                    hello.input.extend(exchange(&out));
                }
                return hello.finish();
            }
            came = exchange(&out);
        }
    }

    /// One record of this kind.
    pub fn seal(&mut self, kind: u8, bytes: &[u8]) -> Vec<u8> {
        let message = OutboundPlainMessage {
            typ: ContentType::from(kind),
            version: ProtocolVersion::TLSv1_3,
            payload: OutboundChunks::Single(bytes),
        };
        let record = self.sealer.encrypt(message, self.sealed).unwrap();
        self.sealed += 1;
        record.encode()
    }

    /// Says that the keys change, and changes them.
    pub fn update_keys(&mut self, message: &[u8]) -> Vec<u8> {
        let record = self.seal(HANDSHAKE, message);
        self.keys_are_new();
        record
    }

    /// From now on, records have the keys that a message of [`KEY_UPDATE`] brings.
    pub fn keys_are_new(&mut self) {
        let (number, secrets) = self.kernel.update_tx_secret().unwrap();
        (self.sealed, self.sealer) = (number, encrypter(self.suite, secrets));
    }

    /// The whole records that have come: kind and content of each.
    pub fn open(&mut self, came: &[u8]) -> Vec<(u8, Vec<u8>)> {
        self.input.extend_from_slice(came);
        let mut records = Vec::new();
        while let [_, _, _, high, low, rest @ ..] = self.input.as_slice() {
            let Some(record) = rest.get(..usize::from(u16::from_be_bytes([*high, *low]))) else { break };
            let mut record = record.to_vec();
            self.input.drain(..5 + record.len());
            let message =
                InboundOpaqueMessage::new(ContentType::ApplicationData, ProtocolVersion::TLSv1_2, &mut record);
            let plain = self.opener.decrypt(message, self.opened).unwrap();
            self.opened += 1;
            records.push((u8::from(plain.typ), plain.payload.to_vec()));
            if records.last().is_some_and(|(kind, _)| *kind == HANDSHAKE) {
                let (number, secrets) = self.kernel.update_rx_secret().unwrap();
                (self.opened, self.opener) = (number, decrypter(self.suite, secrets));
            }
        }
        records
    }

    /// The data in what has come, and whether the other side said that it ends.
    pub fn open_data(&mut self, came: &[u8]) -> (Vec<u8>, bool) {
        let mut by_kind: HashMap<u8, Vec<u8>> = HashMap::new();
        for (kind, bytes) in self.open(came) {
            by_kind.entry(kind).or_default().extend(bytes);
        }
        (by_kind.remove(&DATA).unwrap_or_default(), by_kind.get(&ALERT).is_some_and(|alert| *alert == CLOSE_NOTIFY))
    }
}

fn encrypter(suite: &Tls13CipherSuite, secrets: ConnectionTrafficSecrets) -> Box<dyn MessageEncrypter> {
    match secrets {
        ConnectionTrafficSecrets::Aes128Gcm { key, iv }
        | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
        | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => suite.aead_alg.encrypter(key, iv),
        _ => panic!("another cipher"),
    }
}

fn decrypter(suite: &Tls13CipherSuite, secrets: ConnectionTrafficSecrets) -> Box<dyn MessageDecrypter> {
    match secrets {
        ConnectionTrafficSecrets::Aes128Gcm { key, iv }
        | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
        | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => suite.aead_alg.decrypter(key, iv),
        _ => panic!("another cipher"),
    }
}

/// The certificate is not what is tested.
#[derive(Debug)]
struct TrustsAll;

impl ServerCertVerifier for TrustsAll {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
