//! The deterministic tar writer: entries in order → a tar and its table, in one pass (ST-050 … ST-057).

use std::io::Read;

use image::DiffId;
use store::table::{ContentDigest, Entry, EntryKind, TableBuilder};
use store::{Layer, Lease, Store};

use crate::Result;
use crate::tar_writer::{Observer, TarWriter, kept_xattrs};

mod sink;
#[cfg(test)]
mod tests;

use sink::Sink;

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

impl From<&Entry<'_>> for Meta {
    fn from(entry: &Entry<'_>) -> Self {
        let xattrs = entry.xattrs.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
        Self { mode: entry.mode, uid: entry.uid, gid: entry.gid, mtime: entry.mtime, xattrs }
    }
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
pub struct Packer {
    tar: TarWriter<Sink, Recorder>,
    store: Store,
    lease: Lease,
}

/// Makes the table while the tar is written.
struct Recorder {
    table: TableBuilder,
    /// Of the file that is being written.
    content: blake3::Hasher,
}

impl Observer for Recorder {
    fn framing(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.table.framing(bytes)?)
    }

    fn content(&mut self, bytes: &[u8]) {
        self.content.update(bytes);
    }
}

impl Packer {
    /// A packer that stores the tar as the layer's pack.
    pub fn to_store(store: &Store, lease: &Lease, options: PackOptions) -> Result<Self> {
        let sink = Sink::Blob(Box::new(store.blobs().writer(lease)?));
        Self::new(store, lease, options, sink)
    }

    /// A packer that computes the DiffID and the table, and drops the tar (the layer has a tree).
    pub fn hash_only(store: &Store, lease: &Lease, options: PackOptions) -> Result<Self> {
        Self::new(store, lease, options, Sink::digest())
    }

    fn new(store: &Store, lease: &Lease, options: PackOptions, sink: Sink) -> Result<Self> {
        let recorder = Recorder { table: TableBuilder::new()?, content: blake3::Hasher::new() };
        let tar = TarWriter::observed(sink, options, recorder);
        Ok(Self { tar, store: store.clone(), lease: lease.clone() })
    }

    /// A directory.
    pub fn directory(&mut self, path: &[u8], meta: &Meta, opaque: bool) -> Result<()> {
        self.tar.directory(path, meta, opaque)?;
        self.record(path, meta, EntryKind::Directory { opaque, implied: false });
        Ok(())
    }

    /// A regular file of exactly `size` bytes; fewer or more are an error (the file changed while it was read).
    pub fn file(
        &mut self,
        path: &[u8],
        meta: &Meta,
        size: u64,
        content: &mut dyn Read,
    ) -> Result<ContentDigest> {
        self.tar.observer().content.reset();
        let offset = self.tar.file(path, meta, size, content)?;
        let content = ContentDigest(*self.tar.observer().content.finalize().as_bytes());
        self.record(path, meta, EntryKind::File { size, content, offset, sparse: None });
        Ok(content)
    }

    /// Another name of a file.
    pub fn hardlink(&mut self, path: &[u8], meta: &Meta, target: &[u8]) -> Result<()> {
        self.tar.hardlink(path, meta, target)?;
        self.record(path, meta, EntryKind::Hardlink { target });
        Ok(())
    }

    /// A symbolic link.
    pub fn symlink(&mut self, path: &[u8], meta: &Meta, target: &[u8]) -> Result<()> {
        self.tar.symlink(path, meta, target)?;
        self.record(path, meta, EntryKind::Symlink { target });
        Ok(())
    }

    /// A device or a named pipe.
    pub fn special(&mut self, path: &[u8], meta: &Meta, special: Special) -> Result<()> {
        self.tar.special(path, meta, special)?;
        self.record(path, meta, special.entry_kind());
        Ok(())
    }

    /// Removes what lies below.
    pub fn whiteout(&mut self, path: &[u8]) -> Result<()> {
        self.tar.whiteout(path)?;
        // As the tar has it: with the time 0, also when that is later than what times are clamped to.
        let meta = Meta::default();
        self.tar.observer().table.entry(&entry(path, &meta, 0, EntryKind::Whiteout));
        Ok(())
    }

    fn record(&mut self, path: &[u8], meta: &Meta, kind: EntryKind<'_>) {
        let mtime = self.tar.clamped(meta.mtime);
        self.tar.observer().table.entry(&entry(path, meta, mtime, kind));
    }
    /// Ends the tar, and adds the layer to the store; `tree` is its tree, when it was made from one (required after [`Packer::hash_only`]).
    pub fn finish(self, tree: Option<store::TempDir>) -> Result<Layer> {
        let Self { tar, store, lease } = self;
        let (sink, recorder) = tar.into_parts()?;
        let (digest, size) = sink.finish()?;
        let table = recorder.table.finish(DiffId(digest), size)?;
        Ok(store.layers().add(&lease, table, tree)?)
    }
}

fn entry<'a>(path: &'a [u8], meta: &'a Meta, mtime: i64, kind: EntryKind<'a>) -> Entry<'a> {
    let xattrs = kept_xattrs(&meta.xattrs);
    Entry { path, kind, mode: meta.mode & 0o7777, uid: meta.uid, gid: meta.gid, mtime, xattrs }
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

impl Special {
    /// As a table has it.
    pub(crate) fn entry_kind(self) -> EntryKind<'static> {
        match self {
            Special::CharacterDevice { major, minor } => EntryKind::CharacterDevice { major, minor },
            Special::BlockDevice { major, minor } => EntryKind::BlockDevice { major, minor },
            Special::Fifo => EntryKind::Fifo,
        }
    }
}
