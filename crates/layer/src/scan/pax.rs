//! The records of PAX headers (POSIX pax; SCHILY.xattr, LIBARCHIVE.xattr, GNU.sparse).

use std::collections::BTreeMap;

type Reason = &'static str;

/// What the records before an entry say.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Extensions {
    pub path: Option<Vec<u8>>,
    pub link: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub uid: Option<i128>,
    pub gid: Option<i128>,
    pub mtime: Option<i64>,
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    pub sparse: Sparse,
}

/// What the records say of a sparse file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Sparse {
    /// Formats 0.1 and 1.0 put another name into the header than the file has.
    pub name: Option<Vec<u8>>,
    /// The size of the file, holes included.
    pub size: Option<u64>,
    /// The pieces, in formats 0.0 and 0.1.
    pub map: Option<Vec<(u64, u64)>>,
    pub major: Option<u64>,
    pub minor: Option<u64>,
    /// A place that waits for its length, in format 0.0.
    place: Option<u64>,
}

impl Extensions {
    /// Reads records. Those that say one thing twice, and differently, are refused: some readers take the first, others the last.
    pub(super) fn parse(records: &[u8]) -> Result<Self, Reason> {
        let mut extensions = Self::default();
        let mut libarchive = Vec::new();
        let mut seen = BTreeMap::new();
        for record in Records(records) {
            let (key, value) = record?;
            if says_something(key)
                && !is_repeated(key)
                && seen.insert(key, value).is_some_and(|before| before != value)
            {
                return Err("its PAX header says one thing twice, and differently");
            }
            if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                extensions.xattrs.insert(name.to_vec(), value.to_vec());
            } else if let Some(name) = key.strip_prefix(b"LIBARCHIVE.xattr.") {
                libarchive.push((unescape(name)?, base64(value)?));
            } else if let Some(key) = key.strip_prefix(b"GNU.sparse.") {
                extensions.sparse.record(key, value)?;
            } else {
                extensions.record(key, value)?;
            }
        }
        for (name, value) in libarchive {
            extensions.xattrs.entry(name).or_insert(value);
        }
        Ok(extensions)
    }

    /// One of POSIX' records. An empty value takes back what a global header said, that is: nothing here.
    fn record(&mut self, key: &[u8], value: &[u8]) -> Result<(), Reason> {
        let given = !value.is_empty();
        match key {
            b"path" => self.path = given.then(|| value.to_vec()),
            b"linkpath" => self.link = given.then(|| value.to_vec()),
            b"size" => self.size = given.then(|| decimal(value)).transpose()?,
            b"uid" => self.uid = given.then(|| decimal(value).map(i128::from)).transpose()?,
            b"gid" => self.gid = given.then(|| decimal(value).map(i128::from)).transpose()?,
            b"mtime" => self.mtime = given.then(|| seconds(value)).transpose()?,
            _ => {}
        }
        Ok(())
    }
}

impl Sparse {
    fn record(&mut self, key: &[u8], value: &[u8]) -> Result<(), Reason> {
        match key {
            b"name" => self.name = Some(value.to_vec()),
            b"size" | b"realsize" => self.size = Some(decimal(value)?),
            b"major" => self.major = Some(decimal(value)?),
            b"minor" => self.minor = Some(decimal(value)?),
            b"numblocks" => {
                decimal(value)?;
                self.map.get_or_insert_default();
            }
            b"offset" => self.place = Some(decimal(value)?),
            b"numbytes" => {
                let place =
                    self.place.take().ok_or("its map of stored pieces has a length without a place")?;
                self.map.get_or_insert_default().push((place, decimal(value)?));
            }
            b"map" => self.map = Some(comma_separated(value)?),
            _ => {}
        }
        Ok(())
    }
}

