//! The store: what is on disk, and how it gets there.
//!
//! One directory of plain files, made for many processes at a time: everything is written beside its place,
//! verified, synced and renamed; `flock` says what is in use. Its drawing:
//!
//! ```text
//! ROOT/
//!   version                    "lapstrake store 1"; a newer one is refused
//!   lock                       shared while something is published, exclusive while a collection removes
//!   blobs/sha256/<hex>         immutable bytes, as in an OCI image layout
//!   layers/<hex of DiffID>/    one directory a layer; a shared flock on it keeps its forms where they are
//!     table                    every entry of the layer, and the framing of its tar
//!     tree/                    the layer unpacked, in overlayfs' own form
//!     tree.unsynced            the boot in which the tree was made; gone when it has reached the disk
//!     blobs/<encoding>         which blob holds this layer in which encoding
//!   chains/<hex of ChainID>/   trees of layers that need what lies below them
//!   images/<hex of ImageID>    which manifests describe the image, and when it came
//!   names/<host>/<path>/_tags/<tag>   which image a name means
//!   cache/<definition>/<key>   records of steps that were built
//!   contexts/<key>             digests of files in build contexts, remembered
//!   leases/<id>                what a running process needs; dead when nobody holds its flock
//!   tmp/<id>/                  unfinished things; dead when nobody holds the flock
//!   trash/                     things on their way out
//! ```
//!
//! The layer's *pack* (its plain tar) is the blob whose digest is the DiffID. Everything but blobs and names can
//! be made again from them.

pub mod blobs;
pub mod cache;
pub mod check;
pub mod collect;
pub mod contexts;
pub mod error;
pub mod images;
pub mod layers;
pub mod lease;
pub mod names;
pub mod table;
pub mod temp;
pub mod usage;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use blobs::{Blob, BlobWriter, Blobs};
pub use cache::{Cache, StepKey, StepRecord};
pub use error::StoreError;
pub use images::{ImageRecord, Images, Origin};
pub use layers::{Layer, LayerBlob, Layers};
pub use lease::Lease;
pub use names::{NameRecord, Names};
pub use temp::TempDir;

/// What this crate's operations give.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// A store, cheap to clone.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    root: PathBuf,
}

impl Store {
    /// Opens the store at `root`, and makes it when there is none.
    ///
    /// What dead processes left behind (temporary directories, leases, trash) is removed.
    pub fn open(root: impl AsRef<Path>) -> Result<Store> {
        let _ = root;
        todo!()
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.0.root
    }

    /// Immutable bytes by digest.
    pub fn blobs(&self) -> Blobs {
        todo!()
    }

    /// Layers by DiffID.
    pub fn layers(&self) -> Layers {
        todo!()
    }

    /// Images by ID.
    pub fn images(&self) -> Images {
        todo!()
    }

    /// Images by name.
    pub fn names(&self) -> Names {
        todo!()
    }

    /// Records of built steps.
    pub fn cache(&self) -> Cache {
        todo!()
    }

    /// Begins work: whatever is written or found under the lease is kept while the lease lives.
    pub fn lease(&self, purpose: &str) -> Result<Lease> {
        let _ = purpose;
        todo!()
    }

    /// A private directory for unfinished things, on the store's filesystem; removed when dropped, or by the next
    /// process when this one is killed.
    pub fn temp_dir(&self, purpose: &str) -> Result<TempDir> {
        let _ = purpose;
        todo!()
    }

    /// Waits until all that was written to the store has reached the disk, and marks the trees made in this boot so.
    pub fn sync(&self) -> Result<()> {
        todo!()
    }
}
