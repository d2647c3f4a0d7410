//! Making a table.

use std::fs::File;
use std::io::{self, Write};

use image::DiffId;

use super::format::{CHECKED, CHECKSUM, Header, RECORD, Record, Span, flag, kind};
use super::{ContentDigest, Entry, EntryKind, compare_paths, is_below, parent_of};
use crate::layers::LayerBlob;
use crate::{Result, StoreError};

/// The largest framing, as it is stored. Framing is headers and padding, which shrink to some 25 bytes an entry;
/// only a tar that repeats a path with different large contents comes near this.
const MAX_FRAMING: usize = 256 << 20;

/// How hard the framing is compressed: tar headers shrink to a twentieth at any level, and higher ones take time.
const FRAMING_LEVEL: i32 = 3;

/// Collects the entries and the framing of a layer while its tar is made or read.
///
/// Entries may come in any order; when a path comes twice, the later one counts (the reader of a tar gives the contents
/// of the earlier one to the framing). Missing parents are added as implied directories; a whiteout that has something below it
/// becomes an implied directory that is opaque.
pub struct TableBuilder {
    records: Vec<Record>,
    heap: Vec<u8>,
    framing: zstd::stream::write::Encoder<'static, Vec<u8>>,
    framing_plain: u64,
    /// The first thing that was wrong with an entry.
    wrong: Option<StoreError>,
}

impl TableBuilder {
    /// Begins.
    pub fn new() -> Result<Self> {
        let framing =
            zstd::stream::write::Encoder::new(Vec::new(), FRAMING_LEVEL).map_err(compress_failed)?;
        Ok(Self { records: Vec::new(), heap: Vec::new(), framing, framing_plain: 0, wrong: None })
    }

    /// Adds an entry. What is wrong with one is said by [`TableBuilder::finish`].
    pub fn entry(&mut self, entry: &Entry<'_>) {
        if let Err(reason) = self.try_entry(entry) {
            self.wrong.get_or_insert_with(|| wrong_entry(entry.path, reason));
        }
    }

    fn try_entry(&mut self, entry: &Entry<'_>) -> Result<(), &'static str> {
        check_path(entry.path)?;
        let mut record = Record {
            path: self.keep(entry.path)?,
            mode: (entry.mode & 0o7777) as u16,
            uid: entry.uid,
            gid: entry.gid,
            mtime: entry.mtime,
            ..Record::default()
        };
        self.keep_xattrs(&mut record, &entry.xattrs)?;
        self.keep_kind(&mut record, &entry.kind)?;
        self.records.push(record);
        Ok(())
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<Span, &'static str> {
        let length = u32::try_from(bytes.len()).map_err(|_| "a text in it is too long")?;
        let span = Span { offset: self.heap.len() as u64, length };
        self.heap.extend_from_slice(bytes);
        Ok(span)
    }

    fn keep_xattrs(&mut self, record: &mut Record, xattrs: &[(&[u8], &[u8])]) -> Result<(), &'static str> {
        let start = self.heap.len();
        let mut sorted = xattrs.to_vec();
        sorted.sort_by_key(|(name, _)| *name);
        for (name, value) in sorted {
            let length = |bytes: &[u8]| u32::try_from(bytes.len()).map_err(|_| "an attribute is too long");
            self.heap.extend_from_slice(&length(name)?.to_le_bytes());
            self.heap.extend_from_slice(&length(value)?.to_le_bytes());
            self.heap.extend_from_slice(name);
            self.heap.extend_from_slice(value);
        }
        let length = u32::try_from(self.heap.len() - start).map_err(|_| "its attributes are too long")?;
        record.xattrs = Span { offset: start as u64, length };
        Ok(())
    }

