//! How fast layers are packed, scanned, hashed and compressed.

use std::fs::File;
use std::io::{Read, Write};

use base::Cancel;
use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use image::Digest;
use layer::compress::Compressor;
use layer::packer::PackOptions;
use layer::{Encoding, Meta, Packer, TarWriter, decompress, ingest, scan};
use store::Store;

const FILES: usize = 10_000;

fn main() {
    divan::main();
}

/// Something that compresses as programs do: bytes of this machine's own libraries.
fn sample(size: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(size);
    let own = std::env::current_exe().and_then(File::open).expect("this program");
    own.take(size as u64).read_to_end(&mut bytes).expect("read");
    while bytes.len() < size {
        bytes.extend_from_within(..(size - bytes.len()).min(bytes.len()));
    }
    bytes
}

/// Names of many small files, in order, and their contents: 8 KiB each.
fn small_files() -> Vec<(String, Vec<u8>)> {
    let bytes = sample(FILES * 100 + 8192);
    (0..FILES)
        .map(|number| {
            let name = format!("usr/lib/package-{:03}/modules/file-{number:05}.js", number / 100);
            (name, bytes.iter().skip(number * 100).take(8192).copied().collect())
        })
        .collect()
}

fn meta() -> Meta {
    Meta { mode: 0o644, mtime: 1_700_000_000, ..Meta::default() }
}

/// A tar of many small files.
fn tar_of_small_files() -> Vec<u8> {
    let mut tar = TarWriter::new(Vec::new(), PackOptions::default());
    for (name, content) in small_files() {
        tar.file(name.as_bytes(), &meta(), content.len() as u64, &mut &content[..]).expect("a file");
    }
    tar.finish().expect("a tar")
}

fn lab() -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().expect("a directory");
    let store = Store::open(directory.path()).expect("a store");
    (directory, store)
}

#[divan::bench(sample_count = 10)]
fn pack_small_files(bencher: Bencher<'_, '_>) {
    let files = small_files();
    let (_directory, store) = lab();
    bencher.counter(ItemsCount::new(FILES)).counter(BytesCount::new(FILES * 8192)).bench(|| {
        let lease = store.lease("bench").expect("a lease");
        let mut packer = Packer::to_store(&store, &lease, PackOptions::default()).expect("a packer");
        for (name, content) in &files {
            packer.file(name.as_bytes(), &meta(), content.len() as u64, &mut &content[..]).expect("a file");
        }
        packer.finish(None).expect("a layer").diff_id()
    });
}

#[divan::bench(sample_count = 10)]
fn scan_small_files(bencher: Bencher<'_, '_>) {
    let tar = tar_of_small_files();
    bencher
        .counter(ItemsCount::new(FILES))
        .counter(BytesCount::new(tar.len()))
        .bench(|| scan::scan(&mut &tar[..], &Cancel::new()).expect("a scan").diff_id);
}

#[divan::bench(sample_count = 5)]
fn ingest_gzip(bencher: Bencher<'_, '_>) {
    let tar = tar_of_small_files();
    let mut compressor = Compressor::new(Vec::new(), Encoding::DEFAULT, 2).expect("a compressor");
    compressor.write_all(&tar).expect("written");
    let stream = compressor.finish().expect("finished");
    let (_directory, store) = lab();
    bencher.counter(ItemsCount::new(FILES)).counter(BytesCount::new(tar.len())).bench(|| {
        let lease = store.lease("bench").expect("a lease");
        let expected = ingest::Expected::default();
        ingest::ingest(&store, &lease, &mut &stream[..], expected, &Cancel::new()).expect("a layer").blob.size
    });
}

#[divan::bench(args = [Encoding::Gzip(1), Encoding::Gzip(2), Encoding::Gzip(6), Encoding::Zstd(3)], consts = [1, 2], sample_count = 3)]
fn compress<const THREADS: usize>(bencher: Bencher<'_, '_>, encoding: Encoding) {
    let tar = tar_of_small_files();
    bencher.counter(BytesCount::new(tar.len())).bench(|| {
        let mut compressor = Compressor::new(Vec::new(), encoding, THREADS).expect("a compressor");
        for entry in tar.chunks(8192 + 512) {
            compressor.write_all(entry).expect("written");
            compressor.entry_boundary();
        }
        compressor.finish().expect("finished").len()
    });
}

#[divan::bench(args = [Encoding::Gzip(2), Encoding::Zstd(3)], sample_count = 3)]
fn decompress(bencher: Bencher<'_, '_>, encoding: Encoding) {
    let tar = tar_of_small_files();
    let mut compressor = Compressor::new(Vec::new(), encoding, 2).expect("a compressor");
    compressor.write_all(&tar).expect("written");
    let stream = compressor.finish().expect("finished");
    bencher.counter(BytesCount::new(tar.len())).bench(|| {
        let (_, mut reader) = decompress::reader(Box::new(&stream[..])).expect("a reader");
        std::io::copy(&mut reader, &mut std::io::sink()).expect("read")
    });
}

#[divan::bench]
fn sha256(bencher: Bencher<'_, '_>) {
    let bytes = sample(16 << 20);
    bencher.counter(BytesCount::new(bytes.len())).bench(|| Digest::sha256(black_box(&bytes)));
}

#[divan::bench]
fn blake3_of_small_files(bencher: Bencher<'_, '_>) {
    let files = small_files();
    bencher.counter(BytesCount::new(FILES * 8192)).bench(|| {
        let mut hasher = blake3::Hasher::new();
        for (_, content) in &files {
            hasher.reset();
            hasher.update(content);
            black_box(hasher.finalize());
        }
    });
}
