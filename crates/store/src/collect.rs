//! Collection: removing what nothing needs.

use base::Cancel;
use image::{ImageId, Reference};

use crate::{Result, Store};

/// What to remove besides what nothing refers to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Policy {
    /// Images without a name.
    pub dangling_images: bool,
    /// All images that no container uses, also those with a name.
    pub all_images: bool,
    /// The records of the build cache, and so the layers that only they refer to.
    pub cache: bool,
    /// Derived forms: trees, packs and compressed blobs that can be made again.
    pub derived: bool,
    /// Say what would be removed, and remove nothing.
    pub dry_run: bool,
}

/// What was removed (or would be).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Names that were forgotten.
    pub names: Vec<Reference>,
    /// Images that were forgotten.
    pub images: Vec<ImageId>,
    /// How many records of the build cache.
    pub records: u64,
    /// How many layers.
    pub layers: u64,
    /// How many blobs.
    pub blobs: u64,
    /// How much room that gives, in bytes.
    pub bytes: u64,
}

impl Store {
    /// Removes what nothing needs, while other processes work on the store.
    pub fn collect(&self, policy: &Policy, cancel: &Cancel) -> Result<Report> {
        let _ = (policy, cancel);
        todo!()
    }
}
