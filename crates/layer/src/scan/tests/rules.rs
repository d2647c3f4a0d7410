//! What archives make of a layer, and which are refused.

use super::*;

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
        (Raw::default().pax(&[("uid", "4294967295")]).file("x", b""), "owner"),
        (Raw::default().pax(&[("gid", "4294967295")]).file("x", b""), "group"),
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
