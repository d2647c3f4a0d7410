//! The bytes before an entry's contents: a ustar header, and a PAX header before it where that is not enough
//! (ST-050, ST-051, ST-057). A pure function of what the entry is.

use std::ops::Range;

/// Tar comes in blocks of this size.
pub(crate) const BLOCK: usize = 512;

/// The largest number in a field of seven octal digits: identities, devices.
const MAX_OCTAL_7: u64 = 0o777_7777;
/// The largest number in a field of eleven octal digits: sizes, times.
const MAX_OCTAL_11: u64 = 0o777_7777_7777;

const NAME: Range<usize> = 0..100;
const MODE: Range<usize> = 100..108;
const UID: Range<usize> = 108..116;
const GID: Range<usize> = 116..124;
const SIZE: Range<usize> = 124..136;
const MTIME: Range<usize> = 136..148;
const CHECKSUM: Range<usize> = 148..156;
const FLAG: Range<usize> = 156..157;
const LINK: Range<usize> = 157..257;
const MAGIC: Range<usize> = 257..265;
const MAJOR: Range<usize> = 329..337;
const MINOR: Range<usize> = 337..345;
const PREFIX: Range<usize> = 345..500;

/// What one header says.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Header<'a> {
    /// The name as it is written: directories with a slash at the end.
    pub name: &'a [u8],
    /// The type flag.
    pub flag: u8,
    /// Where a link leads.
    pub link: &'a [u8],
    /// How many bytes follow.
    pub size: u64,
    /// Permission bits.
    pub mode: u32,
    /// The numeric owner.
    pub uid: u32,
    /// The numeric group.
    pub gid: u32,
    /// Whole seconds.
    pub mtime: i64,
    /// Major and minor number of a device.
    pub device: (u32, u32),
    /// Extended attributes.
    pub xattrs: &'a [(&'a [u8], &'a [u8])],
}

impl Header<'_> {
    /// Appends the blocks of this header.
    pub(crate) fn encode(&self, bytes: &mut Vec<u8>) {
        let records = self.records();
        if !records.is_empty() {
            encode_pax(self.name, records, bytes);
        }
        let (prefix, name) = split_name(self.name).unwrap_or((b"", self.name));
        let mut block = [0; BLOCK];
        text(&mut block, PREFIX, prefix);
        text(&mut block, NAME, name);
        text(&mut block, LINK, self.link);
        octal(&mut block, MODE, u64::from(self.mode & 0o7777));
        octal(&mut block, UID, self.uid.into());
        octal(&mut block, GID, self.gid.into());
        octal(&mut block, SIZE, self.size);
        octal(&mut block, MTIME, u64::try_from(self.mtime).unwrap_or(0));
        octal(&mut block, MAJOR, self.device.0.into());
        octal(&mut block, MINOR, self.device.1.into());
        finish(block, self.flag, bytes);
    }

    /// The PAX records that are needed: what a ustar header cannot hold. Names that are not ASCII are among them, as everybody's writers have it.
    fn records(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut records = Vec::new();
        let mut add = |key: &[u8], value: Vec<u8>| records.push((key.to_vec(), value));
        for (name, value) in self.xattrs {
            add(&[b"SCHILY.xattr.", *name].concat(), value.to_vec());
        }
        if split_name(self.name).is_none() {
            add(b"path", self.name.to_vec());
        }
        if self.link.len() > LINK.len() || !self.link.is_ascii() {
            add(b"linkpath", self.link.to_vec());
        }
        if u64::from(self.uid) > MAX_OCTAL_7 {
            add(b"uid", decimal(self.uid));
        }
        if u64::from(self.gid) > MAX_OCTAL_7 {
            add(b"gid", decimal(self.gid));
        }
        if self.size > MAX_OCTAL_11 {
            add(b"size", decimal(self.size));
        }
        if u64::try_from(self.mtime).map_or(true, |mtime| mtime > MAX_OCTAL_11) {
            add(b"mtime", decimal(self.mtime));
        }
        records.sort_unstable();
        records
    }
}

fn decimal(number: impl ToString) -> Vec<u8> {
    number.to_string().into_bytes()
}

/// Appends a PAX header: one entry of type `x` with the records.
fn encode_pax(name: &[u8], records: Vec<(Vec<u8>, Vec<u8>)>, bytes: &mut Vec<u8>) {
    let name = name.strip_suffix(b"/").unwrap_or(name);
    let base = name.rsplit(|byte| *byte == b'/').next().unwrap_or(name);
    let at = bytes.len();
    bytes.resize(at + BLOCK, 0);
    for (key, value) in records {
        encode_record(&key, &value, bytes);
    }
    let size = bytes.len() - at - BLOCK;
    pad(bytes, size as u64);
    let mut block = [0; BLOCK];
    text(&mut block, NAME, &[b"PaxHeaders/", base].concat());
    for field in [MODE, UID, GID, MTIME, MAJOR, MINOR] {
        octal(&mut block, field, 0);
    }
    octal(&mut block, SIZE, size as u64);
    let mut header = Vec::with_capacity(BLOCK);
    finish(block, b'x', &mut header);
    if let Some(place) = bytes.get_mut(at..at + BLOCK) {
        place.copy_from_slice(&header);
    }
}