/// `place,length,place,length,…`
fn comma_separated(value: &[u8]) -> Result<Vec<(u64, u64)>, Reason> {
    if value.is_empty() {
        return Ok(Vec::new());
    }
    let numbers: Vec<u64> = value.split(|byte| *byte == b',').map(decimal).collect::<Result<_, _>>()?;
    let pairs = numbers.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return Err("its map of stored pieces has a place without a length");
    }
    Ok(pairs.filter_map(|pair| Some((*pair.first()?, *pair.get(1)?))).collect())
}

/// The keys of a PAX header that change what an entry is.
pub(super) fn has_meaning(records: &[u8]) -> bool {
    Records(records).flatten().any(|(key, _)| says_something(key))
}

/// Whether a PAX header changes where the next entry begins.
pub(super) fn gives_sizes(records: &[u8]) -> bool {
    Records(records).flatten().any(|(key, _)| key == b"size" || key.starts_with(b"GNU.sparse."))
}

fn says_something(key: &[u8]) -> bool {
    matches!(key, b"path" | b"linkpath" | b"size" | b"uid" | b"gid" | b"mtime")
        || [&b"SCHILY.xattr."[..], b"LIBARCHIVE.xattr.", b"GNU.sparse."]
            .iter()
            .any(|prefix| key.starts_with(prefix))
}

/// The map of sparse format 0.0: a pair of records for each piece.
fn is_repeated(key: &[u8]) -> bool {
    matches!(key, b"GNU.sparse.offset" | b"GNU.sparse.numbytes")
}

/// The records one after the other: `length key=value\n`, where the length counts all of it and values may hold anything.
struct Records<'a>(&'a [u8]);

impl<'a> Iterator for Records<'a> {
    type Item = Result<(&'a [u8], &'a [u8]), Reason>;

    fn next(&mut self) -> Option<Self::Item> {
        // Some writers fill the block with NULs, and count them.
        if self.0.iter().all(|byte| *byte == 0) {
            return None;
        }
        let record = split_record(self.0);
        self.0 = record.map_or(&[], |(_, rest)| rest);
        Some(record.map(|(record, _)| record).ok_or("its PAX header is malformed"))
    }
}

type Record<'a> = (&'a [u8], &'a [u8]);

fn split_record(records: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let space = records.iter().take(21).position(|byte| *byte == b' ')?;
    let length = usize::try_from(decimal(records.get(..space)?).ok()?).ok()?;
    let record = records.get(space + 1..length)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=').filter(|equals| *equals > 0)?;
    Some(((record.get(..equals)?, record.get(equals + 1..)?), records.get(length..)?))
}

pub(super) fn decimal(digits: &[u8]) -> Result<u64, Reason> {
    const WRONG: Reason = "its PAX header holds something that should be a number, and is not";
    if digits.is_empty() {
        return Err(WRONG);
    }
    digits
        .iter()
        .try_fold(0u64, |number, digit| match digit {
            b'0'..=b'9' => number.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
            _ => None,
        })
        .ok_or(WRONG)
}

/// A time in seconds, maybe negative, maybe with a fraction: the whole second at or before it.
fn seconds(value: &[u8]) -> Result<i64, Reason> {
    const WRONG: Reason = "its time is not a number";
    let (negative, digits) = value.strip_prefix(b"-").map_or((false, value), |digits| (true, digits));
    let mut parts = digits.splitn(2, |byte| *byte == b'.');
    let whole =
        i64::try_from(decimal(parts.next().unwrap_or_default()).map_err(|_| WRONG)?).map_err(|_| WRONG)?;
    let fraction = parts.next().unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return Err(WRONG);
    }
    let inside = fraction.iter().any(|digit| *digit != b'0');
    Ok(if negative { -whole - i64::from(inside) } else { whole })
}

/// Takes `%XX` apart.
fn unescape(name: &[u8]) -> Result<Vec<u8>, Reason> {
    const WRONG: Reason = "the name of one of its extended attributes is malformed";
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let mut bytes = name.iter().copied();
    let mut plain = Vec::with_capacity(name.len());
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            b'%' => {
                let high = bytes.next().and_then(digit).ok_or(WRONG)?;
                high << 4 | bytes.next().and_then(digit).ok_or(WRONG)?
            }
            byte => byte,
        });
    }
    Ok(plain)
}

