//! The bytes of a table: its header and its records (drawn in [`crate::table`]).

use image::{Algorithm, DiffId, Digest};

pub(super) const MAGIC: &[u8; 8] = b"LAPTABLE";
pub(super) const VERSION: u32 = 1;
pub(super) const HEADER: usize = 256;
pub(super) const RECORD: usize = 104;
/// Where the part of the header begins that the checksum covers.
pub(super) const CHECKED: usize = 48;
pub(super) const CHECKSUM: usize = 16;

const HAS_NEWEST: u32 = 1;
const NEEDS_LOWER: u32 = 2;
const HAS_OPAQUE: u32 = 4;

/// The numbers of an entry's kind.
pub(super) mod kind {
    pub const FILE: u8 = 1;
    pub const HARDLINK: u8 = 2;
    pub const SYMLINK: u8 = 3;
    pub const DIRECTORY: u8 = 4;
    pub const CHARACTER_DEVICE: u8 = 5;
    pub const BLOCK_DEVICE: u8 = 6;
    pub const FIFO: u8 = 7;
    pub const WHITEOUT: u8 = 8;
}

/// The bits of an entry's flags.
pub(super) mod flag {
    pub const OPAQUE: u8 = 1;
    pub const IMPLIED: u8 = 2;
    pub const SPARSE: u8 = 4;
}

/// What the header says, besides magic, version and checksum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub entries: u64,
    pub heap: u64,
    pub framing: u64,
    pub framing_plain: u64,
    pub tar_size: u64,
    pub content_size: u64,
    pub newest: Option<i64>,
    pub needs_lower: bool,
    pub has_opaque: bool,
    pub content_id: [u8; 32],
    pub diff_id: DiffId,
}

impl Header {
    /// The header's bytes; the checksum is still zero.
    pub fn encode(&self) -> [u8; HEADER] {
        let mut writer = Fields { bytes: [0; HEADER], at: 0 };
        writer.put(MAGIC);
        writer.put(&VERSION.to_le_bytes());
        writer.at = CHECKED;
        let flags = if self.newest.is_some() { HAS_NEWEST } else { 0 }
            | if self.needs_lower { NEEDS_LOWER } else { 0 }
            | if self.has_opaque { HAS_OPAQUE } else { 0 };
        writer.put(&flags.to_le_bytes());
        let algorithm: u32 = match self.diff_id.0.algorithm() {
            Algorithm::Sha256 => 1,
            Algorithm::Sha512 => 2,
        };
        writer.put(&algorithm.to_le_bytes());
        for number in
            [self.entries, self.heap, self.framing, self.framing_plain, self.tar_size, self.content_size]
        {
            writer.put(&number.to_le_bytes());
        }
        writer.put(&self.newest.unwrap_or(0).to_le_bytes());
        writer.put(&self.content_id);
        writer.put(self.diff_id.0.as_bytes());
        writer.bytes
    }

    /// Reads the checked part of a header.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let flags = u32_at(bytes, 48)?;
        let algorithm = match u32_at(bytes, 52)? {
            1 => Algorithm::Sha256,
            2 => Algorithm::Sha512,
            _ => return None,
        };
        let diff_id = bytes.get(144..144 + algorithm.size())?;
        Some(Self {
            entries: u64_at(bytes, 56)?,
            heap: u64_at(bytes, 64)?,
            framing: u64_at(bytes, 72)?,
            framing_plain: u64_at(bytes, 80)?,
            tar_size: u64_at(bytes, 88)?,
            content_size: u64_at(bytes, 96)?,
            newest: (flags & HAS_NEWEST != 0).then_some(i64::from_le_bytes(array(bytes, 104)?)),
            needs_lower: flags & NEEDS_LOWER != 0,
            has_opaque: flags & HAS_OPAQUE != 0,
            content_id: array(bytes, 112)?,
            diff_id: DiffId(Digest::new(algorithm, diff_id)?),
        })
    }

    /// The length that the whole file must have.
    pub fn file_length(&self) -> Option<u64> {
        self.entries
            .checked_mul(RECORD as u64)?
            .checked_add(HEADER as u64)?
            .checked_add(self.heap)?
            .checked_add(self.framing)
    }
}

/// One entry, as it is stored; what the fields mean depends on the kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Record {
    pub path: Span,
    pub kind: u8,
    pub flags: u8,
    pub mode: u16,
    pub uid: u32,
    pub gid: u32,
    pub mtime: i64,
    pub content: [u8; 32],
    pub first: u64,
    pub second: u64,
    pub xattrs: Span,
    pub pieces: u32,
    pub pieces_offset: u64,
}

/// A place in the heap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Span {
    pub offset: u64,
    pub length: u32,
}

impl Span {
    /// The bytes at this place.
    pub fn of(self, heap: &[u8]) -> Option<&[u8]> {
        slice(heap, self.offset, u64::from(self.length))
    }
}

impl Record {
    pub fn encode(&self) -> [u8; RECORD] {
        let mut writer = Fields { bytes: [0; RECORD], at: 0 };
        writer.put(&self.path.offset.to_le_bytes());
        writer.put(&self.path.length.to_le_bytes());
        writer.put(&[self.kind, self.flags]);
        writer.put(&self.mode.to_le_bytes());
        writer.put(&self.uid.to_le_bytes());
        writer.put(&self.gid.to_le_bytes());
        writer.put(&self.mtime.to_le_bytes());
        writer.put(&self.content);
        writer.put(&self.first.to_le_bytes());
        writer.put(&self.second.to_le_bytes());
        writer.put(&self.xattrs.offset.to_le_bytes());
        writer.put(&self.xattrs.length.to_le_bytes());
        writer.put(&self.pieces.to_le_bytes());
        writer.put(&self.pieces_offset.to_le_bytes());
        writer.bytes
    }

    pub fn decode(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            path: Self::path(bytes)?,
            kind: *bytes.get(12)?,
            flags: *bytes.get(13)?,
            mode: u16::from_le_bytes(array(bytes, 14)?),
            uid: u32_at(bytes, 16)?,
            gid: u32_at(bytes, 20)?,
            mtime: i64::from_le_bytes(array(bytes, 24)?),
            content: array(bytes, 32)?,
            first: u64_at(bytes, 64)?,
            second: u64_at(bytes, 72)?,
            xattrs: Span { offset: u64_at(bytes, 80)?, length: u32_at(bytes, 88)? },
            pieces: u32_at(bytes, 92)?,
            pieces_offset: u64_at(bytes, 96)?,
        })
    }

    /// Only the path, for bisection.
    pub fn path(bytes: &[u8]) -> Option<Span> {
        Some(Span { offset: u64_at(bytes, 0)?, length: u32_at(bytes, 8)? })
    }
}

/// Writes fields one after the other. A field that does not fit would be lost: the tests compare what was written with what is read.
struct Fields<const N: usize> {
    bytes: [u8; N],
    at: usize,
}

impl<const N: usize> Fields<N> {
    fn put(&mut self, field: &[u8]) {
        if let Some(place) = self.bytes.get_mut(self.at..self.at + field.len()) {
            place.copy_from_slice(field);
        }
        self.at += field.len();
    }
}

pub(super) fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_le_bytes)
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    array(bytes, at).map(u64::from_le_bytes)
}

/// `length` bytes from `offset`, if there are so many.
pub(super) fn slice(bytes: &[u8], offset: u64, length: u64) -> Option<&[u8]> {
    let start = usize::try_from(offset).ok()?;
    let end = start.checked_add(usize::try_from(length).ok()?)?;
    bytes.get(start..end)
}
