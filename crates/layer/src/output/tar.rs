//! A view as a tar.

use std::io::Write;

use base::Cancel;
use store::table::EntryKind;
use store::{Lease, Store};

use super::{Step, Steps};
use crate::packer::{Meta, PackOptions, Special};
use crate::tar_writer::TarWriter;
use crate::{FIXED_TIME, Result, View};

pub(super) fn write(
    store: &Store,
    lease: &Lease,
    roots: &[(Option<String>, View)],
    out: &mut dyn Write,
    clamp: Option<i64>,
    cancel: &Cancel,
) -> Result<()> {
    let mut writer = TarWriter::new(out, PackOptions { clamp });
    for (directory, view) in roots {
        let mut prefix = Vec::new();
        if let Some(directory) = directory {
            let meta = Meta { mode: 0o755, mtime: FIXED_TIME, ..Meta::default() };
            writer.directory(directory.as_bytes(), &meta, false)?;
            prefix = format!("{directory}/").into_bytes();
        }
        write_one(store, lease, view, &prefix, &mut writer, cancel)?;
    }
    writer.finish()?;
    Ok(())
}

fn write_one(
    store: &Store,
    lease: &Lease,
    view: &View,
    prefix: &[u8],
    writer: &mut TarWriter<&mut dyn Write>,
    cancel: &Cancel,
) -> Result<()> {
    let mut steps = Steps::new(view);
    let placed = |path: &[u8]| [prefix, path].concat();
    for (path, node) in view.walk(b"").filter(|(path, _)| !path.is_empty()) {
        cancel.check()?;
        let place = placed(&path);
        match steps.step(&path, node)? {
            Step::Link(entry, first) => writer.hardlink(&place, &Meta::from(&entry), &placed(&first))?,
            Step::Make(entry, node) => match entry.kind {
                EntryKind::File { size, .. } => {
                    let mut contents = view.open(store, lease, node)?;
                    writer.file(&place, &Meta::from(&entry), size, &mut contents)?;
                }
                EntryKind::Directory { .. } => writer.directory(&place, &Meta::from(&entry), false)?,
                EntryKind::Symlink { target } => writer.symlink(&place, &Meta::from(&entry), target)?,
                EntryKind::CharacterDevice { major, minor } => {
                    writer.special(&place, &Meta::from(&entry), Special::CharacterDevice { major, minor })?;
                }
                EntryKind::BlockDevice { major, minor } => {
                    writer.special(&place, &Meta::from(&entry), Special::BlockDevice { major, minor })?;
                }
                EntryKind::Fifo => writer.special(&place, &Meta::from(&entry), Special::Fifo)?,
                // A view has no whiteouts, and a step no hardlink that is none.
                EntryKind::Whiteout | EntryKind::Hardlink { .. } => {}
            },
        }
    }
    Ok(())
}
