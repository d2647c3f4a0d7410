//! Build contexts: a directory, read in place, seen through an ignore file.

use std::path::{Path, PathBuf};

use base::Cancel;
use dockerfile::ignore::IgnoreFile;
use store::Store;
use store::table::ContentDigest;

/// A local directory that a build copies from.
pub struct Context {
    root: PathBuf,
}

impl Context {
    /// A context at `root`; `ignore` is its ignore file, already parsed, with the name it has in messages.
    pub fn new(
        store: &Store,
        root: &Path,
        ignore: Option<(String, IgnoreFile)>,
    ) -> Result<Self, super::copy::CopyError> {
        let _ = (store, ignore);
        Ok(Self { root: root.to_owned() })
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Writes down the digests that were learned.
    pub fn save(&self) -> Result<(), super::copy::CopyError> {
        todo!()
    }

    #[expect(dead_code, reason = "a sketch of what selection needs")]
    fn digest(&self, _relative: &[u8], _cancel: &Cancel) -> Option<ContentDigest> {
        todo!()
    }
}
