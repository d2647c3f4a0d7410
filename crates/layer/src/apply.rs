//! Unpacking: a scanned tar → a tree in overlayfs' form (ST-050 … ST-074).
//!
//! Every path is resolved inside the new tree with `openat2`; nothing in an archive can name anything outside.

use std::io::Read;

use base::Cancel;
use store::table::Table;
use store::{Layer, TempDir};

use crate::Result;

/// Unpacks a tar (plain) whose table is known into an empty directory. `below` are the layers below, lowest first: for implied directories and for hardlinks that need them.
pub fn apply(
    tar: &mut dyn Read,
    table: &Table,
    below: &[Layer],
    tree: &TempDir,
    cancel: &Cancel,
) -> Result<()> {
    let _ = (tar, table, below, tree, cancel);
    todo!()
}
