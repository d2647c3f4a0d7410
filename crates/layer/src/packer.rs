//! The deterministic tar writer: entries in order → a tar and its table, in one pass (ST-050 … ST-057).

use std::io::Read;

use store::table::ContentDigest;
use store::{Layer, Lease, Store};

use crate::Result;

/// What an entry has besides its kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Meta {
    /// Permission bits, with set-user-ID, set-group-ID and sticky.
    pub mode: u32,
    /// The numeric owner.
    pub uid: u32,
    /// The numeric group.
    pub gid: u32,
    /// Whole seconds since the beginning of 1970.
    pub mtime: i64,
    /// Extended attributes; those that no layer may hold are dropped (overlay's own, `security.selinux`, ACLs).
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// How a layer is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PackOptions {
    /// No time is later than this (`SOURCE_DATE_EPOCH`).
    pub clamp: Option<i64>,
}

/// Writes a layer. Entries must come in the order of a table: by path, component by component, each once, parents before what is in them.
///
/// Paths are as in [`store::table::Entry`]. Content is read once: into the tar, its SHA-256 and the file's BLAKE3.
pub struct Packer {}

impl Packer {
    /// A packer that stores the tar as the layer's pack.
    pub fn to_store(store: &Store, lease: &Lease, options: PackOptions) -> Result<Self> {
        let _ = (store, lease, options);
        todo!()
    }

    /// A packer that computes the DiffID and the table, and drops the tar (the layer has a tree).
    pub fn hash_only(store: &Store, lease: &Lease, options: PackOptions) -> Result<Self> {
        let _ = (store, lease, options);
        todo!()
    }

    /// A directory.
    pub fn directory(&mut self, path: &[u8], meta: &Meta, opaque: bool) -> Result<()> {
        let _ = (path, meta, opaque);
        todo!()
    }

    /// A regular file of exactly `size` bytes; fewer or more are an error (the file changed while it was read).
    pub fn file(
        &mut self,
        path: &[u8],
        meta: &Meta,
        size: u64,
        content: &mut dyn Read,
    ) -> Result<ContentDigest> {
        let _ = (path, meta, size, content);
        todo!()
    }

    /// Another name of a file.
    pub fn hardlink(&mut self, path: &[u8], meta: &Meta, target: &[u8]) -> Result<()> {
        let _ = (path, meta, target);
        todo!()
    }

    /// A symbolic link.
    pub fn symlink(&mut self, path: &[u8], meta: &Meta, target: &[u8]) -> Result<()> {
        let _ = (path, meta, target);
        todo!()
    }

    /// A device or a named pipe.
    pub fn special(&mut self, path: &[u8], meta: &Meta, special: Special) -> Result<()> {
        let _ = (path, meta, special);
        todo!()
    }

    /// Removes what lies below.
    pub fn whiteout(&mut self, path: &[u8]) -> Result<()> {
        let _ = path;
        todo!()
    }

    /// Ends the tar, and adds the layer to the store; `tree` is its tree, when it was made from one (required after [`Packer::hash_only`]).
    pub fn finish(self, tree: Option<store::TempDir>) -> Result<Layer> {
        let _ = tree;
        todo!()
    }
}

/// A file that is neither a regular file, nor a link, nor a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Special {
    /// A character device.
    CharacterDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
}
