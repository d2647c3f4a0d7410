//! ADD of archives: what is in them, and what is refused.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use base::{Classified, Kind};
use image::ImageId;
use libtest_mimic::Trial;
use store::table::EntryKind;
use tar::EntryType;

use crate::lab::{Lab, chain, trial};

/// The time of all entries.
const TIME: u64 = 1_000_000_000;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("df_135_archives_by_what_they_are", df_135_archives_by_what_they_are),
        trial("df_135_what_is_no_archive_is_copied", df_135_what_is_no_archive_is_copied),
        trial("df_135_into_what_is_there", df_135_into_what_is_there),
        trial("df_135_conflicts_with_what_is_there", df_135_conflicts_with_what_is_there),
        trial("df_135_archives_that_end_too_early", df_135_archives_that_end_too_early),
        trial("df_135_hostile_entries", df_135_hostile_entries),
        trial("df_135_another_archive_is_another_step", df_135_another_archive_is_another_step),
        trial("df_136_owners_and_modes_by_flags", df_136_owners_and_modes_by_flags),
        trial("df_137_archives_that_stay_whole", df_137_archives_that_stay_whole),
    ]
}

/// An entry: kind, name, mode, and contents or target.
type Made<'a> = (EntryType, &'a str, u32, &'a str);

/// An archive; everything in it belongs to 12:34. Names stand in it as they are given, also those that no good program writes.
fn archive(entries: &[Made<'_>]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (kind, name, mode, text) in entries {
        let mut header = tar::Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(*mode);
        header.set_uid(12);
        header.set_gid(34);
        header.set_mtime(TIME);
        let data = if kind.is_file() { text.as_bytes() } else { b"" };
        if !kind.is_file() && !text.is_empty() {
            header.set_link_name(text).expect("a target");
        }
        header.set_size(data.len() as u64);
        header.set_cksum();
        if *name == "d/small" {
            builder.append_pax_extensions([("SCHILY.xattr.user.note", b"kept".as_slice())]).expect("memory");
        }
        builder.append(&header, data).expect("memory");
    }
    builder.into_inner().expect("memory")
}

fn sample() -> Vec<u8> {
    archive(&[
        (EntryType::Directory, "./", 0o700, ""),
        (EntryType::Directory, "d/", 0o750, ""),
        (EntryType::Regular, "d/small", 0o4751, "hello"),
        (EntryType::Link, "d/hard", 0o4751, "d/small"),
        (EntryType::Symlink, "d/sym", 0o777, "small"),
        (EntryType::Fifo, "d/pipe", 0o640, ""),
        (EntryType::Regular, "e/f/implied", 0o644, "deep"),
    ])
}

/// Lets a program compress, to have it from somebody else.
fn compressed(program: &str, bytes: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program)
        .arg("-c")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("this test needs {program}: {error}"));
    // All of it fits into a pipe.
    child.stdin.take().expect("a pipe").write_all(bytes).expect("written");
    let output = child.wait_with_output().expect("output");
    assert!(output.status.success(), "{program}");
    output.stdout
}

fn put(lab: &Lab, name: &str, bytes: &[u8]) {
    fs::write(lab.context().join(name), bytes).expect("a file");
}

/// Mode, owner, time of what is at a path.
fn meta(lab: &Lab, image: ImageId, path: &str) -> (u32, (u32, u32), i64) {
    let view = lab.view(image);
    let node = view.find(path.as_bytes()).unwrap_or_else(|| panic!("no {path}"));
    let entry = view.entry(view.file(node));
    (entry.mode, (entry.uid, entry.gid), entry.mtime)
}

fn is_there(lab: &Lab, image: ImageId, path: &str) -> bool {
    lab.view(image).find(path.as_bytes()).is_some()
}

fn df_135_archives_by_what_they_are() {
    let lab = Lab::new();
    let time = i64::try_from(TIME).expect("a time");
    for program in ["cat", "gzip", "bzip2", "xz", "zstd"] {
        let bytes = if program == "cat" { sample() } else { compressed(program, &sample()) };
        put(&lab, "data.bin", &bytes);
        let image = lab.build("FROM busybox\nADD data.bin /opt/new\n").0.image;
        for name in ["opt/new/d/small", "opt/new/d/hard"] {
            assert_eq!(lab.read(image, name).as_deref(), Some("hello"), "{program}");
            assert_eq!(meta(&lab, image, name), (0o4751, (12, 34), time), "{program}");
        }
        assert_eq!(lab.read(image, "opt/new/e/f/implied").as_deref(), Some("deep"), "{program}");
        assert_eq!(meta(&lab, image, "opt/new/d"), (0o750, (12, 34), time));
        assert_eq!(meta(&lab, image, "opt/new/d/pipe").0, 0o640);
        for made in ["opt/new", "opt/new/e", "opt/new/e/f"] {
            let (mode, owner, _) = meta(&lab, image, made);
            assert_eq!((mode, owner), (0o755, (0, 0)), "{made} is made like any parent");
        }
        assert!(!is_there(&lab, image, "opt/new/data.bin"), "{program}");
        let view = lab.view(image);
        let entry = |path: &str| view.entry(view.find(path.as_bytes()).expect("an entry"));
        let is_link = matches!(entry("opt/new/d/sym").kind, EntryKind::Symlink { target: b"small" });
        let is_hardlink = ["opt/new/d/small", "opt/new/d/hard"]
            .map(|path| matches!(entry(path).kind, EntryKind::Hardlink { .. }));
        assert!(is_link && is_hardlink == [true, false], "one of two names is the file");
        assert_eq!(entry("opt/new/d/hard").xattrs, [(b"user.note".as_slice(), b"kept".as_slice())]);
    }
}

