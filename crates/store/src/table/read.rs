//! Reading a table.

use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

use base::IoContext;
use image::DiffId;
use memmap2::Mmap;

use super::format::{
    CHECKED, CHECKSUM, HEADER, Header, MAGIC, RECORD, Record, Span, VERSION, array, flag, kind, slice,
    u32_at, u64_at,
};
use super::{ContentDigest, Entry, EntryKind, compare_paths, is_below};
use crate::{Result, StoreError};

/// A layer's table, mapped into memory; read and verified when it is opened.
pub struct Table {
    path: PathBuf,
    map: Mmap,
    header: Header,
}

impl Table {
    /// Opens and verifies a table; `root` is the store's, for the error about a newer format.
    pub(crate) fn open(root: &Path, path: &Path) -> Result<Self> {
        let file = File::open(path).context("open", path)?;
        Self::of(root, path, &file)
    }

    pub(crate) fn of(root: &Path, path: &Path, file: &File) -> Result<Self> {
        let damaged = |reason: &str| StoreError::Damaged { path: path.to_owned(), reason: reason.to_owned() };
        let length = file.metadata().context("stat", path)?.len();
        if length < HEADER as u64 {
            return Err(damaged("it is too short for a table"));
        }
        // All of it is read once, and not through the map: there, what a disk cannot read is a signal, and here it is an error.
        let mut head = [0; CHECKED];
        let mut reader = file;
        reader.read_exact(&mut head).context("read", path)?;
        if head.get(..MAGIC.len()) != Some(MAGIC) {
            return Err(damaged("it is not a table"));
        }
        match u32_at(&head, 8) {
            Some(VERSION) => {}
            Some(found) if found > VERSION => {
                return Err(StoreError::TooNew { root: root.to_owned(), found, known: VERSION });
            }
            _ => return Err(damaged("its version does not exist")),
        }
        let checksum: Option<[u8; 32]> = array(&head, CHECKSUM);
        let mut found = blake3::Hasher::new();
        found.update_reader(reader).context("read", path)?;
        if checksum != Some(*found.finalize().as_bytes()) {
            return Err(damaged("its checksum does not match its contents"));
        }
        let map = crate::sys::map(file).context("map", path)?;
        let header = Header::decode(&map).ok_or_else(|| damaged("its header is not valid"))?;
        if header.file_length() != Some(map.len() as u64) {
            return Err(damaged("its sections do not add up to its length"));
        }
        Ok(Self { path: path.to_owned(), map, header })
    }

    /// The layer it is of.
    pub fn diff_id(&self) -> DiffId {
        self.header.diff_id
    }

    /// The size of the tar, in bytes.
    pub fn tar_size(&self) -> u64 {
        self.header.tar_size
    }

    /// The sum of the sizes of all files.
    pub fn content_size(&self) -> u64 {
        self.header.content_size
    }

    /// The newest time of an entry that the tar holds; `None` when it holds none.
    pub fn newest(&self) -> Option<i64> {
        self.header.newest
    }

    /// The identity of the layer's contents: of all its entries without their times.
    /// Layers that were made again from the same input have the same, whatever the clock was.
    pub fn content_id(&self) -> ContentDigest {
        ContentDigest(self.header.content_id)
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        // It was checked that so many records are in the file.
        usize::try_from(self.header.entries).unwrap_or(0)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The entry at a place in the order.
    pub fn entry(&self, index: usize) -> Option<Entry<'_>> {
        let record = Record::decode(self.record(index)?)?;
        let heap = self.heap()?;
        Some(Entry {
            path: record.path.of(heap)?,
            kind: entry_kind(&record, heap)?,
            mode: u32::from(record.mode),
            uid: record.uid,
            gid: record.gid,
            mtime: record.mtime,
            xattrs: xattrs(record.xattrs.of(heap)?)?,
        })
    }

