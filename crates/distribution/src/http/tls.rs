//! Whom to believe: the authorities that this machine knows, those of one registry, or anybody (RC-040, RC-041).

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use base::IoContext;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::Trust;
use crate::{Config, DistributionError, Result};

/// Whether a server has rules of its own.
pub(super) fn is_special(config: &Config, authority: &str) -> bool {
    is_insecure(config, authority) || directories(config, authority).next().is_some()
}

fn is_insecure(config: &Config, authority: &str) -> bool {
    config.insecure.iter().any(|host| host == authority)
}

/// Its directories of certificates, as far as they are there.
fn directories<'a>(config: &'a Config, authority: &'a str) -> impl Iterator<Item = PathBuf> + 'a {
    config.certificates.iter().map(move |directory| directory.join(authority)).filter(|path| path.is_dir())
}

/// How TLS is spoken with a server, or with all that have no rules of their own.
pub(super) fn config(config: &Config, special: Option<&(String, Trust)>) -> Result<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| DistributionError::Start { source: std::io::Error::other(error) })?;
    let mut roots = machine_roots().clone();
    let mut known = Vec::new();
    let mut identity = None;
    let authority = special.map(|(authority, _)| authority.as_str());
    for directory in authority.into_iter().flat_map(|authority| directories(config, authority)) {
        for path in files_in(&directory)? {
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("crt") => {
                    for root in certificates(&path)? {
                        // One that cannot be read as an authority's vouches for nobody but itself.
                        let _ = roots.add(root.clone());
                        known.push(root);
                    }
                }
                Some("cert") => identity = Some((certificates(&path)?, key_of(&path)?)),
                _ => {}
            }
        }
    }
    let trust = special.map(|(_, trust)| trust);
    for path in trust.into_iter().flat_map(|trust| &trust.authorities) {
        for root in certificates(path)? {
            let _ = roots.add(root.clone());
            known.push(root);
        }
    }
    if let Some((chain, key)) = trust.and_then(|trust| trust.identity.as_ref()) {
        identity = Some((certificates(chain)?, read_key(key)?));
    }
    let anybody = trust.is_some_and(|trust| trust.anybody);
    let builder = if anybody || authority.is_some_and(|authority| is_insecure(config, authority)) {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider)))
    } else if known.is_empty() {
        builder.with_root_certificates(roots)
    } else {
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|error| DistributionError::Start { source: std::io::Error::other(error) })?;
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Known { known, verifier }))
    };
    match identity {
        None => Ok(builder.with_no_client_auth()),
        Some((chain, key)) => builder
            .with_client_auth_cert(chain, key)
            .map_err(|error| DistributionError::Start { source: std::io::Error::other(error) }),
    }
}

/// The authorities that the system knows, or SSL_CERT_FILE and SSL_CERT_DIR name. A machine without any reaches what needs none.
fn machine_roots() -> &'static RootCertStore {
    static ROOTS: OnceLock<RootCertStore> = OnceLock::new();
    ROOTS.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        roots
    })
}

fn files_in(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory).context("read the directory", directory)?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    Ok(paths)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let bytes = fs::read(path).context("read", path)?;
    CertificateDer::pem_slice_iter(&bytes).collect::<Result<_, _>>().map_err(|error| not_pem(path, &error))
}

/// The key that belongs to a client's certificate: the file of the same name that ends in `.key`.
fn key_of(path: &Path) -> Result<PrivateKeyDer<'static>> {
    read_key(&path.with_extension("key"))
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>> {
    let bytes = fs::read(path).context("read", path)?;
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| not_pem(path, &error))
}

fn not_pem(path: &Path, error: &rustls::pki_types::pem::Error) -> DistributionError {
    DistributionError::File {
        path: path.to_owned(),
        reason: format!("it is not what it should be ({error})"),
    }
}

/// Believes what the authorities vouch for, and the very certificates that the user has put there: whoever signs a server's certificate with itself
/// makes one that is an authority's as well, which no path of trust can end in.
#[derive(Debug)]
struct Known {
    known: Vec<CertificateDer<'static>>,
    verifier: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for Known {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let refused = match self.verifier.verify_server_cert(certificate, others, name, ocsp, now) {
            Err(refused) => refused,
            verified => return verified,
        };
        if !self.known.iter().any(|known| known == certificate) {
            return Err(refused);
        }
        verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

/// Believes every certificate: for servers that the user has named as insecure.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
