//! Views: the tables of a stack, merged into the filesystem that they make. No mount, no unpacking.
//!
//! The rules are overlayfs' own (ST-041): the top-most layer that has a path decides what is there. A directory merges with the directories
//! below it; anything else, a whiteout and an opaque directory hide what the layers below have at the path and under it, and hide nothing of their own layer.
//! Paths in tables are literal: a symbolic link of a lower layer never redirects an entry of a higher one.

mod merge;
mod resolve;

#[cfg(test)]
mod tests;

use std::io::Read;
use std::sync::Arc;

use store::table::{Entry, EntryKind, Table};
use store::{Layer, Lease, Store};

use crate::{FIXED_TIME, LayerError, Result, forms};
use merge::{Merge, Parts};

/// The filesystem of a stack of layers, lowest first. Cheap to clone; an empty stack is an empty root directory.
#[derive(Clone)]
pub struct View {
    layers: Arc<[Layer]>,
}

/// Something in a view: a layer, and a place in its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Node {
    layer: usize,
    index: usize,
}

/// The root of a stack in which no table has an entry for it.
const BARE_ROOT: Node = Node { layer: usize::MAX, index: usize::MAX };

/// How many hardlinks to hardlinks are followed: writers point to the file itself, so one is usual.
const MAX_HARDLINKS: usize = 40;

/// Where a path leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The path without symbolic links (those of its parents, and of itself when asked).
    pub path: Vec<u8>,
    /// What is there; `None` when nothing is: then `path` is where it would be made (its missing parents as they were named).
    pub node: Option<Node>,
}

impl View {
    /// Merges a stack, lowest layer first.
    pub fn new(layers: &[Layer]) -> Self {
        Self { layers: layers.into() }
    }

    /// The layers, lowest first.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// A view of this stack with one more layer on top.
    pub fn with(&self, layer: Layer) -> Self {
        Self { layers: self.layers.iter().cloned().chain([layer]).collect() }
    }

    /// What is exactly at a path; symbolic links are not followed, also not in its parents.
    pub fn find(&self, path: &[u8]) -> Option<Node> {
        self.find_under(self.layers.len(), path)
    }

    /// What is at a path in the `count` lowest layers.
    fn find_under(&self, count: usize, path: &[u8]) -> Option<Node> {
        for part in Parts::new(&self.layers, count, path) {
            // A table without an entry for the root says nothing about it.
            let Some(index) = part.index else { continue };
            return part.visible.then_some(Node { layer: part.layer, index });
        }
        path.is_empty().then_some(BARE_ROOT)
    }

    /// The layer that a node is of, and its place in that layer's table; `None` for a root that no table has.
    pub fn place(&self, node: Node) -> Option<(&Layer, usize)> {
        self.layers.get(node.layer).map(|layer| (layer, node.index))
    }

