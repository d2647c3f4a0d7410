//! Archives within archives, whose sizes are said twice: what is accepted, everybody reads in the same way (CVE-2025-62518, CVE-2026-32766).
//!
//! A reader that takes the wrong one of two sizes reads the contents of a file as entries, or entries as contents. Here all combinations are made,
//! and what is accepted is read by GNU tar, Python and the crate tar, too.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

use super::*;

/// What says how many bytes a file has.
#[derive(Debug, Clone, Copy)]
enum Size {
    /// As many as there are.
    Right,
    Zero,
    OneBlock,
    /// All but the last block: the inner archive's end stays outside.
    Shorter,
    /// More than there are: entries behind the file are contents.
    Longer,
}

const SIZES: [Size; 5] = [Size::Right, Size::Zero, Size::OneBlock, Size::Shorter, Size::Longer];

impl Size {
    fn of(self, length: usize) -> usize {
        match self {
            Size::Right => length,
            Size::Zero => 0,
            Size::OneBlock => 512,
            Size::Shorter => length - 512,
            Size::Longer => length + 1024,
        }
    }
}

/// Where the other size stands.
#[derive(Debug, Clone, Copy)]
enum Place {
    Pax,
    /// In a PAX header, and a long name in GNU's way behind it.
    PaxBeforeLongName,
    PaxAfterLongName,
    /// Twice: the last counts.
    PaxTwice,
    /// With a record behind it that takes it back.
    PaxTakenBack,
    Global,
    /// In a PAX header in front of another PAX header.
    PaxBeforePax,
    /// In letters of another case, which mean nothing.
    PaxOtherCase,
    /// With a leading zero.
    PaxPadded,
    PaxSigned,
    Nowhere,
}

const PLACES: [Place; 11] = [
    Place::Pax,
    Place::PaxBeforeLongName,
    Place::PaxAfterLongName,
    Place::PaxTwice,
    Place::PaxTakenBack,
    Place::Global,
    Place::PaxBeforePax,
    Place::PaxOtherCase,
    Place::PaxPadded,
    Place::PaxSigned,
    Place::Nowhere,
];

/// A file that is an archive, `before` and `after` around it.
fn archive(flag: u8, header: Size, place: Place, other: Size) -> Vec<u8> {
    let inner = Raw::default().file("inner1", &[b'x'; 512]).file("inner2", b"").end();
    let (size, other) = (header.of(inner.len()), other.of(inner.len()).to_string());
    let tar = Raw::default().file("before", b"1");
    let long = |tar: Raw| tar.kind(b'L', "././@LongLink", b"outer\0");
    let mut tar = match place {
        Place::Pax => tar.pax(&[("size", &other)]),
        Place::PaxBeforeLongName => long(tar.pax(&[("size", &other)])),
        Place::PaxAfterLongName => long(tar).pax(&[("size", &other)]),
        Place::PaxTwice => tar.pax(&[("size", "1536"), ("size", &other)]),
        Place::PaxTakenBack => tar.pax(&[("size", &other), ("size", "")]),
        Place::Global => tar.kind(b'g', "g", &pax_records(&[("size", &other)])),
        Place::PaxBeforePax => tar.pax(&[("size", &other)]).pax(&[("comment", "x")]),
        Place::PaxOtherCase => tar.pax(&[("Size", &other), ("SIZE", &other)]),
        Place::PaxPadded => tar.pax(&[("size", &format!("0{other}"))]),
        Place::PaxSigned => tar.pax(&[("size", &format!("+{other}"))]),
        Place::Nowhere => tar,
    }
    .0;
    Header { name: b"outer", flag, size: size as u64, ..Header::default() }.encode(&mut tar);
    tar.extend_from_slice(&inner);
    Raw(tar).file("after", b"2").end()
}

type Names = BTreeSet<String>;

/// Names as they are compared.
fn names(names: impl Iterator<Item = String>) -> Names {
    names.map(|name| name.trim_end_matches('/').to_owned()).collect()
}

