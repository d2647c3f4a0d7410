//! The store: what is on disk, and how it gets there.
//!
//! One directory of plain files, made for many processes at a time: everything is written beside its place,
//! verified and renamed (what is synced when: see below, power cuts); `flock` says what is in use. Its drawing:
//!
//! ```text
//! ROOT/
//!   version                    "lapstrake store 1"; a newer one is refused
//!   ids                        the user namespace that the store belongs to; none when it is the machine's root's
//!   lock                       shared while something is published, exclusive while a collection removes
//!   blobs/sha256/<hex>         immutable bytes, as in an OCI image layout
//!   layers/<hex of DiffID>/    one directory a layer; a shared flock on it keeps its forms where they are
//!     table                    every entry of the layer, and the framing of its tar
//!     tree/                    the layer unpacked, in overlayfs' own form
//!     tree.unsynced            the boot in which the tree was made; renamed to
//!     tree.synced              when the tree has reached the disk
//!     blobs/<encoding>         which blob holds this layer in which encoding
//!   chains/<hex of ChainID>/   trees of layers that need what lies below them
//!   images/<hex of ImageID>    which manifests describe the image, and when it came
//!   names/<host>/<path>/_tags/<tag>   which image a name means; _digests/<digest> for names by digest
//!   repositories/<path>/       what was pushed to `lap serve`: see [`repositories`]
//!   cache/<definition>/<key>   records of steps that were built
//!   contexts/<key>             digests of files in build contexts, remembered
//!   mounts/<key>/              directories of RUN --mount=type=cache, and clones of repositories: see [`mounts`]
//!   steps/<key>                locked while a step is executed
//!   logs/<key>                 what a step wrote
//!   stages/<key>               which steps a stage had when it was last built
//!   leases/<id>                what a running process needs; dead when nobody holds its flock
//!   partial/<algorithm>-<hex>  the beginning of a blob whose transfer was interrupted; its flock says who continues it
//!   uploads/<key>              sessions of pushes that were interrupted
//!   downloads/<key>            which version of a file ADD downloaded, by the digest of its URL
//!   cgroups/<id>               which cgroups a running command is limited with; dead when nobody holds the flock
//!   tmp/<id>/                  unfinished things; dead when nobody holds the flock
//!   trash/<id>/                things on their way out
//! ```
//!
//! The layer's *pack* (its plain tar) is the blob whose digest is the DiffID. Everything but blobs and names can
//! be made again from them.
//!
//! # Who waits for whom
//!
//! Whoever publishes something (renames it into place, and notes it in a lease) holds `lock` shared for that moment; a collection holds it
//! exclusively while it decides and renames what nothing needs to the trash. Deleting happens afterwards, without it. A layer's
//! directory is locked by whoever uses the layer, for as long as that takes; a collection leaves such layers alone. `images` and `names` are
//! locked (the directories themselves) while a record in them is read, changed and replaced; so is `repositories`. Locks are taken in this order:
//! `images`, `names`, `repositories`, `lock`, a layer.
//!
//! # Who ends before its time
//!
//! No clock says whether somebody lives, and no process ID: locks do, which the kernel lets go of when a process ends, however it ends. Whoever opens the
//! store takes the locks of what lies in `tmp`, `trash`, `leases` and `steps`; what it gets, nobody needs, and is removed ([`Store::cleared`]).
//!
//! # Power cuts
//!
//! A power cut can undo, empty or tear what was not synced, in any order. Waiting for a busy disk can cost more than a small step does, so a
//! build waits once, in [`Store::sync`], before its image becomes known, and then for the records of the image and of its name:
//!
//! - *Images and names* are synced, they and their directories. What an image needs has reached the disk before its record is written: whoever
//!   adds an image that is not known yet calls [`Store::sync`] first.
//! - *Blobs* are synced before they get their names, for nobody hashes a blob again before it is used. The name itself waits for [`Store::sync`].
//! - *Tables, cache records and records of a layer's blobs* are not waited for: they tell themselves when they are torn (a checksum; JSON, which
//!   holes, that is zeros, never are), and then count as not there. The layer is made again, which replaces the table.
//! - *Trees* cannot tell. One is trusted when `tree.synced` lies beside it, or when `tree.unsynced` names the boot that this is. Any other is compared with
//!   its table, contents and all, before anybody uses it; also one that lost its mark.

