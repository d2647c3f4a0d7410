use std::io::Write;
use std::process::{Command, Stdio};

use super::*;

fn plain(stream: &[u8]) -> io::Result<(Compression, Vec<u8>)> {
    let (compression, mut reader) = reader(Box::new(stream))?;
    let mut plain = Vec::new();
    reader.read_to_end(&mut plain)?;
    Ok((compression, plain))
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("written");
    encoder.finish().expect("finished")
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).expect("compressed")
}

/// Lets a program compress, to have it from somebody else.
fn with(program: &str, arguments: &[&str], bytes: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("this test needs {program}: {error}"));
    let mut input = child.stdin.take().expect("a pipe");
    let bytes = bytes.to_vec();
    let writer = std::thread::spawn(move || input.write_all(&bytes));
    let output = child.wait_with_output().expect("output");
    writer.join().expect("a thread").expect("written");
    assert!(output.status.success());
    output.stdout
}

fn sample() -> Vec<u8> {
    (0..300_000u32).flat_map(|number| (number / 7).to_le_bytes()).collect()
}

#[test]
fn compression_is_recognised_by_its_bytes() {
    for (beginning, expected) in [
        (&b"\x1f\x8b\x08"[..], Compression::Gzip),
        (b"\x28\xb5\x2f\xfd", Compression::Zstd),
        (b"\x5a\x2a\x4d\x18", Compression::Zstd),
        (b"\xfd7zXZ\0", Compression::Xz),
        (b"BZh91AY&SY", Compression::Bzip2),
        (b"BZh9\x17\x72\x45\x38\x50\x90", Compression::Bzip2),
        (b"BZh9 is a name", Compression::Plain),
        (b"", Compression::Plain),
        (b"\x1f", Compression::Plain),
        (b"etc/passwd", Compression::Plain),
    ] {
        assert_eq!(Compression::sniff(beginning), expected, "{beginning:?}");
    }
}

#[test]
fn st_058_streams_are_read_to_their_end() {
    let sample = sample();
    let skippable = b"\x50\x2a\x4d\x18\x03\0\0\0abc";
    let cases = [
        (Compression::Plain, sample.clone(), sample.clone()),
        (Compression::Gzip, gzip(&sample), sample.clone()),
        (Compression::Gzip, [gzip(b"one"), gzip(b""), gzip(b"two")].concat(), b"onetwo".to_vec()),
        (
            Compression::Zstd,
            [&skippable[..], &zstd(b"one"), skippable, &zstd(b"two"), skippable].concat(),
            b"onetwo".to_vec(),
        ),
        (Compression::Gzip, with("gzip", &["-c"], &sample), sample.clone()),
        (Compression::Xz, with("xz", &["-9", "-c"], &sample), sample.clone()),
        (Compression::Bzip2, with("bzip2", &["-c"], &sample), sample.clone()),
        (Compression::Bzip2, with("bzip2", &["-c"], b""), Vec::new()),
        (
            Compression::Xz,
            [with("xz", &["-c"], b"one"), with("xz", &["-c"], b"two")].concat(),
            b"onetwo".to_vec(),
        ),
        (
            Compression::Bzip2,
            [with("bzip2", &["-c"], b"one"), with("bzip2", &["-c"], b"two")].concat(),
            b"onetwo".to_vec(),
        ),
    ];
    for (place, (compression, stream, expected)) in cases.into_iter().enumerate() {
        let (found, bytes) = plain(&stream).unwrap_or_else(|error| panic!("{place}: {error}"));
        assert_eq!(found, compression, "{place}");
        assert!(bytes == expected, "{place}");
    }
}

#[test]
fn st_058_what_is_cut_or_has_something_behind_is_an_error() {
    let sample = sample();
    let streams =
        [gzip(&sample), zstd(&sample), with("xz", &["-c"], &sample), with("bzip2", &["-c"], &sample)];
    for stream in streams {
        for cut in [stream.len() - 1, stream.len() / 2, 12] {
            assert!(plain(&stream[..cut]).is_err(), "cut at {cut}: {:?}", &stream[..4]);
        }
        for garbage in [&b"garbage behind it"[..], &[1], b"\x1f\x8b"] {
            let stream = [&stream[..], garbage].concat();
            assert!(plain(&stream).is_err(), "{garbage:?} behind {:?}", &stream[..4]);
        }
    }
}

#[test]
fn st_075_windows_and_memory_are_limited() {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).expect("an encoder");
    encoder.window_log(28).expect("a window");
    encoder.write_all(&sample()).expect("written");
    let stream = encoder.finish().expect("finished");
    assert!(plain(&stream).is_err());
    let stream = with("xz", &["--lzma2=dict=256MiB", "-c"], b"small");
    assert!(plain(&stream).is_err());
}

#[test]
fn st_075_empty_members_are_read_one_after_the_other() {
    let member = gzip(b"");
    let stream = member.repeat(200_000);
    assert_eq!(plain(&stream).expect("empty"), (Compression::Gzip, Vec::new()));
    let stream = b"\x50\x2a\x4d\x18\0\0\0\0".repeat(200_000);
    assert_eq!(plain(&stream).expect("empty"), (Compression::Zstd, Vec::new()));
}
