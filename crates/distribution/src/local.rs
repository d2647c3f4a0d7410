//! Sources on this machine: a layout or an archive, as it lies there, and the store.

use std::io::{Seek, SeekFrom};
use std::sync::OnceLock;

use archive::layout::{Layout, Listed};
use archive::save::plan::{Plan, Planned};
use base::{Classified, IoContext, Kind};
use image::{Descriptor, Digest, Document};
use store::{Lease, Store};

use crate::manifests::{self, Fetched};
use crate::source::{COSIGN_SUFFIXES, Incoming, Source};
use crate::{DistributionError, Result, referrers};

/// An image of a layout or of an archive.
pub(crate) struct InLayout<'a> {
    layout: &'a Layout,
    root: &'a Descriptor,
    /// All that there is: read when referrers are asked for.
    documents: OnceLock<Vec<Listed>>,
}

impl<'a> InLayout<'a> {
    pub(crate) fn new(layout: &'a Layout, root: &'a Descriptor) -> Self {
        Self { layout, root, documents: OnceLock::new() }
    }

    fn documents(&self) -> Result<&[Listed]> {
        if let Some(known) = self.documents.get() {
            return Ok(known);
        }
        let documents = self.layout.documents()?;
        Ok(self.documents.get_or_init(|| documents))
    }
}

impl Source for InLayout<'_> {
    fn called(&self) -> String {
        format!("the image {} in {}", self.root.digest.short(), self.layout.called())
    }

    fn keeper(&self) -> String {
        self.layout.called().to_owned()
    }

    fn first(&self) -> Result<Fetched> {
        self.document(self.root)
    }

    fn document(&self, descriptor: &Descriptor) -> Result<Fetched> {
        let document = self.layout.document(descriptor)?;
        let descriptor =
            manifests::described(&document, Some(descriptor.digest), Some(&descriptor.media_type));
        Ok(Fetched { document, descriptor })
    }

    fn blob(&self, descriptor: &Descriptor, position: u64) -> Result<Box<dyn Incoming + '_>> {
        Ok(Box::new(self.layout.blob(descriptor, position)?))
    }

    /// What says so itself, and what stands in the list under the tag that other tools keep.
    fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>> {
        let mut found: Vec<Descriptor> = Vec::new();
        for Listed { descriptor, document } in self.documents()? {
            if document.subject().is_some_and(|about| about.digest == *subject) {
                found.push(descriptor.clone());
            }
        }
        for list in self.layout.with_ref_name(&referrers::tag(subject)) {
            if let Document::Index(index) = self.layout.document(list)? {
                found.extend(index.value().manifests.iter().cloned());
            }
        }
        let mut seen = std::collections::HashSet::new();
        found.retain(|referrer| seen.insert(referrer.digest));
        Ok(found)
    }

    fn digest_tags(&self, subject: &Digest) -> Result<Vec<(String, Fetched)>> {
        let mut found = Vec::new();
        for suffix in COSIGN_SUFFIXES {
            let tag = format!("{}.{suffix}", referrers::tag(subject));
            if let Some(entry) = self.layout.with_ref_name(&tag).next() {
                found.push((tag.clone(), self.document(entry)?));
            }
        }
        Ok(found)
    }

    fn mismatch(&self, what: String, expected: String, found: String) -> DistributionError {
        DistributionError::Damaged { place: self.keeper(), what, expected, found }
    }
}

/// An image of the store, or an index with its images, every blob of which is there.
pub(crate) struct InStore<'a> {
    pub plan: Plan,
    pub store: &'a Store,
    pub lease: &'a Lease,
}

impl Source for InStore<'_> {
    fn called(&self) -> String {
        format!("the image {}", self.plan.image.image.0.short())
    }

    fn keeper(&self) -> String {
        "the store".to_owned()
    }

    fn first(&self) -> Result<Fetched> {
        Ok(Fetched { document: self.plan.document(), descriptor: self.plan.root().clone() })
    }

    fn document(&self, descriptor: &Descriptor) -> Result<Fetched> {
        let is_it = |image: &&Planned| image.manifest_descriptor.digest == descriptor.digest;
        let Some(image) = self.plan.images().find(is_it) else {
            let what = format!("the manifest {}", descriptor.digest);
            return Err(DistributionError::NotFound { what, said: String::new() });
        };
        let document = Document::Manifest(image.manifest.clone());
        Ok(Fetched { document, descriptor: image.manifest_descriptor.clone() })
    }

    fn blob(&self, descriptor: &Descriptor, position: u64) -> Result<Box<dyn Incoming + '_>> {
        let mut blob = self.store.blobs().open(self.lease, &descriptor.digest)?;
        let path = self.store.blobs().path(&descriptor.digest);
        blob.file.seek(SeekFrom::Start(position)).context("read", &path)?;
        Ok(Box::new(blob.file))
    }

    /// The store keeps images, and nothing that is about them.
    fn referrers(&self, _: &Digest) -> Result<Vec<Descriptor>> {
        Ok(Vec::new())
    }

    fn mismatch(&self, what: String, expected: String, found: String) -> DistributionError {
        store::StoreError::Mismatch { what, expected, found }.into()
    }
}

/// The error that ended a transfer from a source: its own, before what it has led to.
pub(crate) fn transfer_error(
    source: &dyn Source,
    incoming: &mut dyn Incoming,
    blob: &Descriptor,
    error: archive::ArchiveError,
) -> DistributionError {
    if let Some(failure) = incoming.failure() {
        return failure;
    }
    match error {
        archive::ArchiveError::Store(store::StoreError::Mismatch { expected, found, .. }) => {
            source.mismatch(format!("the blob {}", blob.digest), expected, found)
        }
        error if error.kind() == Kind::Cancelled => base::Cancelled.into(),
        error => error.into(),
    }
}