    fn keep_kind(&mut self, record: &mut Record, entry_kind: &EntryKind<'_>) -> Result<(), &'static str> {
        match entry_kind {
            EntryKind::File { size, content, offset, sparse } => {
                (record.kind, record.first, record.second) = (kind::FILE, *size, *offset);
                record.content = content.0;
                if let Some(pieces) = sparse {
                    record.flags = flag::SPARSE;
                    record.pieces = u32::try_from(pieces.len()).map_err(|_| "it has too many holes")?;
                    record.pieces_offset = self.heap.len() as u64;
                    for (place, length) in pieces {
                        self.heap.extend_from_slice(&place.to_le_bytes());
                        self.heap.extend_from_slice(&length.to_le_bytes());
                    }
                }
            }
            EntryKind::Hardlink { target } => {
                check_path(target)?;
                self.keep_link(record, kind::HARDLINK, target)?;
            }
            EntryKind::Symlink { target } => self.keep_link(record, kind::SYMLINK, target)?,
            EntryKind::Directory { opaque, implied } => {
                record.kind = kind::DIRECTORY;
                record.flags =
                    if *opaque { flag::OPAQUE } else { 0 } | if *implied { flag::IMPLIED } else { 0 };
            }
            EntryKind::CharacterDevice { major, minor } => {
                (record.kind, record.first, record.second) =
                    (kind::CHARACTER_DEVICE, u64::from(*major), u64::from(*minor));
            }
            EntryKind::BlockDevice { major, minor } => {
                (record.kind, record.first, record.second) =
                    (kind::BLOCK_DEVICE, u64::from(*major), u64::from(*minor));
            }
            EntryKind::Fifo => record.kind = kind::FIFO,
            EntryKind::Whiteout => record.kind = kind::WHITEOUT,
        }
        Ok(())
    }

    fn keep_link(&mut self, record: &mut Record, link: u8, target: &[u8]) -> Result<(), &'static str> {
        let span = self.keep(target)?;
        (record.kind, record.first, record.second) = (link, span.offset, u64::from(span.length));
        Ok(())
    }

    /// Adds bytes of the tar that are not contents.
    pub fn framing(&mut self, bytes: &[u8]) -> Result<()> {
        self.framing.write_all(bytes).map_err(compress_failed)?;
        self.framing_plain += bytes.len() as u64;
        if self.framing.get_ref().len() > MAX_FRAMING {
            return Err(StoreError::TooLarge {
                what: "what a tar holds besides the contents of its entries".to_owned(),
                limit: MAX_FRAMING as u64,
            });
        }
        Ok(())
    }

    /// Ends: the table, ready to be given to [`crate::Layers::add`].
    pub fn finish(self, diff_id: DiffId, tar_size: u64) -> Result<NewTable> {
        if let Some(wrong) = self.wrong {
            return Err(wrong);
        }
        let framing = self.framing.finish().map_err(compress_failed)?;
        let (records, paths) = arrange(self.records, self.heap)?;
        let heap = Heap { source: &paths, packed: Vec::with_capacity(paths.len()) };
        let (records, heap, sums) = heap.pack(records);
        let header = Header {
            entries: (records.len() / RECORD) as u64,
            heap: heap.len() as u64,
            framing: framing.len() as u64,
            framing_plain: self.framing_plain,
            tar_size,
            content_size: sums.content_size,
            newest: sums.newest,
            needs_lower: sums.needs_lower,
            has_opaque: sums.has_opaque,
            content_id: *sums.content_id.finalize().as_bytes(),
            diff_id,
        };
        let mut bytes = header.encode();
        let mut checksum = blake3::Hasher::new();
        for part in [bytes.get(CHECKED..).unwrap_or_default(), &records, &heap, &framing] {
            checksum.update(part);
        }
        if let Some(place) = bytes.get_mut(CHECKSUM..CHECKED) {
            place.copy_from_slice(checksum.finalize().as_bytes());
        }
        Ok(NewTable { header, bytes: bytes.to_vec(), records, heap, framing, blobs: Vec::new() })
    }
}

/// A table that is not in the store yet.
pub struct NewTable {
    header: Header,
    bytes: Vec<u8>,
    records: Vec<u8>,
    heap: Vec<u8>,
    framing: Vec<u8>,
    pub(crate) blobs: Vec<LayerBlob>,
}

impl NewTable {
    /// Names a blob of the store that holds the layer: a layer that came compressed, and has neither pack nor tree yet, is
    /// added with the blob that it came in.
    pub fn with_blob(mut self, blob: LayerBlob) -> Self {
        self.blobs.push(blob);
        self
    }

    /// The layer it is of.
    pub fn diff_id(&self) -> DiffId {
        self.header.diff_id
    }

