use std::fs;
use std::io::{Cursor, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};

use super::*;
use crate::FIXED_TIME;
use crate::testing::{Scratch, scratch};

/// A tar of entries: type, name, mode, contents or what it links to.
fn tar(entries: &[(u8, &str, u32, &str)]) -> Vec<u8> {
    let mut builder = ::tar::Builder::new(Vec::new());
    for (kind, name, mode, text) in entries {
        let mut header = ::tar::Header::new_ustar();
        header.set_entry_type(::tar::EntryType::new(*kind));
        header.set_mode(*mode);
        header.set_mtime(1_000_000_000);
        // As it stands: what the library would refuse, too.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        let contents = if matches!(kind, b'1' | b'2') {
            header.as_old_mut().linkname[..text.len()].copy_from_slice(text.as_bytes());
            ""
        } else {
            text
        };
        header.set_size(contents.len() as u64);
        header.set_cksum();
        builder.append(&header, contents.as_bytes()).expect("an entry");
    }
    builder.into_inner().expect("a tar")
}

fn unpacked(scratch: &Scratch, bytes: &[u8]) -> (TempDir, Result<Unpacked>) {
    let directory = scratch.store.temp_dir("context").expect("a directory");
    let result = unpack(Box::new(Cursor::new(bytes.to_vec())), &directory, &Cancel::new());
    (directory, result)
}

#[test]
fn df_081_an_archive_becomes_a_directory() {
    let scratch = scratch();
    let bytes = tar(&[
        (b'0', "a/b/file", 0o640, "one"),
        (b'5', "a/", 0o700, ""),
        (b'0', "./a/empty", 0o644, ""),
        (b'0', "replaced", 0o644, "old"),
        (b'0', "replaced", 0o600, "newer"),
        (b'1', "other", 0o640, "a/b/file"),
        (b'2', "link", 0o777, "/etc/passwd"),
        (b'6', "pipe", 0o600, ""),
        (b'3', "null", 0o600, ""),
    ]);
    let (_directory, result) = unpacked(&scratch, &bytes);
    let Unpacked { root, warnings } = result.expect("unpacked");
    assert_eq!(warnings, ["1 device was left out"]);
    let mut names: Vec<_> =
        fs::read_dir(&root).expect("read").map(|entry| entry.expect("an entry").file_name()).collect();
    names.sort();
    assert_eq!(names, ["a", "link", "other", "pipe", "replaced"]);
    let read = |path: &str| fs::read_to_string(root.join(path)).expect("a file");
    assert_eq!(
        (read("a/b/file"), read("a/empty"), read("replaced")),
        ("one".into(), String::new(), "newer".into())
    );
    let look = |path: &str| fs::symlink_metadata(root.join(path)).expect("it is there");
    let mode = |path: &str| look(path).permissions().mode() & 0o7777;
    assert_eq!((mode("a"), mode("a/b"), mode("a/b/file"), mode("replaced")), (0o700, 0o755, 0o640, 0o600));
    assert_eq!(
        (look("a").mtime(), look("link").mtime(), look("a/b").mtime()),
        (1_000_000_000, 1_000_000_000, FIXED_TIME)
    );
    assert_eq!(look("a/b/file").ino(), look("other").ino());
    assert_eq!(fs::read_link(root.join("link")).expect("a link"), PathBuf::from("/etc/passwd"));
    assert!(look("pipe").file_type().is_fifo());
}

#[test]
fn st_070_nothing_of_an_archive_leads_out_of_its_directory() {
    let scratch = scratch();
    let outside = scratch.directory.path().join("outside");
    fs::create_dir(&outside).expect("a directory");
    let outside = outside.to_str().expect("text");
    for (name, entries) in [
        ("above", vec![(b'0', "../outside/x", 0o644, "x")]),
        ("a hardlink above", vec![(b'1', "x", 0o644, "../../version")]),
        ("a hardlink to nothing", vec![(b'1', "x", 0o644, "y")]),
        ("a removal", vec![(b'0', "a/.wh.x", 0o644, "")]),
        ("below a file", vec![(b'0', "x", 0o644, ""), (b'0', "x/y", 0o644, "")]),
    ] {
        let (directory, result) = unpacked(&scratch, &tar(&entries));
        assert!(matches!(result, Err(LayerError::Entry { .. })), "{name}: {result:?}");
        drop(directory);
    }
    // A link of the archive is followed within it.
    let bytes = tar(&[(b'2', "out", 0o777, outside), (b'0', "out/x", 0o644, "x")]);
    let (_directory, result) = unpacked(&scratch, &bytes);
    let root = result.expect("unpacked").root;
    assert_eq!(
        fs::read_to_string(root.join(outside.trim_start_matches('/')).join("x")).expect("a file"),
        "x"
    );
    assert_eq!(fs::read_dir(outside).expect("read").count(), 0);
    assert_eq!(fs::read_dir(scratch.store.root().join("tmp")).expect("tmp").count(), 1, "only what is held");
}

#[test]
fn df_081_what_is_an_archive_is_seen_by_its_beginning() {
    let plain = tar(&[(b'0', "Dockerfile", 0o644, "FROM scratch\n")]);
    let gzip = {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&plain).expect("compressed");
        encoder.finish().expect("compressed")
    };
    let zstd = zstd::encode_all(&plain[..], 1).expect("compressed");
    for (bytes, begins, is) in [
        (&plain[..], true, true),
        (&gzip, true, true),
        (&zstd, true, true),
        (&[0; BEGINNING], true, false),
        (b"FROM scratch\n", false, false),
        (b"BZh9 is no magic alone\n", false, false),
        (b"", false, false),
        (&plain[..500], false, false),
        (&gzip[..20], true, false),
    ] {
        let beginning = &bytes[..bytes.len().min(BEGINNING)];
        assert_eq!(begins_archive(beginning), begins, "{beginning:?}");
        assert_eq!(is_archive(Box::new(bytes)), is, "{beginning:?}");
    }
}
