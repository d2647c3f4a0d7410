//! Unpacking: a scanned tar → a tree in overlayfs' form (ST-050 … ST-074).
//!
//! The table says what there is, the tar is only asked for contents: directories, links, devices and whiteouts are made in the order of the table, then
//! the files in the order of the tar, then the hardlinks; directories get their metadata last. Since the table is consistent (each path once, every parent
//! a directory of the same table) nothing is ever replaced, and a path leads through directories made here and nothing else: every path is resolved
//! inside the new tree with `openat2`, through no symbolic link at all. Nothing in an archive can name anything outside.

pub(crate) mod contents;
pub(crate) mod links;

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod tests;

use std::ffi::OsStr;
use std::io::Read;
use std::os::fd::BorrowedFd;

use base::{Cancel, IdMap, IoContext};
use rustix::fs::{FileType, Mode, XattrFlags};
use store::table::{Entry, EntryKind, Table};
use store::{Layer, Lease, Ownership, Store, TempDir};

use crate::rooted::{self, Rooted};
use crate::view::{self, View};
use crate::{LayerError, Result};

pub(crate) use contents::{Pieces, copy_contents};

/// How often a loop over entries asks whether the work is cancelled.
const CHECK_EVERY: usize = 256;

/// Unpacks a tar (plain) whose table is known into an empty directory. Every content is verified with the digest that the table has of it.
///
/// `below` are the layers below, lowest first: for implied directories and for hardlinks that need them (whose files are read from the store).
/// The tar is not read beyond the last content.
pub fn apply(
    store: &Store,
    lease: &Lease,
    tar: &mut dyn Read,
    table: &Table,
    below: &[Layer],
    tree: &TempDir,
    cancel: &Cancel,
) -> Result<()> {
    let below = View::new(below);
    let ownership = store.ownership();
    if ownership == Ownership::Mapped {
        refuse_unknown_owners(table, store.ids())?;
    }
    let mut rooted = Rooted::open(tree.path(), ownership)?;
    // What the directory inherited (a set-group-ID bit) must not be passed on.
    rustix::fs::fchmod(rooted.directory(b"")?, Mode::RWXU).context("change the mode of", tree.path())?;
    make_structure(table, &mut rooted, cancel)?;
    contents::write(tar, table, &rooted, cancel)?;
    links::make(store, lease, table, &below, &mut rooted, cancel)?;
    finish_directories(table, &below, &mut rooted, cancel)
}

/// Makes all that needs nothing from the tar, and no other entry but its parents.
fn make_structure(table: &Table, rooted: &mut Rooted, cancel: &Cancel) -> Result<()> {
    for (index, entry) in table.entries().enumerate() {
        if index % CHECK_EVERY == 0 {
            cancel.check()?;
        }
        match &entry.kind {
            EntryKind::Directory { .. } => make_directory(rooted, entry.path)?,
            EntryKind::File { size, content, sparse, .. } => {
                if Pieces::new(entry.path, *size, sparse.as_deref())?.stored() == 0 {
                    contents::write_file(
                        rooted,
                        &entry,
                        *size,
                        sparse.as_deref(),
                        *content,
                        &mut std::io::empty(),
                        cancel,
                    )?;
                }
            }
            EntryKind::Hardlink { .. } => {}
            _ => make_other(rooted, &entry)?,
        }
    }
    Ok(())
}

/// Makes a directory; its metadata comes later.
fn make_directory(rooted: &mut Rooted, path: &[u8]) -> Result<()> {
    if path.is_empty() {
        return Ok(());
    }
    let full = rooted.name(path);
    let (parent, name) = rooted.parent(path)?;
    rustix::fs::mkdirat(parent, name, Mode::RWXU).context("create", full)?;
    Ok(())
}

