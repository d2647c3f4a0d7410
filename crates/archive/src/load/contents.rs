//! Looking things up in an archive that was read: paths, links, blobs, documents, layers.

use std::sync::Arc;

use image::{Descriptor, DiffId, Digest, Platform};
use layer::ingest::{Ingested, ingest_blob};

use super::intake::{File, Held, Intake, warn};
use crate::ArchiveError;
use crate::documents::{Documents, Found, named_path, not_there};
use crate::format::blob_path;
use crate::members::Members;

/// An archive that was read.
pub(super) struct Contents<'a> {
    pub(super) intake: Intake<'a>,
    pub(super) members: Members<File>,
    /// For which platform alone an image is taken, where there are several.
    pub(super) wanted: Option<&'a Platform>,
}

impl Documents for Contents<'_> {
    fn document(&self, path: &[u8], limit: u64) -> Result<Option<Found>, ArchiveError> {
        let Some(file) = self.members.file(path)? else { return Ok(None) };
        Ok(Some(Found { path: path.to_vec(), bytes: self.bytes(path, file, limit)? }))
    }
}

impl Contents<'_> {
    /// For which platform a name means an image, where there are several: for this machine, if no other is wanted.
    pub(super) fn platform(&self) -> Platform {
        self.wanted.cloned().unwrap_or_else(Platform::host)
    }

    /// Whether there is anything at a path.
    pub(super) fn has(&self, path: &str) -> bool {
        self.members.has(path.as_bytes())
    }

    /// The file that a path of `manifest.json` names.
    pub(super) fn named_file(&self, name: &str) -> Result<(Vec<u8>, &File), ArchiveError> {
        let path = named_path(name)?;
        let file = self.members.file(&path)?.ok_or_else(|| not_there(name))?;
        Ok((path, file))
    }

    /// The bytes of a small file.
    pub(super) fn bytes(&self, path: &[u8], file: &File, limit: u64) -> Result<Arc<[u8]>, ArchiveError> {
        if file.size() > limit {
            return Err(ArchiveError::TooLarge { entry: path.to_vec(), limit });
        }
        match file {
            File::Small(bytes) => Ok(bytes.clone()),
            File::Stored(digest, _) => Ok(self.intake.store.blobs().read(digest, limit)?.into()),
            File::Layer(_) => {
                let path = base::text::bytes(path).into_owned();
                Err(ArchiveError::Refused(format!(
                    "its entry {path} is a tar, where a JSON document belongs"
                )))
            }
        }
    }

    /// The file of a blob; its digest was checked.
    fn blob(&self, digest: &Digest) -> Result<Option<(Vec<u8>, &File)>, ArchiveError> {
        let path = blob_path(digest).into_bytes();
        let Some(file) = self.members.file(&path)? else { return Ok(None) };
        if !file.is(digest) {
            let path = base::text::bytes(&path).into_owned();
            return Err(ArchiveError::Damaged(format!("{path} leads to a file with another digest")));
        }
        Ok(Some((path, file)))
    }

    /// Whether a blob is in the archive, or in the store.
    pub(super) fn has_blob(&self, digest: &Digest) -> Result<bool, ArchiveError> {
        let is_here = self.blob(digest)?.is_some();
        Ok(is_here || self.intake.store.blobs().keep(self.intake.lease, digest)?)
    }

    /// The document that a descriptor means, from the archive, or from the store: a layout may lack blobs (ST-030).
    pub(super) fn described(
        &self,
        descriptor: &Descriptor,
        limit: u64,
    ) -> Result<Option<Found>, ArchiveError> {
        let found = match self.blob(&descriptor.digest)? {
            Some((path, file)) => Found { bytes: self.bytes(&path, file, limit)?, path },
            None if self.intake.store.blobs().keep(self.intake.lease, &descriptor.digest)? => Found {
                path: blob_path(&descriptor.digest).into_bytes(),
                bytes: self.intake.store.blobs().read(&descriptor.digest, limit)?.into(),
            },
            None => return Ok(None),
        };
        check_size(&found.path, found.bytes.len() as u64, descriptor)?;
        Ok(Some(found))
    }

    /// The layer that a descriptor means, from the archive or from the store.
    pub(super) fn described_layer(
        &self,
        descriptor: &Descriptor,
        diff_id: DiffId,
    ) -> Result<(Vec<u8>, Held), ArchiveError> {
        let path = blob_path(&descriptor.digest).into_bytes();
        let held = match self.blob(&descriptor.digest)? {
            Some((_, file)) => {
                check_size(&path, file.size(), descriptor)?;
                self.layer(&path, file, diff_id)?
            }
            None => self.layer_of_store(&path, descriptor, diff_id)?,
        };
        Ok((path, held))
    }

    /// The layer in a file of the archive; its DiffID is checked.
    pub(super) fn layer(&self, path: &[u8], file: &File, diff_id: DiffId) -> Result<Held, ArchiveError> {
        let held = match file {
            File::Layer(held) => Held::clone(held),
            File::Small(bytes) => {
                let digest = self.intake.store.blobs().put(self.intake.lease, bytes)?;
                self.ingest(path, &digest, file.size())?
            }
            File::Stored(digest, size) => self.ingest(path, digest, *size)?,
        };
        let found = held.layer.diff_id();
        if found != diff_id {
            return Err(ArchiveError::Damaged(format!(
                "{} should be the layer {diff_id}, and is {found}",
                base::text::bytes(path)
            )));
        }
        Ok(held)
    }

    fn layer_of_store(
        &self,
        path: &[u8],
        descriptor: &Descriptor,
        diff_id: DiffId,
    ) -> Result<Held, ArchiveError> {
        let (store, lease) = (self.intake.store, self.intake.lease);
        if !store.blobs().keep(lease, &descriptor.digest)? {
            let place = base::text::bytes(path);
            let urls = descriptor.urls.first().map(|url| base::text::bytes(url.as_bytes()));
            let elsewhere = urls.map(|url| format!(" (it is to be had from {url})")).unwrap_or_default();
            return Err(ArchiveError::Damaged(format!("the layer {place} is not in it{elsewhere}")));
        }
        let size = store.blobs().size(&descriptor.digest)?.unwrap_or_default();
        check_size(path, size, descriptor)?;
        let held = self.ingest(path, &descriptor.digest, size)?;
        self.layer(path, &File::Layer(Arc::new(held)), diff_id)
    }

    fn ingest(&self, path: &[u8], digest: &Digest, size: u64) -> Result<Held, ArchiveError> {
        let Intake { store, lease, events, cancel } = self.intake;
        let Ingested { layer, blob, warnings } = ingest_blob(store, lease, digest, None, cancel)
            .map_err(|source| ArchiveError::Entry { entry: path.to_vec(), source })?;
        warn(events, path, &warnings);
        Ok(Held { layer, came: (*digest, size), blob })
    }
}

fn check_size(path: &[u8], size: u64, descriptor: &Descriptor) -> Result<(), ArchiveError> {
    if size == descriptor.size {
        return Ok(());
    }
    Err(ArchiveError::Damaged(format!(
        "{} has {size} bytes, and should have {}",
        base::text::bytes(path),
        descriptor.size
    )))
}
