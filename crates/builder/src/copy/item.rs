//! What a selection is made of.

use dockerfile::Span;
use layer::packer::Special;
use layer::view::Node;

use super::{Downloaded, Thing};
use crate::context::{Stamp, Xattrs};

/// What one match of one source contributes, in the order of a table.
#[derive(Clone)]
pub(super) struct Group {
    /// How it is placed.
    pub shape: Shape,
    /// Its place below a destination that is a directory; empty for the contents of a directory.
    pub name: Vec<u8>,
    /// Where it is in the input (a path without links): what `path` of an item is below of.
    pub source: Vec<u8>,
    pub items: Vec<Item>,
    /// The source in the Dockerfile.
    pub span: Span,
}

/// How a group is placed at the destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// One thing that is no directory: into the destination, or as the destination.
    Single,
    /// The contents of a directory: into the destination (DF-113).
    Contents,
    /// `--parents`: everything at its own path below the destination.
    Kept,
    /// The files of a commit, by its place among those that are copied from: into the destination.
    Checkout(usize),
    /// An archive of a context (one item: its file), whose contents go into the destination (DF-135). Once it is unpacked, the items are what is in it, each with
    /// its whole path in the image.
    Archive,
}

/// One thing that is copied.
#[derive(Clone)]
pub(super) struct Item {
    /// Below the group's `source` and `name`.
    pub path: Box<[u8]>,
    pub kind: ItemKind,
    /// The twelve permission bits, as they will be.
    pub mode: u32,
    /// The owner, if `--chown` does not say another.
    pub uid: u32,
    pub gid: u32,
    pub mtime: i64,
    pub xattrs: Xattrs,
}

/// What an item is.
#[derive(Clone)]
pub(super) enum ItemKind {
    Directory,
    /// A file, by the place of its content: hardlinks have the same (DF-130).
    File(usize),
    Symlink(Box<[u8]>),
    Special(Special),
}

impl Item {
    pub fn thing(&self) -> Thing {
        match self.kind {
            ItemKind::Directory => Thing::Directory,
            ItemKind::File(_) => Thing::File,
            ItemKind::Symlink(_) => Thing::Symlink,
            ItemKind::Special(Special::Fifo) => Thing::Fifo,
            ItemKind::Special(_) => Thing::Device,
        }
    }
}

/// The content of a file, wherever it is.
#[derive(Clone)]
pub(super) enum Content {
    /// In the context.
    Context {
        /// What was said of it when it was found.
        stamp: Stamp,
        /// The first item that has it: its group, its place in that group.
        item: (u32, u32),
    },
    /// In a checkout, by its place among those that are copied from.
    Checkout {
        checkout: usize,
        /// See [`Content::Context`].
        stamp: Stamp,
        /// See [`Content::Context`].
        item: (u32, u32),
    },
    /// In a layer.
    View { node: Node, size: u64 },
    /// In an archive that was unpacked: its place among those of the selection.
    Unpacked { archive: usize, node: Node, size: u64 },
    /// In the Dockerfile.
    Inline(Vec<u8>),
    /// On the web, and here when it was downloaded.
    Download {
        file: Downloaded,
        /// Whether it is unpacked, if it is an archive: that is seen when it is here.
        unpack: bool,
        /// Its address, for messages.
        url: String,
        span: Span,
    },
}

impl Content {
    pub fn size(&self) -> u64 {
        match self {
            Content::Context { stamp, .. } | Content::Checkout { stamp, .. } => stamp.size,
            Content::View { size, .. } | Content::Unpacked { size, .. } => *size,
            Content::Inline(bytes) => bytes.len() as u64,
            Content::Download { file, .. } => file.size,
        }
    }
}
