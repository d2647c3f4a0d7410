//! A view as a tar.

use std::io::Write;

use base::Cancel;
use store::table::EntryKind;
use store::{Lease, Store};

use super::{Step, Steps};
use crate::packer::{Meta, PackOptions, Special};
use crate::tar_writer::TarWriter;
use crate::{Result, View};

pub(super) fn write(
    store: &Store,
    lease: &Lease,
    view: &View,
    out: &mut dyn Write,
    clamp: Option<i64>,
    cancel: &Cancel,
) -> Result<()> {
    let mut writer = TarWriter::new(out, PackOptions { clamp });
    let mut steps = Steps::new(view);
    for (path, node) in view.walk(b"").filter(|(path, _)| !path.is_empty()) {
        cancel.check()?;
        match steps.step(&path, node)? {
            Step::Link(entry, first) => writer.hardlink(&path, &Meta::from(&entry), &first)?,
            Step::Make(entry, node) => match entry.kind {
                EntryKind::File { size, .. } => {
                    let mut contents = view.open(store, lease, node)?;
                    writer.file(&path, &Meta::from(&entry), size, &mut contents)?;
                }
                EntryKind::Directory { .. } => writer.directory(&path, &Meta::from(&entry), false)?,
                EntryKind::Symlink { target } => writer.symlink(&path, &Meta::from(&entry), target)?,
                EntryKind::CharacterDevice { major, minor } => {
                    writer.special(&path, &Meta::from(&entry), Special::CharacterDevice { major, minor })?;
                }
                EntryKind::BlockDevice { major, minor } => {
                    writer.special(&path, &Meta::from(&entry), Special::BlockDevice { major, minor })?;
                }
                EntryKind::Fifo => writer.special(&path, &Meta::from(&entry), Special::Fifo)?,
                // A view has no whiteouts, and a step no hardlink that is none.
                EntryKind::Whiteout | EntryKind::Hardlink { .. } => {}
            },
        }
    }
    writer.finish()?;
    Ok(())
}