    /// The identity of the layer's contents; see [`super::Table::content_id`].
    pub fn content_id(&self) -> ContentDigest {
        ContentDigest(self.header.content_id)
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.records.len() / RECORD
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Whether some entry needs what lies below; see [`super::Table::needs_lower`].
    pub fn needs_lower(&self) -> bool {
        self.header.needs_lower
    }

    pub(crate) fn write_to(&self, file: &mut File) -> io::Result<()> {
        for part in [&self.bytes, &self.records, &self.heap, &self.framing] {
            file.write_all(part)?;
        }
        Ok(())
    }
}

/// Sorts, drops what came again later, and adds the missing parents; gives the records and the heap that they point into.
fn arrange(mut records: Vec<Record>, mut heap: Vec<u8>) -> Result<(Vec<Record>, Vec<u8>)> {
    let path = |record: &Record| record.path.of(&heap).unwrap_or_default();
    // Stable: of equal paths, the later stays behind the earlier. Entries usually come in order, which costs one comparison each.
    records.sort_by(|left, right| compare_paths(path(left), path(right)));
    let mut arranged: Vec<Record> = Vec::with_capacity(records.len() + 16);
    // The places of the entry before, and of the directories that it is in.
    let mut open: Vec<usize> = Vec::new();
    for (index, record) in records.iter().enumerate() {
        let own = path(record);
        if records.get(index + 1).is_some_and(|next| path(next) == own) {
            continue;
        }
        while open.last().and_then(|last| arranged.get(*last)).is_some_and(|last| !is_below(own, path(last)))
        {
            open.pop();
        }
        let mut known = None;
        if let Some(parent) = open.last().and_then(|last| arranged.get_mut(*last)) {
            become_parent(parent, own)?;
            known = Some(path(parent));
        }
        for missing in missing_parents(own, known) {
            open.push(arranged.len());
            arranged.push(implied(record.path.offset, missing.len())?);
        }
        open.push(arranged.len());
        arranged.push(*record);
    }
    heap.shrink_to_fit();
    Ok((arranged, heap))
}

/// The proper parents of `path` that are below `known` (all of them, the root included, when nothing is known), the highest first.
fn missing_parents<'a>(path: &'a [u8], known: Option<&[u8]>) -> Vec<&'a [u8]> {
    let mut missing: Vec<&[u8]> = std::iter::successors(parent_of(path), |parent| parent_of(parent))
        .take_while(|parent| Some(*parent) != known)
        .collect();
    missing.reverse();
    missing
}

/// An implied directory; its path is the beginning of another one.
fn implied(offset: u64, length: usize) -> Result<Record> {
    let length = u32::try_from(length).map_err(|_| wrong_entry(b"", "its path is too long"))?;
    Ok(Record {
        path: Span { offset, length },
        kind: kind::DIRECTORY,
        flags: flag::IMPLIED,
        mode: 0o755,
        ..Record::default()
    })
}

fn become_parent(parent: &mut Record, child: &[u8]) -> Result<()> {
    match parent.kind {
        kind::DIRECTORY => Ok(()),
        kind::WHITEOUT => {
            *parent = Record {
                path: parent.path,
                kind: kind::DIRECTORY,
                flags: flag::IMPLIED | flag::OPAQUE,
                mode: 0o755,
                ..Record::default()
            };
            Ok(())
        }
        _ => Err(wrong_entry(child, "it is below something that is not a directory")),
    }
}

fn check_path(path: &[u8]) -> Result<(), &'static str> {
    if path.is_empty() {
        return Ok(());
    }
    if path.contains(&0) {
        return Err("there is a zero byte in a path");
    }
    if path.split(|byte| *byte == b'/').any(|name| matches!(name, b"" | b"." | b"..")) {
        return Err("a path is not relative and clean");
    }
    Ok(())
}

fn wrong_entry(path: &[u8], reason: &str) -> StoreError {
    StoreError::Entry { path: path.to_owned(), reason: reason.to_owned() }
}

/// Compression happens in memory: what fails is the compressor itself.
fn compress_failed(source: io::Error) -> StoreError {
    StoreError::Io(base::IoError { action: "compress", path: "the framing of a layer".into(), source })
}

/// What is known when all entries were seen.
struct Sums {
    content_size: u64,
    newest: Option<i64>,
    needs_lower: bool,
    has_opaque: bool,
    content_id: blake3::Hasher,
}

/// The heap in its final order: what belongs to an entry lies together, and what was dropped is gone.
struct Heap<'a> {
    source: &'a [u8],
    packed: Vec<u8>,
}

