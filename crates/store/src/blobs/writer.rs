//! Writing a blob: temp → hash while writing → size and digest → fsync → rename.

use std::fs::{self, File};
use std::io::{self, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use base::{IoContext, IoError};
use image::{Algorithm, Digest, Digester};

use super::growing::{GrowingBlob, Growth};
use super::{Blobs, mismatch};
use crate::lease::Note;
use crate::{Lease, Result, files, sys};

/// How much is written and hashed at a time.
const CHUNK: usize = 256 << 10;
/// A blob that is larger gets a thread for its hash: starting one costs less than hashing this.
const SMALL: u64 = 1 << 20;
/// How many chunks may wait for the hash.
const WAITING: usize = 4;
/// How much is written between two requests to begin the writeback.
const WRITEBACK: u64 = 8 << 20;

/// A blob that is being written: hashed (sha256, on a thread of its own when it is large) while it is written,
/// its writeback begun early so that the sync at the end is short.
pub struct BlobWriter {
    blobs: Blobs,
    lease: Lease,
    path: PathBuf,
    file: File,
    buffer: Vec<u8>,
    hash: Hash,
    /// How many bytes are in the file.
    in_file: u64,
    /// How many of the first bytes an earlier process has written: they are hashed only.
    present: u64,
    /// What becomes of the file when this ends.
    file_then: FileThen,
    writeback_begun: u64,
    /// The file may lack bytes that were hashed, or the other way round.
    failed: bool,
    /// For those who read it meanwhile.
    growth: Arc<Growth>,
}

/// What becomes of the file of a writer that ends.
enum FileThen {
    /// It is removed.
    Goes,
    /// It stays, to be continued.
    Stays,
    /// It has another name now; whatever has the old one is somebody else's.
    WasMoved,
}

enum Hash {
    Here(Digester),
    Thread {
        chunks: SyncSender<Vec<u8>>,
        spare: Receiver<Vec<u8>>,
        thread: JoinHandle<Digester>,
    },
    /// Was taken by `commit`.
    Done,
}

impl BlobWriter {
    pub(super) fn new(blobs: Blobs, lease: Lease) -> Result<Self> {
        let path = blobs.store.unfinished()?;
        let file = files::create(&path, 0o600)?;
        Ok(Self {
            blobs,
            lease,
            path,
            file,
            buffer: Vec::new(),
            hash: Hash::Here(Digester::new(Algorithm::Sha256)),
            in_file: 0,
            present: 0,
            file_then: FileThen::Goes,
            writeback_begun: 0,
            failed: false,
            growth: Arc::default(),
        })
    }

    /// Continues a file of which `present` bytes are there, and in which the next byte is written behind them.
    pub(crate) fn continuing(blobs: Blobs, lease: Lease, path: PathBuf, file: File, present: u64) -> Self {
        Self {
            blobs,
            lease,
            path,
            file,
            buffer: Vec::new(),
            hash: Hash::Here(Digester::new(Algorithm::Sha256)),
            in_file: 0,
            present,
            file_then: FileThen::Stays,
            writeback_begun: present,
            failed: false,
            growth: Arc::default(),
        }
    }

    /// What was written is worth nothing: it goes when this ends.
    pub(crate) fn give_up(&mut self) {
        self.file_then = FileThen::Goes;
    }

    /// The blob, to be read while it is written.
    pub fn growing(&self) -> Result<GrowingBlob> {
        let file = File::open(&self.path).context("open", &self.path)?;
        Ok(GrowingBlob::new(file, self.growth.clone()))
    }

    /// How many bytes were written.
    pub fn written(&self) -> u64 {
        self.in_file + self.buffer.len() as u64
    }

    /// Verifies (when something is expected), syncs, and renames into place: temp → size and digest → fsync → rename. The name is on the
    /// disk after the next [`crate::Store::sync`]; a blob whose name was lost is one that was not written.
    /// A blob that is there already stays, and is success. Gives digest and size.
    pub fn commit(mut self, expected: Option<(Digest, u64)>) -> Result<(Digest, u64)> {
        self.flush_chunk().context("write", &self.path)?;
        let size = self.in_file;
        let sha256 = self.take_hash().context("hash", &self.path)?;
        let verified = self.verify(sha256, size, expected);
        if verified.is_err() {
            // Wrong bytes are not to be continued.
            self.give_up();
        }
        let digest = verified?;
        let place = self.blobs.path(&digest);
        if digest.algorithm() != Algorithm::Sha256
            && let Some(directory) = place.parent()
        {
            files::make_directory(directory)?;
        }
        if self.is_there(&digest, size)? {
            self.give_up();
            self.growth.complete(digest);
            return Ok((digest, size));
        }
        self.file.sync_data().context("sync", &self.path)?;
        self.file
            .set_permissions(fs::Permissions::from_mode(0o444))
            .context("change the mode of", &self.path)?;
        let publishing = self.blobs.store.publishing()?;
        self.lease.note(Note::Blob(digest))?;
        fs::rename(&self.path, &place).context("rename to", &place)?;
        self.file_then = FileThen::WasMoved;
        drop(publishing);
        self.growth.complete(digest);
        Ok((digest, size))
    }

    /// Verifies what was written, and drops it: for whoever has to tell whether a failure came from wrong bytes.
    pub fn check(mut self, expected: (Digest, u64)) -> Result<()> {
        self.flush_chunk().context("write", &self.path)?;
        let size = self.in_file;
        let sha256 = self.take_hash().context("hash", &self.path)?;
        self.give_up();
        self.verify(sha256, size, Some(expected)).map(drop)
    }

    fn verify(&mut self, sha256: Digest, size: u64, expected: Option<(Digest, u64)>) -> Result<Digest> {
        let Some((expected, expected_size)) = expected else { return Ok(sha256) };
        if size != expected_size {
            return Err(mismatch(&expected, format!("{expected_size} bytes"), format!("{size} bytes")));
        }
        let found = match expected.algorithm() {
            Algorithm::Sha256 => sha256,
            // Rare enough to be read again.
            algorithm => self.hash_again(algorithm).context("read", &self.path)?,
        };
        if found != expected {
            return Err(mismatch(&expected, expected, found));
        }
        Ok(found)
    }

    fn hash_again(&mut self, algorithm: Algorithm) -> io::Result<Digest> {
        self.file.rewind()?;
        let mut hasher = Hasher(Digester::new(algorithm));
        io::copy(&mut self.file, &mut hasher)?;
        Ok(hasher.0.finish())
    }

    /// Whether the blob is in the store already; then it is kept. One of the wrong size is not, and will be replaced.
    fn is_there(&self, digest: &Digest, size: u64) -> Result<bool> {
        Ok(self.blobs.size(digest)? == Some(size) && self.blobs.keep(&self.lease, digest)?)
    }

    fn flush_chunk(&mut self) -> io::Result<()> {
        if self.failed {
            return Err(io::Error::other("an earlier part could not be written"));
        }
        self.failed = true;
        self.write_new()?;
        self.in_file += self.buffer.len() as u64;
        self.growth.set(self.in_file);
        self.hash_chunk()?;
        if self.in_file.saturating_sub(self.writeback_begun) >= WRITEBACK {
            sys::begin_writeback(&self.file, self.writeback_begun, self.in_file - self.writeback_begun);
            self.writeback_begun = self.in_file;
        }
        self.failed = false;
        Ok(())
    }

    /// Writes what of the buffer is not in the file yet.
    fn write_new(&mut self) -> io::Result<()> {
        let known = self.present.saturating_sub(self.in_file);
        let known = usize::try_from(known).unwrap_or(usize::MAX).min(self.buffer.len());
        self.file.write_all(self.buffer.get(known..).unwrap_or_default())
    }

    /// Hashes the buffer, and empties it.
    fn hash_chunk(&mut self) -> io::Result<()> {
        if self.in_file > SMALL
            && let Hash::Here(digester) = &self.hash
        {
            self.hash = Hash::on_thread(digester.clone())?;
        }
        match &mut self.hash {
            Hash::Here(digester) => {
                digester.update(&self.buffer);
                self.buffer.clear();
            }
            Hash::Thread { chunks, spare, .. } => {
                let empty = spare.try_recv().unwrap_or_else(|_| Vec::with_capacity(CHUNK));
                chunks.send(std::mem::replace(&mut self.buffer, empty)).map_err(|_| lost_thread())?;
            }
            Hash::Done => return Err(lost_thread()),
        }
        Ok(())
    }

    fn take_hash(&mut self) -> io::Result<Digest> {
        match std::mem::replace(&mut self.hash, Hash::Done) {
            Hash::Here(digester) => Ok(digester.finish()),
            Hash::Thread { chunks, spare, thread } => {
                drop((chunks, spare));
                thread.join().map(Digester::finish).map_err(|_| lost_thread())
            }
            Hash::Done => Err(lost_thread()),
        }
    }
}

impl Hash {
    /// Continues on a thread. At most [`WAITING`] chunks wait, so memory stays bounded when the disk is faster than the hash.
    fn on_thread(mut digester: Digester) -> io::Result<Self> {
        let (chunks, to_hash) = sync_channel::<Vec<u8>>(WAITING);
        let (give_back, spare) = sync_channel(WAITING);
        let work = move || {
            while let Ok(mut chunk) = to_hash.recv() {
                digester.update(&chunk);
                chunk.clear();
                let _ = give_back.try_send(chunk);
            }
            digester
        };
        let thread = std::thread::Builder::new().name("blob hash".to_owned()).spawn(work)?;
        Ok(Hash::Thread { chunks, spare, thread })
    }
}

/// The thread only hashes, and ends when the writer does.
fn lost_thread() -> io::Error {
    io::Error::other("the thread that hashes has ended")
}

struct Hasher(Digester);

impl Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = CHUNK.saturating_sub(self.buffer.len());
        let taken = bytes.get(..room).unwrap_or(bytes);
        self.buffer.extend_from_slice(taken);
        if self.buffer.len() >= CHUNK {
            self.flush_chunk().map_err(|source| {
                // The kind stays (a full disk, say), and the path is told.
                io::Error::new(source.kind(), IoError { action: "write", path: self.path.clone(), source })
            })?;
        }
        Ok(taken.len())
    }

    /// Does nothing: a blob is complete when it is committed, and not before.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for BlobWriter {
    fn drop(&mut self) {
        self.growth.give_up();
        match self.file_then {
            // What cannot be written now is transferred again.
            FileThen::Stays => _ = if self.failed { Ok(()) } else { self.write_new() },
            // One that cannot be removed now is cleared by whoever opens the store.
            FileThen::Goes => _ = fs::remove_file(&self.path),
            FileThen::WasMoved => {}
        }
    }
}