fn by_gnu_tar(tar: &[u8]) -> Option<Names> {
    let mut child = Command::new("/bin/tar")
        .args(["--list", "--file", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("this test needs GNU tar: {error}"));
    // It need not read to the end.
    let _ = child.stdin.take().expect("a pipe").write_all(tar);
    let output = child.wait_with_output().expect("output");
    let text = String::from_utf8(output.stdout).expect("text");
    output.status.success().then(|| names(text.lines().map(str::to_owned)))
}

/// All at once: Python starts slowly.
fn by_python(tars: &[Vec<u8>]) -> Vec<Option<Names>> {
    let program = r"
import io, struct, sys, tarfile
while length := sys.stdin.buffer.read(8):
    data = sys.stdin.buffer.read(struct.unpack('<Q', length)[0])
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode='r:') as tar:
            print(' '.join(tar.getnames()))
    except (tarfile.TarError, ValueError, OverflowError, EOFError):
        print('!')
";
    let mut child = Command::new("python3")
        .args(["-c", program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("this test needs python3: {error}"));
    let mut stdin = child.stdin.take().expect("a pipe");
    let input: Vec<u8> =
        tars.iter().flat_map(|tar| [&(tar.len() as u64).to_le_bytes(), &tar[..]].concat()).collect();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().expect("output");
    writer.join().expect("a thread").expect("written");
    assert!(output.status.success());
    let read = |line: &str| (line != "!").then(|| names(line.split_whitespace().map(str::to_owned)));
    String::from_utf8(output.stdout).expect("text").lines().map(read).collect()
}

fn by_tar_crate(tar: &[u8]) -> Option<Names> {
    let mut archive = tar::Archive::new(tar);
    let entries = archive.entries().ok()?;
    let names: Result<Vec<_>, _> = entries
        .filter(|entry| {
            !entry.as_ref().is_ok_and(|entry| entry.header().entry_type().is_pax_global_extensions())
        })
        .map(|entry| entry.map(|entry| String::from_utf8_lossy(&entry.path_bytes()).into_owned()))
        .collect();
    names.ok().map(|found| self::names(found.into_iter()))
}

#[test]
fn cve_2025_62518_what_is_accepted_everybody_reads_in_the_same_way() {
    let mut accepted = Vec::new();
    let mut refused = 0;
    for flag in [b'0', 0, b'7', b'5', b'1', b'2', b'3', b'6', b'V'] {
        for (header, place) in SIZES.iter().flat_map(|header| PLACES.map(|place| (*header, place))) {
            for other in SIZES {
                let tar = archive(flag, header, place, other);
                match scanned(&tar) {
                    Ok((entries, _)) => {
                        let mut found = names(entries.into_iter().map(|(path, _)| path));
                        if flag == b'V' {
                            // The name of a volume: others list it, and it is no part of a layer.
                            found.insert("outer".to_owned());
                        }
                        accepted.push((
                            format!("{} {header:?} {place:?} {other:?}", char::from(flag)),
                            tar,
                            found,
                        ));
                    }
                    Err(error) => {
                        let text = error.to_string();
                        assert!(text.starts_with("the archive is refused at entry "), "{text}");
                        refused += 1;
                    }
                }
                if matches!(place, Place::Nowhere) {
                    break;
                }
            }
        }
    }
    assert!(accepted.len() > 100 && refused > 500, "{} accepted, {refused} refused", accepted.len());
    let tars: Vec<Vec<u8>> = accepted.iter().map(|(_, tar, _)| tar.clone()).collect();
    let python = by_python(&tars);
    assert_eq!(python.len(), accepted.len());
    let mut agreed = [0; 3];
    for ((what, tar, found), python) in accepted.iter().zip(python) {
        let others = [by_gnu_tar(tar), python, by_tar_crate(tar)];
        for (place, other) in others.into_iter().enumerate() {
            // Whoever refuses does not read something else.
            if let Some(other) = other {
                assert_eq!(&other, found, "{what}: {}", ["GNU tar", "Python", "the crate tar"][place]);
                agreed[place] += 1;
            }
        }
    }
    assert!(agreed.iter().all(|count| *count > 20), "{agreed:?}");
}
