use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use base::{Classified, Kind};
use image::{DiffId, Digest};
use proptest::prelude::*;

use super::*;
use crate::StoreError;

/// An entry that owns its texts: what the model keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Owned {
    path: Vec<u8>,
    kind: OwnedKind,
    mode: u32,
    uid: u32,
    gid: u32,
    mtime: i64,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum OwnedKind {
    File(u64, [u8; 32], u64, Option<Vec<(u64, u64)>>),
    Hardlink(Vec<u8>),
    Symlink(Vec<u8>),
    Directory { opaque: bool, implied: bool },
    CharacterDevice(u32, u32),
    BlockDevice(u32, u32),
    Fifo,
    Whiteout,
}

impl Owned {
    fn new(path: &str, kind: OwnedKind) -> Self {
        let path = path.as_bytes().to_vec();
        Self { path, kind, mode: 0o755, uid: 0, gid: 0, mtime: 0, xattrs: BTreeMap::new() }
    }

    fn entry(&self) -> Entry<'_> {
        Entry {
            path: &self.path,
            kind: match &self.kind {
                OwnedKind::File(size, content, offset, sparse) => EntryKind::File {
                    size: *size,
                    content: ContentDigest(*content),
                    offset: *offset,
                    sparse: sparse.clone(),
                },
                OwnedKind::Hardlink(target) => EntryKind::Hardlink { target },
                OwnedKind::Symlink(target) => EntryKind::Symlink { target },
                OwnedKind::Directory { opaque, implied } => {
                    EntryKind::Directory { opaque: *opaque, implied: *implied }
                }
                OwnedKind::CharacterDevice(major, minor) => {
                    EntryKind::CharacterDevice { major: *major, minor: *minor }
                }
                OwnedKind::BlockDevice(major, minor) => {
                    EntryKind::BlockDevice { major: *major, minor: *minor }
                }
                OwnedKind::Fifo => EntryKind::Fifo,
                OwnedKind::Whiteout => EntryKind::Whiteout,
            },
            mode: self.mode,
            uid: self.uid,
            gid: self.gid,
            mtime: self.mtime,
            xattrs: self.xattrs.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect(),
        }
    }
}

const FILE: OwnedKind = OwnedKind::File(3, [7; 32], 512, None);
const DIRECTORY: OwnedKind = OwnedKind::Directory { opaque: false, implied: false };
const IMPLIED: OwnedKind = OwnedKind::Directory { opaque: false, implied: true };

fn diff_id() -> DiffId {
    DiffId(Digest::sha256(b"a layer"))
}

fn build(entries: &[Owned], framing: &[&[u8]]) -> crate::Result<NewTable> {
    let mut builder = TableBuilder::new()?;
    for entry in entries {
        builder.entry(&entry.entry());
    }
    for piece in framing {
        builder.framing(piece)?;
    }
    builder.finish(diff_id(), 10_240)
}

struct Stored {
    table: Table,
    path: PathBuf,
    _directory: tempfile::TempDir,
}

fn store(table: &NewTable) -> Stored {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("table");
    let mut file = std::fs::File::create_new(&path).expect("create");
    table.write_to(&mut file).expect("write");
    Stored { table: open(&path).expect("a table"), path, _directory: directory }
}

fn open(path: &Path) -> crate::Result<Table> {
    let file = std::fs::File::open(path).expect("open");
    Table::of(Path::new("/store"), path, &file)
}

fn table_of(entries: &[Owned]) -> Stored {
    store(&build(entries, &[]).expect("a table"))
}

fn paths(table: &Table) -> Vec<String> {
    table.entries().map(|entry| String::from_utf8_lossy(entry.path).into_owned()).collect()
}

