//! Which blobs can be seen in a repository.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use base::IoContext;
use image::manifest::MAX_MANIFEST_SIZE;
use image::{Descriptor, Digest, Document};

use super::{BLOBS, Repository, file_name};
use crate::names::forget;
use crate::{Blob, Result, StoreError, files};

/// How long a blob that no manifest refers to stays after somebody pushed it or asked for it, and how long a manifest without a tag stays
/// after it was pushed: long enough for whatever is being pushed to become whole.
pub(crate) const GRACE: Duration = Duration::from_secs(60 * 60);

/// A blob that can be seen in a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RepositoryBlob {
    /// How many bytes it has.
    pub size: u64,
    /// Whether it is in the store. If it is not, it is a layer's plain tar that is made when it is needed.
    pub is_there: bool,
}

impl Repository {
    /// A blob that can be seen here: one that was pushed or mounted, or that an image named here has. Whoever was told that it is there may rely
    /// on it for a while.
    pub fn blob(&self, digest: &Digest) -> Result<Option<RepositoryBlob>> {
        if let Some(size) = self.keep_linked(digest)? {
            return Ok(Some(RepositoryBlob { size, is_there: true }));
        }
        let Some(descriptor) = self.blob_of_images(digest)? else { return Ok(None) };
        if let Some(size) = self.store.blobs().size(digest)? {
            return Ok(Some(RepositoryBlob { size, is_there: true }));
        }
        let layer = self.store.layers().get(&image::DiffId(*digest))?;
        Ok(layer.map(|_| RepositoryBlob { size: descriptor.size, is_there: false }))
    }

    /// Opens a blob that can be seen here and is in the store. What is open can be read to its end, whatever is removed meanwhile.
    pub fn open_blob(&self, digest: &Digest) -> Result<Option<Blob>> {
        match self.blob(digest)? {
            Some(RepositoryBlob { is_there: true, .. }) => self.store.blobs().open_unkept(digest),
            _ => Ok(None),
        }
    }

    /// Lets a blob of another repository be seen here, too; `false` when it cannot be seen there, or has to be made first.
    pub fn mount_blob(&self, from: &Repository, digest: &Digest) -> Result<bool> {
        if from.blob(digest)?.is_none_or(|blob| !blob.is_there) {
            return Ok(false);
        }
        let _changing = self.change()?;
        let _publishing = self.store.publishing()?;
        if self.store.blobs().size(digest)?.is_none() {
            return Ok(false);
        }
        self.link(digest)?;
        Ok(true)
    }

    /// Takes a blob out of the repository; other repositories keep it.
    pub fn remove_blob(&self, digest: &Digest) -> Result<bool> {
        let _changing = self.change()?;
        let _publishing = self.store.publishing()?;
        let path = self.link_path(digest);
        let is_there = files::exists(&path)?;
        forget(&self.root(), &path)?;
        Ok(is_there)
    }

    /// Lets a blob be seen. The caller may change the repository, publishes, and has seen that the blob is there.
    pub(super) fn link(&self, digest: &Digest) -> Result<()> {
        let path = self.link_path(digest);
        self.make_parents(&path)?;
        let file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .context("create", &path)?;
        Ok(file.set_modified(SystemTime::now()).context("change the time of", &path)?)
    }

    /// The size of a blob that was pushed here. From now on it stays a while, whether or not something refers to it.
    fn keep_linked(&self, digest: &Digest) -> Result<Option<u64>> {
        let path = self.link_path(digest);
        let _publishing = self.store.publishing()?;
        let metadata = match fs::symlink_metadata(&path) {
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            result => result.context("stat", &path)?,
        };
        let size = self.store.blobs().size(digest)?;
        let asked = metadata.modified().context("stat", &path)?;
        // (Nothing is collected from a store that cannot be written.)
        let can_go = size.is_some() && !self.store.0.read_only;
        if can_go && asked.elapsed().is_ok_and(|since| since > GRACE / 2) {
            let touched =
                File::options().write(true).open(&path).and_then(|file| file.set_modified(SystemTime::now()));
            touched.context("change the time of", &path)?;
        }
        Ok(size)
    }

    pub(super) fn link_path(&self, digest: &Digest) -> PathBuf {
        self.at(BLOBS).join(file_name(digest))
    }

    /// How an image that is named here describes a blob of it.
    fn blob_of_images(&self, digest: &Digest) -> Result<Option<Descriptor>> {
        for document in self.documents_of_images()? {
            let Some(Document::Manifest(manifest)) = self.read_document(&document.digest)? else { continue };
            if let Some(part) = manifest.value().blobs().find(|part| part.digest == *digest) {
                return Ok(Some(part.clone()));
            }
        }
        Ok(None)
    }

    /// The manifests and indexes that images are named for here, and what of the latter is in the store. What was pushed speaks for itself.
    pub(super) fn documents_of_images(&self) -> Result<Vec<Descriptor>> {
        let mut waiting: Vec<Descriptor> = Vec::new();
        for name in self.named()? {
            if self.record(&name.target.digest)?.is_none() {
                waiting.push(name.target);
            }
        }
        let mut documents: Vec<Descriptor> = Vec::new();
        while let Some(document) = waiting.pop() {
            if documents.iter().any(|known| known.digest == document.digest) {
                continue;
            }
            if let Some(Document::Index(index)) = self.read_document(&document.digest)? {
                let parts = index.value().manifests.iter();
                waiting.extend(parts.filter(|part| part.media_type.is_document()).cloned());
            } else if self.store.blobs().size(&document.digest)?.is_none() {
                continue;
            }
            documents.push(document);
        }
        Ok(documents)
    }

    fn read_document(&self, digest: &Digest) -> Result<Option<Document>> {
        match self.store.blobs().read(digest, MAX_MANIFEST_SIZE) {
            Ok(bytes) => Ok(Some(Document::parse(&bytes)?)),
            Err(StoreError::NoBlob(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
