//! Unfinished things.

use std::path::{Path, PathBuf};

/// A private directory on the store's filesystem, removed when dropped (trees with any permissions, also large ones) or, after a crash, by
/// the next process.
pub struct TempDir {}

impl TempDir {
    /// Where it is.
    pub fn path(&self) -> &Path {
        todo!()
    }

    /// A directory inside of it, made with mode 0755.
    pub fn subdirectory(&self, name: &str) -> crate::Result<PathBuf> {
        let _ = name;
        todo!()
    }
}
