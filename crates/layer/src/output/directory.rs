//! A view as a directory of the caller.

use std::path::Path;

use base::{Cancel, IoContext};
use rustix::fs::{AtFlags, FileType, Mode};
use store::table::{ContentDigest, Entry, EntryKind};
use store::{Lease, Ownership, Store};

use super::{Step, Steps};
use crate::apply::{Pieces, copy_contents};
use crate::rooted::{Rooted, times};
use crate::view::Node;
use crate::{LayerError, Result, View};

/// A destination that is being written.
struct Destination<'a> {
    store: &'a Store,
    lease: &'a Lease,
    view: &'a View,
    rooted: Rooted,
    clamp: Option<i64>,
    cancel: &'a Cancel,
    /// Modes and times of directories, to be set when all is in them.
    directories: Vec<(Vec<u8>, u32, i64)>,
    devices: usize,
}

pub(super) fn write(
    store: &Store,
    lease: &Lease,
    view: &View,
    destination: &Path,
    clamp: Option<i64>,
    cancel: &Cancel,
) -> Result<Vec<String>> {
    std::fs::create_dir_all(destination).context("create the directory", destination)?;
    // The destination itself may be a link: it is what the caller named.
    let place = std::fs::canonicalize(destination).context("resolve", destination)?;
    let rooted = Rooted::open(&place, Ownership::InTables)?;
    let mut destination =
        Destination { store, lease, view, rooted, clamp, cancel, directories: Vec::new(), devices: 0 };
    let mut steps = Steps::new(view);
    for (path, node) in view.walk(b"").filter(|(path, _)| !path.is_empty()) {
        cancel.check()?;
        match steps.step(&path, node)? {
            Step::Link(_, first) => destination.link(&path, &first)?,
            Step::Make(entry, node) => destination.make(&entry, node)?,
        }
    }
    destination.finish_directories()?;
    Ok(destination.warnings())
}

impl Destination<'_> {
    fn make(&mut self, entry: &Entry<'_>, node: Node) -> Result<()> {
        match entry.kind {
            EntryKind::Directory { .. } => self.directory(entry),
            EntryKind::File { size, content, .. } => self.file(entry, node, size, content),
            EntryKind::Symlink { target } => {
                self.make_room(entry.path)?;
                let full = self.rooted.name(entry.path);
                let (parent, name) = self.rooted.parent(entry.path)?;
                rustix::fs::symlinkat(target, parent, name).context("create", &full)?;
                self.set_time(entry)
            }
            EntryKind::Fifo => {
                self.make_room(entry.path)?;
                let full = self.rooted.name(entry.path);
                let (parent, name) = self.rooted.parent(entry.path)?;
                rustix::fs::mknodat(parent, name, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)
                    .context("create", &full)?;
                rustix::fs::chmodat(parent, name, mode(entry), AtFlags::empty())
                    .context("change the mode of", &full)?;
                self.set_time(entry)
            }
            EntryKind::CharacterDevice { .. } | EntryKind::BlockDevice { .. } => {
                self.devices += 1;
                Ok(())
            }
            EntryKind::Whiteout | EntryKind::Hardlink { .. } => Ok(()),
        }
    }

    fn directory(&mut self, entry: &Entry<'_>) -> Result<()> {
        let full = self.rooted.name(entry.path);
        match self.rooted.examine(entry.path)?.map(|stat| FileType::from_raw_mode(stat.st_mode)) {
            None => {
                let (parent, name) = self.rooted.parent(entry.path)?;
                rustix::fs::mkdirat(parent, name, Mode::RWXU).context("create the directory", full)?;
            }
            Some(FileType::Directory) => {}
            Some(FileType::Symlink) => {
                let reason = "a symbolic link is there already, and nothing is written through it";
                return Err(LayerError::Destination { path: full, reason });
            }
            Some(_) => {
                let reason = "a directory is to be there, and something else is there already";
                return Err(LayerError::Destination { path: full, reason });
            }
        }
        self.directories.push((entry.path.to_vec(), entry.mode, entry.mtime));
        Ok(())
    }

    fn file(&mut self, entry: &Entry<'_>, node: Node, size: u64, expected: ContentDigest) -> Result<()> {
        let mut contents = self.view.open(self.store, self.lease, node)?;
        self.make_room(entry.path)?;
        let full = self.rooted.name(entry.path);
        let file = self.rooted.create(entry.path)?;
        let pieces = Pieces::new(entry.path, size, None)?;
        let found = copy_contents(&file, &full, &pieces, size, &mut contents, true, self.cancel)?;
        if found != expected {
            let reason = "its contents in the store are damaged".to_owned();
            return Err(LayerError::Entry { entry: entry.path.to_vec(), reason });
        }
        rustix::fs::fchmod(&file, mode(entry)).context("change the mode of", &full)?;
        rustix::fs::futimens(&file, &times(self.clamped(entry.mtime))).context("set the time of", full)?;
        Ok(())
    }

    fn link(&mut self, path: &[u8], first: &[u8]) -> Result<()> {
        // A device was left out: so are its other names.
        let mut other = self.rooted.again();
        if other.examine(first)?.is_none() {
            self.devices += 1;
            return Ok(());
        }
        self.make_room(path)?;
        let full = self.rooted.name(path);
        let (old_parent, old_name) = other.parent(first)?;
        let (new_parent, new_name) = self.rooted.parent(path)?;
        rustix::fs::linkat(old_parent, old_name, new_parent, new_name, AtFlags::empty())
            .context("link", full)?;
        Ok(())
    }

    /// Removes what is at a path and is no directory: it is not written into, since it may have other names.
    fn make_room(&mut self, path: &[u8]) -> Result<()> {
        let full = self.rooted.name(path);
        let (parent, name) = self.rooted.parent(path)?;
        match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
            Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(rustix::io::Errno::ISDIR) => {
                let reason = "a directory is there already, and something else is to be there";
                Err(LayerError::Destination { path: full, reason })
            }
            result => Ok(result.context("remove", full)?),
        }
    }

    fn set_time(&mut self, entry: &Entry<'_>) -> Result<()> {
        let time = times(self.clamped(entry.mtime));
        let full = self.rooted.name(entry.path);
        let (parent, name) = self.rooted.parent(entry.path)?;
        rustix::fs::utimensat(parent, name, &time, AtFlags::SYMLINK_NOFOLLOW)
            .context("set the time of", full)?;
        Ok(())
    }

    /// The last first, so that none is closed to us before what is in it is done.
    fn finish_directories(&mut self) -> Result<()> {
        for (path, mode, mtime) in std::mem::take(&mut self.directories).into_iter().rev() {
            let time = times(self.clamped(mtime));
            let full = self.rooted.name(&path);
            let directory = self.rooted.directory(&path)?;
            rustix::fs::fchmod(directory, Mode::from_raw_mode(mode & 0o7777))
                .context("change the mode of", &full)?;
            rustix::fs::futimens(directory, &time).context("set the time of", full)?;
        }
        Ok(())
    }

    fn clamped(&self, mtime: i64) -> i64 {
        self.clamp.map_or(mtime, |clamp| mtime.min(clamp))
    }

    fn warnings(&self) -> Vec<String> {
        match self.devices {
            0 => Vec::new(),
            1 => vec!["1 device was left out".to_owned()],
            count => vec![format!("{count} devices were left out")],
        }
    }
}

fn mode(entry: &Entry<'_>) -> Mode {
    Mode::from_raw_mode(entry.mode & 0o7777)
}
