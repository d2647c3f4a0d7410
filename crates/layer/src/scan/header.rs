//! One header block of a tar: v7, ustar, star, GNU.

use std::ops::Range;

use crate::tar_writer::header::BLOCK;

/// The pieces of a sparse file that are stored: place in the file and length.
pub(super) type Map = Vec<(u64, u64)>;

/// Which of the dialects a header is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    V7,
    Ustar,
    Star,
    Gnu,
}

/// A header block whose checksum is right.
pub(super) struct Block<'a> {
    bytes: &'a [u8; BLOCK],
    dialect: Dialect,
}

impl<'a> Block<'a> {
    /// Reads a block that is not all zeros.
    pub(super) fn new(bytes: &'a [u8; BLOCK]) -> Result<Self, &'static str> {
        let block = Self { bytes, dialect: dialect(bytes) };
        let stated = octal(block.field(148..156)).ok_or("its header has no checksum")?;
        if sums(bytes).contains(&stated) { Ok(block) } else { Err("the checksum of its header is wrong") }
    }

    fn field(&self, range: Range<usize>) -> &'a [u8] {
        self.bytes.get(range).unwrap_or_default()
    }

    /// The type flag.
    pub(super) fn flag(&self) -> u8 {
        self.bytes[156]
    }

    /// The name, with its prefix where the dialect has one.
    pub(super) fn name(&self) -> Vec<u8> {
        let name = until_nul(self.field(0..100));
        let prefix = match self.dialect {
            Dialect::Ustar => until_nul(self.field(345..500)),
            Dialect::Star => until_nul(self.field(345..476)),
            Dialect::V7 | Dialect::Gnu => b"",
        };
        if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() }
    }

    /// Where a link leads.
    pub(super) fn link(&self) -> &'a [u8] {
        until_nul(self.field(157..257))
    }

    pub(super) fn mode(&self) -> Result<u32, &'static str> {
        // Only the permission bits count, and writers differ in the others.
        number(self.field(100..108)).map(|mode| (mode & 0o7777) as u32).ok_or("its mode is not a number")
    }

    pub(super) fn uid(&self) -> Result<i128, &'static str> {
        number(self.field(108..116)).ok_or("its owner is not a number")
    }

    pub(super) fn gid(&self) -> Result<i128, &'static str> {
        number(self.field(116..124)).ok_or("its group is not a number")
    }

    pub(super) fn size(&self) -> Result<u64, &'static str> {
        number(self.field(124..136))
            .and_then(|size| u64::try_from(size).ok())
            .ok_or("its size is not a number")
    }

    pub(super) fn mtime(&self) -> Result<i64, &'static str> {
        number(self.field(136..148))
            .and_then(|mtime| i64::try_from(mtime).ok())
            .ok_or("its time is not a number")
    }

    /// Major and minor number of a device.
    pub(super) fn device(&self) -> Result<(u32, u32), &'static str> {
        let part = |range| number(self.field(range)).and_then(|part| u32::try_from(part).ok());
        part(329..337).zip(part(337..345)).ok_or("its device number is not a number")
    }

    /// The beginning of the map of an old GNU sparse file, whether more of it follows, and the size of the file.
    pub(super) fn sparse(&self) -> Result<(Map, bool, u64), &'static str> {
        let size = number(self.field(483..495)).and_then(|size| u64::try_from(size).ok());
        Ok((pieces(self.field(386..482))?, self.bytes[482] != 0, size.ok_or("its size is not a number")?))
    }
}

/// A block that continues the map of an old GNU sparse file: the pieces, and whether more follow.
pub(super) fn sparse_extension(bytes: &[u8; BLOCK]) -> Result<(Map, bool), &'static str> {
    Ok((pieces(&bytes[..504])?, bytes[504] != 0))
}

/// Pairs of place and length, twelve bytes each, up to the first that is not filled.
fn pieces(bytes: &[u8]) -> Result<Map, &'static str> {
    bytes
        .chunks_exact(24)
        .take_while(|pair| pair.first().is_some_and(|byte| *byte != 0))
        .map(|pair| {
            let (place, length) = pair.split_at(12);
            let part = |field| number(field).and_then(|part| u64::try_from(part).ok());
            part(place)
                .zip(part(length))
                .ok_or("its map of stored pieces holds something that is not a number")
        })
        .collect()
}

fn dialect(bytes: &[u8; BLOCK]) -> Dialect {
    match &bytes[257..265] {
        b"ustar  \0" => Dialect::Gnu,
        magic if magic.starts_with(b"ustar\0") && &bytes[508..512] == b"tar\0" => Dialect::Star,
        magic if magic.starts_with(b"ustar\0") => Dialect::Ustar,
        _ => Dialect::V7,
    }
}

/// The sums that a checksum may be: of unsigned bytes, and, as some old writers had it, of signed ones.
fn sums(bytes: &[u8; BLOCK]) -> [u64; 2] {
    let (mut unsigned, mut signed) = (0u64, 0i64);
    for (place, byte) in bytes.iter().enumerate() {
        let byte = if (148..156).contains(&place) { b' ' } else { *byte };
        unsigned += u64::from(byte);
        signed += i64::from(byte as i8);
    }
    [unsigned, u64::try_from(signed).unwrap_or(unsigned)]
}

fn until_nul(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// A number in octal digits, or in base 256 when the first bit is set.
fn number(field: &[u8]) -> Option<i128> {
    match field.first() {
        Some(first) if first & 0x80 != 0 => base_256(field),
        _ => octal(field).map(i128::from),
    }
}

/// A number in two's complement, without its first bit.
fn base_256(field: &[u8]) -> Option<i128> {
    let (first, rest) = field.split_first()?;
    // The bit after the marker is the sign.
    let start = if first & 0x40 != 0 { i128::from(*first as i8) } else { i128::from(first & 0x3f) };
    rest.iter().try_fold(start, |number, byte| Some(number.checked_mul(256)? + i128::from(*byte)))
}

/// Octal digits, with spaces or NULs around them; nothing at all is zero.
fn octal(field: &[u8]) -> Option<u64> {
    let outside = |byte: &u8| matches!(byte, b' ' | 0);
    let start = field.iter().position(|byte| !outside(byte)).unwrap_or(field.len());
    let digits = field.get(start..)?;
    let end = digits.iter().position(outside).unwrap_or(digits.len());
    digits.get(..end)?.iter().try_fold(0u64, |number, digit| match digit {
        b'0'..=b'7' => number.checked_mul(8)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn st_057_numbers() {
        let cases: &[(&[u8], Option<i128>)] = &[
            (b"0000644\0", Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"\0\0\0\0\0\0\0\0", Some(0)),
            (b"        ", Some(0)),
            (b"00000001", Some(1)),
            (b"0000068\0", None),
            (b"-000001\0", None),
            (b"77777777777 ", Some(0o777_7777_7777)),
            (b"\x80\0\0\0\0\0\0\x02\0\0\0\0", Some(1 << 33)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", Some(-1)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xfe", Some(-2)),
        ];
        for (field, expected) in cases {
            assert_eq!(number(field), *expected, "{field:?}");
        }
    }

    #[test]
    fn st_057_signed_checksums() {
        let mut bytes = [0u8; BLOCK];
        bytes[0] = 0xe9;
        let signed = 8 * u64::from(b' ') as i64 + i64::from(0xe9u8 as i8);
        bytes[148..156].copy_from_slice(format!("{signed:06o}\0 ").as_bytes());
        assert!(Block::new(&bytes).is_ok());
        bytes[1] = 1;
        assert!(Block::new(&bytes).is_err());
    }
}
