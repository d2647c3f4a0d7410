use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use proptest::prelude::*;
use store::table::{Entry, EntryKind};

use super::*;
use crate::tar_writer::header::{Header, pad};

/// A table that remembers everything.
#[derive(Default)]
struct Collected {
    framing: Vec<u8>,
    /// Path → what it is, in a line.
    entries: Vec<(String, String)>,
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
fn scanned(tar: &[u8]) -> Result<(Vec<(String, String)>, Vec<String>)> {
    let cancel = Cancel::new();
    let Pass { tree, mut collector, size, warnings } = read(&mut &*tar, Collected::default(), &cancel)?;
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

fn entries(tar: &[u8]) -> Vec<(String, String)> {
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

fn pax_records(records: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (key, value) in records {
        crate::tar_writer::header::encode_record(key.as_bytes(), value.as_bytes(), &mut bytes);
    }
    bytes
}

#[test]
fn st_050_paths_kinds_and_parents() {
    let tar = Raw::default()
        .directory("./")
        .file("./usr/bin/x", b"hello")
        .directory("/etc/")
        .link(b'2', "etc/mtab", "/proc/mounts")
        .link(b'1', "usr/bin/y", "./usr/bin/x")
        .link(b'1', "etc/z", "/lib/z")
        .kind(b'6', "pipe", b"")
        .end();
    let expected = ": dir\netc: dir\netc/mtab: -> /proc/mounts\netc/z: link lib/z\npipe: fifo\nusr/bin/x: file 5 ea8f\nusr/bin/y: link usr/bin/x\n";
    assert_eq!(lines(&tar), expected);
}

#[test]
fn st_058_ends_of_archives() {
    let archive = Raw::default().file("a", b"x");
    let whole = archive.clone().end();
    let same = entries(&whole);
    assert_eq!(entries(&archive.0), same, "no end mark");
    assert_eq!(entries(&whole[..1024 + 512]), same, "half an end mark");
    assert_eq!(entries(&archive.0[..513]), same, "no padding");
    assert_eq!(entries(&[&whole[..], b"trailing bytes, not a block"].concat()), same);
    assert_eq!(entries(&[&whole[..], &whole].concat()), same, "another archive behind it");
    assert_eq!(entries(b""), []);
    let reason = refused(&archive.0[..512]);
    assert!(reason.contains("entry a: the archive ends within it"), "{reason}");
    let reason = refused(&[&archive.0[..], &[1; 100]].concat());
    assert!(reason.contains("entry a"), "{reason}");
    let lone = [&archive.0[..], &[0; 512], &archive.0].concat();
    assert!(refused(&lone).contains("single block of zeros"));
    assert!(refused(b"this is not a tar, whatever it is").contains("ends within it"));
    assert!(refused(&[7; 1024]).contains("not a tar archive"));
}

#[test]
fn st_057_extended_headers() {
    let long = "n".repeat(200);
    for (tar, expected) in [
        (
            Raw::default()
                .pax(&[("path", "real"), ("mtime", "-1.5"), ("uid", "4000000000")])
                .file("short", b""),
            "real: file 0 af13 @-2 4000000000:0\n".to_owned(),
        ),
        (
            Raw::default().kind(b'L', "././@LongLink", format!("{long}\0").as_bytes()).file("short", b""),
            format!("{long}: file 0 af13\n"),
        ),
        (
            Raw::default().kind(b'K', "././@LongLink", format!("{long}\0").as_bytes()).link(b'2', "s", "t"),
            format!("s: -> {long}\n"),
        ),
        (
            Raw::default().kind(b'L', "l", b"gnu\0").pax(&[("path", "pax")]).file("short", b""),
            "pax: file 0 af13\n".to_owned(),
        ),
        (
            Raw::default().kind(b'g', "g", &pax_records(&[("comment", "c")])).file("a", b""),
            "a: file 0 af13\n".to_owned(),
        ),
        (
            Raw::default()
                .pax(&[("SCHILY.xattr.user.a", "b\nc=d"), ("SCHILY.xattr.security.selinux", "no")])
                .file("a", b""),
            "a: file 0 af13 user.a=b\nc=d\n".to_owned(),
        ),
        (
            Raw::default().pax(&[("LIBARCHIVE.xattr.user.%61", "aGVsbG8")]).file("a", b""),
            "a: file 0 af13 user.a=hello\n".to_owned(),
        ),
        (Raw::default().kind(0, "old/", b""), "old: dir\n".to_owned()),
        (Raw::default().kind(b'7', "contiguous", b""), "contiguous: file 0 af13\n".to_owned()),
    ] {
        assert_eq!(lines(&tar.end()), expected);
    }
}

#[test]
fn st_057_pax_size_governs() {
    // CVE-2025-62518: an inner archive that the size of the ustar header would lay open.
    let inner = Raw::default().file("inner", b"").end();
    let mut tar = Raw::default().pax(&[("size", &inner.len().to_string())]).file("outer", b"").0;
    tar.extend_from_slice(&inner);
    let tar = Raw(tar).file("after", b"").end();
    let found: Vec<_> = entries(&tar).into_iter().map(|(path, _)| path).collect();
    assert_eq!(found, ["after", "outer"]);
}

#[test]
fn st_057_unknown_types_and_global_headers_get_a_word() {
    let tar = Raw::default()
        .kind(b'g', "g", &pax_records(&[("path", "evil")]))
        .kind(b'Z', "odd", b"data")
        .file("a", b"")
        .end();
    let (entries, warnings) = scanned(&tar).expect("a valid archive");
    assert_eq!(entries.len(), 1);
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[1].contains("odd"), "{warnings:?}");
}

#[test]
fn st_070_refused_archives() {
    let file = |name: &str| Raw::default().file(name, b"");
    let many: Raw = (0..41).fold(Raw::default(), |raw, number| {
        raw.link(b'2', &format!("l{number}"), &format!("l{}", number + 1))
    });
    let cases = [
        (file("../a"), "leads out"),
        (file("a/../../b"), "leads out"),
        (Raw::default().link(b'1', "a", "../../etc/passwd"), "leads out"),
        (Raw::default().link(b'2', "./", "/etc"), "root directory"),
        (Raw::default().link(b'2', "/", "/etc"), "root directory"),
        (file("."), "root directory"),
        (file("a").file("a/b", b""), "not a directory"),
        (file("a").directory("a/b/"), "not a directory"),
        (Raw::default().kind(b'6', "p", b"").file("p/b", b""), "not a directory"),
        (Raw::default().link(b'2', "a", "b").link(b'2', "b", "a").file("a/x", b""), "40 symbolic links"),
        (many.file("l0/x", b""), "40 symbolic links"),
        (Raw::default().link(b'1', "b", "a").file("a", b""), "comes before it"),
        (Raw::default().link(b'1', "b", "a").file("a/x", b""), "comes before it"),
        (Raw::default().directory("d/").link(b'1', "b", "d"), "hardlink to a directory"),
        (Raw::default().link(b'1', "b", "b"), "itself"),
        (Raw::default().file(".wh.b", b"").link(b'1', "a", "b"), "removes"),
        (Raw::default().link(b'2', "a", ""), "cannot exist"),
        (Raw::default().kind(b'5', "d/", b"data"), "no data"),
        (Raw::default().kind(b'2', "s", b"data"), "no data"),
        (Raw::default().pax(&[("path", "a\0b")]).file("x", b""), "NUL"),
        (Raw::default().pax(&[("path", "a")]).pax(&[("path", "b")]).file("x", b""), "two headers"),
        (Raw::default().pax(&[("path", "a")]), "nothing follows"),
        (Raw::default().pax(&[("uid", "4294967296")]).file("x", b""), "owner"),
        (Raw::default().pax(&[("size", "-1")]).file("x", b""), "number"),
        (Raw::default().kind(b'x', "x", b"99 path=a\n").file("x", b""), "malformed"),
        (file(".wh."), "removes nothing"),
        (file(".wh.a/b"), "below a removal"),
    ];
    for (tar, expected) in cases {
        let reason = refused(&tar.end());
        assert!(reason.contains(expected), "{expected}: {reason}");
    }
}

#[test]
fn st_071_later_entries_win() {
    for (tar, expected) in [
        (Raw::default().file("a", b"one").file("a", b"hello"), "a: file 5 ea8f\n"),
        (Raw::default().file("a", b"hello").file("a", b""), "a: file 0 af13\n"),
        (Raw::default().file("a", b"one").link(b'2', "a", "b"), "a: -> b\n"),
        (Raw::default().directory("d/").file("d/x", b"x").link(b'2', "d", "e"), "d: -> e\n"),
        (
            Raw::default().file("d/x/y", b"x").file("d-", b"").file("d", b"hello"),
            "d: file 5 ea8f\nd-: file 0 af13\n",
        ),
        (Raw::default().file("a", b"x").directory("a/"), "a: dir opaque\n"),
        (
            Raw::default()
                .directory("a/")
                .put(Header { name: b"a/", flag: b'5', mtime: 7, ..Header::default() }, b""),
            "a: dir @7\n",
        ),
        (
            Raw::default().directory("d/").link(b'2', "d", "/e").file("d/x", b"hello"),
            "d: -> /e\ne/x: file 5 ea8f\n",
        ),
    ] {
        assert_eq!(lines(&tar.end()), expected);
    }
}

#[test]
fn st_070_symbolic_links_lead_only_inside() {
    for (tar, expected) in [
        (
            Raw::default().link(b'2', "lib", "usr/lib").file("lib/x", b""),
            "lib: -> usr/lib\nusr/lib/x: file 0 af13\n",
        ),
        (
            Raw::default().link(b'2', "a/up", "../../../..").file("a/up/etc/x", b""),
            "a/up: -> ../../../..\netc/x: file 0 af13\n",
        ),
        (
            Raw::default().link(b'2', "e", "/etc").link(b'1', "b", "e/passwd"),
            "b: link etc/passwd\ne: -> /etc\n",
        ),
        (
            Raw::default().link(b'2', "a", "..").link(b'2', "a/b", "..").file("a/b/c", b""),
            "a: -> ..\nb: -> ..\nc: file 0 af13\n",
        ),
    ] {
        assert_eq!(lines(&tar.end()), expected);
    }
}

#[test]
fn st_054_hardlinks_keep_what_they_meant() {
    for (tar, expected) in [
        (
            Raw::default().file("a", b"hello").link(b'1', "b", "a").file("a", b""),
            "a: file 0 af13\nb: file 5 ea8f\n",
        ),
        (
            Raw::default().file("z", b"hello").link(b'1', "b", "z").link(b'1', "c", "b").link(b'2', "z", "q"),
            "b: file 5 ea8f\nc: link b\nz: -> q\n",
        ),
        (
            Raw::default().file("d/a", b"hello").link(b'1', "b", "d/a").file("d", b""),
            "b: file 5 ea8f\nd: file 0 af13\n",
        ),
        (
            Raw::default().file("z", b"hello").link(b'1', "a", "z").link(b'1', "z", "a"),
            "a: file 5 ea8f\nz: link a\n",
        ),
        (
            Raw::default().file("z", b"hello").link(b'1', "a", "z").file("a", b""),
            "a: file 0 af13\nz: file 5 ea8f\n",
        ),
        (
            Raw::default().link(b'2', "s", "t").link(b'1', "h", "s").file("s", b""),
            "h: -> t\ns: file 0 af13\n",
        ),
        (Raw::default().kind(b'6', "p", b"").link(b'1', "h", "p"), "h: fifo\np: fifo\n"),
        (Raw::default().file("a", b"hello").link(b'1', "a", "a"), "a: file 5 ea8f\n"),
        (
            Raw::default().file(".wh..wh.plnk/1.2", b"hello").link(b'1', "b", "/.wh..wh.plnk/1.2").link(
                b'1',
                "c",
                ".wh..wh.plnk/1.2",
            ),
            "b: file 5 ea8f\nc: link b\n",
        ),
        (Raw::default().file(".wh..wh.plnk/1.2", b"hello").file(".wh..wh.aufs", b"x"), ""),
    ] {
        assert_eq!(lines(&tar.end()), expected);
    }
}

#[test]
fn st_072_removals() {
    for (tar, expected) in [
        (Raw::default().file("d/.wh.x", b""), "d/x: whiteout\n"),
        (Raw::default().file("d/.wh.x", b"").file("d/x", b"hello"), "d/x: file 5 ea8f\n"),
        (Raw::default().file("d/x", b"hello").file("d/.wh.x", b""), "d/x: file 5 ea8f\n"),
        (Raw::default().file(".wh.d", b"").directory("d/"), "d: dir opaque\n"),
        (Raw::default().directory("d/").file(".wh.d", b""), "d: dir opaque\n"),
        (Raw::default().file(".wh.d", b"").file("d/x", b""), "d: dir opaque implied\nd/x: file 0 af13\n"),
        (
            Raw::default().file("d/x", b"").file("d/.wh..wh..opq", b""),
            "d: dir opaque implied\nd/x: file 0 af13\n",
        ),
        (Raw::default().file("d/.wh..wh..opq", b"").directory("d/"), "d: dir opaque\n"),
        (Raw::default().file(".wh..wh..opq", b"data"), ": dir opaque implied\n"),
        (Raw::default().link(b'1', ".wh.x", ".wh..wh.aufs"), "x: whiteout\n"),
    ] {
        assert_eq!(lines(&tar.end()), expected);
    }
}

#[test]
fn st_056_sparse_files() {
    let data = [&b"abc"[..], b"de"].concat();
    let holes = |size: usize, pieces: &[(usize, &[u8])]| {
        let mut content = vec![0; size];
        for (place, bytes) in pieces {
            content[*place..place + bytes.len()].copy_from_slice(bytes);
        }
        let digest = blake3::hash(&content);
        format!("file {size} {:02x}{:02x}", digest.as_bytes()[0], digest.as_bytes()[1])
    };
    let expected = holes(2000, &[(1000, b"abc"), (1500, b"de")]);
    let expected = format!("a: {expected} pieces [(1000, 3), (1500, 2)]\n");
    let v0_0 = Raw::default()
        .pax(&[
            ("GNU.sparse.size", "2000"),
            ("GNU.sparse.numblocks", "2"),
            ("GNU.sparse.offset", "1000"),
            ("GNU.sparse.numbytes", "3"),
            ("GNU.sparse.offset", "1500"),
            ("GNU.sparse.numbytes", "2"),
        ])
        .file("a", &data);
    assert_eq!(lines(&v0_0.end()), expected);
    let v0_1 = Raw::default()
        .pax(&[("GNU.sparse.size", "2000"), ("GNU.sparse.map", "1000,3,1500,2"), ("GNU.sparse.name", "a")])
        .file("GNUSparseFile.0/a", &data);
    assert_eq!(lines(&v0_1.end()), expected);
    let mut stored = b"2\n1000\n3\n1500\n2\n".to_vec();
    stored.resize(512, 0);
    stored.extend_from_slice(&data);
    let v1_0 = |realsize: &str, stored: &[u8]| {
        Raw::default()
            .pax(&[
                ("GNU.sparse.major", "1"),
                ("GNU.sparse.minor", "0"),
                ("GNU.sparse.name", "a"),
                ("GNU.sparse.realsize", realsize),
                ("size", &stored.len().to_string()),
            ])
            .file("GNUSparseFile.0/a", stored)
            .end()
    };
    assert_eq!(lines(&v1_0("2000", &stored)), expected);
    assert!(refused(&v1_0("1501", &stored)).contains("behind its end"));
    assert!(refused(&v1_0("2000", &stored[..516])).contains("do not have the size"));
    assert!(refused(&v1_0("2000", b"9999999999\n")).contains("malformed"));
    assert!(refused(&v1_0("18446744073709551615", &stored)).contains("larger than the limit"));
}

/// Makes files, links and a sparse file in a directory.
fn make_tree(root: &Path) {
    let write = |name: &str, data: &[u8]| std::fs::write(root.join(name), data).expect("written");
    std::fs::create_dir_all(root.join("d/e")).expect("a directory");
    write("d/small", b"hello");
    write("d/empty", b"");
    write(&format!("d/{}", "n".repeat(90)), &[b'y'; 5000]);
    std::fs::hard_link(root.join("d/small"), root.join("d/hard")).expect("a link");
    std::os::unix::fs::symlink("small", root.join("d/sym")).expect("a link");
    let sparse = std::fs::File::create(root.join("sparse")).expect("a file");
    for piece in 0..30u64 {
        std::os::unix::fs::FileExt::write_all_at(&sparse, b"piece", piece * 65536).expect("written");
    }
    sparse.set_len(40 * 65536).expect("resized");
}

#[test]
fn st_057_archives_of_gnu_tar() {
    let directory = tempfile::tempdir().expect("a directory");
    let root = directory.path().join("root");
    make_tree(&root);
    let formats = [
        ("v7", vec![]),
        ("ustar", vec![]),
        ("oldgnu", vec![]),
        ("gnu", vec![]),
        ("posix", vec![]),
        ("oldgnu", vec!["--sparse"]),
        ("gnu", vec!["--sparse"]),
        ("posix", vec!["--sparse", "--sparse-version=0.0"]),
        ("posix", vec!["--sparse", "--sparse-version=0.1"]),
        ("posix", vec!["--sparse", "--sparse-version=1.0"]),
    ];
    let mut all = BTreeMap::new();
    for (format, options) in formats {
        let path = directory.path().join("out.tar");
        let status = Command::new("/bin/tar")
            .arg(format!("--format={format}"))
            .args(&options)
            .args(["--numeric-owner", "--mtime=@1700000000", "--sort=name", "--create", "--file"])
            .arg(&path)
            .arg("--directory")
            .arg(&root)
            .arg(".")
            .status()
            .unwrap_or_else(|error| panic!("this test needs GNU tar: {error}"));
        assert!(status.success());
        let lines: Vec<_> = entries(&std::fs::read(&path).expect("read"))
            .into_iter()
            .map(|(path, line)| (path, line.split(" pieces").next().map(str::to_owned).unwrap_or_default()))
            .map(|(path, line)| (path, line.replace(" @1700000000", "")))
            .collect();
        let sparse = lines.iter().any(|(path, _)| path == "sparse");
        assert!(sparse, "{format} {options:?}: {lines:?}");
        all.insert(lines, format!("{format} {options:?}"));
    }
    assert_eq!(all.len(), 1, "the formats mean different things: {all:#?}");
}

#[test]
fn st_057_archives_of_python() {
    let program = r"
import io, sys, tarfile
form = {'ustar': tarfile.USTAR_FORMAT, 'gnu': tarfile.GNU_FORMAT, 'pax': tarfile.PAX_FORMAT}[sys.argv[1]]
out = io.BytesIO()
with tarfile.open(fileobj=out, mode='w', format=form) as tar:
    def add(name, data=None, **fields):
        info = tarfile.TarInfo(name)
        for field, value in fields.items():
            setattr(info, field, value)
        info.size = len(data or b'')
        tar.addfile(info, io.BytesIO(data or b''))
    add('d', type=tarfile.DIRTYPE, mode=0o755)
    add('d/file', b'hello', uid=1000, gid=1000, mtime=5)
    if form != tarfile.USTAR_FORMAT:
        add('d/' + 'long' * 50, b'x')
        add('z\u00fcrich', b'', uid=3000000)
    add('link', type=tarfile.LNKTYPE, linkname='d/file', uid=1000, gid=1000, mtime=5)
sys.stdout.buffer.write(out.getvalue())
";
    for format in ["ustar", "gnu", "pax"] {
        let output = Command::new("python3")
            .args(["-c", program, format])
            .output()
            .unwrap_or_else(|error| panic!("this test needs python3: {error}"));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let found = lines(&output.stdout);
        let always = ["d: dir\n", "d/file: file 5 ea8f @5 1000:1000\n", "link: link d/file @5 1000:1000\n"];
        assert!(always.iter().all(|line| found.contains(line)), "{found}");
        assert_eq!(found.contains("zürich: file 0 af13 3000000:0\n"), format != "ustar", "{found}");
    }
}

/// Anything that may stand in an archive, valid or not.
fn any_member() -> impl Strategy<Value = Raw> {
    let name = prop::sample::select(vec![
        "a",
        "a/",
        "./a",
        "a/b",
        "a/b/c",
        "b",
        "b/c",
        "/b",
        "a/.wh.b",
        ".wh.a",
        "a/.wh..wh..opq",
        ".",
        "b/../c",
        "l/x",
        "l",
        ".wh..wh.plnk/1",
    ]);
    let flag =
        prop::sample::select(vec![b'0', b'0', b'0', 0, b'1', b'1', b'2', b'5', b'5', b'6', b'7', b'Z', b'3']);
    let target = prop::sample::select(vec!["a", "b", "a/b", "..", "/", "c", "l", ".wh..wh.plnk/1"]);
    let data = prop::collection::vec(any::<u8>(), 0..1200);
    (name, flag, target, data, any::<bool>()).prop_map(|(name, flag, target, data, pax)| {
        let has_data = matches!(flag, b'0' | 0 | b'7' | b'Z');
        let data = if has_data { &data[..] } else { b"" };
        let raw = if pax { Raw::default().pax(&[("mtime", "1.5"), ("path", name)]) } else { Raw::default() };
        let link = if matches!(flag, b'1' | b'2') { target.as_bytes() } else { b"" };
        raw.put(
            Header { name: if pax { b"hidden" } else { name.as_bytes() }, flag, link, ..Header::default() },
            data,
        )
    })
}

proptest! {
    /// Whatever is accepted can be made again to the byte, and its table is one that can be applied.
    #[test]
    fn st_066_every_accepted_archive_can_be_made_again(
        members in prop::collection::vec(any_member(), 0..12),
        tail in prop::collection::vec(any::<u8>(), 0..700),
        mark in any::<bool>(),
    ) {
        let mut tar = members.iter().fold(Vec::new(), |tar, member| [&tar[..], &member.0].concat());
        if mark {
            tar.extend_from_slice(&[0; 1024]);
            tar.extend_from_slice(&tail);
        }
        let Ok((entries, _)) = scanned(&tar) else { return Ok(()) };
        let kinds: BTreeMap<_, _> = entries.iter().cloned().collect();
        prop_assert_eq!(kinds.len(), entries.len());
        for (path, line) in &entries {
            for (slash, _) in path.match_indices('/') {
                let parent = kinds.get(&path[..slash]);
                prop_assert!(parent.is_none_or(|kind| kind.starts_with("dir")), "{:?} is below {:?}", path, parent);
            }
            if let Some(target) = line.strip_prefix("link ") {
                let target = kinds.get(target.split(" @").next().unwrap_or_default());
                prop_assert!(target.is_none_or(|kind| kind.starts_with("file")), "{:?} {:?}", path, target);
            }
        }
    }

    /// Damage anywhere is an error or another archive, and never a panic.
    #[test]
    fn damaged_archives_do_no_harm(
        members in prop::collection::vec(any_member(), 1..6),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut tar = members.iter().fold(Vec::new(), |tar, member| [&tar[..], &member.0].concat());
        for (place, byte) in damage {
            let place = place.index(tar.len());
            tar[place] = byte;
        }
        tar.truncate(cut.index(tar.len()) + 1);
        let _ = scanned(&tar);
    }
}
