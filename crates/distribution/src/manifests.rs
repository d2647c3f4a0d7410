//! Manifests and indexes: byte for byte, verified, limited in size (RC-080 … RC-089).

use base::Cancel;
use image::manifest::MAX_MANIFEST_SIZE;
use image::{Descriptor, Digest, Digester, Document, Manifest, MediaType, Platform, Raw, Reference};
use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use crate::client::Client;
use crate::http::Answer;
use crate::registry::{Call, Registry, shown};
use crate::source::{self, Remote, Source as _};
use crate::{DistributionError, Result};

/// One header: some servers read only the first (RC-080).
const ACCEPTED: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";
/// Where a registry says what a manifest's digest is.
pub(crate) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// Where a registry says that it has seen the subject of a manifest.
const SUBJECT: HeaderName = HeaderName::from_static("oci-subject");

/// A document of a registry.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// What it is.
    pub document: Document,
    /// Its type, digest and size.
    pub descriptor: Descriptor,
}

impl From<(Raw<Manifest>, Descriptor)> for Fetched {
    fn from((manifest, descriptor): (Raw<Manifest>, Descriptor)) -> Self {
        Self { document: Document::Manifest(manifest), descriptor }
    }
}

impl Fetched {
    /// The bytes, as they came.
    pub fn bytes(&self) -> &[u8] {
        self.document.bytes()
    }
}

/// What a name means on its registry; with a platform, the manifest for it that an index leads to.
pub fn fetch(
    client: &Client,
    reference: &Reference,
    platform: Option<&Platform>,
    cancel: &Cancel,
) -> Result<Fetched> {
    let reference = reference.clone().or_latest();
    let source = Remote { registry: client.repository(&reference, cancel)?, reference };
    let first = source.first()?;
    let Some(platform) = platform else { return Ok(first) };
    source::choose(&source, first, platform).map(Fetched::from)
}

/// Type, digest and size of what a name means, or of the manifest for a platform.
pub fn describe(
    client: &Client,
    reference: &Reference,
    platform: Option<&Platform>,
    cancel: &Cancel,
) -> Result<Descriptor> {
    if platform.is_some() {
        return fetch(client, reference, platform, cancel).map(|fetched| fetched.descriptor);
    }
    let reference = reference.clone().or_latest();
    resolve(&client.repository(&reference, cancel)?, &reference)
}

/// What a tag or a digest means.
pub(crate) fn get(registry: &Registry<'_>, reference: &Reference) -> Result<Fetched> {
    let digest = reference.digest();
    let by =
        digest.map_or_else(|| reference.tag().unwrap_or("latest").to_owned(), |digest| digest.to_string());
    let what = shown(reference);
    let call = call(registry, Method::GET, &by, format!("give the manifest of {}", reference.familiar()));
    let mut answer = registry.send(&call)?;
    if !answer.status().is_success() {
        return Err(registry.refused(answer, &call, &what));
    }
    let too_large = || DistributionError::TooLarge {
        what: format!("the manifest of {}", reference.familiar()),
        limit: MAX_MANIFEST_SIZE,
    };
    let says = answer.header(CONTENT_TYPE).map(media_type);
    // A promise about its own bytes that a registry does not keep.
    let promised = answer.header(CONTENT_DIGEST).and_then(|text| Digest::parse(text).ok());
    let bytes = answer.bytes(MAX_MANIFEST_SIZE)?.ok_or_else(too_large)?;
    for expected in [digest, promised].into_iter().flatten() {
        check(registry, &what, &expected, &bytes)?;
    }
    let document = Document::parse(&bytes).map_err(|source| DistributionError::Document {
        what: format!("the manifest of {} cannot be used", reference.familiar()),
        source,
    })?;
    let descriptor = described(&document, digest.or(promised), says.as_ref());
    Ok(Fetched { document, descriptor })
}

/// What a tag or a digest means, without the document where the registry can say it (RC-085).
pub(crate) fn resolve(registry: &Registry<'_>, reference: &Reference) -> Result<Descriptor> {
    match said_by(&head(registry, reference)?, reference) {
        Some(descriptor) => Ok(descriptor),
        // The answer to a HEAD says neither what is wrong nor, from some registries, what is right.
        None => Ok(get(registry, reference)?.descriptor),
    }
}

/// Asks for the head of a manifest alone, which Docker Hub does not count (RC-063).
pub(crate) fn head<'a>(registry: &Registry<'a>, reference: &Reference) -> Result<Answer<'a>> {
    let by = reference
        .digest()
        .map_or_else(|| reference.tag().unwrap_or("latest").to_owned(), |digest| digest.to_string());
    registry.send(&call(registry, Method::HEAD, &by, format!("say what {} is", reference.familiar())))
}