    /// All entries in order.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        (0..self.len()).filter_map(|index| self.entry(index))
    }

    /// The path of the entry at a place in the order: cheaper than the whole entry.
    pub fn path(&self, index: usize) -> Option<&[u8]> {
        Record::path(self.record(index)?)?.of(self.heap()?)
    }

    /// The place of a path.
    pub fn find(&self, path: &[u8]) -> Option<usize> {
        let index = self.first_where(|other| compare_paths(other, path).is_ge());
        (self.path(index)? == path).then_some(index)
    }

    /// The place of the last entry that is not behind a path: the path itself, one of its parents, or what comes before it.
    pub fn floor(&self, path: &[u8]) -> Option<usize> {
        self.first_where(|other| compare_paths(other, path).is_gt()).checked_sub(1)
    }

    /// Whether some directory is opaque.
    pub fn has_opaque(&self) -> bool {
        self.header.has_opaque
    }

    /// The places of all that is below a path (the path itself not counted).
    pub fn below(&self, path: &[u8]) -> Range<usize> {
        let start = self.first_where(|other| compare_paths(other, path).is_gt());
        let end = self.first_where(|other| compare_paths(other, path).is_gt() && !is_below(other, path));
        start..end.max(start)
    }

    /// Whether some entry needs what lies below: an implied directory (other than the root, whose owner and mode a mount takes from
    /// above), or a hardlink to a file that is not in this layer.
    pub fn needs_lower(&self) -> bool {
        self.header.needs_lower
    }

    /// All bytes of the tar that are not stored contents of entries, in order.
    pub fn framing(&self) -> Result<Box<dyn Read + Send + '_>> {
        let start = HEADER as u64 + self.header.entries * RECORD as u64 + self.header.heap;
        let packed = slice(&self.map, start, self.header.framing).unwrap_or_default();
        let decoder = zstd::stream::read::Decoder::with_buffer(packed)
            .context("decompress the framing in", &self.path)?;
        Ok(Box::new(decoder.take(self.header.framing_plain)))
    }

    /// How many bytes [`Table::framing`] gives.
    pub fn framing_size(&self) -> u64 {
        self.header.framing_plain
    }

    fn record(&self, index: usize) -> Option<&[u8]> {
        if index >= self.len() {
            return None;
        }
        let start = index.checked_mul(RECORD)?.checked_add(HEADER)?;
        self.map.get(start..start.checked_add(RECORD)?)
    }

    fn heap(&self) -> Option<&[u8]> {
        let records = self.header.entries.checked_mul(RECORD as u64)?;
        slice(&self.map, records.checked_add(HEADER as u64)?, self.header.heap)
    }

    /// The first place whose path fulfils what all later ones fulfil too.
    fn first_where(&self, fulfils: impl Fn(&[u8]) -> bool) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.path(middle).is_some_and(&fulfils) { high = middle } else { low = middle + 1 }
        }
        low
    }
}

fn entry_kind<'a>(record: &Record, heap: &'a [u8]) -> Option<EntryKind<'a>> {
    let number = |number: u64| u32::try_from(number).ok();
    Some(match record.kind {
        kind::FILE => EntryKind::File {
            size: record.first,
            content: ContentDigest(record.content),
            offset: record.second,
            sparse: if record.flags & flag::SPARSE == 0 { None } else { Some(pieces(record, heap)?) },
        },
        kind::HARDLINK => EntryKind::Hardlink { target: slice(heap, record.first, record.second)? },
        kind::SYMLINK => EntryKind::Symlink { target: slice(heap, record.first, record.second)? },
        kind::DIRECTORY => EntryKind::Directory {
            opaque: record.flags & flag::OPAQUE != 0,
            implied: record.flags & flag::IMPLIED != 0,
        },
        kind::CHARACTER_DEVICE => {
            EntryKind::CharacterDevice { major: number(record.first)?, minor: number(record.second)? }
        }
        kind::BLOCK_DEVICE => {
            EntryKind::BlockDevice { major: number(record.first)?, minor: number(record.second)? }
        }
        kind::FIFO => EntryKind::Fifo,
        kind::WHITEOUT => EntryKind::Whiteout,
        _ => return None,
    })
}

fn pieces(record: &Record, heap: &[u8]) -> Option<Vec<(u64, u64)>> {
    let bytes = slice(heap, record.pieces_offset, u64::from(record.pieces).checked_mul(16)?)?;
    bytes.chunks_exact(16).map(|piece| Some((u64_at(piece, 0)?, u64_at(piece, 8)?))).collect()
}

pub(super) fn xattrs(mut bytes: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let name = Span { offset: 8, length: u32_at(bytes, 0)? };
        let value = Span { offset: 8 + u64::from(name.length), length: u32_at(bytes, 4)? };
        found.push((name.of(bytes)?, value.of(bytes)?));
        let end = value.offset + u64::from(value.length);
        bytes = bytes.get(usize::try_from(end).ok()?..)?;
    }
    Some(found)
}
