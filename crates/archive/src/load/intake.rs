//! The one pass over an archive (ST-023): layers go into the store as they come, small files are kept in memory, what else there is
//! is stored as blobs. What all of it is for is known only at the end.

use std::io::{self, Cursor, Read};
use std::sync::Arc;

use base::{Cancel, Events};
use image::{Algorithm, Descriptor, Digest, Digester};
use layer::decompress::Compression;
use layer::ingest::{Expected, ingest};
use store::{Layer, Lease, Store};

use super::sniff;
use crate::ArchiveError;
use crate::entries::{Entries, read_error, read_full};
use crate::format::digest_of_path;
use crate::members::Members;
use base::task::{Counted, Task};

/// A file that is not larger may be kept in memory …
const MAX_SMALL: u64 = 1 << 20;
/// … until this much is.
const MAX_IN_MEMORY: u64 = 8 << 20;

/// A file of the archive.
#[derive(Clone)]
pub(super) enum File {
    /// Its bytes.
    Small(Arc<[u8]>),
    /// A blob of the store: digest and size.
    Stored(Digest, u64),
    /// A layer of the store.
    Layer(Arc<Held>),
}

/// A layer that came in.
#[derive(Clone)]
pub(super) struct Held {
    pub(super) layer: Layer,
    /// The digest and the size of what came.
    pub(super) came: (Digest, u64),
    /// The blob of it that the store has.
    pub(super) blob: Descriptor,
}

/// Where what comes in goes.
pub(super) struct Intake<'a> {
    pub(super) store: &'a Store,
    pub(super) lease: &'a Lease,
    pub(super) events: &'a Events,
    pub(super) cancel: &'a Cancel,
}

impl Intake<'_> {
    /// Reads an archive to its end.
    pub(super) fn read(&self, stream: impl Read) -> Result<Members<File>, ArchiveError> {
        let mut in_memory = 0;
        Members::read(
            Entries::new(stream),
            self.cancel,
            |path, size, contents| self.file(path, size, contents, &mut in_memory),
            |one, other| Ok(one.is_same(other)),
        )
    }

    fn file(
        &self,
        path: &[u8],
        size: u64,
        contents: &mut impl Read,
        in_memory: &mut u64,
    ) -> Result<File, ArchiveError> {
        let mut beginning = vec![0; usize::try_from(size).unwrap_or(usize::MAX).min(sniff::PEEK)];
        let filled = read_full(contents, &mut beginning).map_err(read_error)?;
        beginning.truncate(filled);
        let compression = sniff::layer(&beginning);
        let is_small = size <= MAX_SMALL && *in_memory + size <= MAX_IN_MEMORY;
        let mut stream = Cursor::new(beginning).chain(contents);
        match compression {
            Some(compression) => {
                self.layer(path, size, &mut stream, compression).map(|held| File::Layer(Arc::new(held)))
            }
            None if is_small => {
                *in_memory += size;
                let mut bytes = Vec::new();
                stream.read_to_end(&mut bytes).map_err(read_error)?;
                check_name(path, &bytes)?;
                Ok(File::Small(bytes.into()))
            }
            None => self.blob(path, size, &mut stream),
        }
    }

    fn layer(
        &self,
        path: &[u8],
        size: u64,
        stream: &mut impl Read,
        compression: Compression,
    ) -> Result<Held, ArchiveError> {
        let named = digest_of_path(path);
        let expected = Expected { blob: named.map(|digest| (digest, size)), diff_id: None };
        // Of these the store keeps the plain tar, whose digest is another.
        let is_unpacked = matches!(compression, Compression::Bzip2 | Compression::Xz);
        let digester = (named.is_none() && is_unpacked).then(|| Digester::new(Algorithm::Sha256));
        let what = named.map_or_else(|| base::text::bytes(path).into_owned(), |digest| digest.short());
        Task::run(self.events, format!("load layer {what}"), |task| {
            let hashed = Hashed { inner: stream, digester };
            let mut counted = Counted { inner: hashed, count: task.count(Some(size)) };
            let ingested = ingest(self.store, self.lease, &mut counted, expected, self.cancel)
                .map_err(|source| ArchiveError::Entry { entry: path.to_vec(), source })?;
            let Counted { inner, count } = counted;
            count.end();
            warn(self.events, path, &ingested.warnings);
            let came = named.or_else(|| inner.digester.map(Digester::finish)).unwrap_or(ingested.blob.digest);
            Ok(Held { layer: ingested.layer, came: (came, size), blob: ingested.blob })
        })
    }

    fn blob(&self, path: &[u8], size: u64, stream: &mut impl Read) -> Result<File, ArchiveError> {
        let mut writer = self.store.blobs().writer(self.lease)?;
        let mut buffer = vec![0; 256 << 10];
        loop {
            self.cancel.check()?;
            let count = stream.read(&mut buffer).map_err(read_error)?;
            let Some(part) = buffer.get(..count).filter(|part| !part.is_empty()) else { break };
            io::Write::write_all(&mut writer, part)
                .map_err(|source| ArchiveError::Stream { action: "store a part of", source })?;
        }
        let expected = digest_of_path(path).map(|digest| (digest, size));
        let (digest, size) = writer
            .commit(expected)
            .map_err(|source| ArchiveError::Entry { entry: path.to_vec(), source: source.into() })?;
        Ok(File::Stored(digest, size))
    }
}

impl File {
    /// Whether its contents have a digest.
    pub(super) fn is(&self, digest: &Digest) -> bool {
        match self {
            File::Small(bytes) => digest_of(digest.algorithm(), bytes) == *digest,
            File::Stored(stored, _) => stored == digest,
            File::Layer(held) => held.came.0 == *digest,
        }
    }

    /// How many bytes it has.
    pub(super) fn size(&self) -> u64 {
        match self {
            File::Small(bytes) => bytes.len() as u64,
            File::Stored(_, size) => *size,
            File::Layer(held) => held.came.1,
        }
    }

    fn is_same(&self, other: &File) -> bool {
        match (self, other) {
            (File::Small(one), File::Small(other)) => one == other,
            (File::Small(bytes), other) | (other, File::Small(bytes)) => {
                other.is(&Digest::sha256(bytes)) && other.size() == bytes.len() as u64
            }
            (File::Stored(digest, _), other) => other.is(digest),
            (File::Layer(held), other) => other.is(&held.came.0),
        }
    }
}

/// The digest of some bytes.
fn digest_of(algorithm: Algorithm, bytes: &[u8]) -> Digest {
    let mut digester = Digester::new(algorithm);
    digester.update(bytes);
    digester.finish()
}

/// Tells what a layer gave reason to say.
pub(super) fn warn(events: &Events, path: &[u8], warnings: &[String]) {
    for warning in warnings {
        events.warn(format!("{}: {warning}", base::text::bytes(path)));
    }
}

/// A blob's name is its digest.
fn check_name(path: &[u8], bytes: &[u8]) -> Result<(), ArchiveError> {
    let Some(named) = digest_of_path(path) else { return Ok(()) };
    let found = digest_of(named.algorithm(), bytes);
    if found == named {
        return Ok(());
    }
    Err(ArchiveError::Damaged(format!("{} has the digest {found}", base::text::bytes(path))))
}

/// A reader that hashes on the way, when it is asked to.
struct Hashed<R> {
    inner: R,
    digester: Option<Digester>,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        if let (Some(digester), Some(bytes)) = (&mut self.digester, buffer.get(..count)) {
            digester.update(bytes);
        }
        Ok(count)
    }
}
