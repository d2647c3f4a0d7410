//! A single blob of a repository, for whoever looks at it.

use base::{Cancel, IoError};
use image::{Config, Descriptor, Digest, MediaType, Platform, Raw, Reference};
use reqwest::Method;
use reqwest::header::HeaderMap;

use crate::Result;
use crate::client::Client;
use crate::http::Answer;
use crate::registry::{Call, Registry};
use crate::source::{self, Remote, Source as _};

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

/// Reads a blob of a name's repository, and gives it piece by piece to `take`: all of it was right when this succeeds.
pub fn read(
    client: &Client,
    reference: &Reference,
    digest: &Digest,
    cancel: &Cancel,
    take: impl FnMut(&[u8]) -> Result<(), IoError>,
) -> Result<()> {
    let source = Remote { registry: client.repository(reference, cancel)?, reference: reference.clone() };
    let (answer, call) = head(&source.registry, digest, "pull")?;
    if !answer.status().is_success() {
        let what = format!("the blob {digest} of {}", reference.familiar_repository());
        return Err(source.registry.refused(answer, &call, &what));
    }
    let no_length = || source.registry.strange(&call.action, "its answer has no length");
    let size = answer.length().ok_or_else(no_length)?;
    source::read(&source, &Descriptor::new(MediaType::OCTET_STREAM, *digest, size), take)
}

/// Asks for a blob without its bytes.
pub(crate) fn head<'a>(
    registry: &Registry<'a>,
    digest: &Digest,
    rights: &str,
) -> Result<(Answer<'a>, Call<'static>)> {
    let call = Call {
        method: Method::HEAD,
        url: registry.url(&format!("blobs/{digest}")),
        headers: HeaderMap::new(),
        body: None,
        scopes: registry.scope(rights),
        action: format!("say whether it has the blob {digest}"),
        again: false,
    };
    Ok((registry.send(&call)?, call))
}
