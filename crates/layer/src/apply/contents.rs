//! The contents of files: read in the order of the tar, written by several threads.

use std::fs::File;
use std::io::{BufReader, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};

use base::{Cancel, IoContext};
use store::table::{ContentDigest, Entry, EntryKind, Table};

use crate::rooted::{self, Rooted};
use crate::{LayerError, Result};

/// How many threads make small files. Making one costs the kernel far more than reading its bytes costs us.
const THREADS: usize = 2;
/// Up to this size the bytes of a file are handed to one of these threads.
const SMALL: u64 = 128 << 10;
/// How many bytes, and how many files, are handed over at a time.
const BATCH_BYTES: usize = 512 << 10;
const BATCH_FILES: usize = 64;
/// How much is copied at a time.
const CHUNK: usize = 128 << 10;

/// The stored pieces of a file, checked: in order, within its size.
pub(crate) struct Pieces<'a> {
    sparse: Option<&'a [(u64, u64)]>,
    whole: (u64, u64),
    stored: u64,
}

impl<'a> Pieces<'a> {
    pub fn new(path: &[u8], size: u64, sparse: Option<&'a [(u64, u64)]>) -> Result<Self> {
        let mut pieces = Self { sparse, whole: (0, size), stored: 0 };
        let mut end = 0;
        for (place, length) in pieces.iter() {
            let next = place.checked_add(length).filter(|next| place >= end && *next <= size);
            end = next.ok_or_else(|| wrong(path, "its sparse pieces overlap or lie behind its end"))?;
            pieces.stored += length;
        }
        Ok(pieces)
    }

    /// How many bytes of it are in the tar.
    pub fn stored(&self) -> u64 {
        self.stored
    }

    /// The pieces: (place in the file, length).
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> + use<'a> {
        let whole = self.sparse.is_none().then_some(self.whole);
        self.sparse.unwrap_or_default().iter().copied().chain(whole)
    }
}

fn wrong(path: &[u8], reason: &str) -> LayerError {
    LayerError::Entry { entry: path.to_vec(), reason: reason.to_owned() }
}

/// Makes all files that have bytes in the tar.
pub(crate) fn write(tar: &mut dyn Read, table: &Table, rooted: &Rooted, cancel: &Cancel) -> Result<()> {
    let order = in_order_of_the_tar(table)?;
    let (sender, receiver) = sync_channel(THREADS);
    let shared = Shared { batches: Mutex::new(receiver), failed: Mutex::new(None) };
    let read = std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| shared.work(table, rooted.again(), cancel));
        }
        let mut reader = Reader { tar: BufReader::with_capacity(CHUNK, tar), position: 0 };
        let result = read_all(&mut reader, &order, table, &mut rooted.again(), &sender, &shared, cancel);
        // The threads end when there is nothing more to come.
        drop(sender);
        result
    });
    // A thread that failed is the reason why reading ended early.
    match shared.failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => read,
    }
}

/// Offsets and places in the table of the files that have bytes in the tar.
fn in_order_of_the_tar(table: &Table) -> Result<Vec<(u64, usize)>> {
    let mut order = Vec::new();
    for (index, entry) in table.entries().enumerate() {
        if let EntryKind::File { size, offset, sparse, .. } = entry.kind
            && Pieces::new(entry.path, size, sparse.as_deref())?.stored() > 0
        {
            order.push((offset, index));
        }
    }
    order.sort_unstable();
    Ok(order)
}

/// Files whose bytes lie one after the other in `bytes`.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    files: Vec<(usize, Range<usize>)>,
}

struct Reader<'a> {
    tar: BufReader<&'a mut dyn Read>,
    position: u64,
}

impl Reader<'_> {
    fn skip_to(&mut self, path: &[u8], offset: u64) -> Result<()> {
        let distance = offset
            .checked_sub(self.position)
            .ok_or_else(|| wrong(path, "its contents overlap those of another entry"))?;
        let skipped =
            std::io::copy(&mut (&mut self.tar).take(distance), &mut std::io::sink()).map_err(unreadable)?;
        self.position += skipped;
        if skipped == distance { Ok(()) } else { Err(unreadable(std::io::ErrorKind::UnexpectedEof.into())) }
    }
}

impl Read for Reader<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        let count = self.tar.read(bytes)?;
        self.position += count as u64;
        Ok(count)
    }
}

fn unreadable(source: std::io::Error) -> LayerError {
    LayerError::Stream { action: "read", what: "the layer's tar".to_owned(), source }
}