/// An owner that the user namespace does not have cannot be given to a file.
pub(crate) fn refuse_unknown_owners(table: &Table, ids: &IdMap) -> Result<()> {
    match table.entries().find(|entry| !ids.knows(entry.uid, entry.gid)) {
        None => Ok(()),
        Some(entry) => Err(LayerError::Owner {
            path: entry.path.to_vec(),
            owner: (entry.uid, entry.gid),
            known: ids.user_count(),
        }),
    }
}

/// Makes a symbolic link, a device, a pipe or a whiteout; a whiteout in place of a device that cannot be made.
pub(crate) fn make_other(rooted: &mut Rooted, entry: &Entry<'_>) -> Result<()> {
    let ownership = rooted.ownership();
    let full = rooted.name(entry.path);
    let (parent, name) = rooted.parent(entry.path)?;
    let mode = Mode::RUSR | Mode::WUSR;
    let result = match entry.kind {
        EntryKind::Symlink { target } => rustix::fs::symlinkat(target, parent, name),
        EntryKind::CharacterDevice { major: 0, minor: 0 } => {
            return Err(LayerError::Entry {
                entry: entry.path.to_vec(),
                reason: "the device 0:0 is overlayfs' own sign of a removed file".to_owned(),
            });
        }
        EntryKind::CharacterDevice { .. } | EntryKind::BlockDevice { .. } if !ownership.has_devices() => {
            return Ok(make_whiteout(parent, name).context("create", full)?);
        }
        EntryKind::CharacterDevice { major, minor } => {
            let device = rustix::fs::makedev(major, minor);
            rustix::fs::mknodat(parent, name, FileType::CharacterDevice, mode, device)
        }
        EntryKind::BlockDevice { major, minor } => {
            let device = rustix::fs::makedev(major, minor);
            rustix::fs::mknodat(parent, name, FileType::BlockDevice, mode, device)
        }
        EntryKind::Fifo => rustix::fs::mknodat(parent, name, FileType::Fifo, mode, 0),
        EntryKind::Whiteout => {
            return Ok(make_whiteout(parent, name).context("create", full)?);
        }
        EntryKind::File { .. } | EntryKind::Hardlink { .. } | EntryKind::Directory { .. } => return Ok(()),
    };
    result.context("create", &full)?;
    let link = matches!(entry.kind, EntryKind::Symlink { .. });
    rooted::finish_closed(parent, name, entry, link, ownership).context("set the metadata of", full)?;
    Ok(())
}

/// Makes overlayfs' sign of a removed file.
pub(crate) fn make_whiteout(parent: BorrowedFd<'_>, name: &OsStr) -> rustix::io::Result<()> {
    rustix::fs::mknodat(parent, name, FileType::CharacterDevice, Mode::empty(), 0)
}

/// Gives the directories their metadata: the last first, so that none is closed to us before what is in it is done.
fn finish_directories(table: &Table, below: &View, rooted: &mut Rooted, cancel: &Cancel) -> Result<()> {
    let ownership = rooted.ownership();
    for index in (0..table.len()).rev() {
        if index % CHECK_EVERY == 0 {
            cancel.check()?;
        }
        let Some(entry) = table.entry(index) else { continue };
        let EntryKind::Directory { opaque, .. } = entry.kind else { continue };
        let entry = below.with_metadata(below.layers().len(), table, entry);
        if opaque {
            let full = rooted.name(entry.path);
            let directory = rooted.directory(entry.path)?;
            rustix::fs::fsetxattr(directory, ownership.opaque_attribute(), b"y", XattrFlags::empty())
                .context("mark as opaque", full)?;
        }
        finish_directory(rooted, &entry)?;
    }
    if table.find(b"").is_none() {
        finish_directory(rooted, &view::implied_directory())?;
    }
    Ok(())
}

/// Gives a directory, in which everything is, its metadata.
pub(crate) fn finish_directory(rooted: &mut Rooted, entry: &Entry<'_>) -> Result<()> {
    let ownership = rooted.ownership();
    let full = rooted.name(entry.path);
    rooted::finish_open(rooted.directory(entry.path)?, entry, ownership)
        .context("set the metadata of", full)?;
    Ok(())
}
