//! Layers from outside: a stream → a blob, its DiffID and its table, in one pass.
//!
//! ```text
//!  stream ──▶ here: stored as it comes, hashed ──▶ a thread: decompressed ──▶ a thread: scanned, hashed
//! ```

mod pipe;
mod raw;
#[cfg(test)]
mod tests;

use std::io::{self, Cursor, Read, Write};
use std::thread::ScopedJoinHandle;

use base::Cancel;
use image::{Algorithm, Descriptor, DiffId, Digest, Digester, MediaType};
use store::{BlobWriter, Layer, LayerBlob, Lease, PartialBlob, Store};

use crate::decompress::{self, BEGINNING, Compression};
use crate::digest_reader::DigestReader;
use crate::scan::{FirstPass, Holds, Scan};
use crate::{LayerError, Result};
use pipe::{PipeReader, PipeWriter, fill, pipe};
use raw::{Keep, Raw, check_digest};

/// What is known beforehand of a layer that comes in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Expected {
    /// Digest and size of the stream.
    pub blob: Option<(Digest, u64)>,
    /// The DiffID.
    pub diff_id: Option<DiffId>,
}

/// What is known beforehand of a layer that a manifest describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpectedBlob {
    /// The digest of the stream.
    pub digest: Digest,
    /// Its size.
    pub size: u64,
    /// The DiffID.
    pub diff_id: Option<DiffId>,
}

/// A layer that came in.
pub struct Ingested {
    /// The layer.
    pub layer: Layer,
    /// The blob: media type by what the bytes are (gzip, zstd, plain), whatever they were called.
    pub blob: Descriptor,
    /// What deserves a word.
    pub warnings: Vec<String>,
}

/// Stores a stream as it came (gzip, zstd and plain tars; bzip2 and xz are stored as a plain pack, since no registry takes them), verifies it, and adds the layer.
/// Decompression runs on a thread of its own. Nothing stays when anything is wrong.
pub fn ingest(
    store: &Store,
    lease: &Lease,
    stream: &mut dyn Read,
    expected: Expected,
    cancel: &Cancel,
) -> Result<Ingested> {
    let (compression, mut stream) = begin(stream)?;
    let keep = match (is_kept(compression), expected.blob) {
        (true, _) => Keep::Store(Box::new(store.blobs().writer(lease)?)),
        (false, Some((digest, _))) => Keep::Verify(Box::new(Digester::new(digest.algorithm()))),
        (false, None) => Keep::Trust,
    };
    let holds = Holds::Layer;
    let intake = Intake { store, lease, compression, holds, diff_id: expected.diff_id, cancel };
    intake.run(&mut stream, Raw::new(keep, expected.blob))
}

/// Like [`ingest`], for a blob that comes from far away: what is there of it already is read from there, `rest` gives what follows. When the transfer is
/// interrupted, what has come stays, to be continued; wrong bytes do not stay.
pub fn continue_ingest(
    store: &Store,
    lease: &Lease,
    partial: PartialBlob,
    rest: &mut dyn Read,
    expected: ExpectedBlob,
    cancel: &Cancel,
) -> Result<Ingested> {
    let (file, writer) = partial.into_parts();
    let mut whole = file.chain(rest);
    let (compression, mut stream) = begin(&mut whole)?;
    let ExpectedBlob { digest, size, diff_id } = expected;
    let keep = match is_kept(compression) {
        true => Keep::Store(Box::new(writer)),
        false => Keep::Verify(Box::new(Digester::new(digest.algorithm()))),
    };
    let intake = Intake { store, lease, compression, holds: Holds::Layer, diff_id, cancel };
    intake.run(&mut stream, Raw::new(keep, Some((digest, size))))
}

/// Adds the layer that a blob of the store holds.
pub fn ingest_blob(
    store: &Store,
    lease: &Lease,
    blob: &Digest,
    expected: Option<DiffId>,
    cancel: &Cancel,
) -> Result<Ingested> {
    let mut file = store.blobs().verified(lease, blob)?;
    let size = file.size();
    let (compression, mut stream) = begin(&mut file)?;
    let holds = Holds::Layer;
    let intake = Intake { store, lease, compression, holds, diff_id: expected, cancel };
    intake.run(&mut stream, Raw::new(Keep::Trust, Some((*blob, size))))
}

/// Adds an archive of files, compressed or not, as a layer that is only read from: it is kept as a plain pack, which gives its files in any order.
/// Nothing stays when anything is wrong; whoever wants no more of it than its files lets it go with the lease.
pub fn ingest_files(store: &Store, lease: &Lease, stream: &mut dyn Read, cancel: &Cancel) -> Result<Layer> {
    let (compression, mut stream) = begin(stream)?;
    let intake = Intake { store, lease, compression, holds: Holds::Files, diff_id: None, cancel };
    Ok(intake.run(&mut stream, Raw::new(Keep::Trust, None))?.layer)
}

/// Looks at the beginning of a stream.
fn begin(stream: &mut dyn Read) -> Result<(Compression, impl Read)> {
    let mut beginning = Vec::new();
    stream
        .take(BEGINNING as u64)
        .read_to_end(&mut beginning)
        .map_err(|source| cannot_read("layer", source))?;
    Ok((Compression::sniff(&beginning), Cursor::new(beginning).chain(stream)))
}

fn cannot_read(what: &str, source: io::Error) -> LayerError {
    LayerError::Stream { action: "read", what: format!("the {what}"), source }
}

