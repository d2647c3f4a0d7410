use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use image::Digest;

use super::*;
use crate::decompress;
use crate::packer::{Meta, PackOptions};
use crate::tar_writer::TarWriter;

/// A tar with small and large files, compressible and not, and where its entries begin.
fn sample() -> &'static (Vec<u8>, Vec<usize>) {
    static SAMPLE: LazyLock<(Vec<u8>, Vec<usize>)> = LazyLock::new(make_sample);
    &SAMPLE
}

fn make_sample() -> (Vec<u8>, Vec<usize>) {
    let mut state = 1u32;
    let mut random = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 24
    };
    let mut boundaries = Vec::new();
    let mut tar = TarWriter::new(Vec::new(), PackOptions::default());
    for number in 0..60u32 {
        let size = if number % 40 == 7 { 1_500_000 } else { 7_000 + number * 100 };
        let letters = if number % 40 == 7 { 256 } else { 1 + number % 20 };
        let content: Vec<u8> = (0..size).map(|_| (random() % letters) as u8).collect();
        let name = format!("{number:03}");
        tar.file(name.as_bytes(), &Meta::default(), size.into(), &mut &content[..]).expect("a file");
        boundaries.push(tar.position() as usize);
    }
    (tar.finish().expect("a tar"), boundaries)
}

fn compressed(encoding: Encoding, threads: usize, step: usize) -> Vec<u8> {
    let (tar, boundaries) = sample();
    let mut compressor = Compressor::new(Vec::new(), encoding, threads).expect("a compressor");
    let mut at = 0;
    for end in boundaries.iter().copied().chain([tar.len()]) {
        for bytes in tar[at..end].chunks(step) {
            compressor.write_all(bytes).expect("written");
        }
        compressor.entry_boundary();
        at = end;
    }
    compressor.finish().expect("finished")
}

#[test]
fn st_067_the_bytes_are_pinned() {
    for (encoding, name, expected) in [
        (Encoding::Gzip(1), "gzip-1.v1", "fbf506f4508a3ae900dd34b40c0538e5d103cf963ef2b5c94517d711f1830298"),
        (Encoding::Gzip(2), "gzip-2.v1", "fd70173a594ed42b3804d2e429ee7d44743f5cd8d5a8ba988a01f47ee3067adf"),
        (Encoding::Gzip(6), "gzip-6.v1", "e5a30b47b8026261c15ddd45874eeca8aad99d6dc95d9988e2d2a65db45bc54d"),
        (Encoding::Zstd(3), "zstd-3.v1", "83f24ad47127965210c391b0b80ab0c718c093387e85c05e3aa1f0218a13746e"),
    ] {
        assert_eq!(encoding.name(), name);
        let digest = Digest::sha256(&compressed(encoding, 1, 100_000));
        assert_eq!(digest.hex(), expected, "{name}: when its bytes change, the version in its name must");
    }
}

#[test]
fn st_067_the_bytes_depend_on_the_content_alone() {
    for encoding in
        [Encoding::Plain, Encoding::Gzip(0), Encoding::Gzip(2), Encoding::Gzip(9), Encoding::Zstd(1)]
    {
        let one = compressed(encoding, 1, 1 << 20);
        for (threads, step) in [(0, 9999), (2, 4096), (4, 7_000_000)] {
            assert!(compressed(encoding, threads, step) == one, "{encoding:?} {threads} {step}");
        }
    }
}

#[test]
fn pieces_of_unchanged_entries_are_the_same_again() {
    let compress = |first: &[u8]| {
        let big: Vec<u8> = (0..3_000_000u32).flat_map(|number| (number / 3).to_le_bytes()).collect();
        let mut compressor = Compressor::new(Vec::new(), Encoding::Gzip(2), 1).expect("a compressor");
        compressor.write_all(first).expect("written");
        compressor.entry_boundary();
        compressor.write_all(&big).expect("written");
        compressor.finish().expect("finished")
    };
    let (one, other) = (compress(&[1; 1000]), compress(&[2; 77_000]));
    let same =
        one.iter().rev().zip(other.iter().rev()).skip(8).take_while(|(left, right)| left == right).count();
    assert!(same > one.len() * 8 / 10, "{same} of {}", one.len());
}