pub mod blobs;
pub mod cache;
pub mod check;
pub mod collect;
pub mod contexts;
pub mod downloads;
pub mod error;
pub mod ids;
pub mod images;
pub mod layers;
pub mod lease;
pub mod logs;
pub mod mounts;
pub mod names;
pub mod partial;
pub mod repositories;
pub mod stages;
pub mod table;
pub mod temp;
pub mod uploads;
pub mod usage;
pub mod variants;

mod cgroups;
mod files;
mod lock;
mod measure;
mod open;
mod reach;
mod remove;
mod sys;
mod trees;

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base::{Cancel, IdMap, IoContext, IoError};
use image::DiffId;
use rustix::fs::FlockOperation;

pub use blobs::{Blob, BlobWriter, Blobs, GrowingBlob, VerifiedBlob};
pub use cache::{Cache, StepKey, StepRecord};
pub use cgroups::CgroupRecord;
pub use error::StoreError;
pub use ids::Ownership;
pub use images::{ImageRecord, Images, Origin};
pub use layers::{Layer, LayerBlob, Layers};
pub use lease::Lease;
pub use mounts::{CacheDirectory, CacheMounts};
pub use names::{NameRecord, Names};
pub use partial::PartialBlob;
pub use repositories::{Repositories, Repository, RepositoryName};
pub use sys::end_when_a_map_is_unreadable;
pub use temp::{Leftovers, TempDir};
pub use variants::{Variant, Variants};

/// What this crate's operations give.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// A store, cheap to clone.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    root: PathBuf,
    /// The place cannot be written: reading works, everything else is an error.
    read_only: bool,
    /// Whose the files in trees are.
    ownership: Ownership,
    /// The ids that this process has.
    ids: IdMap,
    /// What dead processes left, and was removed when the store was opened.
    cleared: Leftovers,
    /// Where this process writes what it will rename into place.
    ingest: Mutex<Option<TempDir>>,
    /// The marks of trees that this process made, and that have not reached the disk.
    unsynced: Mutex<Vec<trees::Mark>>,
    /// Tables that were opened, and verified, by this process.
    tables: Mutex<HashMap<DiffId, layers::OpenTable>>,
}

impl Store {
    /// Opens the store at `root`, and makes it when there is none.
    ///
    /// What dead processes left behind (temporary directories, leases, trash) is removed, see [`Store::cleared`]. A store in a read-only place can be read.
    pub fn open(root: impl AsRef<Path>) -> Result<Store> {
        open::open(root.as_ref()).map(|open::Opened { root, read_only, ownership, ids, cleared }| {
            Store(Arc::new(Inner {
                root,
                read_only,
                ownership,
                ids,
                cleared,
                ingest: Mutex::default(),
                unsynced: Mutex::default(),
                tables: Mutex::default(),
            }))
        })
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.0.root
    }

    /// Whose the files in its trees are.
    pub fn ownership(&self) -> Ownership {
        self.0.ownership
    }

    /// The ids of the user namespace that this process is in.
    pub fn ids(&self) -> &IdMap {
        &self.0.ids
    }

    /// What processes left that were interrupted, and was cleared away when this store was opened.
    pub fn cleared(&self) -> Leftovers {
        self.0.cleared
    }

    /// Immutable bytes by digest.
    pub fn blobs(&self) -> Blobs {
        Blobs::new(self.clone())
    }

    /// Layers by DiffID.
    pub fn layers(&self) -> Layers {
        Layers::new(self.clone())
    }

    /// Images by ID.
    pub fn images(&self) -> Images {
        Images::new(self.clone())
    }

    /// Images by name.
    pub fn names(&self) -> Names {
        Names::new(self.clone())
    }

