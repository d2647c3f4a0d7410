//! What is read of an outer tar, and what is refused.

use proptest::prelude::*;
use tar_core::builder::{EntryBuilder, PaxBuilder};

use super::*;

fn header(name: &str, kind: EntryType, size: u64) -> Vec<u8> {
    let mut header = EntryBuilder::new_ustar();
    header.path(name).entry_type(kind);
    header.size(size).expect("a size");
    header.finish_bytes()
}

fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.resize(bytes.len().next_multiple_of(HEADER_SIZE), 0);
    bytes
}

fn file(name: &str, contents: &[u8]) -> Vec<u8> {
    [header(name, EntryType::Regular, contents.len() as u64), padded(contents)].concat()
}

fn extension(kind: EntryType, data: &[u8]) -> Vec<u8> {
    [header("extension", kind, data.len() as u64), padded(data)].concat()
}

fn pax(records: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = PaxBuilder::new();
    for (key, value) in records {
        builder.add(key, value);
    }
    extension(EntryType::XHeader, &builder.finish())
}

fn read(bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>, ArchiveError> {
    let mut entries = Entries::new(bytes);
    let mut found = Vec::new();
    while let Some(entry) = entries.next()? {
        let mut contents = Vec::new();
        entries.read_to_end(&mut contents).map_err(read_error)?;
        found.push((String::from_utf8_lossy(&entry.name).into_owned(), contents));
    }
    Ok(found)
}

const END: [u8; 1024] = [0; 1024];

#[test]
fn st_057_names_and_sizes_come_from_the_strongest_header() {
    let long = "n".repeat(300);
    let gnu = || extension(EntryType::GnuLongName, format!("{long}\0").as_bytes());
    // CVE-2025-62518: the header says 0, and PAX says more; what follows is contents, not an entry.
    let inner = file("hidden", b"x");
    let size = inner.len().to_string();
    for (what, bytes, expected) in [
        ("plain", file("a", b"1"), vec![("a", b"1".to_vec())]),
        ("GNU name", [gnu(), file("a", b"1")].concat(), vec![(&*long, b"1".to_vec())]),
        ("PAX name", [pax(&[("path", "p")]), file("a", b"1")].concat(), vec![("p", b"1".to_vec())]),
        (
            "PAX over GNU",
            [gnu(), pax(&[("path", "p")]), file("a", b"1")].concat(),
            vec![("p", b"1".to_vec())],
        ),
        (
            "CVE-2025-62518",
            [pax(&[("size", &size)]), header("a", EntryType::Regular, 0), inner.clone()].concat(),
            vec![("a", inner.clone())],
        ),
        (
            "global headers are passed over",
            [extension(EntryType::XGlobalHeader, b"16 comment=text\n"), file("a", b"1")].concat(),
            vec![("a", b"1".to_vec())],
        ),
    ] {
        let expected: Vec<_> =
            expected.into_iter().map(|(name, contents)| (name.to_owned(), contents)).collect();
        for end in [&END[..], &END[..512], &[]] {
            let found = read(&[&bytes, end].concat()).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(found, expected, "{what}");
        }
    }
}

#[test]
fn kinds_are_told_apart() {
    let mut link = EntryBuilder::new_ustar();
    link.path("a/layer.tar").link_name("../b/layer.tar").entry_type(EntryType::Symlink);
    let mut hard = EntryBuilder::new_ustar();
    hard.path("h").link_name("a/x").entry_type(EntryType::Link);
    let bytes = [
        link.finish_bytes(),
        hard.finish_bytes(),
        header("d/", EntryType::Directory, 0),
        header("old/", EntryType::Regular, 0),
        header("pipe", EntryType::Fifo, 0),
        END.to_vec(),
    ]
    .concat();
    let mut entries = Entries::new(&bytes[..]);
    let mut kinds = Vec::new();
    while let Some(entry) = entries.next().expect("a tar") {
        kinds.push(entry.kind);
    }
    let expected = [
        EntryKind::Symlink(b"../b/layer.tar".to_vec()),
        EntryKind::Hardlink(b"a/x".to_vec()),
        EntryKind::Directory,
        EntryKind::Directory,
        EntryKind::Other(b'6'),
    ];
    assert_eq!(kinds, expected);
}

#[test]
fn what_cannot_be_read_is_refused_and_named() {
    let whole = [file("first", b"1"), file("second", &[7; 2000]), END.to_vec()].concat();
    let mut flipped = whole.clone();
    flipped[1024 + 3] ^= 1;
    let gnu = || extension(EntryType::GnuLongName, b"name\0");
    for (what, bytes, expected) in [
        ("nothing", Vec::new(), "it is empty"),
        ("text", b"hello".to_vec(), "it is not a tar"),
        ("long text", vec![b'x'; 5000], "it is not a tar"),
        ("cut in contents", whole[..2000].to_vec(), "cannot read the archive"),
        ("cut in a header", whole[..1300].to_vec(), "ends in the middle of a header"),
        ("a bit of a header", flipped, "a header in it cannot be read"),
        ("a header without an entry", [gnu(), END.to_vec()].concat(), "ends behind the header"),
        ("twice the same", [gnu(), gnu(), file("a", b"")].concat(), "the same header twice"),
        ("a size that is none", [pax(&[("size", "-1")]), file("a", b"")].concat(), "is not a number"),
        ("a sparse file", [pax(&[("GNU.sparse.major", "1")]), file("a", b"")].concat(), "sparse"),
        ("a directory with contents", header("d/", EntryType::Directory, 5), "has contents"),
        ("a giant name", header("x", EntryType::GnuLongName, 1 << 30), "has 1073741824 bytes"),
    ] {
        let error = read(&bytes).map(|found| panic!("{what}: {found:?}")).unwrap_err();
        assert!(error.to_string().contains(expected), "{what}: {error}");
    }
    let error = read(&whole[..2000]).expect_err("truncated");
    let source = std::error::Error::source(&error).expect("a source");
    assert_eq!(source.to_string(), "the archive ends in the middle of second");
    assert_eq!(base::Classified::kind(&error), base::Kind::Corrupt);
}

#[test]
fn the_stream_is_read_to_its_end() {
    let mut bytes = [file("a", b"1"), END.to_vec(), vec![1; 4000]].concat();
    let mut stream = &bytes[..];
    let mut entries = Entries::new(&mut stream);
    while entries.next().expect("a tar").is_some() {}
    drop(entries);
    assert!(stream.is_empty());
    bytes.clear();
}

proptest! {
    #[test]
    fn any_bytes_end_without_a_panic(
        mut bytes in prop::collection::vec(any::<u8>(), 0..3000),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let _ = read(&bytes);
        bytes = [pax(&[("path", "p"), ("size", "4")]), file("a", b"1234"), file("b", &bytes), END.to_vec()].concat();
        for (place, byte) in flips {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        let _ = read(&bytes);
    }
}
