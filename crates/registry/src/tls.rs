//! TLS, with certificates that are read again when their files change (RS-110).

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use base::IoContext;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::ServeError;

/// How often it is looked at most whether the files have changed.
const LOOK: Duration = Duration::from_secs(1);

/// A certificate and its key, in files of PEM.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The certificate, and those that lead from it to its root.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

pub(crate) struct Tls {
    files: TlsFiles,
    current: Mutex<Current>,
}

struct Current {
    config: Arc<ServerConfig>,
    stamp: Stamp,
    looked: Instant,
}

type Stamp = (Option<SystemTime>, Option<SystemTime>);

impl Tls {
    pub fn load(files: TlsFiles) -> Result<Self, ServeError> {
        let current = Current { stamp: stamp(&files), config: read(&files)?, looked: Instant::now() };
        Ok(Self { files, current: Mutex::new(current) })
    }

    /// What accepts the next connection; with a word when the files have changed and cannot be used: then the old ones stay.
    pub fn acceptor(&self) -> (TlsAcceptor, Option<String>) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let mut word = None;
        if current.looked.elapsed() >= LOOK {
            current.looked = Instant::now();
            let stamp = stamp(&self.files);
            if stamp != current.stamp {
                current.stamp = stamp;
                match read(&self.files) {
                    Ok(config) => {
                        current.config = config;
                        word = Some("the certificate was read again".to_owned());
                    }
                    Err(error) => word = Some(format!("the old certificate stays: {error}")),
                }
            }
        }
        (current.config.clone().into(), word)
    }
}

fn stamp(files: &TlsFiles) -> Stamp {
    let modified = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    (modified(&files.certificate), modified(&files.key))
}

fn read(files: &TlsFiles) -> Result<Arc<ServerConfig>, ServeError> {
    let wrong = |path: &Path, reason: String| ServeError::File { path: path.to_owned(), reason };
    let pem = fs::read(&files.certificate).context("read", &files.certificate)?;
    let certificates = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| wrong(&files.certificate, error.to_string()))?;
    if certificates.is_empty() {
        return Err(wrong(&files.certificate, "there is no certificate in it".to_owned()));
    }
    let pem = fs::read(&files.key).context("read", &files.key)?;
    // What is wrong with it is said without a word of it.
    let key = PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|_| wrong(&files.key, "there is no private key in it".to_owned()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map(|builder| builder.with_no_client_auth())
        .and_then(|builder| builder.with_single_cert(certificates, key))
        .map_err(|error| wrong(&files.certificate, error.to_string()))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