    /// Directories of cache mounts.
    pub fn mounts(&self) -> CacheMounts {
        CacheMounts::new(self.clone())
    }

    /// Records of built steps.
    pub fn cache(&self) -> Cache {
        Cache::new(self.clone())
    }

    /// What steps wrote.
    pub fn logs(&self) -> logs::Logs {
        logs::Logs::new(self.clone())
    }

    /// What was last built of the stages of Dockerfiles.
    pub fn stages(&self) -> stages::Stages {
        stages::Stages::new(self.clone())
    }

    /// Begins work: whatever is written or found under the lease is kept while the lease lives.
    ///
    /// On a store that cannot be written, it notes nothing.
    pub fn lease(&self, purpose: &str) -> Result<Lease> {
        if self.0.read_only {
            return Ok(Lease::without_file());
        }
        Lease::create(&self.0.root.join("leases"), purpose)
    }

    /// A private directory for unfinished things, on the store's filesystem; removed when dropped, or by the next
    /// process when this one is killed.
    pub fn temp_dir(&self, purpose: &str) -> Result<TempDir> {
        Ok(TempDir::create(&self.0.root.join("tmp"), purpose)?)
    }

    /// Waits until all that was written to the store (by any process) has reached the disk, and marks the trees made by this process so.
    pub fn sync(&self) -> Result<()> {
        let mut marks = std::mem::take(&mut *self.unsynced());
        let synced = lock::open(&self.0.root)
            .and_then(|root| rustix::fs::syncfs(root).context("sync", &self.0.root))
            .and_then(|()| marks.iter().try_for_each(trees::Mark::settle));
        if synced.is_err() {
            self.unsynced().append(&mut marks);
        }
        Ok(synced?)
    }

    fn unsynced(&self) -> std::sync::MutexGuard<'_, Vec<trees::Mark>> {
        self.0.unsynced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A path in the store.
    fn at(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.root.join(name)
    }

    /// A name for a file that is not finished: beside its place, and removed by the next process if this one dies.
    fn unfinished(&self) -> Result<PathBuf, IoError> {
        let mut ingest = self.0.ingest.lock().unwrap_or_else(PoisonError::into_inner);
        let directory = match &mut *ingest {
            Some(directory) => directory,
            none => none.insert(TempDir::create(&self.at("tmp"), "ingest")?),
        };
        Ok(directory.path().join(files::unique()))
    }

    /// The right to publish: no collection decides meanwhile. A store that cannot be written has no collections.
    fn publishing(&self) -> Result<Publishing, IoError> {
        let path = self.at("lock");
        let file = match lock::open(&path) {
            Err(_) if self.0.read_only => None,
            result => Some(result?),
        };
        if let Some(file) = &file {
            lock::wait(file, FlockOperation::LockShared).context("lock", &path)?;
        }
        Ok(Publishing { _lock: file })
    }

    /// The right to decide what is needed, and to take away what is not: nobody publishes meanwhile. Publishing takes
    /// moments, so this does not wait long. In a store that cannot be written nobody publishes.
    fn alone(&self, cancel: &Cancel) -> Result<Option<OwnedFd>> {
        if self.0.read_only {
            return Ok(None);
        }
        let path = self.at("lock");
        let file = std::fs::OpenOptions::new().write(true).open(&path).context("open", &path)?;
        while !lock::attempt(&file, FlockOperation::NonBlockingLockExclusive).context("lock", &path)? {
            cancel.check()?;
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(Some(file.into()))
    }

    /// Writes a small file: whole or not at all, and on the disk.
    fn replace(&self, path: &Path, bytes: &[u8]) -> Result<(), IoError> {
        files::replace(&self.unfinished()?, path, bytes)
    }

    /// Writes a small file that tells itself when a power cut has torn it, and can be made again then.
    fn replace_unsynced(&self, path: &Path, bytes: &[u8]) -> Result<(), IoError> {
        files::replace_unsynced(&self.unfinished()?, path, bytes)
    }
}

/// While this lives, no collection decides.
struct Publishing {
    _lock: Option<OwnedFd>,
}
