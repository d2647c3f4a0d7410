//! The forms of a layer's contents: pack, compressed blob, tree; each is made from any other when it is first needed, and checked.

use std::io::{Read, Write};
use std::path::PathBuf;

use base::Cancel;
use image::{Descriptor, Digest};
use store::{Layer, Lease, Store};

use crate::{Encoding, Result};

/// The trees of a stack, to be mounted: the lowest layer first. Those that are missing are made, several at a time.
pub fn trees(store: &Store, lease: &Lease, stack: &[Layer], cancel: &Cancel) -> Result<Vec<PathBuf>> {
    let _ = (store, lease, stack, cancel);
    todo!()
}

/// The layer's pack, made if it is missing; its digest is the DiffID.
pub fn pack(store: &Store, lease: &Lease, layer: &Layer, cancel: &Cancel) -> Result<Digest> {
    let _ = (store, lease, layer, cancel);
    todo!()
}

/// A blob of the layer, as a descriptor of a manifest: one that came from outside if there is one in an acceptable encoding, else one that was
/// made before, else made now (and remembered).
pub fn blob(
    store: &Store,
    lease: &Lease,
    layer: &Layer,
    encoding: Encoding,
    threads: usize,
    cancel: &Cancel,
) -> Result<Descriptor> {
    let _ = (store, lease, layer, encoding, threads, cancel);
    todo!()
}

/// Writes the layer's tar to `out`, from whatever form there is, without storing anything; checked against the DiffID at the end.
pub fn tar(store: &Store, lease: &Lease, layer: &Layer, out: &mut dyn Write, cancel: &Cancel) -> Result<()> {
    let _ = (store, lease, layer, out, cancel);
    todo!()
}

/// Opens the contents of a file of the layer, by its place in the table.
pub fn open_content(
    store: &Store,
    lease: &Lease,
    layer: &Layer,
    index: usize,
) -> Result<Box<dyn Read + Send>> {
    let _ = (store, lease, layer, index);
    todo!()
}
