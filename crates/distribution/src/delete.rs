//! Deleting from a registry: a tag, a manifest, a blob (RC-112).
//!
//! ```text
//! a tag ─▶ DELETE it ─▶ the registry deletes by digest only? ─▶ let the tag mean a manifest that nothing else means ─▶ DELETE that by digest
//! ```
//!
//! To delete what a tag means would delete the other tags that mean the same.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, Hasher, RandomState};

use base::Cancel;
use image::{Descriptor, Digest, Reference};
use reqwest::Method;
use reqwest::header::HeaderMap;

use crate::client::Client;
use crate::manifests;
use crate::registry::{Call, Registry, shown};
use crate::scope::scope;
use crate::{DistributionError, Result};

/// What makes a manifest one that nothing else means.
const MARK: &str = "org.lapstrake.deleted";

/// How something was deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    /// The tag, and nothing else.
    Tag,
    /// The tag; a manifest that it meant for a moment went with it, since the registry deletes by digest only.
    TagByReplacement,
    /// The manifest, and with it every tag that meant it.
    Manifest,
    /// The blob.
    Blob,
}

/// Deletes what a name says: its tag, or the manifest of its digest.
pub fn delete(client: &Client, reference: &Reference, cancel: &Cancel) -> Result<Deleted> {
    let registry = client.repository(reference, cancel)?;
    if let Some(digest) = reference.digest() {
        return by_digest(&registry, reference, &digest).map(|()| Deleted::Manifest);
    }
    let reference = reference.clone().or_latest();
    let tag = reference.tag().unwrap_or("latest");
    match remove(&registry, &format!("manifests/{tag}"), &shown(&reference)) {
        Ok(()) => Ok(Deleted::Tag),
        Err(DistributionError::Answer { code: 400 | 405 | 501, .. }) => {
            replace_and_delete(&registry, &reference, tag).map(|()| Deleted::TagByReplacement)
        }
        Err(error) => Err(error),
    }
}

/// Deletes a blob of a name's repository; manifests that need it are broken then.
pub fn delete_blob(
    client: &Client,
    reference: &Reference,
    digest: &Digest,
    cancel: &Cancel,
) -> Result<Deleted> {
    let registry = client.repository(reference, cancel)?;
    let what = format!("the blob {digest} of {}", reference.familiar_repository());
    remove(&registry, &format!("blobs/{digest}"), &what).map(|()| Deleted::Blob)
}

fn by_digest(registry: &Registry<'_>, reference: &Reference, digest: &Digest) -> Result<()> {
    remove(registry, &format!("manifests/{digest}"), &shown(&reference.with_digest(*digest)))
}

/// The tag's manifest with a mark takes its place, and is deleted: it needs no blob that is not there.
fn replace_and_delete(registry: &Registry<'_>, reference: &Reference, tag: &str) -> Result<()> {
    let there = manifests::get(registry, reference)?;
    let no_object = || registry.strange("delete the tag", "what it means is no JSON object");
    let mut document: serde_json::Value = serde_json::from_slice(there.bytes()).map_err(|_| no_object())?;
    let fields = document.as_object_mut().ok_or_else(no_object)?;
    // A referrer would be listed as one for as long as it is there.
    fields.remove("subject");
    let marks = fields.entry("annotations").or_insert_with(|| serde_json::json!({}));
    if let Some(marks) = marks.as_object_mut() {
        let mark = format!("{:016x}", RandomState::new().build_hasher().finish());
        marks.insert(MARK.to_owned(), mark.into());
    }
    let bytes = document.to_string().into_bytes();
    let digest = Digest::sha256(&bytes);
    let marked = Descriptor::new(there.descriptor.media_type, digest, bytes.len() as u64);
    // A registry that deletes nothing at all is found out before the tag means something else.
    may_delete(registry, reference)?;
    manifests::put(registry, tag, &marked, &bytes)?;
    by_digest(registry, reference, &digest)
}

/// Asks for the deletion of a manifest that is not there: who deletes nothing says so, and who deletes says that it is not there.
pub(crate) fn may_delete(registry: &Registry<'_>, reference: &Reference) -> Result<()> {
    let nothing =
        Digest::sha256(format!("{MARK} {:016x}", RandomState::new().build_hasher().finish()).as_bytes());
    match by_digest(registry, reference, &nothing) {
        Ok(()) | Err(DistributionError::NotFound { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

fn remove(registry: &Registry<'_>, path: &str, what: &str) -> Result<()> {
    let call = Call {
        method: Method::DELETE,
        url: registry.url(path),
        headers: HeaderMap::new(),
        body: None,
        scopes: BTreeSet::from([scope(&registry.repository, "delete")]),
        action: format!("delete {what}"),
        again: true,
    };
    let answer = registry.send(&call)?;
    match answer.status().as_u16() {
        200 | 202 | 204 => {
            answer.drain();
            Ok(())
        }
        _ => Err(registry.refused(answer, &call, what)),
    }
}
