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
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use x509_cert::der::Decode;

use super::Trust;
use crate::{Config, DistributionError, Result};

/// HTTP/2, as it is called where a server chooses.
const HTTP_2: &[u8] = b"h2";

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

/// How TLS is spoken with a server, or with all that have no rules of their own; with HTTP/2 if the server wants, or only with HTTP/1.1.
pub(super) fn config(
    config: &Config,
    special: Option<&(String, Trust)>,
    http_1_only: bool,
) -> Result<ClientConfig> {
    let rules = Rules::of(config, special)?;
    let verifier = rules.verifier.clone();
    let mut client = rules.client(verifier)?;
    if http_1_only {
        client.alpn_protocols.retain(|protocol| protocol != HTTP_2);
    }
    Ok(client)
}

/// What a server has to show, and what it is shown.
pub(super) struct Rules {
    pub verifier: Arc<Verifier>,
    identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
}

impl Rules {
    /// Those of a server, or of all that have none of their own.
    pub(super) fn of(config: &Config, special: Option<&(String, Trust)>) -> Result<Self> {
        let mut roots = machine_roots().clone();
        let mut known = Vec::new();
        let mut identity = None;
        let authority = special.map(|(authority, _)| authority.as_str());
        let mut know = |path: &Path| -> Result<()> {
            for root in certificates(path)? {
                // One that cannot be read as an authority's vouches for nobody but itself.
                let _ = roots.add(root.clone());
                known.push(root);
            }
            Ok(())
        };
        for directory in authority.into_iter().flat_map(|authority| directories(config, authority)) {
            for path in files_in(&directory)? {
                match path.extension().and_then(|extension| extension.to_str()) {
                    Some("crt") => know(&path)?,
                    Some("cert") => identity = Some((certificates(&path)?, key_of(&path)?)),
                    _ => {}
                }
            }
        }
        let trust = special.map(|(_, trust)| trust);
        trust.into_iter().flat_map(|trust| &trust.authorities).try_for_each(|path| know(path))?;
        if let Some((chain, key)) = trust.and_then(|trust| trust.identity.as_ref()) {
            identity = Some((certificates(chain)?, read_key(key)?));
        }
        let anybody = trust.is_some_and(|trust| trust.anybody);
        let provider = Arc::new(ring::default_provider());
        let believed = if anybody || authority.is_some_and(|authority| is_insecure(config, authority)) {
            Believed::Anybody
        } else if roots.is_empty() {
            Believed::Known { authorities: None, known }
        } else {
            let authorities = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
                .build()
                .map_err(|error| DistributionError::Start { source: std::io::Error::other(error) })?;
            Believed::Known { authorities: Some(authorities), known }
        };
        Ok(Self { verifier: Arc::new(Verifier { believed, provider }), identity })
    }

    /// A client that believes what `verifier` does.
    pub(super) fn client(self, verifier: Arc<Verifier>) -> Result<ClientConfig> {
        let failed = |error| DistributionError::Start { source: std::io::Error::other(error) };
        let builder = ClientConfig::builder_with_provider(verifier.provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(failed)?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut client = match self.identity {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(failed)?,
        };
        client.alpn_protocols = vec![HTTP_2.to_vec(), b"http/1.1".to_vec()];
        Ok(client)
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

/// Decides which certificates are believed. Signatures are checked whoever is believed.
#[derive(Debug)]
pub(super) struct Verifier {
    believed: Believed,
    provider: Arc<CryptoProvider>,
}

#[derive(Debug)]
enum Believed {
    /// What the authorities vouch for, and the very certificates that the user has put there: whoever signs a server's certificate with itself
    /// makes one that is an authority's as well, which no path of trust can end in.
    Known { authorities: Option<Arc<WebPkiServerVerifier>>, known: Vec<CertificateDer<'static>> },
    /// Every certificate: for servers that the user has named as insecure.
    Anybody,
}

impl Verifier {
    /// One that believes every certificate, to look at it.
    pub(super) fn of_anybody(&self) -> Self {
        Self { believed: Believed::Anybody, provider: self.provider.clone() }
    }

    /// Whether it believes every certificate.
    pub(super) fn believes_anybody(&self) -> bool {
        matches!(self.believed, Believed::Anybody)
    }
}

/// Whether a certificate is good now: one that a user has put there ends all the same.
fn verify_time(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), rustls::Error> {
    let read = x509_cert::Certificate::from_der(certificate).map_err(|_| CertificateError::BadEncoding)?;
    let validity = read.tbs_certificate().validity();
    let now = now.as_secs();
    if now < validity.not_before.to_unix_duration().as_secs() {
        return Err(CertificateError::NotValidYet.into());
    }
    if now > validity.not_after.to_unix_duration().as_secs() {
        return Err(CertificateError::Expired.into());
    }
    Ok(())
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Believed::Known { authorities, known } = &self.believed else {
            return Ok(ServerCertVerified::assertion());
        };
        let verified = match authorities {
            Some(authorities) => authorities.verify_server_cert(certificate, others, name, ocsp, now),
            None => Err(CertificateError::UnknownIssuer.into()),
        };
        if verified.is_ok() || !known.iter().any(|known| known == certificate) {
            return verified;
        }
        verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
        verify_time(certificate, now)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