fn plain_name() -> impl Strategy<Value = Vec<u8>> {
    // Names around the slash in the order of bytes, so that the order matters.
    prop_oneof![
        Just(b"a".to_vec()),
        Just(b"a.b".to_vec()),
        Just(b"a!".to_vec()),
        Just(b"a0".to_vec()),
        Just(b"\x01".to_vec()),
        Just(b"\xff".to_vec()),
        "[a-c]{1,2}".prop_map(String::into_bytes),
    ]
}

fn path() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(plain_name(), 0..5).prop_map(|names| names.join(&b'/'))
}

fn kind() -> impl Strategy<Value = OwnedKind> {
    let pieces = proptest::option::of(proptest::collection::vec(any::<(u64, u64)>(), 0..3));
    prop_oneof![
        (0u64..1 << 50, any::<[u8; 32]>(), any::<u64>(), pieces)
            .prop_map(|(size, content, offset, sparse)| OwnedKind::File(size, content, offset, sparse)),
        path().prop_map(OwnedKind::Hardlink),
        any::<Vec<u8>>().prop_map(OwnedKind::Symlink),
        any::<bool>().prop_map(|opaque| OwnedKind::Directory { opaque, implied: false }),
        any::<(u32, u32)>().prop_map(|(major, minor)| OwnedKind::CharacterDevice(major, minor)),
        any::<(u32, u32)>().prop_map(|(major, minor)| OwnedKind::BlockDevice(major, minor)),
        Just(OwnedKind::Fifo),
        Just(OwnedKind::Whiteout),
    ]
}

prop_compose! {
    fn owned()(
        path in path(),
        kind in kind(),
        mode in 0u32..0o10000,
        (uid, gid, mtime) in any::<(u32, u32, i64)>(),
        xattrs in proptest::collection::btree_map(any::<Vec<u8>>(), any::<Vec<u8>>(), 0..3),
    ) -> Owned {
        Owned { path, kind, mode, uid, gid, mtime, xattrs }
    }
}

