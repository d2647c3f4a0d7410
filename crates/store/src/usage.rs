//! What is used, and what could go.

use crate::{Result, Store};

/// One line of `lap system df`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Line {
    /// How many there are.
    pub count: u64,
    /// How many of them are in use.
    pub active: u64,
    /// How much room they take on the disk, in bytes.
    pub size: u64,
    /// How much of it a prune would give back, in bytes.
    pub reclaimable: u64,
}

/// What a store uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Images: blobs and trees that images with a name need count as in use.
    pub images: Line,
    /// Containers.
    pub containers: Line,
    /// Build cache: layers that only records of the cache refer to.
    pub cache: Line,
    /// Temporary directories of running processes, trash.
    pub temporary: Line,
}

impl Store {
    /// What is used, and what could go.
    pub fn usage(&self) -> Result<Usage> {
        todo!()
    }
}
