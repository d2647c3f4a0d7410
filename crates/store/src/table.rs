//! Tables of contents: every entry of a layer, in order of its path, and the framing of its tar.
//!
//! A table is one immutable file, memory-mapped. It answers what is in a layer without walking a tree or
//! reading a tar; with the contents beside it (from the pack or the tree) its framing gives back the very
//! bytes of the tar, also of a foreign one.

use image::DiffId;

/// A BLAKE3 digest: how contents are known inside the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContentDigest(pub [u8; 32]);

/// One entry of a layer.
///
/// Paths are relative, without a leading or trailing slash, components joined by single slashes, none of them `.`
/// or `..`; the root is the empty path. Entries are ordered component by component (so that a directory is followed by
/// all that is below it).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Where it is.
    pub path: &'a [u8],
    /// What it is.
    pub kind: EntryKind<'a>,
    /// Permission bits, with set-user-ID, set-group-ID and sticky.
    pub mode: u32,
    /// The numeric owner.
    pub uid: u32,
    /// The numeric group.
    pub gid: u32,
    /// Whole seconds since the beginning of 1970.
    pub mtime: i64,
    /// Extended attributes, in order of their names.
    pub xattrs: Vec<(&'a [u8], &'a [u8])>,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind<'a> {
    /// A regular file.
    File {
        /// Its size in bytes (holes included).
        size: u64,
        /// The BLAKE3 of its contents (holes as zeros).
        content: ContentDigest,
        /// Where the stored bytes begin in the tar.
        offset: u64,
        /// The pieces that are stored, when the file is sparse: (place in the file, length), stored one after the other at `offset`.
        sparse: Option<Vec<(u64, u64)>>,
    },
    /// Another name of a file: the path of an entry in this layer or of a file in one below.
    Hardlink {
        /// The path of the file.
        target: &'a [u8],
    },
    /// A symbolic link.
    Symlink {
        /// What it says.
        target: &'a [u8],
    },
    /// A directory.
    Directory {
        /// Whether it hides what the layers below have in it.
        opaque: bool,
        /// Whether the tar does not hold it: it is here because something is below it. Then owner, mode and times are
        /// those of the layers below, or 0:0, 0755 and the fixed time.
        implied: bool,
    },
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
    /// Removes what the layers below have at this path.
    Whiteout,
}

/// A layer's table, mapped into memory; verified when it is opened.
pub struct Table {}

impl Table {
    /// The layer it is of.
    pub fn diff_id(&self) -> DiffId {
        todo!()
    }

    /// The size of the tar, in bytes.
    pub fn tar_size(&self) -> u64 {
        todo!()
    }

    /// The sum of the sizes of all files.
    pub fn content_size(&self) -> u64 {
        todo!()
    }

    /// The newest time of an entry that the tar holds; `None` when it holds none.
    pub fn newest(&self) -> Option<i64> {
        todo!()
    }

    /// The identity of the layer's contents: of all its entries without their times.
    /// Layers that were made again from the same input have the same, whatever the clock was.
    pub fn content_id(&self) -> ContentDigest {
        todo!()
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        todo!()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The entry at a place in the order.
    pub fn entry(&self, index: usize) -> Option<Entry<'_>> {
        let _ = index;
        todo!()
    }

    /// All entries in order.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        (0..self.len()).filter_map(|index| self.entry(index))
    }

    /// The place of a path.
    pub fn find(&self, path: &[u8]) -> Option<usize> {
        let _ = path;
        todo!()
    }

    /// The places of all that is below a path (the path itself not counted).
    pub fn below(&self, path: &[u8]) -> std::ops::Range<usize> {
        let _ = path;
        todo!()
    }

    /// Whether some entry needs what lies below: an implied directory, or a hardlink to a file that is not in this layer.
    pub fn needs_lower(&self) -> bool {
        todo!()
    }

    /// All bytes of the tar that are not stored contents of entries, in order.
    pub fn framing(&self) -> crate::Result<Box<dyn std::io::Read + Send + '_>> {
        todo!()
    }
}

/// Collects the entries and the framing of a layer while its tar is made or read.
///
/// Entries may come in any order; when a path comes twice, the later one counts (the reader of a tar gives the contents
/// of the earlier one to the framing). Missing parents are added as implied directories.
pub struct TableBuilder {}

impl TableBuilder {
    /// Begins.
    pub fn new() -> crate::Result<Self> {
        todo!()
    }

    /// Adds an entry.
    pub fn entry(&mut self, entry: &Entry<'_>) {
        let _ = entry;
        todo!()
    }

    /// Adds bytes of the tar that are not contents.
    pub fn framing(&mut self, bytes: &[u8]) -> crate::Result<()> {
        let _ = bytes;
        todo!()
    }

    /// Ends: the table, ready to be given to [`crate::Layers::add`].
    pub fn finish(self, diff_id: DiffId, tar_size: u64) -> crate::Result<NewTable> {
        let _ = (diff_id, tar_size);
        todo!()
    }
}

/// A table that is not in the store yet.
pub struct NewTable {}