fn df_135_what_is_no_archive_is_copied() {
    let lab = Lab::new();
    put(&lab, "text.gz", &compressed("gzip", b"text"));
    put(&lab, "empty.tar.gz", b"");
    put(&lab, "cut.tar.gz", &compressed("gzip", &sample())[..12]);
    put(&lab, "one.tar", &sample());
    let image = lab.build("FROM busybox\nADD *.gz one.tar /x/\nCOPY one.tar /copied/\n").0.image;
    for name in ["x/text.gz", "x/empty.tar.gz", "x/cut.tar.gz", "x/d/small", "copied/one.tar"] {
        assert!(is_there(&lab, image, name), "{name}");
    }
    assert!(!is_there(&lab, image, "x/one.tar"));
}

fn df_135_into_what_is_there() {
    let lab = Lab::new();
    put(
        &lab,
        "root.tar",
        &archive(&[
            (EntryType::Regular, "lib2/x/file", 0o644, "through the link"),
            (EntryType::Regular, "kept/file", 0o644, "new"),
            (EntryType::Directory, "given", 0o711, ""),
            (EntryType::Symlink, "kept/link", 0o777, "file"),
        ]),
    );
    let (outcome, heard) = lab.build(
        "FROM busybox\nRUN mkdir -p /usr/lib2/x /kept /given && ln -s /usr/lib2 /lib2 && echo old >/kept/file && \
         echo target >/kept/target && ln -s target /kept/link && echo there >/given/there && chmod 700 /kept /given\n\
         ADD root.tar /\nRUN ls -l /lib2 && cat /usr/lib2/x/file /kept/link /kept/target /given/there\n",
    );
    let output = heard.output();
    assert!(output.contains("/lib2 -> /usr/lib2"), "{output}");
    assert!(output.contains("through the linknewtarget\nthere\n"), "{output}");
    assert_eq!(meta(&lab, outcome.image, "kept").0, 0o700, "a directory without an entry stays");
    assert_eq!(meta(&lab, outcome.image, "given").0, 0o711, "one with an entry gets what it says");
}

fn df_135_conflicts_with_what_is_there() {
    let lab = Lab::new();
    let base = "FROM busybox\nRUN mkdir -p /d /t && ln -s t /link && touch /file\n";
    for (kind, name, said) in [
        (
            EntryType::Directory,
            "link",
            "cannot copy a directory to /link: it is a symbolic link in the image",
        ),
        (EntryType::Directory, "file", "cannot copy a directory to /file: it is a file in the image"),
        (EntryType::Regular, "d", "cannot copy a file to /d: it is a directory in the image"),
        (EntryType::Regular, "file/below", "cannot copy a directory to /file: it is a file in the image"),
    ] {
        put(&lab, "root.tar", &archive(&[(kind, name, 0o755, "")]));
        let (error, _) = lab.fail(&format!("{base}ADD root.tar /\n"));
        assert!(chain(&error).ends_with(said), "{}", chain(&error));
    }
}

