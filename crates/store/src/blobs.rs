//! Blobs: immutable bytes, named by their digest.

use std::io::{self, Write};
use std::path::PathBuf;

use image::Digest;

use crate::{Lease, Result};

/// The blobs of a store.
#[derive(Clone)]
pub struct Blobs {}

/// An open blob: a file, and its size. Reading from it does not verify; see [`Blobs::verified`].
pub struct Blob {
    /// The open file.
    pub file: std::fs::File,
    /// How many bytes it has.
    pub size: u64,
}

impl Blobs {
    /// Where the blob is, or would be.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        let _ = digest;
        todo!()
    }

    /// The blob's size, if it is there.
    pub fn size(&self, digest: &Digest) -> Result<Option<u64>> {
        let _ = digest;
        todo!()
    }

    /// Opens a blob, and keeps it for the lease.
    pub fn open(&self, lease: &Lease, digest: &Digest) -> Result<Blob> {
        let _ = (lease, digest);
        todo!()
    }

    /// Reads a small blob whole and verifies it.
    pub fn read(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>> {
        let _ = (digest, limit);
        todo!()
    }

    /// Begins a blob. Nothing is there under its name until [`BlobWriter::commit`].
    pub fn writer(&self, lease: &Lease) -> Result<BlobWriter> {
        let _ = lease;
        todo!()
    }

    /// Stores a small blob.
    pub fn put(&self, lease: &Lease, bytes: &[u8]) -> Result<Digest> {
        let _ = (lease, bytes);
        todo!()
    }

    /// Keeps a blob for the lease, if it is there: from now on it stays at least as long as the lease.
    pub fn keep(&self, lease: &Lease, digest: &Digest) -> Result<bool> {
        let _ = (lease, digest);
        todo!()
    }
}

/// A blob that is being written: hashed (sha256, on a thread of its own when it is large) while it is written,
/// its writeback begun early so that the sync at the end is short.
pub struct BlobWriter {}

impl BlobWriter {
    /// How many bytes were written.
    pub fn written(&self) -> u64 {
        todo!()
    }

    /// Verifies (when something is expected), syncs, and renames into place: temp → size and digest → fsync → rename → fsync of the directory.
    /// A blob that is there already stays, and is success. Gives digest and size.
    pub fn commit(self, expected: Option<(Digest, u64)>) -> Result<(Digest, u64)> {
        let _ = expected;
        todo!()
    }
}

impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = bytes;
        todo!()
    }

    fn flush(&mut self) -> io::Result<()> {
        todo!()
    }
}
