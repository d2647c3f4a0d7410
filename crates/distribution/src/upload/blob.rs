//! What is sent: a blob that is there, or one that is being made.

use std::io::{Read, Seek, SeekFrom};
use std::sync::{Arc, Mutex, PoisonError};

use base::task::Count;
use base::{Cancel, IoContext};
use image::{Descriptor, Digest, MediaType};
use store::{GrowingBlob, Lease, Store};

use crate::Result;

/// The bytes of a blob from a place on, as often as they are needed.
pub(crate) type Content = Arc<dyn Fn(u64) -> Result<Box<dyn Read + Send>> + Send + Sync>;

/// A blob of the store.
pub(crate) fn stored(store: &Store, lease: &Lease, digest: Digest) -> Content {
    let (store, lease) = (store.clone(), lease.clone());
    Arc::new(move |begin| {
        let mut blob = store.blobs().open(&lease, &digest)?;
        blob.file.seek(SeekFrom::Start(begin)).context("seek in", store.blobs().path(&digest))?;
        Ok(Box::new(blob.file))
    })
}

/// A blob that is being made.
pub(crate) fn grown(blob: &GrowingBlob) -> Content {
    let blob = blob.clone();
    Arc::new(move |begin| Ok(Box::new(blob.reader(begin))))
}

/// What is sent.
pub(crate) enum Blob<'a> {
    /// All is known of it.
    Known(&'a Descriptor),
    /// It is being made.
    Growing(&'a GrowingBlob),
}

impl Blob<'_> {
    /// What it is, as soon as that is known.
    pub(super) fn known(&self) -> Option<Descriptor> {
        match self {
            Blob::Known(descriptor) => Some((*descriptor).clone()),
            Blob::Growing(blob) => {
                blob.complete().map(|(digest, size)| Descriptor::new(MediaType::OCTET_STREAM, digest, size))
            }
        }
    }

    /// Waits until so much of it is there. Gives how much is: less at its end.
    pub(super) fn wait(&self, length: u64, cancel: &Cancel) -> Result<u64> {
        match self {
            Blob::Known(descriptor) => Ok(descriptor.size.min(length)),
            Blob::Growing(blob) => Ok(blob.wait(length, cancel)?.min(length)),
        }
    }
}

/// A reader that tells how far it is.
pub(super) struct Told<R> {
    pub(super) inner: R,
    pub(super) count: Arc<Mutex<Count>>,
}

impl<R: Read> Read for Told<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.count.lock().unwrap_or_else(PoisonError::into_inner).add(count);
        Ok(count)
    }
}