/// What the head of a manifest says of it, if that is enough.
pub(crate) fn said_by(answer: &Answer<'_>, reference: &Reference) -> Option<Descriptor> {
    let digest = reference.digest();
    let said = answer.header(CONTENT_DIGEST).and_then(|text| Digest::parse(text).ok());
    let media_type = answer.header(CONTENT_TYPE).map(media_type);
    match (answer.status().as_u16(), said, media_type, answer.length()) {
        (200, Some(said), Some(media_type), Some(size))
            if digest.is_none_or(|digest| digest == said) && media_type.is_document() =>
        {
            Some(Descriptor::new(media_type, said, size))
        }
        _ => None,
    }
}

/// A document that a descriptor of another one names.
pub(crate) fn get_described(
    registry: &Registry<'_>,
    reference: &Reference,
    descriptor: &Descriptor,
) -> Result<Fetched> {
    let fetched = get(registry, &reference.with_digest(descriptor.digest))?;
    if fetched.bytes().len() as u64 != descriptor.size {
        return Err(DistributionError::Mismatch {
            host: registry.host.name().to_owned(),
            what: format!("the manifest {}", descriptor.digest),
            expected: format!("{} bytes", descriptor.size),
            found: format!("{} bytes", fetched.bytes().len()),
        });
    }
    Ok(fetched)
}

/// Puts a document under a tag, or under its digest. A registry that keeps no list of referrers has one kept for it (RC-093).
pub(crate) fn publish(registry: &Registry<'_>, by: &str, fetched: &Fetched) -> Result<()> {
    let has_list = put(registry, by, &fetched.descriptor, fetched.bytes())?;
    match fetched.document.subject() {
        Some(subject) if !has_list => {
            let entry = fetched.document.as_referrer(fetched.descriptor.clone());
            crate::referrers::add(registry, &subject.digest, &entry)
        }
        _ => Ok(()),
    }
}

/// Puts a document under a tag, or under its digest. Says whether the registry keeps the list of what is about the document's subject.
pub(crate) fn put(registry: &Registry<'_>, by: &str, descriptor: &Descriptor, bytes: &[u8]) -> Result<bool> {
    let mut call = call(registry, Method::PUT, by, format!("take the manifest {by}"));
    call.scopes = registry.scope("pull,push");
    let media_type = HeaderValue::from_str(descriptor.media_type.as_str())
        .map_err(|_| registry.strange(&call.action, "its media type cannot stand in a header"))?;
    call.headers = HeaderMap::from_iter([(CONTENT_TYPE, media_type)]);
    let body = crate::http::Body::Bytes(bytes.to_vec().into());
    call.body = Some(&body);
    let answer = registry.send(&call)?;
    if !answer.status().is_success() {
        let what = format!("the repository {}", registry.full_name());
        return Err(registry.refused(answer, &call, &what));
    }
    // A proxy that changes what passes through it would be found out by whoever pulls (RC-078).
    if let Some(found) = answer.header(CONTENT_DIGEST).and_then(|text| Digest::parse(text).ok())
        && found.algorithm() == descriptor.digest.algorithm()
        && found != descriptor.digest
    {
        return Err(DistributionError::Mismatch {
            host: registry.host.name().to_owned(),
            what: format!("the manifest {by}"),
            expected: descriptor.digest.to_string(),
            found: found.to_string(),
        });
    }
    let has_list = answer.headers().contains_key(SUBJECT);
    answer.drain();
    Ok(has_list)
}

fn call<'a>(registry: &Registry<'_>, method: Method, by: &str, action: String) -> Call<'a> {
    Call {
        method,
        url: registry.url(&format!("manifests/{by}")),
        headers: HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(ACCEPTED))]),
        body: None,
        scopes: registry.scope("pull"),
        action,
        again: true,
    }
}

fn check(registry: &Registry<'_>, what: &str, expected: &Digest, bytes: &[u8]) -> Result<()> {
    let mut digester = Digester::new(expected.algorithm());
    digester.update(bytes);
    let found = digester.finish();
    if found == *expected {
        return Ok(());
    }
    Err(DistributionError::Mismatch {
        host: registry.host.name().to_owned(),
        what: what.to_owned(),
        expected: expected.to_string(),
        found: found.to_string(),
    })
}

/// The type that a document says itself, else the one of the answer, else what it looks like (RC-081).
pub(crate) fn described(document: &Document, digest: Option<Digest>, says: Option<&MediaType>) -> Descriptor {
    let fits = |said: &&MediaType| if document.is_index() { said.is_index() } else { said.is_manifest() };
    let said = document.said_type().or(says.filter(fits));
    let media_type = said.cloned().unwrap_or_else(|| document.media_type());
    let digest = digest.unwrap_or_else(|| document.digest());
    Descriptor::new(media_type, digest, document.bytes().len() as u64)
}

/// A type without its parameters.
pub(crate) fn media_type(text: &str) -> MediaType {
    MediaType::new(text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}
