//! Manifests that were pushed, and those of images that are named here.

use std::path::PathBuf;
use std::time::SystemTime;

use image::manifest::MAX_MANIFEST_SIZE;
use image::{Descriptor, Digest, MediaType};
use serde::{Deserialize, Serialize};

use super::{MANIFESTS, RECORD_VERSION, REFERRERS, Repository, Tag, digests_in, file_name};
use crate::names::forget;
use crate::{Result, StoreError, files};

/// What is known of a manifest that was pushed.
#[derive(Debug, Clone, PartialEq)]
pub struct ManifestRecord {
    /// Its digest, as it was pushed.
    pub digest: Digest,
    /// What it was said to be, to the letter.
    pub media_type: MediaType,
    /// How many bytes it has.
    pub size: u64,
    /// What it is about.
    pub subject: Option<Digest>,
    /// When it was pushed last.
    pub pushed: SystemTime,
}

/// A record as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    version: u32,
    media_type: MediaType,
    size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subject: Option<Digest>,
    /// Nanoseconds since 1970.
    pushed: u64,
}

/// A manifest to be added. Its bytes are in the store already, kept by a lease.
#[derive(Debug, Clone)]
pub struct NewManifest<'a> {
    /// What it is.
    pub descriptor: Descriptor,
    /// What it is about.
    pub subject: Option<Digest>,
    /// The blobs that have to be here.
    pub blobs: &'a [Digest],
    /// The manifests that have to be here.
    pub manifests: &'a [Digest],
    /// The tags that it gets.
    pub tags: &'a [String],
    /// Under which condition.
    pub condition: Condition,
}

/// What the tags have to mean for a manifest to get them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Anything or nothing.
    Any,
    /// Nothing, or this very manifest.
    Absent,
    /// This manifest.
    Is(Digest),
}

impl Repository {
    /// A manifest that can be seen here.
    pub fn manifest(&self, digest: &Digest) -> Result<Option<Descriptor>> {
        if let Some(record) = self.record(digest)? {
            let is_there = self.store.blobs().size(digest)? == Some(record.size);
            return Ok(is_there.then(|| Descriptor::new(record.media_type, record.digest, record.size)));
        }
        Ok(self.documents_of_images()?.into_iter().find(|document| document.digest == *digest))
    }

    /// The bytes of a manifest that can be seen here. (They are not verified again: their length is, and scrubbing is the matter of a check.)
    pub fn read_manifest(&self, digest: &Digest) -> Result<Vec<u8>> {
        let path = self.store.blobs().path(digest);
        files::read_limited(&path, MAX_MANIFEST_SIZE)?.ok_or(StoreError::NoBlob(*digest))
    }

    /// Adds a manifest, and gives it its tags: all or nothing of what it refers to has to be here. Gives what the condition's tag meant when the
    /// condition does not hold, and then does nothing.
    pub fn add_manifest(&self, new: &NewManifest<'_>) -> Result<std::result::Result<(), Option<Tag>>> {
        let digest = new.descriptor.digest;
        // What has been told to be there (this manifest's bytes, blobs, their names) has to outlive a power cut from now on.
        self.store.sync()?;
        let _changing = self.change()?;
        for tag in new.tags.iter().filter(|_| new.condition != Condition::Any) {
            let meant = self.tag(tag)?;
            let means = meant.as_ref().map(|tag| tag.target.digest);
            let holds = match new.condition {
                Condition::Any => true,
                // What it means already it may be told again.
                Condition::Absent => means.is_none_or(|means| means == digest),
                Condition::Is(expected) => means == Some(expected),
            };
            if !holds {
                return Ok(Err(meant));
            }
        }
        // From here on no collection: what is found here stays, and is needed by the record afterwards.
        let _publishing = self.store.publishing()?;
        for blob in new.blobs {
            self.blob(blob)?.ok_or(StoreError::NoBlob(*blob))?;
        }
        for manifest in new.manifests {
            self.manifest(manifest)?.ok_or(StoreError::NoBlob(*manifest))?;
        }
        if let Some(subject) = &new.subject {
            // It counts when the record is there.
            let link = self.referrer_path(subject, &digest);
            self.make_parents(&link)?;
            self.store.replace(&link, b"")?;
        }
        let path = self.record_path(&digest);
        let kept = Kept {
            version: RECORD_VERSION,
            media_type: new.descriptor.media_type.clone(),
            size: new.descriptor.size,
            subject: new.subject,
            pushed: files::to_nanoseconds(SystemTime::now()),
        };
        self.make_parents(&path)?;
        self.store.replace(&path, &files::record_bytes(&path, &kept)?)?;
        for tag in new.tags {
            self.write_tag(tag, &new.descriptor)?;
        }
        Ok(Ok(()))
    }

    /// Removes a manifest, and the tags that mean it; its blobs stay in the repository until a collection.
    pub fn remove_manifest(&self, digest: &Digest) -> Result<bool> {
        let _changing = self.change()?;
        let before = self.manifest(digest)?;
        if before.is_none() && self.record(digest)?.is_none() {
            return Ok(false);
        }
        for tag in self.tags()?.into_iter().filter(|tag| tag.target.digest == *digest) {
            self.remove_tag_changing(&tag.name)?;
        }
        let _publishing = self.store.publishing()?;
        self.forget_manifest(digest)?;
        Ok(true)
    }

    /// Forgets a record and its place among the referrers. The caller may change the repository.
    pub(super) fn forget_manifest(&self, digest: &Digest) -> Result<()> {
        let subject = self.record(digest).unwrap_or_default().and_then(|record| record.subject);
        forget(&self.root(), &self.record_path(digest))?;
        if let Some(subject) = subject {
            forget(&self.root(), &self.referrer_path(&subject, digest))?;
        }
        Ok(())
    }

    /// All manifests that were pushed.
    pub fn manifests(&self) -> Result<Vec<ManifestRecord>> {
        digests_in(&self.at(MANIFESTS))?.iter().filter_map(|digest| self.record(digest).transpose()).collect()
    }

    /// The manifests that are about a subject, in order of their digests.
    pub fn referrers(&self, subject: &Digest) -> Result<Vec<ManifestRecord>> {
        let directory = self.at(REFERRERS).join(file_name(subject));
        let mut referrers = Vec::new();
        for digest in digests_in(&directory)? {
            let record = self.record(&digest)?.filter(|record| record.subject == Some(*subject));
            referrers.extend(record);
        }
        Ok(referrers)
    }

    pub(super) fn record(&self, digest: &Digest) -> Result<Option<ManifestRecord>> {
        let path = self.record_path(digest);
        let kept: Option<Kept> = files::read_record(self.store.root(), &path, RECORD_VERSION)?;
        Ok(kept.map(|kept| ManifestRecord {
            digest: *digest,
            media_type: kept.media_type,
            size: kept.size,
            subject: kept.subject,
            pushed: files::from_nanoseconds(kept.pushed),
        }))
    }

    pub(super) fn record_path(&self, digest: &Digest) -> PathBuf {
        self.at(MANIFESTS).join(file_name(digest))
    }

    fn referrer_path(&self, subject: &Digest, digest: &Digest) -> PathBuf {
        self.at(REFERRERS).join(file_name(subject)).join(file_name(digest))
    }
}
