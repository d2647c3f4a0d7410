//! Referrers: manifests that say that they are about another one: signatures, attestations, lists of parts (RC-092).
//!
//! Registries that do not know of them leave clients to keep the list, as an index under a tag that is named after the digest. One that has learned it
//! lately may still have entries there, so both are read.

use std::collections::HashSet;

use base::Cancel;
use image::{Descriptor, Digest, Document, Index, MediaType, Raw, Reference};
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue};

use crate::client::Client;
use crate::manifests;
use crate::pages::{MAX_PAGE, Pages};
use crate::registry::Registry;
use crate::{DistributionError, Result};

/// Where a registry says that it has chosen among them itself.
const FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");
/// How much of an algorithm and of a digest stands in a tag.
const TAG_ALGORITHM: usize = 32;
const TAG_ENCODED: usize = 64;
/// How often an entry is written that somebody else overwrites.
const ATTEMPTS_AT_ADDING: usize = 4;

/// What is about a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Referrers {
    /// The manifest.
    pub subject: Descriptor,
    /// What is about it, in the registry's order.
    pub manifests: Vec<Descriptor>,
}

/// Asks a registry what is about the manifest that a name means; of one type alone, if it is given.
pub fn referrers(
    client: &Client,
    reference: &Reference,
    artifact_type: Option<&MediaType>,
    cancel: &Cancel,
) -> Result<Referrers> {
    let reference = reference.clone().or_latest();
    let registry = client.repository(&reference, cancel)?;
    let subject = manifests::resolve(&registry, &reference)?;
    let manifests = list(&registry, &reference, &subject.digest, artifact_type)?;
    Ok(Referrers { subject, manifests })
}

/// What is about a manifest of the repository of `reference`.
pub(crate) fn list(
    registry: &Registry<'_>,
    reference: &Reference,
    subject: &Digest,
    artifact_type: Option<&MediaType>,
) -> Result<Vec<Descriptor>> {
    let mut all = by_api(registry, subject, artifact_type)?.unwrap_or_default();
    all.extend(by_tag(registry, reference, subject)?);
    let mut seen = HashSet::new();
    all.retain(|referrer| {
        artifact_type.is_none_or(|wanted| referrer.artifact_type.as_ref() == Some(wanted))
            && seen.insert(referrer.digest)
    });
    Ok(all)
}

/// The tag that stands for the list of referrers where a registry keeps none.
pub(crate) fn tag(subject: &Digest) -> String {
    let clean = |text: &str, length: usize| -> String {
        let sign = |sign: char| if sign.is_ascii_alphanumeric() { sign } else { '-' };
        text.chars().take(length).map(sign).collect()
    };
    format!("{}-{}", clean(subject.algorithm().name(), TAG_ALGORITHM), clean(&subject.hex(), TAG_ENCODED))
}

/// `None` when the registry does not know of referrers.
pub(crate) fn by_api(
    registry: &Registry<'_>,
    subject: &Digest,
    artifact_type: Option<&MediaType>,
) -> Result<Option<Vec<Descriptor>>> {
    let mut url = registry.url(&format!("referrers/{subject}"));
    if let Some(wanted) = artifact_type {
        url.query_pairs_mut().append_pair("artifactType", wanted.as_str());
    }
    let action = format!("list the referrers of {subject}");
    let mut pages = Pages::new(registry, url, action).with(|call| {
        call.headers.insert(ACCEPT, HeaderValue::from_static("application/vnd.oci.image.index.v1+json"));
    });
    let mut all = Vec::new();
    let mut first = true;
    while let Some(mut answer) = pages.next()? {
        let status = answer.status();
        if first && status.is_client_error() && !matches!(status.as_u16(), 401 | 403) {
            answer.drain();
            return Ok(None);
        }
        if !status.is_success() {
            let what = format!("the repository {}", registry.full_name());
            return Err(registry.refused(answer, pages.call(), &what));
        }
        // A page for people, or whatever else a server gives for addresses that it does not know.
        let is_index = answer
            .header(CONTENT_TYPE)
            .is_some_and(|said| manifests::media_type(said) == MediaType::OCI_INDEX);
        if first && !is_index {
            return Ok(None);
        }
        first = false;
        let filtered = answer.header(FILTERS_APPLIED).is_some_and(|said| said.contains("artifactType"));
        let what = || format!("the list of referrers of {subject}");
        let bytes = answer
            .bytes(MAX_PAGE)?
            .ok_or_else(|| DistributionError::TooLarge { what: what(), limit: MAX_PAGE })?;
        let document = Document::parse(&bytes).map_err(|source| DistributionError::Document {
            what: format!("{} cannot be used", what()),
            source,
        })?;
        let Document::Index(index) = document else {
            return Err(registry.strange(&pages.call().action, "it gives a manifest instead of an index"));
        };
        let mut page = index.value().manifests.clone();
        if filtered && let Some(wanted) = artifact_type {
            // A registry that has chosen may leave out by what it has chosen.
            page.iter_mut().for_each(|one| _ = one.artifact_type.get_or_insert_with(|| wanted.clone()));
        }
        all.extend(page);
    }
    Ok(Some(all))
}

fn by_tag(registry: &Registry<'_>, reference: &Reference, subject: &Digest) -> Result<Vec<Descriptor>> {
    let Ok(name) = reference.with_tag(&tag(subject)) else { return Ok(Vec::new()) };
    match manifests::get(registry, &name) {
        Ok(manifests::Fetched { document: Document::Index(index), .. }) => {
            Ok(index.value().manifests.clone())
        }
        // A tag of this name that is no index is somebody's image.
        Ok(_) | Err(DistributionError::NotFound { .. }) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Adds a manifest to the list under the tag, for a registry that keeps none (RC-093).
///
/// Somebody else may do the same at the same time, and the one who writes last wins: it is looked whether the entry is there, and written again if not.
pub(crate) fn add(registry: &Registry<'_>, subject: &Digest, referrer: &Descriptor) -> Result<()> {
    let by = tag(subject);
    let name = format!("{}:{by}", registry.full_name());
    let reference = Reference::parse(&name)
        .map_err(|_| registry.strange("list the referrers", "the tag for them is no tag"))?;
    for _ in 0..ATTEMPTS_AT_ADDING {
        let mut all = by_tag(registry, &reference, subject)?;
        if all.iter().any(|known| known.digest == referrer.digest) {
            return Ok(());
        }
        all.push(referrer.clone());
        let index = Raw::write(Index::oci(all)).map_err(|source| DistributionError::Document {
            what: format!("the list of referrers of {subject} cannot be written"),
            source,
        })?;
        manifests::put(registry, &by, &index.descriptor(MediaType::OCI_INDEX), index.bytes())?;
    }
    let all = by_tag(registry, &reference, subject)?;
    if all.iter().any(|known| known.digest == referrer.digest) {
        return Ok(());
    }
    Err(registry.strange("keep the list of referrers", "somebody else writes it again and again"))
}

#[cfg(test)]
mod tests {
    use image::Algorithm;

    use super::*;

    #[test]
    fn rc_092_tags_of_referrers_are_short_enough() {
        let sha256 = Digest::sha256(b"");
        assert_eq!(tag(&sha256), format!("sha256-{}", sha256.hex()));
        let sha512 = Digest::new(Algorithm::Sha512, &[0xab; 64]).expect("a digest");
        assert_eq!(tag(&sha512), format!("sha512-{}", "ab".repeat(32)));
    }
}