/// Appends one record: its own length in decimal digits, these digits included, then `key=value`.
pub(crate) fn encode_record(key: &[u8], value: &[u8], bytes: &mut Vec<u8>) {
    let rest = key.len() + value.len() + " =\n".len();
    let mut length = rest;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    bytes.extend_from_slice(length.to_string().as_bytes());
    bytes.push(b' ');
    bytes.extend_from_slice(key);
    bytes.push(b'=');
    bytes.extend_from_slice(value);
    bytes.push(b'\n');
}

/// Appends the zeros that fill the last block of `size` bytes.
pub(crate) fn pad(bytes: &mut Vec<u8>, size: u64) {
    bytes.resize(bytes.len() + padding(size), 0);
}

/// Whether a header holds these numbers.
pub(crate) fn holds_device((major, minor): (u32, u32)) -> bool {
    u64::from(major.max(minor)) <= MAX_OCTAL_7
}

/// How many bytes fill the last block of `size` bytes.
pub(crate) fn padding(size: u64) -> usize {
    (size.wrapping_neg() % BLOCK as u64) as usize
}

/// Cuts a name into prefix and name of a ustar header; `None` when it does not fit, or is not ASCII.
fn split_name(name: &[u8]) -> Option<(&[u8], &[u8])> {
    if !name.is_ascii() {
        return None;
    }
    if name.len() <= NAME.len() {
        return Some((b"", name));
    }
    // The slash at the end of a directory is no place to cut.
    let end = (PREFIX.len() + 1).min(name.len() - 1);
    let slash = name.get(..end)?.iter().rposition(|byte| *byte == b'/')?;
    let (prefix, rest) = (name.get(..slash)?, name.get(slash + 1..)?);
    (!prefix.is_empty() && !rest.is_empty() && rest.len() <= NAME.len()).then_some((prefix, rest))
}

/// Writes as much of a text as fits, without what is not ASCII (its whole is in a PAX record then).
fn text(block: &mut [u8; BLOCK], field: Range<usize>, text: &[u8]) {
    let text = text.iter().filter(|byte| byte.is_ascii());
    for (place, byte) in block.iter_mut().take(field.end).skip(field.start).zip(text) {
        *place = *byte;
    }
}

/// Writes a number as octal digits, with a NUL at the end; zero when it does not fit (it is in a PAX record then).
fn octal(block: &mut [u8; BLOCK], field: Range<usize>, number: u64) {
    let digits = field.len() - 1;
    let mut rest = if number >> (3 * digits) == 0 { number } else { 0 };
    for place in block.iter_mut().take(field.start + digits).skip(field.start).rev() {
        *place = b'0' + (rest & 7) as u8;
        rest >>= 3;
    }
}

/// Writes type flag, magic and checksum, and appends the block.
fn finish(mut block: [u8; BLOCK], flag: u8, bytes: &mut Vec<u8>) {
    text(&mut block, FLAG, &[flag]);
    text(&mut block, MAGIC, b"ustar\x0000");
    text(&mut block, CHECKSUM, b"        ");
    let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
    octal(&mut block, CHECKSUM.start..CHECKSUM.end - 1, sum);
    text(&mut block, CHECKSUM.end - 2..CHECKSUM.end, b"\0 ");
    bytes.extend_from_slice(&block);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn st_057_long_names_are_cut_at_a_slash_or_go_to_pax() {
        let long = |count: usize| vec![b'a'; count];
        assert_eq!(split_name(&long(100)), Some((&b""[..], &long(100)[..])));
        assert_eq!(split_name(&long(101)), None);
        let both = [long(155), vec![b'/'], long(100)].concat();
        assert_eq!(split_name(&both), Some((&long(155)[..], &long(100)[..])));
        let directory = [long(100), vec![b'/']].concat();
        assert_eq!(split_name(&directory), None);
        assert_eq!(split_name("é".as_bytes()), None);
    }

    #[test]
    fn st_052_a_record_counts_its_own_length() {
        for (value, total) in [(1, 6), (93, 99), (94, 101), (95, 102)] {
            let mut bytes = Vec::new();
            encode_record(b"k", &vec![b'v'; value], &mut bytes);
            assert_eq!(bytes.len(), total);
            assert!(
                bytes.starts_with(format!("{total} k=v").as_bytes()),
                "{}",
                String::from_utf8_lossy(&bytes)
            );
        }
    }
}
