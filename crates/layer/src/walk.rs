//! Committing: the upper directory of an overlay → a layer (ST-050 … ST-056, DF-168, DF-169).
//!
//! What a RUN made is hostile: it is read through descriptors of directories, and no symbolic link is ever followed. Every file is read once, while
//! the layer is hashed as its tar; on the way the directory is frozen, so that it gives the same stat as the tar that it stands for.

pub(crate) mod attributes;
pub(crate) mod freeze;
mod holes;
mod owners;

#[cfg(test)]
mod tests;

use std::path::Path;

use base::{Cancel, IoContext};
use store::{Layer, Lease, Store, TempDir};

use crate::packer::{PackOptions, Packer};
pub use owners::{Owner, Owners, Told};

use crate::rooted::{self, Rooted};
use crate::{Result, View};

/// Gives an upper directory that is about to be mounted the owner, mode and time of the view's root: the root of a mounted overlay is that of its upper directory.
pub fn prepare_upper(store: &Store, upper: &Path, below: &View) -> Result<()> {
    let Some(root) = below.find(b"") else { return Ok(()) };
    let mut rooted = Rooted::open(upper, store.ownership())?;
    rooted::finish_open(rooted.directory(b"")?, &below.entry(root), store.ownership())
        .context("set the metadata of", upper)?;
    Ok(())
}

/// What a command left.
pub struct Upper<'a> {
    /// A temporary directory.
    pub place: TempDir,
    /// Its subdirectory that is the upper directory of the overlay.
    pub name: &'a str,
    /// What the overlay lay on.
    pub below: &'a View,
    /// Whose the files are.
    pub owners: &'a Owners,
}

/// Makes the upper directory of an overlay a layer: hashed as its tar, frozen (times in whole seconds, clamped when asked), kept as its tree.
///
/// Whiteouts of what lies not below are dropped, sockets too; hardlinks are kept; overlay's private attributes never leave.
///
/// An entry for the root is made only when its owner, mode or attributes differ from those below; see [`prepare_upper`].
pub fn commit_upper(
    store: &Store,
    lease: &Lease,
    upper: Upper<'_>,
    options: PackOptions,
    cancel: &Cancel,
) -> Result<Layer> {
    let Upper { place, name, below, owners } = upper;
    let tree = place.detach(name)?;
    let mut packer = Packer::hash_only(store, lease, options)?;
    let surroundings = freeze::Surroundings {
        below,
        owners,
        ownership: store.ownership(),
        clamp: options.clamp,
        changes: None,
    };
    freeze::freeze(&mut packer, tree.path(), surroundings, cancel)?;
    packer.finish(Some(tree))
}
