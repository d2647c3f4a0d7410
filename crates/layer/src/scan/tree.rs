//! What a layer is after all entries of its archive: each is applied to what those before it made (ST-070 … ST-072).
//!
//! The rules, where an archive names something twice or mixes things:
//!
//! - A directory over a directory: the later owner, mode, time and attributes count.
//! - Anything else over anything else: the later counts, and what was below a replaced directory is gone. A
//!   directory that replaces something else hides what the layers below have there: it is opaque.
//! - A removal concerns the layers below only (image-spec, layer.md): beside an entry of the same path it means
//!   nothing, except that it makes a directory opaque. So does a removal with something below it.
//! - Symbolic links of the archive are followed in the parents of later names, never out of the layer, never in the
//!   last component.
//! - Something below a file is refused.
//! - A hardlink means the file that its target is when it comes: replacing the target afterwards does not touch it. A
//!   hardlink to a symbolic link, device or pipe of the archive becomes one itself. A target that the archive does not
//!   have before is one of the layers below, and must not come later.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use store::table::{ContentDigest, Entry, EntryKind, is_below};

use super::input::Collector;
use crate::FIXED_TIME;
use crate::limits::{MAX_LOOKUPS, MAX_NAMES, MAX_PATH};
use crate::packer::{Meta, Special};

type Reason = &'static str;

/// As many symbolic links as the kernel follows.
const MAX_LINKS: usize = 40;

/// What an implied directory takes besides its name: unlike others, it needs no room in the archive.
const IMPLIED: usize = 64;

/// What looking for a name takes, however short it is, in bytes that could be compared meanwhile.
const LOOKUP: u64 = 512;

const TOO_LONG: Reason = "its name, symbolic links followed, is longer than 4095 bytes";
const LINKED_BEFORE: Reason = "a hardlink to it comes before it";

/// A path whose slashes are NULs: bytes in this form sort component by component.
type Key = Box<[u8]>;

fn key(path: &[u8]) -> Key {
    path.iter().map(|byte| if *byte == b'/' { 0 } else { *byte }).collect()
}

fn path(key: &[u8]) -> Vec<u8> {
    key.iter().map(|byte| if *byte == 0 { b'/' } else { *byte }).collect()
}

/// What is in a file, and where the archive has it.
pub(super) struct Contents {
    pub size: u64,
    pub digest: ContentDigest,
    pub offset: u64,
    /// How many bytes are stored at `offset`.
    pub stored: u64,
    /// Where they belong, when the file is sparse.
    pub pieces: Option<Vec<(u64, u64)>>,
}

/// A file, apart from its names.
pub(super) struct File {
    meta: Meta,
    contents: Contents,
    /// How many names it has.
    names: u32,
    /// The name whose entry is the file, the others being hardlinks to it; known when it is needed.
    first_name: Option<Key>,
}

impl File {
    pub(super) fn new(meta: Meta, contents: Contents) -> Self {
        Self { meta, contents, names: 0, first_name: None }
    }
}

enum Node {
    /// A name of a file; `first` when its entry stands for the file.
    File {
        index: usize,
        first: bool,
    },
    Directory {
        meta: Option<Box<Meta>>,
        opaque: bool,
    },
    Symlink(Box<(Meta, Vec<u8>)>),
    Special(Box<(Meta, Special)>),
    /// A hardlink into the layers below.
    Below(Box<(Meta, Key)>),
    Whiteout,
}

/// The layer as far as it is known.
#[derive(Default)]
pub(super) struct Tree {
    nodes: BTreeMap<Key, Node>,
    files: Vec<File>,
    /// Files that AUFS kept for hardlinks.
    aufs: BTreeMap<Vec<u8>, usize>,
    /// Targets of hardlinks that are expected in the layers below.
    below: BTreeSet<Key>,
    /// The directory in which the last entry was, as it was named, and where it is: its parents are known to be directories.
    last_parent: Option<(Vec<u8>, Vec<u8>)>,
    /// How many bytes of names and the like are kept, those of replaced entries included.
    kept: u64,
    /// How many bytes of names were looked at.
    looked_at: u64,
}

impl Tree {
    /// Counts what is kept of an entry besides its name.
    pub(super) fn keep(&mut self, bytes: usize) -> Result<(), Reason> {
        self.kept += bytes as u64;
        if self.kept > MAX_NAMES {
            return Err("the names and attributes up to here take more than 512 MiB");
        }
        Ok(())
    }

    /// Adds a file.
    pub(super) fn file(&mut self, name: &[u8], file: File) -> Result<(), Reason> {
        let key = self.place(name)?;
        self.files.push(file);
        self.replace(key, Node::File { index: self.files.len() - 1, first: true })
    }

