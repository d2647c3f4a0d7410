//! Layers from outside: a stream → a blob, its DiffID and its table, in one pass.

use std::io::Read;

use base::Cancel;
use image::{Descriptor, DiffId, Digest};
use store::{Layer, Lease, Store};

use crate::Result;

/// What is known beforehand of a layer that comes in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Expected {
    /// Digest and size of the stream.
    pub blob: Option<(Digest, u64)>,
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
    let _ = (store, lease, stream, expected, cancel);
    todo!()
}

/// Adds the layer that a blob of the store holds.
pub fn ingest_blob(
    store: &Store,
    lease: &Lease,
    blob: &Digest,
    expected: Option<DiffId>,
    cancel: &Cancel,
) -> Result<Ingested> {
    let _ = (store, lease, blob, expected, cancel);
    todo!()
}
