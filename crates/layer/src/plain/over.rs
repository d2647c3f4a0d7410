//! Unpacking a layer over what the layers below have left in a directory.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;

use base::{Cancel, IoContext};
use rustix::fs::{AtFlags, FileType, Mode};
use store::table::{Entry, EntryKind, Table};
use store::{Layer, Lease, Ownership, Store};

use crate::apply::{self, Pieces, contents, links};
use crate::forms::source;
use crate::rooted::{self, Rooted};
use crate::{Result, View};

/// Changes the directory, in which `below` is, as the layer says.
pub(super) fn apply_over(
    store: &Store,
    lease: &Lease,
    layer: &Layer,
    below: &View,
    directory: &Path,
    cancel: &Cancel,
) -> Result<()> {
    let table = layer.table();
    let ownership = store.ownership();
    if ownership == Ownership::Mapped {
        apply::refuse_unknown_owners(table, store.ids())?;
    }
    let mut rooted = Rooted::open(directory, ownership)?;
    make_structure(table, &mut rooted, cancel)?;
    match layer.tree(None)?.filter(|_| !layer.has_pack().unwrap_or(false)) {
        Some(tree) => clone_files(table, &tree, &mut rooted, cancel)?,
        None => contents::write(&mut source::open(store, lease, layer)?, table, &rooted, cancel)?,
    }
    links::make(store, lease, table, below, &mut rooted, cancel)?;
    finish_directories(table, below, &mut rooted, cancel)
}

/// Removes what the layer removes or replaces, and makes all that needs no contents.
fn make_structure(table: &Table, rooted: &mut Rooted, cancel: &Cancel) -> Result<()> {
    for entry in table.entries() {
        cancel.check()?;
        match entry.kind {
            EntryKind::Directory { opaque, .. } => make_directory(rooted, entry.path, opaque)?,
            EntryKind::Whiteout | EntryKind::Hardlink { .. } => remove(rooted, entry.path)?,
            EntryKind::File { size, content, ref sparse, .. } => {
                remove(rooted, entry.path)?;
                let sparse = sparse.as_deref();
                if Pieces::new(entry.path, size, sparse)?.stored() == 0 {
                    let nothing = &mut std::io::empty();
                    contents::write_file(rooted, &entry, size, sparse, content, nothing, cancel)?;
                }
            }
            EntryKind::CharacterDevice { .. } | EntryKind::BlockDevice { .. } => {
                remove(rooted, entry.path)?;
                make_device(rooted, &entry)?;
            }
            EntryKind::Symlink { .. } | EntryKind::Fifo => {
                remove(rooted, entry.path)?;
                apply::make_other(rooted, &entry)?;
            }
        }
    }
    Ok(())
}

/// Makes a device where that is allowed. Where it is not, there is none: nobody could open it, either.
fn make_device(rooted: &mut Rooted, entry: &Entry<'_>) -> Result<()> {
    if !rooted.ownership().has_devices() {
        return Ok(());
    }
    match apply::make_other(rooted, entry) {
        Err(crate::LayerError::Io(error)) if error.source.raw_os_error() == Some(EPERM) => Ok(()),
        result => result,
    }
}

const EPERM: i32 = rustix::io::Errno::PERM.raw_os_error();

fn make_directory(rooted: &mut Rooted, path: &[u8], opaque: bool) -> Result<()> {
    if path.is_empty() {
        return Ok(());
    }
    match rooted.examine(path)?.map(|stat| FileType::from_raw_mode(stat.st_mode)) {
        Some(FileType::Directory) if !opaque => return Ok(()),
        Some(_) => remove(rooted, path)?,
        None => {}
    }
    let full = rooted.name(path);
    let (parent, name) = rooted.parent(path)?;
    rustix::fs::mkdirat(parent, name, Mode::RWXU).context("create", full)?;
    Ok(())
}

/// Removes whatever is at a path, with all that is in it.
fn remove(rooted: &mut Rooted, path: &[u8]) -> Result<()> {
    let Some(stat) = rooted.examine(path)? else { return Ok(()) };
    let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
    if is_directory {
        let full = rooted.name(path);
        for name in rooted::names(rooted.directory(path)?).context("read", full)? {
            remove(rooted, &super::stamps::join(path, &name))?;
        }
        rooted.forget();
    }
    let full = rooted.name(path);
    let (parent, name) = rooted.parent(path)?;
    let flags = if is_directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
    rustix::fs::unlinkat(parent, name, flags).context("remove", full)?;
    Ok(())
}

/// Makes the files of the layer from those of its tree, which share their blocks where the filesystem can (btrfs, xfs).
fn clone_files(table: &Table, tree: &Path, rooted: &mut Rooted, cancel: &Cancel) -> Result<()> {
    let mut from = Rooted::open(tree, Ownership::InTables)?;
    let mut can_share = true;
    for entry in table.entries() {
        cancel.check()?;
        let EntryKind::File { size, ref sparse, .. } = entry.kind else { continue };
        if Pieces::new(entry.path, size, sparse.as_deref())?.stored() == 0 {
            continue;
        }
        let original = from.read(entry.path)?;
        let copy = rooted.create(entry.path)?;
        let full = rooted.name(entry.path);
        can_share = can_share && rustix::fs::ioctl_ficlone(copy.as_fd(), original.as_fd()).is_ok();
        if !can_share {
            // The kernel copies within itself where it can.
            std::io::copy(&mut &original, &mut &copy).context("copy", &full)?;
        }
        finish_file(&copy, &entry, rooted).context("set the metadata of", full)?;
    }
    Ok(())
}

fn finish_file(file: &File, entry: &Entry<'_>, rooted: &Rooted) -> rustix::io::Result<()> {
    rooted::finish_open(file, entry, rooted.ownership())
}

/// Gives the directories that the layer names their metadata, the last first.
fn finish_directories(table: &Table, below: &View, rooted: &mut Rooted, cancel: &Cancel) -> Result<()> {
    for index in (0..table.len()).rev() {
        cancel.check()?;
        let Some(entry) = table.entry(index) else { continue };
        if !matches!(entry.kind, EntryKind::Directory { .. }) {
            continue;
        }
        apply::finish_directory(rooted, &below.with_metadata(below.layers().len(), table, entry))?;
    }
    if table.find(b"").is_none() {
        // What is made in it has changed its time.
        let root = below.find(b"").map_or_else(crate::view::implied_directory, |root| below.entry(root));
        apply::finish_directory(rooted, &Entry { path: b"", ..root })?;
    }
    Ok(())
}