    /// Adds a file of AUFS' own.
    pub(super) fn aufs_file(&mut self, name: Vec<u8>, file: File) -> Result<(), Reason> {
        self.keep(name.len())?;
        self.files.push(file);
        self.aufs.insert(name, self.files.len() - 1);
        Ok(())
    }

    /// Adds a directory; `name` may be the root.
    pub(super) fn directory(&mut self, name: &[u8], meta: Meta) -> Result<(), Reason> {
        let key = self.place(name)?;
        if let Some(Node::Directory { meta: place, .. }) = self.nodes.get_mut(&key) {
            *place = Some(Box::new(meta));
            return Ok(());
        }
        // What is not a directory hides what lies below, and so must the directory in its place.
        let opaque = self.nodes.contains_key(&key);
        self.replace(key, Node::Directory { meta: Some(Box::new(meta)), opaque })
    }

    /// Adds a symbolic link.
    pub(super) fn symlink(&mut self, name: &[u8], meta: Meta, target: Vec<u8>) -> Result<(), Reason> {
        if target.is_empty() || target.len() > MAX_PATH || target.contains(&0) {
            return Err(
                "it is a symbolic link that cannot exist: empty, longer than 4095 bytes or with a NUL",
            );
        }
        let key = self.place(name)?;
        self.keep(target.len())?;
        self.replace(key, Node::Symlink(Box::new((meta, target))))
    }

    /// Adds a device or a pipe.
    pub(super) fn special(&mut self, name: &[u8], meta: Meta, special: Special) -> Result<(), Reason> {
        let key = self.place(name)?;
        self.replace(key, Node::Special(Box::new((meta, special))))
    }

    /// Adds another name of a file.
    pub(super) fn hardlink(&mut self, name: &[u8], meta: Meta, target: &[u8]) -> Result<(), Reason> {
        let target = self.resolve(target)?;
        self.keep(target.len())?;
        let name = self.place(name)?;
        if name == target {
            // Extracting it would change nothing: writers that see one file twice write this.
            return if self.nodes.contains_key(&name) { Ok(()) } else { Err("it is a hardlink to itself") };
        }
        let node = match self.nodes.get_mut(&target) {
            Some(Node::File { index, .. }) => {
                let index = *index;
                self.link(index, &target, meta);
                Node::File { index, first: false }
            }
            Some(Node::Symlink(link)) => Node::Symlink(Box::new((meta, link.1.clone()))),
            Some(Node::Special(special)) => Node::Special(Box::new((meta, special.1))),
            Some(Node::Below(link)) => Node::Below(Box::new((meta, link.1.clone()))),
            Some(Node::Directory { .. }) => return Err("it is a hardlink to a directory"),
            Some(Node::Whiteout) => return Err("it is a hardlink to something that the layer removes"),
            None => {
                self.below.insert(target.clone());
                Node::Below(Box::new((meta, target)))
            }
        };
        self.replace(name, node)
    }

    /// Adds another name of a file that AUFS kept.
    pub(super) fn aufs_hardlink(&mut self, name: &[u8], meta: Meta, target: &[u8]) -> Result<(), Reason> {
        let index = *self
            .aufs
            .get(target)
            .ok_or("it is a hardlink to a file of AUFS that does not come before it")?;
        let name = self.place(name)?;
        if let Some(file) = self.files.get_mut(index) {
            file.meta = meta;
        }
        self.replace(name, Node::File { index, first: false })
    }

    /// The attributes of the last name count for the file, as with everybody who unpacks with link, chown and chmod.
    fn link(&mut self, index: usize, target: &[u8], meta: Meta) {
        let Some(file) = self.files.get_mut(index) else { return };
        let xattrs = if meta.xattrs.is_empty() { std::mem::take(&mut file.meta.xattrs) } else { meta.xattrs };
        file.meta = Meta { xattrs, ..meta };
        if let Some(Node::File { first: true, .. }) = self.nodes.get(target) {
            file.first_name.get_or_insert_with(|| target.into());
        }
    }

    /// Removes what the layers below have.
    pub(super) fn whiteout(&mut self, name: &[u8]) -> Result<(), Reason> {
        let key = self.place(name)?;
        match self.nodes.get_mut(&key) {
            Some(Node::Directory { opaque, .. }) => *opaque = true,
            Some(_) => {}
            None if self.below.contains(&key) => return Err(LINKED_BEFORE),
            None => {
                self.nodes.insert(key, Node::Whiteout);
            }
        }
        Ok(())
    }