/// What a table should hold: the later of equal paths, every parent, in the order of components.
fn model(entries: &[Owned]) -> Option<Vec<Owned>> {
    let split = |path: &[u8]| -> Vec<Vec<u8>> {
        if path.is_empty() {
            Vec::new()
        } else {
            path.split(|byte| *byte == b'/').map(<[u8]>::to_vec).collect()
        }
    };
    let mut model: BTreeMap<Vec<Vec<u8>>, Owned> = BTreeMap::new();
    for entry in entries {
        model.insert(split(&entry.path), entry.clone());
    }
    for names in model.keys().cloned().collect::<Vec<_>>() {
        for length in 0..names.len() {
            let parent = names[..length].to_vec();
            let path = String::from_utf8_lossy(&parent.join(&b'/')).into_owned();
            let implied = || Owned { path: parent.join(&b'/'), ..Owned::new(&path, IMPLIED) };
            let there = model.entry(parent.clone()).or_insert_with(implied);
            match there.kind {
                OwnedKind::Directory { .. } => {}
                OwnedKind::Whiteout => {
                    *there = implied();
                    there.kind = OwnedKind::Directory { opaque: true, implied: true };
                }
                _ => return None,
            }
        }
    }
    Some(model.into_values().collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_table_is_a_sorted_map(
        entries in proptest::collection::vec(owned(), 0..30),
        framing in proptest::collection::vec(any::<Vec<u8>>(), 0..4),
        asked in proptest::collection::vec(path(), 0..20),
    ) {
        let pieces: Vec<&[u8]> = framing.iter().map(Vec::as_slice).collect();
        let built = build(&entries, &pieces);
        let Some(model) = model(&entries) else {
            prop_assert_eq!(built.err().map(|error| error.kind()), Some(Kind::Invalid));
            return Ok(());
        };
        let stored = store(&built.expect("a table"));
        let table = &stored.table;
        prop_assert_eq!(table.len(), model.len());
        prop_assert_eq!(table.is_empty(), model.is_empty());
        for (index, (entry, owned)) in table.entries().zip(&model).enumerate() {
            prop_assert_eq!(&entry, &owned.entry());
            prop_assert_eq!(table.find(&owned.path), Some(index));
        }
        prop_assert_eq!(table.entry(model.len()), None);
        for path in asked.iter().chain(model.iter().map(|owned| &owned.path)) {
            prop_assert_eq!(table.find(path), model.iter().position(|owned| owned.path == *path));
            let below: Vec<usize> = (0..model.len()).filter(|index| is_below(&model[*index].path, path)).collect();
            prop_assert_eq!(table.below(path).collect::<Vec<_>>(), below);
        }
        let mut found = Vec::new();
        table.framing().expect("framing").read_to_end(&mut found).expect("read");
        prop_assert_eq!(found, framing.concat());
        let sizes = model.iter().map(|owned| if let OwnedKind::File(size, ..) = owned.kind { size } else { 0 });
        prop_assert_eq!(table.content_size(), sizes.sum::<u64>());
        let held = model.iter().filter(|owned| !matches!(owned.kind, OwnedKind::Directory { implied: true, .. }));
        prop_assert_eq!(table.newest(), held.map(|owned| owned.mtime).max());
        prop_assert_eq!((table.diff_id(), table.tar_size()), (diff_id(), 10_240));
    }

    #[test]
    fn a_damaged_table_is_an_error(
        entries in proptest::collection::vec(owned(), 0..10),
        place in any::<prop::sample::Index>(),
        bit in 0u8..8,
        cut in any::<prop::sample::Index>(),
    ) {
        let Ok(built) = build(&entries, &[b"framing"]) else { return Ok(()) };
        let stored = store(&built);
        let bytes = std::fs::read(&stored.path).expect("read");
        let damaged_path = stored.path.with_extension("damaged");
        let mut damaged = bytes.clone();
        damaged[place.index(bytes.len())] ^= 1 << bit;
        // The four bytes behind the version mean nothing yet.
        if !(12..16).contains(&place.index(bytes.len())) {
            std::fs::write(&damaged_path, &damaged).expect("write");
            let kind = open(&damaged_path).err().map(|error| error.kind());
            prop_assert!(matches!(kind, Some(Kind::Corrupt | Kind::TooNew)), "{:?}", kind);
        }
        std::fs::write(&damaged_path, &bytes[..cut.index(bytes.len())]).expect("write");
        prop_assert_eq!(open(&damaged_path).err().map(|error| error.kind()), Some(Kind::Corrupt));
    }

    /// Even when somebody makes the checksum right, nothing is read outside of the file.
    #[test]
    fn a_forged_table_never_panics(
        entries in proptest::collection::vec(owned(), 0..10),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
    ) {
        let Ok(built) = build(&entries, &[b"framing"]) else { return Ok(()) };
        let stored = store(&built);
        let mut bytes = std::fs::read(&stored.path).expect("read");
        for (place, byte) in changes {
            let place = place.index(bytes.len() - format::CHECKED) + format::CHECKED;
            bytes[place] = byte;
        }
        let checksum = blake3::hash(&bytes[format::CHECKED..]);
        bytes[format::CHECKSUM..format::CHECKED].copy_from_slice(checksum.as_bytes());
        let path = stored.path.with_extension("forged");
        std::fs::write(&path, &bytes).expect("write");
        if let Ok(table) = open(&path) {
            for entry in table.entries().collect::<Vec<_>>() {
                let _ = (table.find(entry.path), table.below(entry.path));
            }
            let _ = table.framing().map(|mut framing| framing.read_to_end(&mut Vec::new()).is_ok());
        }
    }
}

#[test]
fn a_directory_is_followed_by_what_is_below_it() {
    let names = ["a/b", "a.b", "a", "a/b/c", "b", "a-"];
    let kind = |name: &str| if matches!(name, "a" | "a/b") { DIRECTORY } else { FILE };
    let stored = table_of(&names.map(|name| Owned::new(name, kind(name))));
    assert_eq!(paths(&stored.table), ["", "a", "a/b", "a/b/c", "a-", "a.b", "b"]);
    assert_eq!(stored.table.below(b"a"), 2..4);
    assert_eq!(stored.table.below(b""), 1..7);
    assert_eq!(stored.table.below(b"zz"), 7..7);
}

#[test]
fn an_empty_layer_has_no_entries() {
    let stored = table_of(&[]);
    assert!(stored.table.is_empty());
    assert_eq!((stored.table.newest(), stored.table.find(b"")), (None, None));
    assert!(!stored.table.needs_lower());
}

#[test]
fn what_needs_the_layers_below() {
    let link = |target: &str| OwnedKind::Hardlink(target.as_bytes().to_vec());
    for (entries, needs) in [
        (vec![Owned::new("file", FILE)], false),
        (vec![Owned::new("a", DIRECTORY), Owned::new("a/file", FILE)], false),
        (vec![Owned::new("a/file", FILE)], true),
        (vec![Owned::new("file", FILE), Owned::new("link", link("file"))], false),
        (vec![Owned::new("link", link("file"))], true),
        (vec![Owned::new("file", OwnedKind::Whiteout), Owned::new("link", link("file"))], true),
        (vec![Owned::new("a", OwnedKind::Whiteout), Owned::new("a/file", FILE)], true),
    ] {
        assert_eq!(table_of(&entries).table.needs_lower(), needs, "{entries:?}");
    }
}

#[test]
fn what_cannot_be_in_a_layer_is_refused() {
    for (path, below) in [
        ("/a", None),
        ("a/", None),
        ("a//b", None),
        ("a/./b", None),
        ("../a", None),
        ("a\0b", None),
        ("file", Some("file/below")),
    ] {
        let mut entries = vec![Owned::new(path, FILE)];
        entries.extend(below.map(|below| Owned::new(below, FILE)));
        let error = build(&entries, &[]).err().expect("an error");
        assert!(matches!(error, StoreError::Entry { .. }), "{path}: {error}");
        assert_eq!(error.kind(), Kind::Invalid);
    }
    let link = Owned::new("link", OwnedKind::Hardlink(b"../../etc/passwd".to_vec()));
    assert!(build(&[link], &[]).is_err());
}

#[test]
fn a_newer_table_is_refused() {
    let stored = table_of(&[Owned::new("a", FILE)]);
    let mut bytes = std::fs::read(&stored.path).expect("read");
    bytes[8] = 2;
    let path = stored.path.with_extension("newer");
    std::fs::write(&path, bytes).expect("write");
    let error = open(&path).err().expect("an error");
    assert_eq!(error.kind(), Kind::TooNew);
    assert!(error.to_string().contains("/store"), "{error}");
}

#[test]
fn the_content_id_counts_everything_but_times_and_places() {
    let id = |entries: &[Owned]| build(entries, &[]).expect("a table").content_id();
    let file = |change: &dyn Fn(&mut Owned)| {
        let mut file = Owned::new("a/file", FILE);
        change(&mut file);
        id(&[Owned::new("a", DIRECTORY), file])
    };
    let base = file(&|_| {});
    let same: [&dyn Fn(&mut Owned); 3] =
        [&|file| file.mtime = 99, &|file| file.kind = OwnedKind::File(3, [7; 32], 9999, None), &|file| {
            file.kind = OwnedKind::File(3, [7; 32], 512, Some(vec![(0, 3)]))
        }];
    for change in same {
        assert_eq!(file(change), base);
    }
    let different: [&dyn Fn(&mut Owned); 8] = [
        &|file| file.mode = 0o4755,
        &|file| file.uid = 1,
        &|file| file.gid = 1,
        &|file| file.path = b"a/other".to_vec(),
        &|file| file.kind = OwnedKind::File(4, [7; 32], 512, None),
        &|file| file.kind = OwnedKind::File(3, [8; 32], 512, None),
        &|file| file.kind = OwnedKind::Fifo,
        &|file| drop(file.xattrs.insert(b"user.a".to_vec(), b"b".to_vec())),
    ];
    for (index, change) in different.into_iter().enumerate() {
        assert_ne!(file(change), base, "change {index}");
    }
    // A directory that is there counts with its owner, an implied one as such.
    assert_ne!(id(&[Owned::new("a/file", FILE)]), base);
    let mut mode = Owned::new("link", OwnedKind::Symlink(b"x".to_vec()));
    let link = id(&[mode.clone()]);
    mode.mode = 0o777;
    assert_eq!(id(&[mode]), link);
}

/// The definition in the module's documentation, byte by byte.
#[test]
fn the_content_id_is_as_documented() {
    let mut file = Owned::new("f", FILE);
    (file.mode, file.uid, file.gid) = (0o644, 1, 2);
    file.xattrs.insert(b"user.x".to_vec(), b"y".to_vec());
    let link = Owned::new("l", OwnedKind::Symlink(b"f".to_vec()));
    let device = Owned::new("m", OwnedKind::CharacterDevice(1, 3));
    let gone = Owned::new("w", OwnedKind::Whiteout);
    let found = build(&[file, link, device, gone], &[]).expect("a table").content_id();
    let mut hasher = blake3::Hasher::new_derive_key("lapstrake layer content 1");
    let bytes = |hasher: &mut blake3::Hasher, bytes: &[u8]| {
        hasher.write_all(&(bytes.len() as u64).to_le_bytes()).expect("write");
        hasher.write_all(bytes).expect("write");
    };
    let numbers = |hasher: &mut blake3::Hasher, numbers: &[u32]| {
        for number in numbers {
            hasher.write_all(&number.to_le_bytes()).expect("write");
        }
    };
    hasher.update(&[4]);
    bytes(&mut hasher, b"");
    hasher.update(&[2]);
    hasher.update(&[1]);
    bytes(&mut hasher, b"f");
    hasher.update(&[0]);
    numbers(&mut hasher, &[0o644, 1, 2]);
    hasher.update(&1u64.to_le_bytes());
    bytes(&mut hasher, b"user.x");
    bytes(&mut hasher, b"y");
    hasher.update(&3u64.to_le_bytes());
    hasher.update(&[7; 32]);
    hasher.update(&[3]);
    bytes(&mut hasher, b"l");
    hasher.update(&[0]);
    numbers(&mut hasher, &[0, 0, 0]);
    hasher.update(&0u64.to_le_bytes());
    bytes(&mut hasher, b"f");
    hasher.update(&[5]);
    bytes(&mut hasher, b"m");
    hasher.update(&[0]);
    numbers(&mut hasher, &[0o755, 0, 0]);
    hasher.update(&0u64.to_le_bytes());
    numbers(&mut hasher, &[1, 3]);
    hasher.update(&[8]);
    bytes(&mut hasher, b"w");
    hasher.update(&[0]);
    assert_eq!(found.0, *hasher.finalize().as_bytes());
}

#[test]
fn fifty_thousand_entries() {
    let mut builder = TableBuilder::new().expect("a builder");
    let header = [0u8; 512];
    for number in 0..50_000u64 {
        let path = format!("usr/share/{}/file-{number}", number % 500);
        let file = Owned::new(&path, OwnedKind::File(1000, [number as u8; 32], number * 1536, None));
        builder.entry(&file.entry());
        builder.framing(&header).expect("framing");
    }
    let stored = store(&builder.finish(diff_id(), 50_000 * 1536).expect("a table"));
    let table = &stored.table;
    assert_eq!(table.len(), 50_000 + 500 + 3);
    assert_eq!(table.below(b"usr/share/17").len(), 100);
    let file = table.find(b"usr/share/17/file-1017").and_then(|index| table.entry(index)).expect("an entry");
    assert!(matches!(file.kind, EntryKind::File { offset: 1_562_112, .. }));
}
