//! What was changed in a plain directory: which paths its layer holds.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;

use base::{Cancel, IoContext};
use rustix::fs::FileType;
use store::Ownership;
use store::table::{ContentDigest, Entry, EntryKind};

use super::stamps::{Stamp, Stamps, join, look};
use crate::rooted::Rooted;
use crate::walk::attributes::{Attributes, NO_OVERLAY, Target};
use crate::{Result, View};

/// The paths that a layer holds.
#[derive(Default)]
pub(crate) struct Changes {
    /// Directories that are partly in the layer, and the names in them that are; of any other directory, all is.
    partly: HashMap<Vec<u8>, BTreeSet<Vec<u8>>>,
    /// Directories that took the place of others.
    replaced: HashSet<Vec<u8>>,
    /// What is not there any more.
    removed: HashSet<Vec<u8>>,
    /// Files that were there before, whatever has become of them.
    kept: HashSet<Vec<u8>>,
}

impl Changes {
    /// The names in a directory that the layer holds; `None` when it holds all.
    pub fn names(&self, directory: &[u8]) -> Option<Vec<Vec<u8>>> {
        self.partly.get(directory).map(|names| names.iter().cloned().collect())
    }

    /// Whether a directory hides what lies below.
    pub fn is_opaque(&self, directory: &[u8]) -> bool {
        self.replaced.contains(directory)
    }

    /// Whether something was there that is not there any more.
    pub fn is_removed(&self, path: &[u8]) -> bool {
        self.removed.contains(path)
    }

    /// Whether a file is one that was there before.
    pub fn is_kept(&self, path: &[u8]) -> bool {
        self.kept.contains(path)
    }

    /// Compares a directory with how it was.
    pub(super) fn find(
        root: &Path,
        view: &View,
        stamps: &Stamps,
        ownership: Ownership,
        cancel: &Cancel,
    ) -> Result<Self> {
        let rooted = Rooted::open(root, ownership)?;
        let mut search = Search { rooted, view, stamps, changes: Self::default(), links: HashMap::new() };
        search.changes.partly.insert(Vec::new(), BTreeSet::new());
        let mut directories = vec![(Vec::new(), false)];
        while let Some((directory, is_new)) = directories.pop() {
            cancel.check()?;
            directories.extend(search.directory(&directory, is_new)?);
        }
        search.settle_links();
        Ok(search.changes)
    }

    /// Adds a path, and the directories that lead to it.
    fn add(&mut self, path: &[u8]) {
        let mut path = path;
        loop {
            let (parent, name) = match path.iter().rposition(|byte| *byte == b'/') {
                Some(slash) => (path.get(..slash), path.get(slash + 1..)),
                None => (None, Some(path)),
            };
            let parent = parent.unwrap_or_default();
            let names = self.partly.entry(parent.to_vec()).or_default();
            if !names.insert(name.unwrap_or_default().to_vec()) || parent.is_empty() {
                return;
            }
            path = parent;
        }
    }
}

/// A file with several names.
#[derive(Default)]
struct Links {
    names: Vec<Vec<u8>>,
    /// Whether one of them is new, or the file was changed.
    changed: bool,
}

struct Search<'a> {
    rooted: Rooted,
    view: &'a View,
    stamps: &'a Stamps,
    changes: Changes,
    /// By inode.
    links: HashMap<u64, Links>,
}