/// Base64, with or without the padding at the end.
fn base64(text: &[u8]) -> Result<Vec<u8>, Reason> {
    const WRONG: Reason = "one of its extended attributes is not base64";
    let end = text.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last + 1);
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for group in text.get(..end).unwrap_or_default().chunks(4) {
        let mut bits = 0u32;
        for digit in group {
            bits = bits << 6
                | u32::from(match digit {
                    b'A'..=b'Z' => digit - b'A',
                    b'a'..=b'z' => digit - b'a' + 26,
                    b'0'..=b'9' => digit - b'0' + 52,
                    b'+' => 62,
                    b'/' => 63,
                    _ => return Err(WRONG),
                });
        }
        if group.len() == 1 {
            return Err(WRONG);
        }
        bits <<= 6 * (4 - group.len());
        bytes.extend(bits.to_be_bytes().into_iter().skip(1).take(group.len() - 1));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn st_052_values_are_binary() {
        let records = b"34 SCHILY.xattr.user.a=b=c\n9 x=y\0\n\n12 path=a/b\n";
        let length = records.iter().position(|byte| *byte == b'p').expect("path") - 3;
        let mut bytes = format!("{length} ").into_bytes();
        bytes.extend_from_slice(&records[3..]);
        let extensions = Extensions::parse(&bytes).expect("records");
        assert_eq!(extensions.path.as_deref(), Some(&b"a/b"[..]));
        assert_eq!(extensions.xattrs[&b"user.a"[..]], b"b=c\n9 x=y\0\n");
    }

    #[test]
    fn st_051_times() {
        for (text, expected) in [
            ("0", Ok(0)),
            ("1.5", Ok(1)),
            ("-1", Ok(-1)),
            ("-1.5", Ok(-2)),
            ("-1.000", Ok(-1)),
            ("-0.1", Ok(-1)),
            ("1.", Ok(1)),
            ("", Err(())),
            ("1e9", Err(())),
            ("99999999999999999999", Err(())),
        ] {
            assert_eq!(seconds(text.as_bytes()).map_err(drop), expected, "{text}");
        }
    }

    #[test]
    fn malformed_records() {
        for records in [
            "5 a=b\n",
            "7 a=b\n",
            "x a=b\n",
            " a=b\n",
            "6 =bc\n",
            "6 abc\n",
            "99999999999999999999999 a=b\n",
            "6 a=b",
            "0 a=b\n",
        ] {
            assert!(Extensions::parse(records.as_bytes()).is_err(), "{records:?}");
        }
        assert_eq!(Extensions::parse(b"6 a=b\n\0\0\0"), Ok(Extensions::default()));
    }

    #[test]
    fn what_is_said_twice_is_said_the_same() {
        let parse = |records: &[(&str, &str)]| Extensions::parse(&super::super::tests::pax_records(records));
        for (first, second, good) in [
            (("size", "1"), ("size", "1"), true),
            (("size", "1"), ("size", "2"), false),
            (("size", "1"), ("size", ""), false),
            (("path", "a"), ("path", "b"), false),
            (("SCHILY.xattr.user.a", "1"), ("SCHILY.xattr.user.a", "2"), false),
            (("comment", "a"), ("comment", "b"), true),
            (("Size", "1"), ("size", "2"), true),
        ] {
            assert_eq!(parse(&[first, second]).is_ok(), good, "{first:?} {second:?}");
        }
    }

    #[test]
    fn st_052_libarchive() {
        assert_eq!(base64(b"aGVsbG8="), Ok(b"hello".to_vec()));
        assert_eq!(base64(b"aGVsbG8"), Ok(b"hello".to_vec()));
        assert_eq!(base64(b"aGVsbA"), Ok(b"hell".to_vec()));
        assert!(base64(b"a").is_err());
        assert_eq!(unescape(b"user.a%3db"), Ok(b"user.a=b".to_vec()));
        assert!(unescape(b"%4").is_err());
    }
}
