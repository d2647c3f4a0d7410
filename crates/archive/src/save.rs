//! Saving: images → one tar that every tool reads (ST-020 … ST-022).

use std::io::Write;

use base::{Cancel, Events};
use image::{Descriptor, ImageId, Reference};
use layer::Encoding;
use store::{Lease, Store};

use crate::ArchiveError;

/// One image to be saved.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// Which.
    pub image: ImageId,
    /// The manifest that is saved when its layers travel as they are (an image that came from outside).
    pub manifest: Descriptor,
    /// The names it gets in the archive; none for an image that will be known by its ID.
    pub names: Vec<Reference>,
}

/// How images are saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// How layers are compressed that were made here. Those that came from outside stay as they came.
    pub encoding: Encoding,
    /// How many threads compress.
    pub threads: usize,
    /// Whether `manifest.json` is written too, for docker before 25 and its like.
    pub docker: bool,
}

/// Writes an archive: `oci-layout`, `index.json`, `manifest.json`, then manifests, configs, layers. The same images give the same bytes. Gives the manifests, in order of the items.
pub fn save(
    store: &Store,
    lease: &Lease,
    items: &[Item],
    options: Options,
    out: &mut dyn Write,
    events: &Events,
    cancel: &Cancel,
) -> Result<Vec<Descriptor>, ArchiveError> {
    let _ = (store, lease, items, options, out, events, cancel);
    todo!()
}
