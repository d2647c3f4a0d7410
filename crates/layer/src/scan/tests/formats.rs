//! What stands in archives: dialects, extensions, ends.

use super::*;

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
    assert!(refused(b"this is not a tar, whatever it is").contains("it is not a tar archive"));
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
