//! What of a source is copied: all of it as it is, the image for a platform, some images of an index, or the same image in the other format.
//!
//! Documents that are changed get other digests; blobs never change.

use std::collections::BTreeMap;

use image::{Descriptor, Digest, Document, Index, Manifest, ParseError, Platform, Raw};

use super::{Copied, Format, Wish};
use crate::manifests::{self, Fetched};
use crate::registry::Registry;
use crate::source::{self, Incoming, Source};
use crate::{DistributionError, Result};

/// A source that shows what is chosen of another one.
pub(super) struct Chosen<'a> {
    source: &'a dyn Source,
    root: Fetched,
    /// What the source has, when the root is another document.
    instead_of: Option<Digest>,
    /// Attestations that docker's format has no place for.
    attestations_left: usize,
    /// Documents that were read on the way, and those that the source does not have in this form, by their digests.
    documents: BTreeMap<Digest, Fetched>,
}

impl<'a> Chosen<'a> {
    /// What a wish means of a source.
    pub fn of(source: &'a dyn Source, wish: &Wish) -> Result<Self> {
        let first = source.first()?;
        let named = first.descriptor.digest;
        let (there, root) = match wish.platforms.as_slice() {
            [] => (named, first),
            [platform] => {
                let (manifest, descriptor) = source::choose(source, first, platform)?;
                (descriptor.digest, Fetched::from((manifest, descriptor)))
            }
            several => (named, some_of(source, first, several)?),
        };
        let mut chosen =
            Self { source, root, instead_of: None, attestations_left: 0, documents: BTreeMap::new() };
        if let Some(format) = wish.format {
            chosen.root = chosen.in_format(&chosen.root.clone(), format, 0)?;
        }
        chosen.instead_of = Some(there).filter(|there| *there != chosen.root.descriptor.digest);
        if chosen.instead_of.is_some() && wish.referrers {
            return Err(chosen.unsupported(
                "copied with what refers to it",
                "referrers name it by its digest, and what is copied has another one",
            ));
        }
        Ok(chosen)
    }

    /// Says of a copy how it differs from what is at the source.
    pub fn told(&self, copied: Copied) -> Copied {
        Copied { instead_of: self.instead_of, attestations_left: self.attestations_left, ..copied }
    }

    /// The document in the other format; what it names is changed first.
    fn in_format(&mut self, fetched: &Fetched, format: Format, depth: usize) -> Result<Fetched> {
        if depth > source::MAX_DEPTH {
            return Err(source::endless(self.source));
        }
        // What is not changed keeps its bytes, and with them its digest.
        let found = match &fetched.document {
            Document::Manifest(manifest) => {
                let changed = self.manifest_in(manifest.value(), format)?;
                let is_changed = changed != *manifest.value();
                is_changed.then(|| Raw::write(changed).map(Document::Manifest))
            }
            Document::Index(index) => {
                let changed = self.index_in(index.value(), format, depth)?;
                let is_changed = changed != *index.value();
                is_changed.then(|| Raw::write(changed).map(Document::Index))
            }
        };
        let found = match found {
            Some(changed) => written(self.source, changed)?,
            None => fetched.clone(),
        };
        self.documents.insert(found.descriptor.digest, found.clone());
        Ok(found)
    }

    fn manifest_in(&self, manifest: &Manifest, format: Format) -> Result<Manifest> {
        let mut changed = manifest.clone();
        changed.media_type = Some(format.manifest());
        changed.config.media_type = match format {
            Format::Oci => manifest.config.media_type.as_oci(),
            Format::Docker => manifest.config.media_type.as_docker().ok_or_else(|| {
                self.unsupported(
                    "copied in docker's format",
                    "it is not an image, and that format has nothing else",
                )
            })?,
        };
        for layer in &mut changed.layers {
            layer.media_type = match format {
                Format::Oci => layer.media_type.as_oci(),
                Format::Docker => layer.media_type.as_docker().ok_or_else(|| {
                    let reason = format!("that format has no layers of the type {}", layer.media_type);
                    self.unsupported("copied in docker's format", &reason)
                })?,
            };
        }
        if format == Format::Docker {
            if manifest.subject.is_some() {
                let reason = "it says what it is about, and that format has no place for this";
                return Err(self.unsupported("copied in docker's format", reason));
            }
            changed.artifact_type = None;
            changed.annotations.clear();
            let layers = changed.layers.iter_mut().chain([&mut changed.config]);
            layers.for_each(leave_plain);
        }
        Ok(changed)
    }

