//! Archives, and what comes out of them.

mod desync;
mod formats;
mod peers;
mod random;
mod rules;

use std::collections::BTreeMap;

use store::table::{Entry, EntryKind};

use super::*;
use crate::tar_writer::header::{Header, pad};

/// Path → what it is, in a line.
type Lines = Vec<(String, String)>;

/// A table that remembers everything.
#[derive(Default)]
struct Collected {
    framing: Vec<u8>,
    entries: Lines,
    /// Where contents lie: place and length.
    contents: Vec<(u64, u64)>,
}

impl Collector for Collected {
    fn framing(&mut self, bytes: &[u8]) -> Result<()> {
        self.framing.extend_from_slice(bytes);
        Ok(())
    }

    fn entry(&mut self, entry: &Entry<'_>) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut line = match &entry.kind {
            EntryKind::File { size, sparse, offset, content } => {
                let stored =
                    sparse.as_ref().map_or(*size, |pieces| pieces.iter().map(|(_, length)| length).sum());
                self.contents.push((*offset, stored));
                let holes = sparse.as_ref().map(|pieces| format!(" pieces {pieces:?}")).unwrap_or_default();
                format!("file {size} {:02x}{:02x}{holes}", content.0[0], content.0[1])
            }
            EntryKind::Hardlink { target } => format!("link {}", text(target)),
            EntryKind::Symlink { target } => format!("-> {}", text(target)),
            EntryKind::Directory { opaque, implied } => {
                ["dir", if *opaque { " opaque" } else { "" }, if *implied { " implied" } else { "" }].concat()
            }
            EntryKind::CharacterDevice { major, minor } => format!("char {major}:{minor}"),
            EntryKind::BlockDevice { major, minor } => format!("block {major}:{minor}"),
            EntryKind::Fifo => "fifo".to_owned(),
            EntryKind::Whiteout => "whiteout".to_owned(),
        };
        for (name, value) in &entry.xattrs {
            line += &format!(" {}={}", text(name), text(value));
        }
        if entry.mtime != 0 && !matches!(entry.kind, EntryKind::Directory { implied: true, .. }) {
            line += &format!(" @{}", entry.mtime);
        }
        if (entry.uid, entry.gid) != (0, 0) {
            line += &format!(" {}:{}", entry.uid, entry.gid);
        }
        self.entries.push((text(entry.path), line));
    }
}

/// Scans, twice when needed; checks that framing and contents make the very bytes again.
fn scanned(tar: &[u8]) -> Result<(Lines, Vec<String>)> {
    let cancel = Cancel::new();
    let Pass { tree, mut collector, size, warnings } =
        read(&mut &*tar, Collected::default(), Holds::Layer, &cancel)?;
    assert_eq!(size, tar.len() as u64);
    let (contents, others) = tree.contents();
    if others {
        collector = read_framing(&mut &*tar, &contents, Collected::default(), &cancel)?.0;
    }
    tree.emit(&mut collector);
    let Collected { framing, entries, mut contents } = collector;
    contents.sort_unstable();
    let mut framing = &framing[..];
    let mut again = Vec::new();
    for (offset, length) in contents {
        if length > 0 {
            let (before, rest) = framing.split_at(offset as usize - again.len());
            again.extend_from_slice(before);
            framing = rest;
            again.extend_from_slice(&tar[offset as usize..(offset + length) as usize]);
        }
    }
    again.extend_from_slice(framing);
    assert!(again == tar, "the bytes are not the same");
    Ok((entries, warnings))
}

fn entries(tar: &[u8]) -> Lines {
    scanned(tar).expect("a valid archive").0
}

/// Entries as lines: `path: what`.
fn lines(tar: &[u8]) -> String {
    entries(tar).into_iter().map(|(path, line)| format!("{path}: {line}\n")).collect()
}

fn refused(tar: &[u8]) -> String {
    scanned(tar).map(|(entries, _)| entries).expect_err("an error").to_string()
}

/// Builds archives of any kind.
#[derive(Debug, Default, Clone)]
struct Raw(Vec<u8>);

impl Raw {
    fn put(mut self, header: Header<'_>, data: &[u8]) -> Self {
        Header { size: data.len() as u64, ..header }.encode(&mut self.0);
        self.0.extend_from_slice(data);
        pad(&mut self.0, data.len() as u64);
        self
    }

    fn file(self, name: &str, data: &[u8]) -> Self {
        self.put(Header { name: name.as_bytes(), flag: b'0', ..Header::default() }, data)
    }

    fn directory(self, name: &str) -> Self {
        self.put(Header { name: name.as_bytes(), flag: b'5', ..Header::default() }, b"")
    }

    fn link(self, flag: u8, name: &str, target: &str) -> Self {
        self.put(Header { name: name.as_bytes(), flag, link: target.as_bytes(), ..Header::default() }, b"")
    }

    fn kind(self, flag: u8, name: &str, data: &[u8]) -> Self {
        self.put(Header { name: name.as_bytes(), flag, ..Header::default() }, data)
    }

    /// A PAX header with these records.
    fn pax(self, records: &[(&str, &str)]) -> Self {
        self.kind(b'x', "x", &pax_records(records))
    }

    fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&[0; 1024]);
        self.0
    }
}

pub(super) fn pax_records(records: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (key, value) in records {
        crate::tar_writer::header::encode_record(key.as_bytes(), value.as_bytes(), &mut bytes);
    }
    bytes
}
