//! A view as a directory of the caller.

use std::path::Path;

use base::{Cancel, IoContext};
use rustix::fs::{AtFlags, FileType, Mode, XattrFlags};
use store::table::{ContentDigest, Entry, EntryKind};
use store::{Lease, Ownership, Store};

use super::{Step, Steps};
use crate::apply::{self, Pieces, copy_contents};
use crate::rooted::{self, Rooted, attributes, set_attribute};
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
    /// Directories, whose attributes, modes and times are set when all is in them.
    directories: Vec<(Vec<u8>, Node)>,
    devices: usize,
    /// How many extended attributes could not be written, and what is to be said of the first.
    attributes: usize,
    first_attribute: String,
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
    let mut destination = Destination {
        store,
        lease,
        view,
        rooted,
        clamp,
        cancel,
        directories: Vec::new(),
        devices: 0,
        attributes: 0,
        first_attribute: String::new(),
    };
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
            EntryKind::Directory { .. } => self.directory(entry, node),
            EntryKind::File { size, content, .. } => self.file(entry, node, size, content),
            EntryKind::Symlink { .. } | EntryKind::Fifo => {
                self.make_room(entry.path)?;
                let plain = self.plain(entry);
                apply::make_other(&mut self.rooted, &plain)?;
                self.closed_attributes(entry)
            }
            EntryKind::CharacterDevice { .. } | EntryKind::BlockDevice { .. } => {
                self.devices += 1;
                Ok(())
            }
            EntryKind::Whiteout | EntryKind::Hardlink { .. } => Ok(()),
        }
    }

    fn directory(&mut self, entry: &Entry<'_>, node: Node) -> Result<()> {
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
        self.directories.push((entry.path.to_vec(), node));
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
        for (name, value) in attributes(entry) {
            let result = rustix::fs::fsetxattr(&file, name, value, XattrFlags::empty());
            self.note_attribute(entry.path, name, result);
        }
        let plain = self.plain(entry);
        Ok(rooted::finish_open(&file, &plain, self.rooted.ownership())
            .context("set the metadata of", full)?)
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

    /// The attributes of what cannot be opened.
    fn closed_attributes(&mut self, entry: &Entry<'_>) -> Result<()> {
        for (attribute, value) in attributes(entry) {
            let (parent, name) = self.rooted.parent(entry.path)?;
            let result = set_attribute(parent, name, attribute, value);
            self.note_attribute(entry.path, attribute, result);
        }
        Ok(())
    }

    /// Whether an attribute can be had is for the filesystem and the kernel to say; without it, the rest is still worth having.
    fn note_attribute(&mut self, path: &[u8], attribute: &[u8], result: rustix::io::Result<()>) {
        let Err(error) = result else { return };
        if self.attributes == 0 {
            let (attribute, path) = (base::text::bytes(attribute), base::text::bytes(path));
            self.first_attribute = format!("{attribute} of {path}: {error}");
        }
        self.attributes += 1;
    }

    /// The last first, so that none is closed to us before what is in it is done.
    fn finish_directories(&mut self) -> Result<()> {
        let view = self.view;
        for (path, node) in std::mem::take(&mut self.directories).into_iter().rev() {
            let entry = Entry { path: &path, ..view.entry(node) };
            for (name, value) in attributes(&entry) {
                let directory = self.rooted.directory(&path)?;
                let result = rustix::fs::fsetxattr(directory, name, value, XattrFlags::empty());
                self.note_attribute(&path, name, result);
            }
            let plain = self.plain(&entry);
            apply::finish_directory(&mut self.rooted, &plain)?;
        }
        Ok(())
    }

    /// What every filesystem takes of an entry: all but its attributes.
    fn plain<'e>(&self, entry: &Entry<'e>) -> Entry<'e> {
        let mtime = self.clamp.map_or(entry.mtime, |clamp| entry.mtime.min(clamp));
        Entry { mtime, xattrs: Vec::new(), ..entry.clone() }
    }

    fn warnings(&self) -> Vec<String> {
        let first = &self.first_attribute;
        let attributes = match self.attributes {
            0 => None,
            1 => Some(format!("1 extended attribute could not be written: {first}")),
            count => Some(format!("{count} extended attributes could not be written, the first: {first}")),
        };
        super::devices_left_out(self.devices).into_iter().chain(attributes).collect()
    }
}