/// Whether blobs of this kind are kept as they come.
fn is_kept(compression: Compression) -> bool {
    matches!(compression, Compression::Plain | Compression::Gzip | Compression::Zstd)
}

/// One layer coming in.
struct Intake<'a> {
    store: &'a Store,
    lease: &'a Lease,
    compression: Compression,
    holds: Holds,
    diff_id: Option<DiffId>,
    cancel: &'a Cancel,
}

/// What the scanning thread gives.
struct Found {
    pass: FirstPass,
    diff_id: DiffId,
    /// The pack, when the stream itself is not kept.
    pack: Option<BlobWriter>,
}

impl Intake<'_> {
    fn run(&self, stream: &mut dyn Read, mut raw: Raw) -> Result<Ingested> {
        let (pumped, found) = std::thread::scope(|scope| {
            let (to, from) = pipe();
            let (decompressing, plain) = match self.compression {
                Compression::Plain => (None, from),
                compression => {
                    let (plain_to, plain_from) = pipe();
                    (Some(scope.spawn(move || decompress(compression, from, &plain_to))), plain_from)
                }
            };
            let scanning = scope.spawn(move || self.scan(plain));
            let pumped = raw.pump(stream, &to, self.cancel);
            drop(to);
            // When the decompressing thread has failed, the scan has seen it.
            let _ = decompressing.map(ScopedJoinHandle::join);
            (pumped, scanning.join())
        });
        pumped?;
        self.cancel.check()?;
        raw.check_size()?;
        let found = match found {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => return raw.check().and(Err(error)),
            Err(_) => return Err(cannot_read("archive", io::Error::other("its reader has failed"))),
        };
        if !raw.ended {
            return Err(cannot_read("layer", io::Error::other("something stands behind its end")));
        }
        self.conclude(raw, found)
    }

    /// Reads the plain tar: hashed, stored when the stream itself is not, scanned.
    fn scan(&self, plain: PipeReader) -> Result<Found> {
        let is_kept = self.holds == Holds::Layer && is_kept(self.compression);
        let pack = if is_kept { None } else { Some(self.store.blobs().writer(self.lease)?) };
        let mut tar = DigestReader::new(Tee { from: plain, to: pack });
        let pass = FirstPass::read(&mut tar, self.holds, self.cancel)?;
        let (tee, digest) = tar.into_parts();
        Ok(Found { pass, diff_id: DiffId(digest), pack: tee.to })
    }

    /// Everything was read: verifies it, and puts it into the store.
    fn conclude(&self, raw: Raw, found: Found) -> Result<Ingested> {
        let Found { pass, diff_id, pack } = found;
        if let Some(expected) = self.diff_id
            && expected != diff_id
        {
            return Err(LayerError::Mismatch { expected: Box::new(expected), found: Box::new(diff_id) });
        }
        let (came, size) = match (raw.keep, raw.expected) {
            (Keep::Store(writer), expected) => writer.commit(expected)?,
            (Keep::Verify(digester), Some((digest, size))) => {
                check_digest(*digester, &digest)?;
                (digest, size)
            }
            // It was checked by whoever gave it, or nothing is known of it.
            (_, expected) => expected.unwrap_or((diff_id.0, raw.size)),
        };
        let (digest, size) = match pack {
            Some(pack) => pack.commit(None)?,
            None => (came, size),
        };
        let blob = Descriptor::new(self.media_type(), digest, size);
        let scanned = match pass.finish(diff_id)? {
            Scan::Whole(scanned) => scanned,
            Scan::Again(second) => {
                let file = self.store.blobs().open(self.lease, &digest)?.file;
                let (_, mut tar) =
                    decompress::reader(Box::new(file)).map_err(|source| cannot_read("layer", source))?;
                second.read(&mut tar, self.cancel)?
            }
        };
        let is_pack = digest.algorithm() == Algorithm::Sha256 && digest == diff_id.0;
        let table = if is_pack {
            scanned.table
        } else {
            let encoding = format!("as-came:{digest}");
            scanned.table.with_blob(LayerBlob { encoding, descriptor: blob.clone() })
        };
        let layer = self.store.layers().add(self.lease, table, None)?;
        Ok(Ingested { layer, blob, warnings: scanned.warnings })
    }

    fn media_type(&self) -> MediaType {
        match self.compression {
            Compression::Gzip => MediaType::OCI_LAYER_GZIP,
            Compression::Zstd => MediaType::OCI_LAYER_ZSTD,
            Compression::Plain | Compression::Bzip2 | Compression::Xz => MediaType::OCI_LAYER,
        }
    }
}

/// Decompresses from one pipe into another.
fn decompress(compression: Compression, from: PipeReader, to: &PipeWriter) {
    let work = || -> io::Result<()> {
        let mut decoder = decompress::decoder(compression, from)?;
        loop {
            let mut piece = to.piece();
            let result = fill(&mut piece, &mut decoder);
            let is_end = piece.is_empty();
            // What came before an error counts: it says where the error is.
            if to.send(piece).is_err() {
                return Ok(());
            }
            if is_end && result.is_ok() {
                to.end();
                return Ok(());
            }
            result?;
        }
    };
    if let Err(error) = work() {
        to.fail(error);
    }
}

/// Reads, and writes what was read.
struct Tee<R> {
    from: R,
    to: Option<BlobWriter>,
}

impl<R: Read> Read for Tee<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        if let Some(to) = &mut self.to {
            to.write_all(buffer.get(..count).unwrap_or_default())?;
        }
        Ok(count)
    }
}
