//! Partial blobs: what has come of a blob stays when the transfer is interrupted, and the next process goes on from there (RC-065).
//!
//! `partial/<algorithm>-<hex>` holds the beginning of the blob of that digest. Whoever writes it holds its exclusive flock, so two
//! processes that want the same blob get it once. Nothing vouches for the bytes (a power cut may have torn them): whoever
//! continues reads and hashes them like the rest, and a blob whose digest is wrong in the end is removed and begun again.

use std::fs::{self, File};
use std::io::{self, Seek};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

use base::{Cancel, IoContext};
use image::Digest;
use rustix::fs::FlockOperation;

use crate::{BlobWriter, Blobs, Lease, Result, files, lock};

/// How often somebody who waits for another process' transfer looks again.
const LOOK: Duration = Duration::from_millis(20);

/// The beginning of a blob, and the right to write the rest.
pub struct PartialBlob {
    writer: BlobWriter,
    beginning: File,
    length: u64,
}

impl Blobs {
    /// Begins a blob that comes from far away, or continues it; waits while another process is at it. `None` when the blob is there (it is kept
    /// for the lease).
    pub fn resume(
        &self,
        lease: &Lease,
        digest: &Digest,
        size: u64,
        cancel: &Cancel,
    ) -> Result<Option<PartialBlob>> {
        let path = self.store.at("partial").join(format!("{}-{}", digest.algorithm().name(), digest.hex()));
        loop {
            cancel.check()?;
            if self.size(digest)? == Some(size) && self.keep(lease, digest)? {
                return Ok(None);
            }
            let file = fs::OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(&path)
                .context("open", &path)?;
            if !lock::attempt(&file, FlockOperation::NonBlockingLockExclusive).context("lock", &path)? {
                std::thread::sleep(LOOK);
                continue;
            }
            // Whoever had it before may have finished it, or thrown it away.
            if !lock::is_linked(&file, &path)? {
                continue;
            }
            // It has come between the look and the lock: what is here, new and empty or an old beginning, is of no use.
            if self.size(digest)? == Some(size) {
                fs::remove_file(&path).context("remove", &path)?;
                continue;
            }
            let mut length = file.metadata().context("stat", &path)?.len();
            if length > size {
                file.set_len(0).context("truncate", &path)?;
                length = 0;
            }
            let beginning = File::open(&path).context("open", &path)?;
            let mut at_end = file;
            at_end.seek(io::SeekFrom::Start(length)).context("seek in", &path)?;
            let writer = BlobWriter::continuing(self.clone(), lease.clone(), path, at_end, length);
            return Ok(Some(PartialBlob { writer, beginning, length }));
        }
    }
}

impl PartialBlob {
    /// How many bytes are there already.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Throws it away.
    pub fn discard(mut self) {
        self.writer.give_up();
    }

    /// What is there, to be read; and the writer that everything is written to: first what was read from there (it is hashed, and not
    /// written again), then what follows.
    pub fn into_parts(self) -> (File, BlobWriter) {
        (self.beginning, self.writer)
    }
}

impl crate::Store {
    /// The partial blobs that nobody is writing.
    pub(crate) fn abandoned_partials(&self) -> Result<Vec<(std::path::PathBuf, OwnedFd)>> {
        let directory = self.at("partial");
        let mut abandoned = Vec::new();
        for name in files::names_in(&directory)? {
            let path = directory.join(name);
            if let Some(lock) = lock::take_unused(&path)? {
                abandoned.push((path, lock));
            }
        }
        Ok(abandoned)
    }
}
