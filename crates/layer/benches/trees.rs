//! How long trees and views take: `cargo bench -p lapstrake-layer --bench trees`.

use std::path::Path;

use base::Cancel;
use divan::Bencher;
use layer::packer::{Meta, PackOptions, Packer};
use layer::walk::{Owners, Upper};
use layer::{Encoding, View, apply, forms, walk};
use store::{Layer, Lease, Store};

fn main() {
    divan::main();
}

/// A store in a directory that goes with it.
struct Scratch {
    _directory: tempfile::TempDir,
    store: Store,
    lease: Lease,
}

fn scratch() -> Scratch {
    let directory = tempfile::tempdir().expect("a directory");
    let store = Store::open(directory.path().join("store")).expect("a store");
    let lease = store.lease("bench").expect("a lease");
    Scratch { _directory: directory, store, lease }
}

/// A layer of files of 4 KiB, a hundred in a directory.
fn pack(scratch: &Scratch, number: usize, files: usize) -> Layer {
    let mut packer =
        Packer::to_store(&scratch.store, &scratch.lease, PackOptions::default()).expect("a packer");
    let contents = vec![number as u8; 4096];
    let meta = Meta { mode: 0o755, mtime: 1, ..Meta::default() };
    for directory in 0..files / 100 {
        let path = format!("layer{number:02}-{directory:04}");
        packer.directory(path.as_bytes(), &meta, false).expect("a directory");
        for file in 0..100 {
            let path = format!("{path}/some-file-{file:04}");
            packer.file(path.as_bytes(), &meta, 4096, &mut contents.as_slice()).expect("a file");
        }
    }
    packer.finish(None).expect("a layer")
}

#[divan::bench(sample_count = 5)]
fn apply_10_000_files(bencher: Bencher<'_, '_>) {
    let scratch = scratch();
    let layer = pack(&scratch, 0, 10_000);
    bencher.with_inputs(|| scratch.store.temp_dir("tree").expect("a directory")).bench_local_refs(|tree| {
        let mut pack = scratch.store.blobs().open(&scratch.lease, &layer.diff_id().0).expect("a pack").file;
        apply::apply(&scratch.store, &scratch.lease, &mut pack, layer.table(), &[], tree, &Cancel::new())
            .expect("a tree");
    });
}

#[divan::bench(sample_count = 5)]
fn commit_10_000_files(bencher: Bencher<'_, '_>) {
    let scratch = scratch();
    let number = std::cell::Cell::new(0_u8);
    bencher
        .with_inputs(|| {
            let upper = scratch.store.temp_dir("run").expect("a directory");
            let root = upper.subdirectory("upper").expect("a directory");
            number.set(number.get() + 1);
            write_files(&root, number.get());
            upper
        })
        .bench_local_values(|upper| {
            let (below, options) = (View::new(&[]), PackOptions { clamp: Some(1) });
            let upper = Upper { place: upper, name: "upper", below: &below, owners: &Owners::Real };
            walk::commit_upper(&scratch.store, &scratch.lease, upper, options, &Cancel::new())
                .expect("a layer")
        });
}

/// The tree of a layer whose pack is there.
#[divan::bench(sample_count = 5)]
fn tree_from_pack_of_10_000_files(bencher: Bencher<'_, '_>) {
    let packed = || {
        let scratch = scratch();
        let layer = pack(&scratch, 0, 10_000);
        (scratch, layer)
    };
    bencher.with_inputs(packed).bench_local_refs(|(scratch, layer)| {
        let stack = std::slice::from_ref(&*layer);
        forms::trees(&scratch.store, &scratch.lease, stack, &Cancel::new()).expect("a tree")
    });
}

/// A layer as a RUN leaves it: its tree alone.
fn tree_layer() -> (Scratch, Layer) {
    let scratch = scratch();
    let upper = scratch.store.temp_dir("run").expect("a directory");
    write_files(&upper.subdirectory("upper").expect("a directory"), 1);
    let (below, options) = (View::new(&[]), PackOptions::default());
    let (store, lease) = (&scratch.store, &scratch.lease);
    let upper = Upper { place: upper, name: "upper", below: &below, owners: &Owners::Real };
    let layer = walk::commit_upper(store, lease, upper, options, &Cancel::new());
    (scratch, layer.expect("a layer"))
}

/// The pack of a layer whose tree is there.
#[divan::bench(sample_count = 5)]
fn pack_from_tree_of_10_000_files(bencher: Bencher<'_, '_>) {
    bencher.with_inputs(tree_layer).bench_local_refs(|(scratch, layer)| {
        forms::pack(&scratch.store, &scratch.lease, layer, &Cancel::new()).expect("a pack")
    });
}

/// The blob that leaves the machine, of a layer whose tree is there.
#[divan::bench(args = [1, 2], sample_count = 5)]
fn blob_from_tree_of_10_000_files(bencher: Bencher<'_, '_>, threads: usize) {
    bencher.with_inputs(tree_layer).bench_local_refs(|(scratch, layer)| {
        let (store, lease) = (&scratch.store, &scratch.lease);
        forms::blob(store, lease, layer, Encoding::Gzip(2), threads, &Cancel::new()).expect("a blob")
    });
}

fn write_files(root: &Path, number: u8) {
    for directory in 0..100 {
        let path = root.join(format!("directory-{directory:04}"));
        std::fs::create_dir(&path).expect("mkdir");
        for file in 0..100 {
            std::fs::write(path.join(format!("some-file-{file:04}")), [number; 4096]).expect("write");
        }
    }
}

/// Ten layers of 50,000 entries each.
#[divan::bench(sample_count = 10)]
fn walk_500_000_entries(bencher: Bencher<'_, '_>) {
    let scratch = scratch();
    let view = View::new(&layers_without_contents(&scratch));
    bencher.bench_local(|| view.walk(b"").count());
}

/// Paths in ten layers of 50,000 entries each.
#[divan::bench]
fn find_in_ten_layers(bencher: Bencher<'_, '_>) {
    let scratch = scratch();
    let view = View::new(&layers_without_contents(&scratch));
    bencher.bench_local(|| view.find(divan::black_box(b"directory-0250/some-file-0050")));
}

fn layers_without_contents(scratch: &Scratch) -> Vec<Layer> {
    (0..10_usize)
        .map(|number| {
            let mut packer =
                Packer::to_store(&scratch.store, &scratch.lease, PackOptions::default()).expect("a packer");
            let meta = Meta { mode: 0o755, mtime: number as i64, ..Meta::default() };
            for directory in 0..500 {
                let path = format!("directory-{directory:04}");
                packer.directory(path.as_bytes(), &meta, false).expect("a directory");
                for file in 0..99 {
                    let path = format!("{path}/some-file-{file:04}");
                    packer.file(path.as_bytes(), &meta, 0, &mut std::io::empty()).expect("a file");
                }
            }
            packer.finish(None).expect("a layer")
        })
        .collect()
}
