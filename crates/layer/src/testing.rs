//! What the tests of trees and views share: layers in words, made without a tar writer, and trees in words.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use image::{DiffId, Digest};
use store::table::{ContentDigest, Entry, EntryKind, TableBuilder};
use store::{Layer, Lease, Store};

/// A store in a directory that goes with it.
pub(crate) struct Scratch {
    pub directory: tempfile::TempDir,
    pub store: Store,
    pub lease: Lease,
}

pub(crate) fn scratch() -> Scratch {
    let directory = tempfile::tempdir().expect("a directory");
    let store = Store::open(directory.path().join("store")).expect("a store");
    let lease = store.lease("test").expect("a lease");
    Scratch { directory, store, lease }
}

/// One entry of a layer to be made.
#[derive(Debug, Clone)]
pub(crate) struct Make {
    pub path: &'static str,
    pub what: What,
    pub mode: u32,
    pub owner: (u32, u32),
    pub mtime: i64,
    pub xattrs: Vec<(&'static str, Vec<u8>)>,
}

#[derive(Debug, Clone)]
pub(crate) enum What {
    File(Vec<u8>),
    /// Size, pieces: (place, bytes).
    Sparse(u64, Vec<(u64, Vec<u8>)>),
    Link(&'static str),
    Symlink(&'static str),
    Directory,
    Opaque,
    Whiteout,
    Fifo,
    Character(u32, u32),
}

pub(crate) fn make(path: &'static str, what: What) -> Make {
    let mode = if matches!(what, What::Directory | What::Opaque) { 0o755 } else { 0o644 };
    Make { path, what, mode, owner: (0, 0), mtime: 1_000_000_000, xattrs: Vec::new() }
}

pub(crate) fn file(path: &'static str, text: &str) -> Make {
    make(path, What::File(text.as_bytes().to_vec()))
}

/// Makes a layer with a pack. The "tar" has the contents in the opposite order, each behind some bytes of framing: no reader of trees looks at these.
pub(crate) fn layer(scratch: &Scratch, entries: &[Make]) -> Layer {
    let mut bytes = b"begin".to_vec();
    let mut table = TableBuilder::new().expect("a table");
    table.framing(b"begin").expect("framing");
    for entry in entries.iter().rev() {
        let header = header(entry).into_bytes();
        table.framing(&header).expect("framing");
        bytes.extend_from_slice(&header);
        let offset = bytes.len() as u64;
        let kind = kind(&entry.what, offset, &mut bytes);
        let mut xattrs: Vec<(&[u8], &[u8])> =
            entry.xattrs.iter().map(|(name, value)| (name.as_bytes(), value.as_slice())).collect();
        xattrs.sort_unstable();
        let (path, mode, (uid, gid), mtime) = (entry.path.as_bytes(), entry.mode, entry.owner, entry.mtime);
        table.entry(&Entry { path, kind, mode, uid, gid, mtime, xattrs });
    }
    bytes.extend_from_slice(b"end");
    table.framing(b"end").expect("framing");
    let digest = scratch.store.blobs().put(&scratch.lease, &bytes).expect("a pack");
    let table = table.finish(DiffId(digest), bytes.len() as u64).expect("a table");
    assert_eq!(digest, Digest::sha256(&bytes));
    scratch.store.layers().add(&scratch.lease, table, None).expect("a layer")
}

/// Different for different entries: the digest of the tar is the layer's identity.
fn header(entry: &Make) -> String {
    let what = match &entry.what {
        What::File(_) => "file".to_owned(),
        What::Sparse(size, pieces) => {
            format!("sparse {size} {:?}", pieces.iter().map(|(place, _)| place).collect::<Vec<_>>())
        }
        other => format!("{other:?}"),
    };
    format!("#{}#{what}#{:o}#{:?}#{}#{:?}#", entry.path, entry.mode, entry.owner, entry.mtime, entry.xattrs)
}

fn kind<'a>(what: &'a What, offset: u64, bytes: &mut Vec<u8>) -> EntryKind<'a> {
    let digest = |bytes: &[u8]| ContentDigest(*blake3::hash(bytes).as_bytes());
    match what {
        What::File(contents) => {
            bytes.extend_from_slice(contents);
            EntryKind::File { size: contents.len() as u64, content: digest(contents), offset, sparse: None }
        }
        What::Sparse(size, pieces) => {
            let mut contents = vec![0; *size as usize];
            for (place, piece) in pieces {
                bytes.extend_from_slice(piece);
                contents[*place as usize..][..piece.len()].copy_from_slice(piece);
            }
            let sparse = pieces.iter().map(|(place, piece)| (*place, piece.len() as u64)).collect();
            EntryKind::File { size: *size, content: digest(&contents), offset, sparse: Some(sparse) }
        }
        What::Link(target) => EntryKind::Hardlink { target: target.as_bytes() },
        What::Symlink(target) => EntryKind::Symlink { target: target.as_bytes() },
        What::Directory => EntryKind::Directory { opaque: false, implied: false },
        What::Opaque => EntryKind::Directory { opaque: true, implied: false },
        What::Whiteout => EntryKind::Whiteout,
        What::Fifo => EntryKind::Fifo,
        What::Character(major, minor) => EntryKind::CharacterDevice { major: *major, minor: *minor },
    }
}

/// All that stat and read can tell of a tree, by path; names of one inode have the same `inode`: the first of them.
pub(crate) fn look(root: &Path) -> BTreeMap<String, Seen> {
    let mut seen = BTreeMap::new();
    look_into(root, root, &mut BTreeMap::new(), &mut seen);
    seen
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub what: String,
    pub mode: u32,
    pub owner: (u32, u32),
    pub mtime: (i64, i64),
    pub xattrs: BTreeMap<String, Vec<u8>>,
    pub inode: String,
}

fn look_into(
    root: &Path,
    place: &Path,
    inodes: &mut BTreeMap<u64, String>,
    seen: &mut BTreeMap<String, Seen>,
) {
    let stat = std::fs::symlink_metadata(place).expect("a stat");
    let kind = stat.file_type();
    let path = place.strip_prefix(root).expect("inside").to_str().expect("text").to_owned();
    let what = if kind.is_dir() {
        "directory".to_owned()
    } else if kind.is_symlink() {
        format!("link to {}", std::fs::read_link(place).expect("a link").display())
    } else if kind.is_file() {
        let contents = std::fs::read(place).expect("contents");
        format!("file {} {}", contents.len(), blake3::hash(&contents))
    } else if kind.is_fifo() {
        "fifo".to_owned()
    } else {
        let device = (rustix::fs::major(stat.rdev()), rustix::fs::minor(stat.rdev()));
        format!("device {} {device:?}", kind.is_char_device())
    };
    let inode = inodes.entry(stat.ino()).or_insert_with(|| path.clone()).clone();
    seen.insert(
        path,
        Seen {
            what,
            mode: stat.mode() & 0o7777,
            owner: (stat.uid(), stat.gid()),
            mtime: (stat.mtime(), stat.mtime_nsec()),
            xattrs: xattrs(place),
            inode,
        },
    );
    if kind.is_dir() {
        let mut names: Vec<_> = std::fs::read_dir(place)
            .expect("a directory")
            .map(|entry| entry.expect("an entry").path())
            .collect();
        names.sort_by(|one, other| one.as_os_str().as_bytes().cmp(other.as_os_str().as_bytes()));
        for name in names {
            look_into(root, &name, inodes, seen);
        }
    }
}

fn xattrs(place: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut list = vec![0; 4096];
    let count = rustix::fs::llistxattr(place, &mut list[..]).expect("a list of attributes");
    list.truncate(count);
    list.split(|byte| *byte == 0)
        .filter(|name| !name.is_empty() && !name.starts_with(b"security.selinux"))
        .map(|name| {
            let mut value = vec![0; 4096];
            let count = rustix::fs::lgetxattr(place, name, &mut value[..]).expect("an attribute");
            value.truncate(count);
            (String::from_utf8_lossy(name).into_owned(), value)
        })
        .collect()
}

/// A capability as the kernel stores it: CAP_NET_BIND_SERVICE, permitted and effective.
pub(crate) fn capability() -> Vec<u8> {
    let mut value = 0x0200_0001_u32.to_le_bytes().to_vec();
    value.extend_from_slice(&(1_u32 << 10).to_le_bytes());
    value.extend_from_slice(&[0; 12]);
    value
}