    fn index_in(&mut self, index: &Index, format: Format, depth: usize) -> Result<Index> {
        let mut changed = Index { manifests: Vec::new(), media_type: Some(format.index()), ..index.clone() };
        let mut new_digests = BTreeMap::new();
        for entry in &index.manifests {
            let is_attestation = image::choice::attested(entry).is_some();
            if format == Format::Docker && is_attestation {
                self.attestations_left += 1;
                continue;
            }
            let mut entry = entry.clone();
            if entry.media_type.is_document() {
                let child = self.source.document(&entry)?;
                let child = self.in_format(&child, format, depth + 1)?.descriptor;
                new_digests.insert(entry.digest, child.digest);
                entry.data = entry.data.filter(|_| child.digest == entry.digest);
                (entry.media_type, entry.digest, entry.size) = (child.media_type, child.digest, child.size);
            }
            if format == Format::Docker {
                leave_plain(&mut entry);
            }
            changed.manifests.push(entry);
        }
        for entry in &mut changed.manifests {
            let new = image::choice::attested(entry).and_then(|of| new_digests.get(&of).copied());
            if let Some(new) = new {
                image::choice::attests(entry, &new);
            }
        }
        if format == Format::Docker {
            changed.artifact_type = None;
            changed.subject = None;
            changed.annotations.clear();
        }
        Ok(changed)
    }

    fn unsupported(&self, action: &'static str, reason: &str) -> DistributionError {
        DistributionError::Unsupported { what: self.source.called(), action, reason: reason.to_owned() }
    }
}

impl Source for Chosen<'_> {
    fn called(&self) -> String {
        self.source.called()
    }

    fn keeper(&self) -> String {
        self.source.keeper()
    }

    fn first(&self) -> Result<Fetched> {
        Ok(self.root.clone())
    }

    fn document(&self, descriptor: &Descriptor) -> Result<Fetched> {
        match self.documents.get(&descriptor.digest) {
            Some(document) => Ok(document.clone()),
            None => self.source.document(descriptor),
        }
    }

    fn blob(&self, descriptor: &Descriptor, position: u64) -> Result<Box<dyn Incoming + '_>> {
        self.source.blob(descriptor, position)
    }

    fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>> {
        self.source.referrers(subject)
    }

    fn digest_tags(&self, subject: &Digest) -> Result<Vec<(String, Fetched)>> {
        self.source.digest_tags(subject)
    }

    fn mismatch(&self, what: String, expected: String, found: String) -> DistributionError {
        self.source.mismatch(what, expected, found)
    }

    fn repository(&self) -> Option<&Registry<'_>> {
        self.source.repository()
    }
}

/// An index with the images for some platforms alone, and what attests them.
fn some_of(source: &dyn Source, first: Fetched, platforms: &[Platform]) -> Result<Fetched> {
    let Document::Index(index) = &first.document else {
        return Err(DistributionError::Unsupported {
            what: source.called(),
            action: "copied for several platforms",
            reason: "it is one image, for one platform".to_owned(),
        });
    };
    let mut kept = Vec::new();
    for platform in platforms {
        let chosen = image::choice::require(index.value(), platform)
            .map_err(|error| DistributionError::Platform { what: source.called(), source: error })?;
        kept.push(chosen.digest);
    }
    let mut some = index.value().clone();
    let is_kept = |entry: &Descriptor| {
        kept.contains(&entry.digest) || image::choice::attested(entry).is_some_and(|of| kept.contains(&of))
    };
    some.manifests.retain(is_kept);
    if some.manifests.len() == index.value().manifests.len() {
        return Ok(first);
    }
    some.media_type = Some(first.descriptor.media_type.clone());
    written(source, Raw::write(some).map(Document::Index))
}

/// A document that was not there in this form.
fn written(source: &dyn Source, document: Result<Document, ParseError>) -> Result<Fetched> {
    let document = document.map_err(|error| DistributionError::Document {
        what: format!("the manifest of {} cannot be written", source.called()),
        source: error,
    })?;
    let descriptor = manifests::described(&document, None, None);
    Ok(Fetched { document, descriptor })
}

/// Docker's descriptors have neither notes nor kinds of artifacts.
fn leave_plain(descriptor: &mut Descriptor) {
    descriptor.annotations.clear();
    descriptor.artifact_type = None;
    descriptor.data = None;
}