fn df_135_archives_that_end_too_early() {
    let lab = Lab::new();
    let content: String =
        (0_u32..60_000).map(|number| number.wrapping_mul(2_654_435_761).to_string()).collect();
    let whole =
        archive(&[(EntryType::Regular, "a", 0o644, "a"), (EntryType::Regular, "big", 0o644, &content)]);
    let layers = |lab: &Lab| fs::read_dir(lab.store.root().join("layers")).expect("layers").count();
    let before = layers(&lab);
    for (bytes, reason) in [
        (cut(whole.clone()), "the archive is refused at entry big: the archive ends within it"),
        (cut(gzip(&whole)), "cannot read the archive: "),
        (cut(zstd(&whole)), "cannot read the archive: "),
    ] {
        put(&lab, "cut", &bytes);
        let (error, heard) = lab.fail("FROM busybox\nADD cut /x/\n");
        let said = chain(&error);
        assert!(said.contains(&format!("cannot unpack cut: {reason}")), "{said}");
        let span = error.place().expect("a place").span;
        assert_eq!((span.line, span.column), (2, 5), "{said}");
        assert_eq!(layers(&lab), before, "nothing of it stays: {}", heard.output());
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

/// From a file: it is more than a pipe holds.
fn zstd(bytes: &[u8]) -> Vec<u8> {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("plain");
    fs::write(&path, bytes).expect("a file");
    let output = Command::new("zstd").args([Path::new("-cq"), &path]).output().expect("this test needs zstd");
    assert!(output.status.success());
    output.stdout
}

fn cut(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.truncate(bytes.len() - bytes.len() / 8);
    bytes
}

fn df_135_hostile_entries() {
    let lab = Lab::new();
    let file = EntryType::Regular;
    for (entries, said) in [
        (vec![(file, "../x", 0o644, "")], "at entry ../x: its name leads out of the layer"),
        (vec![(file, "a/../../x", 0o644, "")], "at entry a/../../x: its name leads out of the layer"),
        (vec![(file, "etc/.wh.passwd", 0o644, "")], "at entry etc/.wh.passwd: names that begin with .wh."),
        (
            vec![(file, "etc/.wh..wh..opq", 0o644, "")],
            "at entry etc/.wh..wh..opq: names that begin with .wh.",
        ),
        (
            vec![(EntryType::Link, "x", 0o644, "../etc/passwd")],
            "at entry x: the target of its hardlink is refused",
        ),
        (
            vec![(EntryType::Link, "x", 0o644, "etc/passwd")],
            "at entry x: it is a hardlink to etc/passwd, which",
        ),
        (vec![(file, "f", 0o644, ""), (file, "f/x", 0o644, "")], "at entry f/x: "),
    ] {
        put(&lab, "bad.tar", &archive(&entries));
        let (error, _) = lab.fail("FROM busybox\nADD bad.tar /\n");
        let text = chain(&error);
        assert!(
            text.contains("cannot unpack bad.tar: the archive is refused") && text.contains(said),
            "{text}"
        );
        assert_eq!(error.kind(), Kind::Invalid);
    }
    // Links are followed inside of the archive, and nowhere else.
    put(
        &lab,
        "links.tar",
        &archive(&[(EntryType::Symlink, "out", 0o777, "/etc"), (file, "out/passwd", 0o644, "inside")]),
    );
    let (built, _) =
        lab.attempt(&crate::lab::request("FROM busybox\nADD links.tar /unpacked/\n"), &base::Cancel::new());
    let image = built.expect("built").image;
    assert_eq!(lab.read(image, "unpacked/etc/passwd").as_deref(), Some("inside"));
    assert_ne!(lab.read(image, "etc/passwd").as_deref(), Some("inside"));
}

fn df_135_another_archive_is_another_step() {
    let lab = Lab::new();
    let dockerfile = "FROM busybox\nADD data.tar /x\n";
    put(&lab, "data.tar", &sample());
    assert_eq!(lab.build(dockerfile).0.steps.executed, 1);
    put(&lab, "data.tar", &sample());
    assert_eq!(lab.build(dockerfile).0.steps.executed, 0, "the same archive");
    put(&lab, "data.tar", &compressed("gzip", &sample()));
    assert_eq!(lab.build(dockerfile).0.steps.executed, 1, "another file");
}

fn df_136_owners_and_modes_by_flags() {
    let lab = Lab::new();
    put(&lab, "data.tar", &sample());
    let image = lab.build("FROM busybox\nADD --chown=7:8 --chmod=600 data.tar /x/y\n").0.image;
    for (path, mode) in [("x", 0o755), ("x/y", 0o755), ("x/y/d", 0o750), ("x/y/d/small", 0o4751)] {
        let (found, owner, _) = meta(&lab, image, path);
        assert_eq!((found, owner), (mode, (7, 8)), "{path}");
    }
}

fn df_137_archives_that_stay_whole() {
    let lab = Lab::new();
    put(&lab, "data.tar", &sample());
    let image = lab.build("FROM busybox\nADD --unpack=false data.tar /x/\n").0.image;
    assert!(is_there(&lab, image, "x/data.tar") && !is_there(&lab, image, "x/d"));
    for flag in ["", "--unpack=true ", "--unpack "] {
        let image = lab.build(&format!("FROM busybox\nADD {flag}data.tar /x/\n")).0.image;
        assert!(!is_there(&lab, image, "x/data.tar") && is_there(&lab, image, "x/d/small"), "{flag}");
    }
}
