//! A single blob of a repository, for whoever looks at it.

use std::io::Read;

use base::{Cancel, IoError};
use image::{Config, Descriptor, Digest, Digester, MediaType, Platform, Raw, Reference};
use reqwest::Method;
use reqwest::header::HeaderMap;

use crate::client::Client;
use crate::registry::Call;
use crate::source::{self, Remote, Source, mismatch};
use crate::{DistributionError, Result};

/// How much is read at a time.
const PIECE: usize = 256 << 10;

/// The config of the image that a name means; of the one for a platform, where there are several. Byte for byte.
pub fn config(
    client: &Client,
    reference: &Reference,
    platform: &Platform,
    cancel: &Cancel,
) -> Result<Raw<Config>> {
    let reference = reference.clone().or_latest();
    let source = Remote { registry: client.repository(&reference, cancel)?, reference };
    let (manifest, _) = source::choose(&source, source.first()?, platform)?;
    source::config(&source, &manifest.value().config)
}

/// Reads a blob of a name's repository, and gives it piece by piece to `take`: all of it was right when this succeeds. Gives its size.
pub fn read(
    client: &Client,
    reference: &Reference,
    digest: &Digest,
    cancel: &Cancel,
    mut take: impl FnMut(&[u8]) -> Result<(), IoError>,
) -> Result<u64> {
    let source = Remote { registry: client.repository(reference, cancel)?, reference: reference.clone() };
    let blob = describe(&source, digest)?;
    let mut incoming = source.blob(&blob, 0)?;
    let mut digester = Digester::new(digest.algorithm());
    let mut piece = vec![0; PIECE];
    loop {
        let count = match incoming.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) => {
                return Err(incoming.failure().unwrap_or(DistributionError::Body { source: error }));
            }
        };
        let bytes = piece.get(..count).unwrap_or_default();
        digester.update(bytes);
        take(bytes)?;
    }
    let found = digester.finish();
    if found != *digest {
        let (expected, found) = (digest.to_string(), found.to_string());
        return Err(mismatch(&source, format!("the blob {expected}"), expected, found));
    }
    Ok(blob.size)
}

/// How large a blob is.
fn describe(source: &Remote<'_>, digest: &Digest) -> Result<Descriptor> {
    let registry = &source.registry;
    let call = Call {
        method: Method::HEAD,
        url: registry.url(&format!("blobs/{digest}")),
        headers: HeaderMap::new(),
        body: None,
        scopes: registry.scope("pull"),
        action: format!("say how large the blob {digest} is"),
        again: false,
    };
    let answer = registry.send(&call)?;
    match (answer.status().is_success(), answer.length()) {
        (true, Some(size)) => Ok(Descriptor::new(MediaType::OCTET_STREAM, *digest, size)),
        (true, None) => Err(registry.strange(&call.action, "its answer has no length")),
        (false, _) => {
            let what = format!("the blob {digest} of {}", source.reference.familiar_repository());
            Err(registry.refused(answer, &call, &what))
        }
    }
}