impl Search<'_> {
    /// Looks through a directory; gives those in it, and whether they are new.
    fn directory(&mut self, directory: &[u8], is_new: bool) -> Result<Vec<(Vec<u8>, bool)>> {
        let found = look(&mut self.rooted, directory)?;
        let mut below = Vec::new();
        for (path, stamp) in &found {
            if is_new {
                // All of it is in the layer anyway. Its files may have other names elsewhere.
                self.note_links(path, stamp, true);
                if stamp.kind == FileType::Directory {
                    below.push((path.clone(), true));
                }
                continue;
            }
            let before = self.stamps.get(path);
            match stamp.kind {
                FileType::Directory => below.push((path.clone(), self.visit_directory(path, stamp, before)?)),
                _ => self.visit_file(path, stamp, before)?,
            }
        }
        if !is_new {
            self.find_removed(directory, &found);
        }
        Ok(below)
    }

    /// Whether a directory is new: everything in it is, then.
    fn visit_directory(&mut self, path: &[u8], stamp: &Stamp, before: Option<&Stamp>) -> Result<bool> {
        let Some(before) = before.filter(|before| stamp.is_same_file(before)) else {
            if before.is_some_and(|before| before.kind == FileType::Directory) {
                self.changes.replaced.insert(path.to_vec());
            }
            self.changes.add(path);
            return Ok(true);
        };
        let look = |stamp: &Stamp| (stamp.mode, stamp.owner, stamp.mtime);
        let changed = look(stamp) != look(before)
            || stamp.ctime != before.ctime && self.has_other_attributes(path, stamp)?;
        if changed {
            self.changes.add(path);
        }
        // Named or not, it is not in the layer whole.
        self.changes.partly.entry(path.to_vec()).or_default();
        Ok(false)
    }

    fn visit_file(&mut self, path: &[u8], stamp: &Stamp, before: Option<&Stamp>) -> Result<()> {
        if before.is_some_and(|before| stamp.is_same_file(before)) {
            self.changes.kept.insert(path.to_vec());
        }
        let changed = match before {
            Some(before) if stamp.is_untouched(before) => false,
            Some(before) => self.is_changed(path, stamp, before)?,
            // A socket is in no layer, and hides nothing where nothing was.
            None => stamp.kind != FileType::Socket,
        };
        self.note_links(path, stamp, changed);
        if changed {
            self.changes.add(path);
        }
        Ok(())
    }

    fn note_links(&mut self, path: &[u8], stamp: &Stamp, changed: bool) {
        if stamp.kind == FileType::RegularFile && stamp.links > 1 {
            let links = self.links.entry(stamp.inode).or_default();
            links.names.push(path.to_vec());
            links.changed |= changed;
        }
    }

    /// A file that has a new name is in the layer under all of its names.
    fn settle_links(&mut self) {
        for links in std::mem::take(&mut self.links).into_values().filter(|links| links.changed) {
            for name in links.names {
                if !self.is_inside_new(&name) {
                    self.changes.add(&name);
                }
            }
        }
    }

    /// Whether a path lies in a directory that is in the layer whole: that one is not to become partly so.
    fn is_inside_new(&self, path: &[u8]) -> bool {
        let parent = path.iter().rposition(|byte| *byte == b'/').and_then(|slash| path.get(..slash));
        !self.changes.partly.contains_key(parent.unwrap_or_default())
    }

    /// What was there, and is not.
    fn find_removed(&mut self, directory: &[u8], found: &[(Vec<u8>, Stamp)]) {
        let there: HashSet<&[u8]> = found.iter().map(|(path, _)| path.as_slice()).collect();
        for (name, _) in self.view.children(directory) {
            let path = join(directory, name);
            // What could not be made here (a device) was not there before, either.
            if !there.contains(path.as_slice()) && self.stamps.get(&path).is_some() {
                self.changes.add(&path);
                self.changes.removed.insert(path);
            }
        }
    }

    /// Whether something that was touched, or is another file, differs from what the layers have there.
    fn is_changed(&mut self, path: &[u8], stamp: &Stamp, before: &Stamp) -> Result<bool> {
        let look = |stamp: &Stamp| (stamp.kind, stamp.mode, stamp.owner, stamp.mtime, stamp.size);
        if look(stamp) != look(before) {
            return Ok(true);
        }
        let Some(node) = self.view.find(path) else { return Ok(true) };
        let entry = self.view.entry(self.view.file(node));
        let same = match (&entry.kind, stamp.kind) {
            (EntryKind::File { content, .. }, FileType::RegularFile) => self.content(path)? == *content,
            (EntryKind::Symlink { target }, FileType::Symlink) => self.target(path)? == *target,
            (EntryKind::Fifo, FileType::Fifo) => true,
            // Devices have no contents, and a new one is rare enough.
            _ => stamp.is_same_file(before),
        };
        Ok(!same || self.differs_in_attributes(path, stamp, &entry)?)
    }

    fn has_other_attributes(&mut self, path: &[u8], stamp: &Stamp) -> Result<bool> {
        match self.view.find(path) {
            Some(node) => self.differs_in_attributes(path, stamp, &self.view.entry(node)),
            None => Ok(true),
        }
    }

    fn differs_in_attributes(&mut self, path: &[u8], stamp: &Stamp, entry: &Entry<'_>) -> Result<bool> {
        let full = self.rooted.name(path);
        let attributes = match stamp.kind {
            FileType::Directory => {
                let directory = self.rooted.directory(path)?;
                Attributes::take(&Target::Open(directory), NO_OVERLAY)
            }
            _ => {
                let (parent, name) = self.rooted.parent(path)?;
                Attributes::take(&Target::name(parent, name.as_encoded_bytes()), NO_OVERLAY)
            }
        };
        let kept = attributes.context("read the attributes of", full)?.kept;
        let sorted = |mut pairs: Vec<(Vec<u8>, Vec<u8>)>| {
            pairs.sort_unstable();
            pairs
        };
        let known = entry.xattrs.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
        Ok(sorted(kept) != sorted(known))
    }

    fn content(&mut self, path: &[u8]) -> Result<ContentDigest> {
        let full = self.rooted.name(path);
        let file = self.rooted.read(path)?;
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(file).context("read", full)?;
        Ok(ContentDigest(*hasher.finalize().as_bytes()))
    }

    fn target(&mut self, path: &[u8]) -> Result<Vec<u8>> {
        let full = self.rooted.name(path);
        let (parent, name) = self.rooted.parent(path)?;
        Ok(rustix::fs::readlinkat(parent, name, Vec::new()).context("read", full)?.into_bytes())
    }
}
