//! Root filesystems going out: a view → one flattened tar, or a directory (ST-040, ST-041; DF-193, DF-194).

use std::io::Write;
use std::path::Path;

use base::Cancel;
use store::{Lease, Store};

use crate::{Result, View};

/// Writes the merged filesystem as one tar, deterministically; no time is later than `clamp`.
pub fn write_tar(
    store: &Store,
    lease: &Lease,
    view: &View,
    out: &mut dyn Write,
    clamp: Option<i64>,
    cancel: &Cancel,
) -> Result<()> {
    let _ = (store, lease, view, out, clamp, cancel);
    todo!()
}

/// Writes the merged filesystem into a directory (made if missing; what is there already stays, or is replaced where names are the same):
/// owners are the caller's, modes and times are kept; devices are left out and counted.
pub fn write_directory(
    store: &Store,
    lease: &Lease,
    view: &View,
    destination: &Path,
    clamp: Option<i64>,
    cancel: &Cancel,
) -> Result<Vec<String>> {
    let _ = (store, lease, view, destination, clamp, cancel);
    todo!()
}
