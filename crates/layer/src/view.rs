//! Views: the tables of a stack, merged into the filesystem that they make. No mount, no unpacking.

use std::io::Read;

use store::table::{Entry, EntryKind};
use store::{Layer, Lease, Store};

use crate::Result;

/// The filesystem of a stack of layers, lowest first. Cheap to clone; an empty stack is an empty root directory.
#[derive(Clone)]
pub struct View {}

/// Something in a view: a layer, and a place in its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Node {
    layer: usize,
    index: usize,
}

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
        let _ = layers;
        todo!()
    }

    /// The layers, lowest first.
    pub fn layers(&self) -> &[Layer] {
        todo!()
    }

    /// A view of this stack with one more layer on top.
    pub fn with(&self, layer: Layer) -> Self {
        let _ = layer;
        todo!()
    }

    /// What is exactly at a path; symbolic links are not followed, also not in its parents.
    pub fn find(&self, path: &[u8]) -> Option<Node> {
        let _ = path;
        todo!()
    }

    /// Resolves a path inside the root as the kernel would in a chroot: `..`, absolute and relative symbolic links in its parents, and in itself if `follow`.
    /// At most 40 links are followed.
    pub fn resolve(&self, path: &[u8], follow: bool) -> Result<Resolved> {
        let _ = (path, follow);
        todo!()
    }

    /// The entry of a node. For an implied directory: with the owner, mode and time that it has in the view.
    pub fn entry(&self, node: Node) -> Entry<'_> {
        let _ = node;
        todo!()
    }

    /// The file that a node is: itself, or what a hardlink finally means.
    pub fn file(&self, node: Node) -> Node {
        let _ = node;
        todo!()
    }

    /// What is directly in a directory: names in order, and nodes.
    pub fn children(&self, directory: &[u8]) -> Vec<(&[u8], Node)> {
        let _ = directory;
        todo!()
    }

    /// Everything at and below a path, in order of paths; directories before what is in them. Streaming: memory does not grow with the size of the view.
    pub fn walk<'a>(&'a self, path: &[u8]) -> Box<dyn Iterator<Item = (Vec<u8>, Node)> + 'a> {
        let _ = path;
        todo!()
    }

    /// Opens the contents of a file (or hardlink).
    pub fn open(&self, store: &Store, lease: &Lease, node: Node) -> Result<Box<dyn Read + Send>> {
        let _ = (store, lease, node);
        todo!()
    }

    /// Reads a small file, resolved with links followed; `None` when it is not there or is not a regular file. More than `limit` bytes are an error.
    pub fn read(&self, store: &Store, lease: &Lease, path: &[u8], limit: u64) -> Result<Option<Vec<u8>>> {
        let _ = (store, lease, path, limit);
        todo!()
    }

    /// Whether the kind is one that a view can hold (not a whiteout).
    pub fn is_visible(kind: &EntryKind<'_>) -> bool {
        !matches!(kind, EntryKind::Whiteout)
    }
}
