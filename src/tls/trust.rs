//! How a connection that we open recognises the right server.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConfig, Resumption};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use sha2::{Digest, Sha256};

use super::pem::roots;
use super::{PROTOCOL, provider};

/// How the console client recognises the right server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// The CAs that the system trusts.
    System,
    /// The CAs in this file, or a certificate that signed itself.
    File(PathBuf),
    /// The certificate with this SHA-256.
    Fingerprint([u8; 32]),
}

/// Opens connections to one server.
#[derive(Debug, Clone)]
pub struct Dialler {
    pub(super) config: Arc<ClientConfig>,
    pub(super) name: ServerName<'static>,
}

impl Dialler {
    /// For the server of this name.
    ///
    /// # Errors
    /// One line: what is wrong with the name, or with the file.
    pub fn new(trust: &Trust, name: &str) -> Result<Dialler, String> {
        let server_name = ServerName::try_from(name.to_owned());
        let name = server_name.map_err(|_| format!("{name:?} is no name that a certificate can have"))?;
        let trusted = match trust {
            Trust::System => Trusted::Servers(system_roots()?),
            Trust::File(path) => Trusted::Servers(roots(path)?),
            Trust::Fingerprint(fingerprint) => Trusted::Fingerprint(*fingerprint),
        };
        Ok(Dialler { config: dialler(trusted, None).map_err(|error| error.to_string())?, name })
    }
}

#[cfg(feature = "client")]
fn system_roots() -> Result<Arc<RootCertStore>, String> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err("this system has no CAs that it trusts; name the server's with --ca FILE".to_owned());
    }
    Ok(Arc::new(roots))
}

#[cfg(not(feature = "client"))]
fn system_roots() -> Result<Arc<RootCertStore>, String> {
    Err("built without the console client".to_owned())
}

/// What connections that we open have in common. With an identity it is a server's, which says no name: it is asked for
/// by ID.
pub(super) fn dialler(
    trusted: Trusted,
    identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
) -> Result<Arc<ClientConfig>, Error> {
    let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[&rustls::version::TLS13])?;
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(Verifier { trusted }));
    let sends_name = identity.is_none();
    let mut config = match identity {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key)?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_sni = sends_name;
    Ok(Arc::new(config))
}

/// How a connection that we open recognises the right server.
#[derive(Debug)]
pub(super) enum Trusted {
    /// A server with a certificate of this CA, and of the name that is asked for, if one is.
    Servers(Arc<RootCertStore>),
    /// This very certificate.
    Fingerprint([u8; 32]),
}

#[derive(Debug)]
struct Verifier {
    trusted: Trusted,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match &self.trusted {
            Trusted::Servers(roots) => {
                let certificate = ParsedCertificate::try_from(own)?;
                let algorithms = provider().signature_verification_algorithms.all;
                verify_server_cert_signed_by_trust_anchor(&certificate, roots, others, now, algorithms)?;
                if *name != unnamed() {
                    verify_server_name(&certificate, name)?;
                }
            }
            Trusted::Fingerprint(expected) => {
                if Sha256::digest(own).as_slice() != expected {
                    return Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure));
                }
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, own, signed, &provider().signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, own, signed, &provider().signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

/// Stands for a server whose ID we don't know yet: its answer says it.
pub(super) fn unnamed() -> ServerName<'static> {
    ServerName::IpAddress(std::net::Ipv4Addr::UNSPECIFIED.into())
}

/// Why a connection failed.
pub(super) fn in_words(error: &Error) -> String {
    match error {
        // Only the verifier above says this.
        Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure) => {
            "its certificate is not the certificate with that fingerprint".to_owned()
        }
        Error::InvalidCertificate(error) => match certificate_in_words(error) {
            Some(words) => format!("invalid peer certificate: {words}"),
            None => format!("invalid peer certificate: {error}"),
        },
        error => error.to_string(),
    }
}

/// For what rustls only has a name of its own.
fn certificate_in_words(error: &CertificateError) -> Option<&'static str> {
    Some(match error {
        CertificateError::BadSignature => "its CA did not sign it",
        CertificateError::UnknownIssuer => "it is from an unknown CA",
        CertificateError::Revoked => "it is revoked",
        CertificateError::Other(other) => match other.0.downcast_ref::<webpki::Error>()? {
            webpki::Error::CaUsedAsEndEntity => "it is the certificate of a CA, or signs itself",
            _ => return None,
        },
        _ => return None,
    })
}
