//! The files that the operator named: reading them, and finding what is wrong with them before anybody connects.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::{NoServerSessionStorage, ServerConfig, WebPkiClientVerifier};
use rustls::{Error, RootCertStore};
use sha2::{Digest, Sha256};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use super::cipher::{dns_name, ids_in};
use super::description::{Description, hexadecimal};
use super::pem::{certificates, read, roots};
use super::trust::{self, Trusted};
use super::{PROTOCOL, provider};
use crate::wire::ServerId;

/// The files that the operator named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The server's certificate, and those between it and its CA.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The CA of the network's servers.
    pub peer_ca: Option<PathBuf>,
    /// The ID that the certificate must name if there is such a CA.
    pub id: ServerId,
    /// D43.
    pub is_required: bool,
}

/// What is made of the files.
#[derive(Debug)]
pub(super) struct Loaded {
    pub server: Arc<ServerConfig>,
    pub dialler: Option<Arc<ClientConfig>>,
}

/// Reads the files.
///
/// # Errors
/// One line: which file, and what is wrong with it.
pub(super) fn load(files: &Files) -> Result<(Loaded, Description), String> {
    let chain = certificates(&files.certificate)?;
    let key = || private_key(&files.key);
    let in_key = |error: &dyn std::fmt::Display| format!("key {}: {error}", files.key.display());
    let in_certificate = |what: &str| format!("certificate {}: {what}", files.certificate.display());
    let roots = files.peer_ca.as_deref().map(roots).transpose()?;

    let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[&rustls::version::TLS13]);
    let builder = builder.map_err(|error| error.to_string())?;
    let builder = match &roots {
        Some(roots) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), provider())
                .allow_unauthenticated()
                .build();
            builder.with_client_cert_verifier(verifier.map_err(|error| error.to_string())?)
        }
        None => builder.with_no_client_auth(),
    };
    let mut server = builder.with_single_cert(chain.clone(), key()?).map_err(|error| match error {
        Error::InconsistentKeys(_) if fits_another(&chain, key) => {
            in_certificate("its first certificate is not the server's own; put that first, then those of its CAs")
        }
        Error::InconsistentKeys(_) => in_key(&format!("it does not belong to {}", files.certificate.display())),
        Error::InvalidCertificate(_) => in_certificate(&error.to_string()),
        error => in_key(&error),
    })?;
    server.alpn_protocols = vec![PROTOCOL.to_vec()];
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.send_tls13_tickets = 0;

    let own = chain.first().ok_or_else(|| in_certificate("there is none in it"))?;
    let mut dialler = None;
    if let (Some(roots), Some(peer_ca)) = (&roots, &files.peer_ca) {
        check_own(own, chain.get(1..).unwrap_or(&[]), roots, files.id)
            .map_err(|what| in_certificate(&what.replace("{ca}", &peer_ca.display().to_string())))?;
        let config = trust::dialler(Trusted::Servers(Arc::clone(roots)), Some((chain.clone(), key()?)));
        dialler = Some(config.map_err(|error| in_key(&error))?);
    }
    let mut description = describe(own).map_err(|what| in_certificate(&what))?;
    description.warning = warning(files, &chain, roots.is_some());
    Ok((Loaded { server: Arc::new(server), dialler }, description))
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let bytes = read(path, "key")?;
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|_| {
        format!("key {}: there is no private key in it; expected PEM, not encrypted with a password", path.display())
    })
}

fn fits_another(chain: &[CertificateDer<'static>], key: impl Fn() -> Result<PrivateKeyDer<'static>, String>) -> bool {
    chain.iter().skip(1).any(|certificate| {
        key().is_ok_and(|key| rustls::sign::CertifiedKey::from_der(vec![certificate.clone()], key, &provider()).is_ok())
    })
}

/// Whether the other servers will take our own certificate (D44).
fn check_own(
    own: &CertificateDer<'_>,
    others: &[CertificateDer<'_>],
    roots: &RootCertStore,
    id: ServerId,
) -> Result<(), String> {
    let certificate = EndEntityCert::try_from(own).map_err(|error| error.to_string())?;
    for (use_name, usage) in [("serverAuth", KeyUsage::server_auth()), ("clientAuth", KeyUsage::client_auth())] {
        let algorithms = provider().signature_verification_algorithms.all;
        let verified =
            certificate.verify_for_usage(algorithms, &roots.roots, others, UnixTime::now(), usage, None, None);
        verified.map_err(|error| match error {
            // The second: it says it is from one with that CA's name.
            webpki::Error::UnknownIssuer | webpki::Error::InvalidSignatureForPublicKey => {
                "it is not from the CA in {ca}".to_owned()
            }
            webpki::Error::RequiredEkuNotFoundContext(_) | webpki::Error::EmptyEkuExtension => {
                format!("it lacks the use {use_name}; servers need serverAuth and clientAuth")
            }
            error => format!("other servers will not take it: {error}"),
        })?;
    }
    if ids_in(own).contains(&id) {
        Ok(())
    } else {
        Err(format!("it does not name this server: among its alternative names must be the DNS name {}", dns_name(id)))
    }
}

fn describe(own: &CertificateDer<'_>) -> Result<Description, String> {
    let certificate = EndEntityCert::try_from(own).map_err(|error| error.to_string())?;
    let name = certificate.valid_dns_names().next().unwrap_or("no DNS name").to_owned();
    Ok(Description { name, ends: end_of(own), fingerprint: hexadecimal(&Sha256::digest(own)), warning: None })
}

/// When a certificate ends: what is said of it long after.
fn end_of(own: &CertificateDer<'_>) -> u64 {
    let far = UnixTime::since_unix_epoch(std::time::Duration::from_secs(253_370_764_800));
    let algorithms = provider().signature_verification_algorithms.all;
    let Ok(anchor) = anchor_from_trusted_cert(own) else { return 0 };
    let Ok(certificate) = EndEntityCert::try_from(own) else { return 0 };
    match certificate.verify_for_usage(algorithms, &[anchor], &[], far, KeyUsage::server_auth(), None, None) {
        Err(webpki::Error::CertExpired { not_after, .. }) => not_after.as_secs(),
        _ => far.as_secs(),
    }
}

fn warning(files: &Files, chain: &[CertificateDer<'static>], has_peer_ca: bool) -> Option<String> {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(&files.key).map_or(0, |metadata| metadata.permissions().mode());
    if mode & 0o004 != 0 {
        let key = files.key.display();
        return Some(format!("key {key}: everybody on this machine can read it; chmod o-r {key}"));
    }
    let [own] = chain else { return None };
    let anchor = anchor_from_trusted_cert(own).ok()?;
    let certificate = EndEntityCert::try_from(own).ok()?;
    let is_its_own_issuer = certificate.issuer() == anchor.subject.as_ref();
    (!is_its_own_issuer && !has_peer_ca).then(|| {
        format!(
            "certificate {}: those of its CA are missing, and clients may not take it alone; name fullchain.pem, if there is one",
            files.certificate.display()
        )
    })
}
