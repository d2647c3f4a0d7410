//! Blobs: immutable bytes, named by their digest.

mod growing;
mod writer;

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::PathBuf;

use base::IoContext;
use image::{Digest, Digester};

pub use self::growing::GrowingBlob;
pub use self::writer::BlobWriter;
use crate::lease::Note;
use crate::{Lease, Result, Store, StoreError, files};

/// The blobs of a store.
#[derive(Clone)]
pub struct Blobs {
    pub(crate) store: Store,
}

/// An open blob: a file, and its size. Reading from it does not verify; see [`Blobs::verified`].
pub struct Blob {
    /// The open file.
    pub file: File,
    /// How many bytes it has.
    pub size: u64,
}

impl Blobs {
    pub(crate) fn new(store: Store) -> Self {
        Self { store }
    }

    /// Where the blob is, or would be.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        let mut path = self.store.at("blobs");
        path.push(digest.algorithm().name());
        path.push(digest.hex());
        path
    }

    /// The blob's size, if it is there.
    pub fn size(&self, digest: &Digest) -> Result<Option<u64>> {
        let path = self.path(digest);
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_file() => Ok(Some(metadata.len())),
            Ok(_) => Err(StoreError::Damaged { path, reason: "it is not a regular file".to_owned() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            result => Ok(result.context("stat", &path).map(|_| None)?),
        }
    }

    /// Opens a blob, and keeps it for the lease.
    pub fn open(&self, lease: &Lease, digest: &Digest) -> Result<Blob> {
        if !self.keep(lease, digest)? {
            return Err(StoreError::NoBlob(*digest));
        }
        self.open_unkept(digest)?.ok_or(StoreError::NoBlob(*digest))
    }

    pub(crate) fn open_unkept(&self, digest: &Digest) -> Result<Option<Blob>> {
        let path = self.path(digest);
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            result => result.context("open", &path)?,
        };
        let size = file.metadata().context("stat", &path)?.len();
        Ok(Some(Blob { file, size }))
    }

    /// Opens a blob to be read in order, and keeps it for the lease; what was read is verified when its end is reached.
    pub fn verified(&self, lease: &Lease, digest: &Digest) -> Result<VerifiedBlob> {
        let blob = self.open(lease, digest)?;
        Ok(VerifiedBlob { blob, digest: *digest, digester: Some(Digester::new(digest.algorithm())) })
    }

    /// Reads a small blob whole and verifies it.
    pub fn read(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>> {
        let path = self.path(digest);
        let bytes = files::read_limited(&path, limit)?.ok_or(StoreError::NoBlob(*digest))?;
        let mut digester = Digester::new(digest.algorithm());
        digester.update(&bytes);
        let found = digester.finish();
        if found != *digest {
            return Err(mismatch(digest, digest, found));
        }
        Ok(bytes)
    }

    /// Begins a blob. Nothing is there under its name until [`BlobWriter::commit`].
    pub fn writer(&self, lease: &Lease) -> Result<BlobWriter> {
        BlobWriter::new(self.clone(), lease.clone())
    }

    /// Stores a small blob.
    pub fn put(&self, lease: &Lease, bytes: &[u8]) -> Result<Digest> {
        let digest = Digest::sha256(bytes);
        if self.size(&digest)? == Some(bytes.len() as u64) && self.keep(lease, &digest)? {
            return Ok(digest);
        }
        let path = self.path(&digest);
        let mut writer = self.writer(lease)?;
        io::Write::write_all(&mut writer, bytes).context("write", &path)?;
        writer.commit(Some((digest, bytes.len() as u64))).map(|(digest, _)| digest)
    }

    /// Keeps a blob for the lease, if it is there: from now on it stays at least as long as the lease.
    pub fn keep(&self, lease: &Lease, digest: &Digest) -> Result<bool> {
        let _publishing = self.store.publishing()?;
        let is_there = self.size(digest)?.is_some();
        if is_there {
            lease.note(Note::Blob(*digest))?;
        }
        Ok(is_there)
    }

    /// All blobs, in order, with their sizes. Names that are not digests are left to [`Store::check`].
    pub fn list(&self) -> Result<Vec<(Digest, u64)>> {
        let mut blobs = Vec::new();
        for algorithm in image::Algorithm::ALL {
            let directory = self.store.at("blobs").join(algorithm.name());
            for name in files::names_in(&directory)? {
                let Some(digest) = name.to_str().and_then(|hex| Digest::from_hex(algorithm, hex).ok()) else {
                    continue;
                };
                // One that a collection has removed meanwhile is none.
                if let Some(size) = self.size(&digest)? {
                    blobs.push((digest, size));
                }
            }
        }
        Ok(blobs)
    }
}

/// A blob that is verified while it is read: its end is an error when the bytes were not the blob's.
pub struct VerifiedBlob {
    blob: Blob,
    digest: Digest,
    /// Gone when the end was reached, and all was well.
    digester: Option<Digester>,
}

impl VerifiedBlob {
    /// How many bytes it has.
    pub fn size(&self) -> u64 {
        self.blob.size
    }
}

impl Read for VerifiedBlob {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.blob.file.read(buffer)?;
        if let (1.., Some(digester), Some(bytes)) = (count, &mut self.digester, buffer.get(..count)) {
            digester.update(bytes);
        } else if let (0, false, Some(digester)) = (count, buffer.is_empty(), self.digester.take()) {
            let found = digester.finish();
            if found != self.digest {
                // Whoever reads on gets the same answer.
                self.digester = Some(Digester::new(self.digest.algorithm()));
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    mismatch(&self.digest, self.digest, found),
                ));
            }
        }
        Ok(count)
    }
}

fn mismatch(digest: &Digest, expected: impl ToString, found: impl ToString) -> StoreError {
    StoreError::Mismatch {
        what: format!("blob {digest}"),
        expected: expected.to_string(),
        found: found.to_string(),
    }
}
