//! Committing: the upper directory of an overlay → a layer (ST-050 … ST-056, DF-168, DF-169).
//!
//! What a RUN made is hostile: it is read through descriptors of directories, and no symbolic link is ever followed. Every file is read once, while
//! the layer is hashed as its tar; on the way the directory is frozen, so that it gives the same stat as the tar that it stands for.

mod attributes;
mod freeze;
mod holes;

#[cfg(test)]
mod tests;

use std::path::Path;

use base::{Cancel, IoContext};
use store::{Layer, Lease, Store, TempDir};

use crate::packer::{PackOptions, Packer};
use crate::rooted::{self, Rooted};
use crate::{Result, View};

/// Gives an upper directory that is about to be mounted the owner, mode and time of the view's root: the root of a mounted overlay is that of its upper directory.
pub fn prepare_upper(upper: &Path, below: &View) -> Result<()> {
    let Some(root) = below.find(b"") else { return Ok(()) };
    let mut rooted = Rooted::open(upper)?;
    rooted::finish_open(rooted.directory(b"")?, &below.entry(root)).context("set the metadata of", upper)?;
    Ok(())
}

/// Makes the upper directory of an overlay a layer: hashed as its tar, frozen (times in whole seconds, clamped when asked), kept as its tree.
///
/// `upper` is a temporary directory whose subdirectory `name` is the upper directory. Whiteouts of what `below` does not have are dropped, sockets too; hardlinks are kept;
/// overlay's private attributes never leave.
///
/// An entry for the root is made only when its owner, mode or attributes differ from those in `below`; see [`prepare_upper`].
pub fn commit_upper(
    store: &Store,
    lease: &Lease,
    upper: TempDir,
    name: &str,
    below: &View,
    options: PackOptions,
    cancel: &Cancel,
) -> Result<Layer> {
    let tree = upper.detach(name)?;
    let mut packer = Packer::hash_only(store, lease, options)?;
    freeze::freeze(&mut packer, tree.path(), below, options.clamp, cancel)?;
    packer.finish(Some(tree))
}
