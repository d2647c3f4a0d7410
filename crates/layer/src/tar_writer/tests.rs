use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use image::Digest;

use super::*;

fn meta(mode: u32, uid: u32, mtime: i64) -> Meta {
    Meta { mode, uid, gid: uid, mtime, xattrs: Vec::new() }
}

/// A bit of everything that a layer can hold.
fn known_layer(options: PackOptions) -> Vec<u8> {
    let mut tar = TarWriter::new(Vec::new(), options);
    let long = format!("deep/{}/{}", "d".repeat(200), "f".repeat(150));
    let prefixed = format!("deep/{}/f", "p".repeat(99));
    let mut with_xattrs = meta(0o4755, 0, 1_700_000_000);
    with_xattrs.xattrs = vec![
        (b"user.note".to_vec(), "a=b\nc\0ä".into()),
        (b"security.selinux".to_vec(), b"label".to_vec()),
        (b"user.overlay.opaque".to_vec(), b"y".to_vec()),
        (b"security.capability".to_vec(), vec![1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
    ];
    let directory = meta(0o755, 0, 1_700_000_000);
    let file = meta(0o644, 1000, 1_700_000_001);
    tar.directory(b"", &directory, false).expect("root");
    tar.file(b"a", &file, 5, &mut &b"hello"[..]).expect("a");
    tar.file(b"caps", &with_xattrs, 0, &mut std::io::empty()).expect("caps");
    tar.directory(b"deep", &meta(0o1777, 0, -1), false).expect("deep");
    tar.file(long.as_bytes(), &file, 3, &mut &b"far"[..]).expect("long");
    tar.file(prefixed.as_bytes(), &file, 512, &mut &[b'x'; 512][..]).expect("prefixed");
    tar.hardlink(b"link", &file, long.as_bytes()).expect("link");
    tar.symlink(b"linked", &meta(0o777, 0, 0), "zürich".as_bytes()).expect("symlink");
    tar.special(b"null", &meta(0o666, 0, 0), Special::CharacterDevice { major: 1, minor: 3 }).expect("null");
    tar.directory(b"opaque", &directory, true).expect("opaque");
    tar.whiteout(b"opaque/gone").expect("gone");
    tar.special(b"pipe", &meta(0o600, 3_000_000, 9_000_000_000), Special::Fifo).expect("pipe");
    tar.finish().expect("the end")
}

#[test]
fn st_050_the_bytes_are_pinned() {
    let tar = known_layer(PackOptions::default());
    let digest = Digest::sha256(&tar).to_string();
    assert_eq!(digest, "sha256:f81450a22bab3ce03013443e2c13e20982b84742d9313efa59246020d8791e3a");
    let clamped = known_layer(PackOptions { clamp: Some(1_600_000_000) });
    assert_eq!(
        Digest::sha256(&clamped).to_string(),
        "sha256:08a12f6da0d2de7c4bf0c18579e797475fa04f076f75ce940cf8f65fcec62165"
    );
}

#[test]
fn st_051_ustar_only_where_it_fits() {
    let mut tar = TarWriter::new(Vec::new(), PackOptions::default());
    tar.file(b"a", &meta(0o644, 0o777_7777, 0o777_7777_7777), 1, &mut &b"x"[..]).expect("a");
    assert_eq!(tar.position(), 1024);
    assert_eq!(tar.finish().expect("the end").len(), 2048);
}

#[test]
fn a_file_that_changes_is_an_error() {
    for content in [&b"four"[..], &b"sixsix"[..]] {
        let mut tar = TarWriter::new(Vec::new(), PackOptions::default());
        let result = tar.file(b"a", &meta(0o644, 0, 0), 5, &mut &*content);
        assert!(matches!(result, Err(LayerError::Changed { size: 5, .. })), "{result:?}");
    }
}

#[test]
fn contents_larger_than_the_buffer_arrive_whole() {
    let content: Vec<u8> = (0..2_000_003u32).map(|number| (number % 251) as u8).collect();
    let mut tar = TarWriter::new(Vec::new(), PackOptions::default());
    let offset = tar.file(b"a", &meta(0o644, 0, 0), content.len() as u64, &mut &content[..]).expect("a");
    let tar = tar.finish().expect("the end");
    assert_eq!(offset, 512);
    assert!(tar[512..].starts_with(&content));
    assert_eq!(tar.len() % 512, 0);
}

#[test]
fn st_052_names_of_attributes_that_pax_cannot_hold() {
    let mut tar = TarWriter::new(Vec::new(), PackOptions::default());
    let mut meta = meta(0o644, 0, 0);
    meta.xattrs = vec![(b"user.a=b".to_vec(), Vec::new())];
    let result = tar.directory(b"a", &meta, false);
    assert!(matches!(result, Err(LayerError::Unwritable { .. })), "{result:?}");
}

/// What readers say of the known layer: name → (type, mode, owner, time, link, size).
fn expected() -> BTreeMap<String, (char, u32, u64, i64, String, u64)> {
    let long = format!("deep/{}/{}", "d".repeat(200), "f".repeat(150));
    let entry =
        |kind, mode, owner, mtime, link: &str, size| (kind, mode, owner, mtime, link.to_owned(), size);
    BTreeMap::from([
        (".".to_owned(), entry('5', 0o755, 0, 1_700_000_000, "", 0)),
        ("a".to_owned(), entry('0', 0o644, 1000, 1_700_000_001, "", 5)),
        ("caps".to_owned(), entry('0', 0o4755, 0, 1_700_000_000, "", 0)),
        ("deep".to_owned(), entry('5', 0o1777, 0, -1, "", 0)),
        (long.clone(), entry('0', 0o644, 1000, 1_700_000_001, "", 3)),
        (format!("deep/{}/f", "p".repeat(99)), entry('0', 0o644, 1000, 1_700_000_001, "", 512)),
        ("link".to_owned(), entry('1', 0o644, 1000, 1_700_000_001, &long, 0)),
        ("linked".to_owned(), entry('2', 0o777, 0, 0, "zürich", 0)),
        ("null".to_owned(), entry('3', 0o666, 0, 0, "", 0)),
        ("opaque".to_owned(), entry('5', 0o755, 0, 1_700_000_000, "", 0)),
        ("opaque/.wh..wh..opq".to_owned(), entry('0', 0, 0, 0, "", 0)),
        ("opaque/.wh.gone".to_owned(), entry('0', 0, 0, 0, "", 0)),
        ("pipe".to_owned(), entry('6', 0o600, 3_000_000, 9_000_000_000, "", 0)),
    ])
}

#[test]
fn st_050_python_reads_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("layer.tar");
    std::fs::write(&path, known_layer(PackOptions::default())).expect("written");
    let program = "
import sys, tarfile
for member in tarfile.open(sys.argv[1]):
    if member.name == 'caps':
        assert member.pax_headers.keys() == {'SCHILY.xattr.security.capability', 'SCHILY.xattr.user.note'}
        assert member.pax_headers['SCHILY.xattr.user.note'] == 'a=b\\nc\\0ä'
    print(member.name, member.type.decode(), member.mode, member.uid, int(member.mtime), member.size, member.linkname, sep='|')
";
    let output = run(Command::new("python3").arg("-c").arg(program).arg(&path));
    let mut found = BTreeMap::new();
    for line in output.lines() {
        let fields: Vec<&str> = line.split('|').collect();
        let [name, kind, mode, owner, mtime, size, link] = fields[..] else { panic!("{line}") };
        let kind = kind.chars().next().expect("a type");
        let numbers =
            (mode.parse().expect("mode"), owner.parse().expect("owner"), mtime.parse().expect("time"));
        found.insert(
            name.to_owned(),
            (kind, numbers.0, numbers.1, numbers.2, link.to_owned(), size.parse().expect("size")),
        );
    }
    assert_eq!(found, expected());
}

#[test]
fn st_050_the_tar_crate_reads_it() {
    let bytes = known_layer(PackOptions::default());
    let mut archive = tar::Archive::new(&bytes[..]);
    let mut found = BTreeMap::new();
    for entry in archive.entries().expect("entries") {
        let mut entry = entry.expect("an entry");
        // Its parser of records stops at the first newline, that of a value too; Python's does not.
        let is_caps = entry.path_bytes().as_ref() == b"caps";
        let pax: BTreeMap<String, Vec<u8>> = entry
            .pax_extensions()
            .expect("records")
            .filter(|_| !is_caps)
            .into_iter()
            .flatten()
            .map(|record| record.expect("a record"))
            .map(|record| (record.key().expect("a key").to_owned(), record.value_bytes().to_vec()))
            .collect();
        let header = entry.header();
        let mtime = pax.get("mtime").map(|time| String::from_utf8_lossy(time).parse().expect("a time"));
        let name = String::from_utf8_lossy(&entry.path_bytes()).trim_end_matches('/').to_owned();
        let link = entry
            .link_name_bytes()
            .map(|link| String::from_utf8_lossy(&link).into_owned())
            .unwrap_or_default();
        let found_entry = (
            char::from(header.entry_type().as_byte()),
            header.mode().expect("mode"),
            header.uid().expect("uid"),
            mtime.unwrap_or(header.mtime().expect("mtime") as i64),
            link,
            entry.size(),
        );
        found.insert(name, found_entry);
    }
    let mut expected = expected();
    // This crate does not take the owner from PAX in `header()`.
    if let Some(pipe) = expected.get_mut("pipe") {
        pipe.2 = found["pipe"].2;
    }
    assert_eq!(found, expected);
}

#[test]
fn st_050_gnu_tar_reads_and_unpacks_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("layer.tar");
    std::fs::write(&path, known_layer(PackOptions::default())).expect("written");
    let list = run(Command::new("/bin/tar").args(["--list", "--quoting-style=literal", "--file"]).arg(&path));
    let names: Vec<String> = list.lines().map(|line| line.trim_end_matches('/').to_owned()).collect();
    let mut sorted = names.clone();
    sorted.sort();
    assert_eq!(sorted, expected().into_keys().collect::<Vec<_>>());
    let root = directory.path().join("root");
    std::fs::create_dir(&root).expect("a directory");
    run(Command::new("/bin/tar")
        .args([
            "--extract",
            "--warning=no-timestamp",
            "--exclude=./null",
            "--exclude=null",
            "--no-same-owner",
            "--directory",
        ])
        .arg(&root)
        .arg("--file")
        .arg(&path));
    assert_eq!(std::fs::read(root.join("link")).expect("link"), b"far");
    assert_eq!(std::fs::read_link(root.join("linked")).expect("linked"), Path::new("zürich"));
}

/// Runs a program that this test needs; gives what it printed.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("this test needs {command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{command:?}");
    String::from_utf8(output.stdout).expect("text")
}