    /// The entry of a node. For an implied directory: with the owner, mode, time and attributes that it has in the view.
    ///
    /// The metadata of a hardlink is that of the file which it means: ask for the entry of [`View::file`].
    pub fn entry(&self, node: Node) -> Entry<'_> {
        match (self.place(node), self.recorded(node)) {
            (Some((layer, _)), Some(entry)) => self.with_metadata(node.layer, layer.table(), entry),
            _ => implied_directory(),
        }
    }

    /// An entry of a table that lies on the `count` lowest layers; an implied directory gets the metadata that it has there.
    pub(crate) fn with_metadata<'a>(&'a self, count: usize, table: &Table, entry: Entry<'a>) -> Entry<'a> {
        let EntryKind::Directory { implied: true, opaque } = entry.kind else { return entry };
        let hidden = opaque || merge::hides_below(table, entry.path);
        let below = if hidden { None } else { self.directory_below(count, entry.path) };
        Entry { path: entry.path, kind: entry.kind, ..below.unwrap_or_else(implied_directory) }
    }

    /// The entry as its table has it.
    fn recorded(&self, node: Node) -> Option<Entry<'_>> {
        self.layers.get(node.layer)?.table().entry(node.index)
    }

    /// The top-most directory at `path` in the `count` lowest layers that a tar holds.
    fn directory_below(&self, count: usize, path: &[u8]) -> Option<Entry<'_>> {
        Parts::new(&self.layers, count, path)
            .filter_map(|part| self.recorded(Node { layer: part.layer, index: part.index? }))
            .map_while(|entry| matches!(entry.kind, EntryKind::Directory { .. }).then_some(entry))
            .find(|entry| matches!(entry.kind, EntryKind::Directory { implied: false, .. }))
    }

    /// The file that a node is: itself, or what a hardlink finally means. A hardlink that means nothing stays itself.
    ///
    /// A hardlink names a file of its own layer or, when there is none, of the layers below.
    pub fn file(&self, node: Node) -> Node {
        let mut found = node;
        for _ in 0..MAX_HARDLINKS {
            let Some(entry) = self.recorded(found) else { return node };
            match entry.kind {
                EntryKind::Hardlink { target } => match self.link_target(found.layer, target) {
                    Some(next) => found = next,
                    None => return node,
                },
                EntryKind::Directory { .. } | EntryKind::Whiteout if found != node => return node,
                _ => return found,
            }
        }
        node
    }

    fn link_target(&self, layer: usize, target: &[u8]) -> Option<Node> {
        let table = self.layers.get(layer)?.table();
        if let Some(index) = table.find(target)
            && !matches!(table.entry(index)?.kind, EntryKind::Whiteout)
        {
            return Some(Node { layer, index });
        }
        // The whiteout of its own layer does not hide the file from a link that keeps it.
        self.find_under(layer, target)
    }

    /// What is directly in a directory: names in order, and nodes.
    pub fn children(&self, directory: &[u8]) -> Vec<(&[u8], Node)> {
        let prefix = if directory.is_empty() { 0 } else { directory.len() + 1 };
        Merge::children(&self.layers, directory)
            .filter_map(|(path, node)| Some((path.get(prefix..)?, node)))
            .collect()
    }

    /// Everything at and below a path, in order of paths; directories before what is in them. Streaming: memory does not grow with the size of the view.
    pub fn walk<'a>(&'a self, path: &[u8]) -> Box<dyn Iterator<Item = (Vec<u8>, Node)> + 'a> {
        let Some(node) = self.find(path) else { return Box::new(std::iter::empty()) };
        let below = Merge::everything(&self.layers, path);
        Box::new(
            std::iter::once((path.to_vec(), node)).chain(below.map(|(path, node)| (path.to_vec(), node))),
        )
    }

    /// Resolves a path inside the root as the kernel would in a chroot: `..`, absolute and relative symbolic links in its parents, and in itself if `follow`
    /// (or if a slash follows it). At most 40 links are followed.
    pub fn resolve(&self, path: &[u8], follow: bool) -> Result<Resolved> {
        resolve::resolve(self, path, follow)
    }

    /// Opens the contents of a file (or hardlink).
    pub fn open(&self, store: &Store, lease: &Lease, node: Node) -> Result<Box<dyn Read + Send>> {
        let file = self.file(node);
        match (self.place(file), self.recorded(file).map(|entry| entry.kind)) {
            (Some((layer, index)), Some(EntryKind::File { .. })) => {
                forms::open_content(store, lease, layer, index)
            }
            _ => Err(LayerError::Resolve {
                path: self.entry(node).path.to_vec(),
                reason: "it is not a regular file",
            }),
        }
    }

    /// Reads a small file, resolved with links followed; `None` when it is not there or is not a regular file. More than `limit` bytes are an error.
    pub fn read(&self, store: &Store, lease: &Lease, path: &[u8], limit: u64) -> Result<Option<Vec<u8>>> {
        let Some(node) = self.resolve(path, true)?.node else { return Ok(None) };
        let file = self.file(node);
        let EntryKind::File { size, .. } = self.entry(file).kind else { return Ok(None) };
        let what = || base::text::bytes(path).into_owned();
        if size > limit {
            return Err(LayerError::TooLarge { what: what(), limit });
        }
        let mut bytes = Vec::new();
        self.open(store, lease, file)?
            .take(limit)
            .read_to_end(&mut bytes)
            .map_err(|source| LayerError::Stream { action: "read", what: what(), source })?;
        Ok(Some(bytes))
    }

    /// Whether the kind is one that a view can hold (not a whiteout).
    pub fn is_visible(kind: &EntryKind<'_>) -> bool {
        !matches!(kind, EntryKind::Whiteout)
    }
}

/// What a directory is of which nothing is known but that it exists.
pub(crate) fn implied_directory<'a>() -> Entry<'a> {
    Entry {
        path: b"",
        kind: EntryKind::Directory { opaque: false, implied: true },
        mode: 0o755,
        uid: 0,
        gid: 0,
        mtime: FIXED_TIME,
        xattrs: Vec::new(),
    }
}
