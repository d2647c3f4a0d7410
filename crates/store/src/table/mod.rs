//! Tables of contents: every entry of a layer, in order of its path, and the framing of its tar.
//!
//! A table is one immutable file, read and verified when it is opened, and memory-mapped from then on. It answers what is in a layer without walking a tree or
//! reading a tar; with the contents beside it (from the pack or the tree) its framing gives back the very
//! bytes of the tar, also of a foreign one.
//!
//! # The file
//!
//! All numbers are little-endian. Four sections follow each other without gaps; their lengths must add up to the
//! file's.
//!
//! ```text
//! header, 256 bytes
//!     0   8  magic: "LAPTABLE"
//!     8   4  version: 1
//!    12   4  zero
//!    16  32  BLAKE3 of everything behind it (bytes 48 to the end of the file)
//!    48   4  flags: 1 = there is a newest time, 2 = something needs the layers below,
//!              4 = a directory is opaque
//!    52   4  algorithm of the DiffID: 1 = sha256, 2 = sha512
//!    56   8  number of entries
//!    64   8  length of the heap
//!    72   8  length of the framing, as it is stored
//!    80   8  length of the framing, decompressed
//!    88   8  size of the tar
//!    96   8  sum of the sizes of all files
//!   104   8  newest time of an entry that the tar holds (signed)
//!   112  32  content ID
//!   144  64  DiffID (a sha256 is followed by zeros)
//!   208  48  zero
//! entries, 104 bytes each, in order of their paths
//!     0   8  path: offset in the heap
//!     8   4  path: length
//!    12   1  kind: 1 file, 2 hardlink, 3 symlink, 4 directory, 5 character device, 6 block device, 7 pipe, 8 whiteout
//!    13   1  flags: 1 = opaque, 2 = implied, 4 = sparse
//!    14   2  mode
//!    16   4  user
//!    20   4  group
//!    24   8  time (signed)
//!    32  32  files: BLAKE3 of the contents
//!    64   8  files: size. Links: offset of the target in the heap. Devices: major number
//!    72   8  files: offset in the tar. Links: length of the target. Devices: minor number
//!    80   8  extended attributes: offset in the heap
//!    88   4  extended attributes: length, all together
//!    92   4  sparse files: number of pieces
//!    96   8  sparse files: offset of the pieces in the heap
//! heap: paths; targets; extended attributes, each as length of the name (4), length of the value (4), name, value;
//!       pieces of sparse files, each as place in the file (8), length (8)
//! framing: a zstd stream
//! ```
//!
//! The order of paths is byte by byte, with `/` lower than any other byte: so a directory is followed by all that is
//! below it, and both are found by bisection.
//!
//! # The content ID
//!
//! The BLAKE3, in key-derivation mode with the context `lapstrake layer content 1`, of all entries in order. Numbers are
//! little-endian, `bytes` are their length (8) and themselves. Each entry is
//!
//! ```text
//! kind (1) · path as bytes · flags (1): 1 = opaque, 2 = implied
//! unless implied or a whiteout: mode (4; zero for a symbolic link, whose mode means nothing) · user (4) · group (4) ·
//!                               number of extended attributes (8) · each: name as bytes · value as bytes
//! a file: size (8) · BLAKE3 of the contents (32)     a link: target as bytes     a device: major (4) · minor (4)
//! ```
//!
//! Times, where the bytes lie in a tar, and which parts of a file are holes do not count.

mod format;
mod read;
#[cfg(test)]
mod tests;
mod write;

pub use read::Table;
pub use write::{NewTable, TableBuilder};

use std::cmp::Ordering;

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

/// The order of entries: byte by byte, with `/` lower than any other byte.
pub fn compare_paths(left: &[u8], right: &[u8]) -> Ordering {
    let rank = |byte: u8| if byte == b'/' { 0 } else { u16::from(byte) + 1 };
    // Long paths with a long common beginning are compared in blocks first: that is a memcmp.
    const BLOCK: usize = 64;
    let equal = left
        .chunks_exact(BLOCK)
        .zip(right.chunks_exact(BLOCK))
        .take_while(|(left, right)| left == right)
        .count();
    let (left, right) = (&left[equal * BLOCK..], &right[equal * BLOCK..]);
    left.iter()
        .zip(right)
        .find(|(left, right)| left != right)
        .map_or_else(|| left.len().cmp(&right.len()), |(left, right)| rank(*left).cmp(&rank(*right)))
}

/// Whether `path` is below `directory` (and is not the directory itself).
pub fn is_below(path: &[u8], directory: &[u8]) -> bool {
    if directory.is_empty() {
        return !path.is_empty();
    }
    path.strip_prefix(directory).is_some_and(|rest| rest.first() == Some(&b'/'))
}

/// The path of the directory that holds `path`; `None` for the root.
pub fn parent_of(path: &[u8]) -> Option<&[u8]> {
    if path.is_empty() {
        return None;
    }
    let end = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    path.get(..end)
}