impl<'a> Heap<'a> {
    fn pack(mut self, records: Vec<Record>) -> (Vec<u8>, Vec<u8>, Sums) {
        let mut sums = Sums {
            content_size: 0,
            newest: None,
            needs_lower: false,
            has_opaque: false,
            content_id: blake3::Hasher::new_derive_key("lapstrake layer content 1"),
        };
        let mut bytes = Vec::with_capacity(records.len() * RECORD);
        for record in &records {
            self.sum(&mut sums, record, &records);
            bytes.extend_from_slice(&self.moved(record).encode());
        }
        (bytes, self.packed, sums)
    }

    fn moved(&mut self, record: &Record) -> Record {
        let mut moved = *record;
        moved.path.offset = self.copy(record.path.offset, u64::from(record.path.length));
        moved.xattrs.offset = self.copy(record.xattrs.offset, u64::from(record.xattrs.length));
        moved.pieces_offset = self.copy(record.pieces_offset, u64::from(record.pieces) * 16);
        if matches!(record.kind, kind::HARDLINK | kind::SYMLINK) {
            moved.first = self.copy(record.first, record.second);
        }
        moved
    }

    fn copy(&mut self, offset: u64, length: u64) -> u64 {
        if length == 0 {
            return 0;
        }
        let place = self.packed.len() as u64;
        let bytes = self.get(offset, length);
        self.packed.extend_from_slice(bytes);
        place
    }

    fn get(&self, offset: u64, length: u64) -> &'a [u8] {
        super::format::slice(self.source, offset, length).unwrap_or_default()
    }

    fn sum(&self, sums: &mut Sums, record: &Record, records: &[Record]) {
        let implied = record.flags & flag::IMPLIED != 0;
        let target = match record.kind {
            kind::HARDLINK | kind::SYMLINK => self.get(record.first, record.second),
            _ => &[],
        };
        if record.kind == kind::FILE {
            sums.content_size = sums.content_size.saturating_add(record.first);
        }
        if !implied {
            sums.newest = sums.newest.max(Some(record.mtime));
        }
        sums.has_opaque |= record.flags & flag::OPAQUE != 0;
        sums.needs_lower |= implied && record.path.length > 0;
        sums.needs_lower |= record.kind == kind::HARDLINK && !self.links_within(target, records);
        self.identify(&mut sums.content_id, record, target);
    }

    /// Whether a hardlink's target is in this layer.
    fn links_within(&self, target: &[u8], records: &[Record]) -> bool {
        let path = |record: &Record| record.path.of(self.source).unwrap_or_default();
        records
            .binary_search_by(|record| compare_paths(path(record), target))
            .ok()
            .and_then(|index| records.get(index))
            .is_some_and(|record| !matches!(record.kind, kind::WHITEOUT | kind::DIRECTORY))
    }

    /// Adds an entry to the content ID, as it is defined in [`crate::table`].
    fn identify(&self, hasher: &mut blake3::Hasher, record: &Record, target: &[u8]) {
        let flags = record.flags & (flag::OPAQUE | flag::IMPLIED);
        hasher.update(&[record.kind]);
        update_with_length(hasher, record.path.of(self.source).unwrap_or_default());
        hasher.update(&[flags]);
        if record.kind == kind::WHITEOUT {
            return;
        }
        if flags & flag::IMPLIED == 0 {
            let mode = if record.kind == kind::SYMLINK { 0 } else { u32::from(record.mode) };
            for number in [mode, record.uid, record.gid] {
                hasher.update(&number.to_le_bytes());
            }
            self.identify_xattrs(hasher, record.xattrs);
        }
        match record.kind {
            kind::FILE => {
                hasher.update(&record.first.to_le_bytes());
                hasher.update(&record.content);
            }
            kind::HARDLINK | kind::SYMLINK => update_with_length(hasher, target),
            kind::CHARACTER_DEVICE | kind::BLOCK_DEVICE => {
                for number in [record.first, record.second] {
                    hasher.update(&(number as u32).to_le_bytes());
                }
            }
            _ => {}
        }
    }

    fn identify_xattrs(&self, hasher: &mut blake3::Hasher, span: Span) {
        let xattrs = span.of(self.source).and_then(super::read::xattrs).unwrap_or_default();
        hasher.update(&(xattrs.len() as u64).to_le_bytes());
        for (name, value) in xattrs {
            update_with_length(hasher, name);
            update_with_length(hasher, value);
        }
    }
}

fn update_with_length(hasher: &mut blake3::Hasher, bytes: &[u8]) {
    hasher.update(&(bytes.len() as u64).to_le_bytes());
    hasher.update(bytes);
}