/// Reads the tar once from the beginning to the last content: large files are made at once, small ones are handed over.
fn read_all(
    reader: &mut Reader<'_>,
    order: &[(u64, usize)],
    table: &Table,
    rooted: &mut Rooted,
    batches: &SyncSender<Batch>,
    shared: &Shared,
    cancel: &Cancel,
) -> Result<()> {
    let mut batch = Batch::default();
    for (offset, index) in order {
        let Some(entry) = table.entry(*index) else { continue };
        let EntryKind::File { size, content, sparse, .. } = &entry.kind else { continue };
        reader.skip_to(entry.path, *offset)?;
        let stored = Pieces::new(entry.path, *size, sparse.as_deref())?.stored();
        if stored > SMALL {
            write_file(rooted, &entry, *size, sparse.as_deref(), *content, reader, cancel)?;
            continue;
        }
        let start = batch.bytes.len();
        reader.by_ref().take(stored).read_to_end(&mut batch.bytes).map_err(unreadable)?;
        batch.files.push((*index, start..batch.bytes.len()));
        if batch.bytes.len() >= BATCH_BYTES || batch.files.len() >= BATCH_FILES {
            cancel.check()?;
            // The receiver lives as long as we do: sending waits, and does not fail.
            let _ = batches.send(std::mem::take(&mut batch));
            if shared.has_failed() {
                return Ok(());
            }
        }
    }
    let _ = batches.send(batch);
    Ok(())
}

/// What the threads share.
struct Shared {
    batches: Mutex<Receiver<Batch>>,
    failed: Mutex<Option<LayerError>>,
}

impl Shared {
    /// Makes the files of batches until there are no more; when something failed, only takes them.
    fn work(&self, table: &Table, mut rooted: Rooted, cancel: &Cancel) {
        while let Some(batch) = self.next() {
            if self.has_failed() {
                continue;
            }
            if let Err(error) = write_batch(table, &mut rooted, &batch, cancel) {
                self.failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            }
        }
    }

    fn next(&self) -> Option<Batch> {
        self.batches.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
    }

    fn has_failed(&self) -> bool {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}

fn write_batch(table: &Table, rooted: &mut Rooted, batch: &Batch, cancel: &Cancel) -> Result<()> {
    for (index, range) in &batch.files {
        let Some(entry) = table.entry(*index) else { continue };
        let EntryKind::File { size, content, sparse, .. } = &entry.kind else { continue };
        let mut bytes = batch.bytes.get(range.clone()).unwrap_or_default();
        write_file(rooted, &entry, *size, sparse.as_deref(), *content, &mut bytes, cancel)?;
    }
    Ok(())
}

/// Makes one file of its stored bytes, verified, with its metadata.
pub(crate) fn write_file(
    rooted: &mut Rooted,
    entry: &Entry<'_>,
    size: u64,
    sparse: Option<&[(u64, u64)]>,
    expected: ContentDigest,
    stored: &mut dyn Read,
    cancel: &Cancel,
) -> Result<()> {
    let file = rooted.create(entry.path)?;
    let pieces = Pieces::new(entry.path, size, sparse)?;
    let found = copy_contents(&file, &rooted.name(entry.path), &pieces, size, stored, false, cancel)?;
    if found != expected {
        return Err(wrong(entry.path, "its contents are not those that its table has the digest of"));
    }
    rooted::finish_open(&file, entry, rooted.ownership())
        .context("set the metadata of", rooted.name(entry.path))?;
    Ok(())
}

/// Writes the stored bytes of a file to their places, and gives the digest of all of it, holes as zeros. With `punch`, what is zero becomes a hole.
pub(crate) fn copy_contents(
    file: &File,
    name: &std::path::Path,
    pieces: &Pieces<'_>,
    size: u64,
    stored: &mut dyn Read,
    punch: bool,
    cancel: &Cancel,
) -> Result<ContentDigest> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; pieces.stored().min(CHUNK as u64) as usize];
    let (mut position, mut written) = (0, 0);
    for (place, length) in pieces.iter() {
        hash_zeros(&mut hasher, place - position, cancel)?;
        position = place;
        let end = place + length;
        while position < end {
            let wanted = (end - position).min(buffer.len() as u64) as usize;
            let chunk = buffer.get_mut(..wanted).unwrap_or_default();
            stored.read_exact(chunk).map_err(unreadable)?;
            hasher.update(chunk);
            if !(punch && is_zero(chunk)) {
                file.write_all_at(chunk, position).context("write", name)?;
                written = position + wanted as u64;
            }
            position += wanted as u64;
            if end > SMALL {
                cancel.check()?;
            }
        }
    }
    hash_zeros(&mut hasher, size - position, cancel)?;
    if written < size {
        file.set_len(size).context("extend", name)?;
    }
    Ok(ContentDigest(*hasher.finalize().as_bytes()))
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

fn hash_zeros(hasher: &mut blake3::Hasher, mut count: u64, cancel: &Cancel) -> Result<()> {
    static ZEROS: [u8; CHUNK] = [0; CHUNK];
    while count > 0 {
        cancel.check()?;
        let piece = count.min(CHUNK as u64);
        hasher.update(ZEROS.get(..piece as usize).unwrap_or_default());
        count -= piece;
    }
    Ok(())
}
