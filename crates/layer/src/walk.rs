//! Committing: the upper directory of an overlay → a layer.

use base::Cancel;
use store::{Layer, Lease, Store, TempDir};

use crate::packer::PackOptions;
use crate::{Result, View};

/// Makes the upper directory of an overlay a layer: hashed as its tar, frozen (times in whole seconds, clamped when asked), kept as its tree.
///
/// `upper` is a temporary directory whose subdirectory `name` is the upper directory. Whiteouts of what `below` does not have are dropped, sockets too; hardlinks are kept;
/// overlay's private attributes never leave.
pub fn commit_upper(
    store: &Store,
    lease: &Lease,
    upper: TempDir,
    name: &str,
    below: &View,
    options: PackOptions,
    cancel: &Cancel,
) -> Result<Layer> {
    let _ = (store, lease, upper, name, below, options, cancel);
    todo!()
}