    /// Hides what the layers below have in a directory.
    pub(super) fn opaque(&mut self, directory: &[u8]) -> Result<(), Reason> {
        let directory = self.resolve_whole(directory)?;
        self.make_directories(&directory)?;
        if let Some(Node::Directory { opaque, .. }) = self.nodes.get_mut(&key(&directory)) {
            *opaque = true;
        }
        Ok(())
    }

    /// Where a new entry goes: its parent without symbolic links, made if it is missing.
    fn place(&mut self, name: &[u8]) -> Result<Key, Reason> {
        let (parent, last) = split(name);
        let known = self.last_parent.as_ref().is_some_and(|(named, _)| named == parent);
        if !known {
            // Mostly it is in the last one: a deep directory is not gone through from the top for each that is in it.
            let resolved = match self.last_parent.take() {
                Some((named, resolved)) if !named.is_empty() && is_below(parent, &named) => {
                    self.resolve_from(resolved, parent.get(named.len()..).unwrap_or_default())?
                }
                _ => self.resolve_whole(parent)?,
            };
            self.make_directories(&resolved)?;
            self.last_parent = Some((parent.to_vec(), resolved));
        }
        let resolved = self.last_parent.as_ref().map_or(&b""[..], |(_, resolved)| resolved);
        let place = join(resolved, last);
        self.keep(place.len())?;
        if place.len() > MAX_PATH { Err(TOO_LONG) } else { Ok(key(&place)) }
    }

    /// Where a name leads: symbolic links are followed in its parents.
    fn resolve(&mut self, name: &[u8]) -> Result<Key, Reason> {
        let (parent, last) = split(name);
        Ok(key(&join(&self.resolve_whole(parent)?, last)))
    }

    /// A path without symbolic links of this archive.
    fn resolve_whole(&mut self, name: &[u8]) -> Result<Vec<u8>, Reason> {
        self.resolve_from(Vec::new(), name)
    }