#[test]
fn everything_comes_back() {
    let (tar, _) = sample();
    for encoding in
        [Encoding::Plain, Encoding::Gzip(0), Encoding::Gzip(1), Encoding::Gzip(9), Encoding::Zstd(3)]
    {
        let stream = compressed(encoding, 2, 100_000);
        let (_, mut reader) = decompress::reader(Box::new(&stream[..])).expect("a reader");
        let mut plain = Vec::new();
        reader.read_to_end(&mut plain).expect("read");
        assert!(plain == *tar, "{encoding:?}");
        let empty = Compressor::new(Vec::new(), encoding, 2).map(Compressor::finish);
        let empty = empty.expect("a compressor").expect("finished");
        assert_eq!(empty.is_empty(), encoding == Encoding::Plain);
        let mut plain = Vec::new();
        let (_, mut reader) = decompress::reader(Box::new(&empty[..])).expect("a reader");
        assert_eq!(reader.read_to_end(&mut plain).expect("read"), 0);
    }
}

/// Gives a stream to a program, and gives what it printed.
fn through(program: &str, arguments: &[&str], stream: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("this test needs {program}: {error}"));
    let mut input = child.stdin.take().expect("a pipe");
    let stream = stream.to_vec();
    let writer = std::thread::spawn(move || input.write_all(&stream));
    let output = child.wait_with_output().expect("output");
    writer.join().expect("a thread").expect("written");
    assert!(output.status.success(), "{program} {arguments:?}");
    output.stdout
}

#[test]
fn everybody_reads_our_gzip() {
    let (tar, _) = sample();
    let stream = compressed(Encoding::DEFAULT, 2, 100_000);
    through("gzip", &["-t"], &stream);
    assert!(through("gzip", &["-dc"], &stream) == *tar);
    // A single member: readers that know no others see it all.
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(&stream[..]).read_to_end(&mut plain).expect("read");
    assert!(plain == *tar);
    let program = "
import sys, gzip, zlib, tarfile, io, hashlib
data = sys.stdin.buffer.read()
digest = lambda plain: hashlib.sha256(plain).hexdigest()
print(digest(gzip.decompress(data)))
print(digest(zlib.decompressobj(31).decompress(data)))
print(len([member for member in tarfile.open(fileobj=io.BytesIO(data), mode='r|gz')]))
print(len(tarfile.open(fileobj=io.BytesIO(data), mode='r:gz').getmembers()))
";
    let printed = String::from_utf8(through("python3", &["-c", program], &stream)).expect("text");
    let digest = Digest::sha256(tar).hex();
    assert_eq!(printed, format!("{digest}\n{digest}\n60\n60\n"));
    let listed = through("/bin/tar", &["--list", "--gzip", "--file", "-"], &stream);
    assert_eq!(listed.iter().filter(|byte| **byte == b'\n').count(), 60);
}

#[test]
fn st_067_the_header_says_nothing_of_the_machine() {
    let stream = compressed(Encoding::DEFAULT, 1, 100_000);
    assert_eq!(&stream[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
}

#[test]
fn levels_that_do_not_exist() {
    for encoding in [Encoding::Gzip(10), Encoding::Zstd(0), Encoding::Zstd(23)] {
        let result = Compressor::new(Vec::new(), encoding, 1);
        assert!(matches!(result.map(|_| ()), Err(LayerError::Level { .. })), "{encoding:?}");
    }
}

#[test]
fn a_writer_that_fails_is_an_error() {
    struct Full(usize);
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (tar, _) = sample();
    let mut compressor = Compressor::new(Full(1_000_000), Encoding::Gzip(1), 2).expect("a compressor");
    let result = compressor.write_all(tar).and_then(|()| compressor.finish().map(drop));
    assert_eq!(result.map_err(|error| error.kind()), Err(io::ErrorKind::StorageFull));
}
