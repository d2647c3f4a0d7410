//! A stack as a plain directory, where overlayfs cannot be had: made by unpacking one layer over the other, and compared afterwards.
//!
//! ```text
//! layers ──over──▶ directory ──stamps──▶ a command changes it ──changes──▶ what the layer holds ──freeze──▶ pack + table
//! ```
//!
//! The directory is kept from one command to the next: only layers that are not in it yet are unpacked. What is still the same is known by
//! inode and ctime, which no command can set; what is not is compared with the tables. So nothing is ever hashed that was not touched.
//!
//! The layer is the one that an overlay would have given, but for what an overlay copies up without need: a file that was opened for writing and not
//! written, or given the mode that it had, is not in it.

mod changes;
mod over;
mod stamps;

use std::path::{Path, PathBuf};

use base::Cancel;
use store::{Layer, Lease, Store, TempDir};

use crate::packer::{PackOptions, Packer};
use crate::walk::{Owners, freeze};
use crate::{Result, View};
use stamps::Stamps;

pub(crate) use changes::Changes;

/// The name of the directory within the temporary one, which nobody else can look into.
const ROOT: &str = "root";

/// A plain directory with the filesystem of a stack in it.
pub struct Plain {
    place: TempDir,
    root: PathBuf,
    /// What is in it.
    view: View,
    /// How everything in it looked when it was complete.
    stamps: Stamps,
}

impl Plain {
    /// An empty directory.
    pub fn new(store: &Store) -> Result<Self> {
        let place = store.temp_dir("snapshot")?;
        let root = place.subdirectory(ROOT)?;
        Ok(Self { place, root, view: View::new(&[]), stamps: Stamps::default() })
    }

    /// Where the filesystem is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A private directory beside it.
    pub fn place(&self) -> &TempDir {
        &self.place
    }

    /// How many of the lowest layers of a stack are in it; `None` when there is something else in it.
    pub fn prefix_of(&self, view: &View) -> Option<usize> {
        let here = self.view.layers();
        let there = view.layers().get(..here.len())?;
        let same = here.iter().zip(there).all(|(here, there)| here.diff_id() == there.diff_id());
        same.then_some(here.len())
    }

    /// Unpacks what is missing of a stack, whose lowest layers are in it.
    pub fn advance(&mut self, store: &Store, lease: &Lease, view: &View, cancel: &Cancel) -> Result<()> {
        let missing = view.layers().get(self.view.layers().len()..).unwrap_or_default();
        for layer in missing {
            over::apply_over(store, lease, layer, &self.view, &self.root, cancel)?;
            self.view = self.view.with(layer.clone());
        }
        if !missing.is_empty() || self.stamps.is_empty() {
            self.stamps = Stamps::take(&self.root, cancel)?;
        }
        Ok(())
    }

    /// Makes what was changed in it a layer, which is kept as its pack; the directory then has that layer, too.
    pub fn commit(
        &mut self,
        store: &Store,
        lease: &Lease,
        owners: &Owners,
        options: PackOptions,
        cancel: &Cancel,
    ) -> Result<Layer> {
        let changes = Changes::find(&self.root, &self.view, &self.stamps, store.ownership(), cancel)?;
        let mut packer = Packer::to_store(store, lease, options)?;
        let surroundings = freeze::Surroundings {
            below: &self.view,
            owners,
            ownership: store.ownership(),
            clamp: options.clamp,
            changes: Some(&changes),
        };
        freeze::freeze(&mut packer, &self.root, surroundings, cancel)?;
        let layer = packer.finish(None)?;
        self.view = self.view.with(layer.clone());
        self.stamps = Stamps::take(&self.root, cancel)?;
        Ok(layer)
    }
}