    /// The same, of a path in a directory that has none.
    fn resolve_from(&mut self, directory: Vec<u8>, name: &[u8]) -> Result<Vec<u8>, Reason> {
        let mut resolved = directory;
        let mut waiting: Vec<Vec<u8>> = components(name);
        let mut links = 0;
        while let Some(component) = waiting.pop() {
            self.looked_at += (resolved.len() + component.len()) as u64 + LOOKUP;
            if self.looked_at > MAX_LOOKUPS {
                return Err(
                    "the parents of the names up to here are too long, and lead through too many symbolic links",
                );
            }
            if component == b".." {
                resolved.truncate(resolved.iter().rposition(|byte| *byte == b'/').unwrap_or(0));
                continue;
            }
            let next = join(&resolved, &component);
            match self.nodes.get(&key(&next)) {
                Some(Node::Symlink(link)) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err("its parents lead through more than 40 symbolic links");
                    }
                    if link.1.starts_with(b"/") {
                        resolved.clear();
                    }
                    waiting.extend(components(&link.1));
                }
                _ if next.len() > MAX_PATH => return Err(TOO_LONG),
                _ => resolved = next,
            }
        }
        Ok(resolved)
    }

    /// Makes sure that a path and all above it are directories.
    fn make_directories(&mut self, path: &[u8]) -> Result<(), Reason> {
        let whole = key(path);
        if matches!(self.nodes.get(&whole), Some(Node::Directory { .. })) {
            return Ok(());
        }
        let slashes = whole.iter().enumerate().filter(|(_, byte)| **byte == 0).map(|(place, _)| place);
        let ends: Vec<usize> = std::iter::once(0).chain(slashes).chain([whole.len()]).collect();
        for end in ends {
            let directory = whole.get(..end).unwrap_or_default();
            match self.nodes.get_mut(directory) {
                Some(Node::Directory { .. }) => {}
                None if self.below.contains(directory) => return Err(LINKED_BEFORE),
                None => {
                    self.nodes.insert(directory.into(), Node::Directory { meta: None, opaque: false });
                    self.keep(IMPLIED + end)?;
                }
                Some(node @ Node::Whiteout) => *node = Node::Directory { meta: None, opaque: true },
                Some(_) => return Err("it lies below something that is not a directory"),
            }
        }
        Ok(())
    }

    /// Puts a node where another may be.
    fn replace(&mut self, key: Key, node: Node) -> Result<(), Reason> {
        if key.is_empty() && !matches!(node, Node::Directory { .. }) {
            return Err("it would replace the root directory by something else");
        }
        if self.below.contains(&key) {
            return Err(LINKED_BEFORE);
        }
        if let Node::File { index, .. } = node
            && let Some(file) = self.files.get_mut(index)
        {
            file.names += 1;
        }
        match self.nodes.insert(key.clone(), node) {
            Some(Node::Directory { .. }) => self.remove_below(&key),
            Some(old) => self.release(&old),
            None => {}
        }
        Ok(())
    }

    fn remove_below(&mut self, directory: &[u8]) {
        self.last_parent = None;
        let from: Key = [directory, b"\0"].concat().into();
        let to: Key = [directory, b"\x01"].concat().into();
        let range = (Bound::Included(from), Bound::Excluded(to));
        let gone: Vec<Key> = self.nodes.range(range).map(|(key, _)| key.clone()).collect();
        for key in gone {
            if let Some(node) = self.nodes.remove(&key) {
                self.release(&node);
            }
        }
    }

    /// A name is gone.
    fn release(&mut self, node: &Node) {
        if let Node::File { index, first } = node
            && let Some(file) = self.files.get_mut(*index)
        {
            file.names -= 1;
            if *first {
                file.first_name = None;
            }
        }
    }

    /// Where the contents that count lie in the archive (place and length, in order), and whether others were taken for contents too.
    pub(super) fn contents(&self) -> (Vec<(u64, u64)>, bool) {
        let stored = self.files.iter().filter(|file| file.contents.stored > 0);
        let counting: Vec<_> = stored
            .clone()
            .filter(|file| file.names > 0)
            .map(|file| (file.contents.offset, file.contents.stored))
            .collect();
        let others = counting.len() < stored.count();
        (counting, others)
    }

    /// Gives all entries away, in order.
    pub(super) fn emit(mut self, collector: &mut impl Collector) {
        while let Some((key, node)) = self.nodes.pop_first() {
            let path = path(&key);
            match &node {
                Node::File { index, first } => {
                    if let Some(file) = self.files.get_mut(*index) {
                        emit_file(&path, file, *first, collector);
                    }
                }
                // The table adds these itself.
                Node::Directory { meta: None, opaque: false } => {}
                Node::Directory { meta, opaque } => {
                    let implied = Meta { mode: 0o755, mtime: FIXED_TIME, ..Meta::default() };
                    let kind = EntryKind::Directory { opaque: *opaque, implied: meta.is_none() };
                    collector.entry(&entry(&path, meta.as_deref().unwrap_or(&implied), kind));
                }
                Node::Symlink(link) => {
                    collector.entry(&entry(&path, &link.0, EntryKind::Symlink { target: &link.1 }));
                }
                Node::Special(special) => {
                    let kind = special.1.entry_kind();
                    collector.entry(&entry(&path, &special.0, kind));
                }
                Node::Below(link) => {
                    let target = self::path(&link.1);
                    collector.entry(&entry(&path, &link.0, EntryKind::Hardlink { target: &target }));
                }
                Node::Whiteout => collector.entry(&entry(&path, &Meta::default(), EntryKind::Whiteout)),
            }
        }
    }
}

fn emit_file(path: &[u8], file: &mut File, first: bool, collector: &mut impl Collector) {
    match &file.first_name {
        Some(name) if !first => {
            let target = self::path(name);
            collector.entry(&entry(path, &file.meta, EntryKind::Hardlink { target: &target }));
        }
        _ => {
            let kind = EntryKind::File {
                size: file.contents.size,
                content: file.contents.digest,
                offset: file.contents.offset,
                sparse: file.contents.pieces.clone(),
            };
            collector.entry(&entry(path, &file.meta, kind));
            if file.names > 1 {
                file.first_name.get_or_insert_with(|| key(path));
            }
        }
    }
}

fn entry<'a>(path: &'a [u8], meta: &'a Meta, kind: EntryKind<'a>) -> Entry<'a> {
    let xattrs = meta.xattrs.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect();
    Entry { path, kind, mode: meta.mode, uid: meta.uid, gid: meta.gid, mtime: meta.mtime, xattrs }
}

fn split(name: &[u8]) -> (&[u8], &[u8]) {
    match name.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (name.get(..slash).unwrap_or_default(), name.get(slash + 1..).unwrap_or_default()),
        None => (b"", name),
    }
}

fn join(parent: &[u8], name: &[u8]) -> Vec<u8> {
    if parent.is_empty() || name.is_empty() { [parent, name].concat() } else { [parent, b"/", name].concat() }
}

/// The components of a path, the last first.
fn components(path: &[u8]) -> Vec<Vec<u8>> {
    path.split(|byte| *byte == b'/')
        .rev()
        .filter(|component| !component.is_empty() && *component != b".")
        .map(<[u8]>::to_vec)
        .collect()
}
