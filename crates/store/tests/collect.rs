//! Collection: what stays, what goes, and why; also while others work.

mod common;

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use base::{Cancel, Classified, Kind};
use common::*;
use image::{Descriptor, Digest, MediaType};
use store::collect::{Policy, Report};
use store::{StepKey, StepRecord, Store};

const NOTHING: Policy =
    Policy { dangling_images: false, all_images: false, cache: false, derived: false, dry_run: false };

fn key(text: &str) -> StepKey {
    StepKey(*blake3::hash(text.as_bytes()).as_bytes())
}

fn put_step(store: &Store, text: &str, layer: image::DiffId) {
    let lease = store.lease("step").expect("a lease");
    let record = StepRecord {
        definition: key("definition"),
        key: key(text),
        layer: Some(layer),
        document: serde_json::Value::Null,
    };
    store.cache().put(&lease, &record).expect("a record");
}

#[test]
fn what_nothing_refers_to_goes_and_the_rest_stays() {
    let place = place();
    let store = &place.store;
    let (named, unnamed, cached, lost) =
        (material("named"), material("unnamed"), material("cached"), material("lost"));
    {
        let lease = store.lease("setup").expect("a lease");
        let layer = named.add_pack_layer(store, &lease);
        let (id, manifest) = add_image(store, &lease, &[&layer], "named");
        store.names().set(&lease, &name("app"), id, &manifest).expect("a name");
        add_image(store, &lease, &[&unnamed.add_tree_layer(store, &lease)], "unnamed");
        cached.add_tree_layer(store, &lease);
        lost.add_tree_layer(store, &lease);
        lost.add_pack_layer(store, &lease);
        store.blobs().put(&lease, b"a blob of nobody").expect("a blob");
    }
    put_step(store, "cached", cached.diff_id());
    let has = |material: &Material| store.layers().get(&material.diff_id()).expect("a look").is_some();

    let dry = collect(store, Policy { dry_run: true, ..NOTHING });
    assert!(has(&lost));
    let report = collect(store, NOTHING);
    assert_eq!((report.layers, report.blobs, report.records), (1, 2, 0));
    assert!(report.bytes >= 3 * 4096, "{report:?}");
    assert_eq!(dry, report);
    assert_eq!([&named, &unnamed, &cached, &lost].map(has), [true, true, true, false]);
    assert_eq!(collect(store, NOTHING), Report::default());
    assert_whole(store);

    let report = collect(store, Policy { dangling_images: true, ..NOTHING });
    assert_eq!((report.images.len(), report.names.len(), report.layers), (1, 0, 1));
    assert_eq!([&named, &unnamed, &cached].map(has), [true, false, true]);
    assert_whole(store);

    let report = collect(store, Policy { cache: true, ..NOTHING });
    assert_eq!((report.records, report.layers), (1, 1));
    assert_eq!([&named, &cached].map(has), [true, false]);
    assert_whole(store);

    let report = collect(store, Policy { all_images: true, ..NOTHING });
    assert_eq!((report.names, report.images.len()), (vec![name("app")], 1));
    assert_whole(store);
    let left: Vec<_> = everything_in(place.root()).into_iter().filter(|path| path.is_file()).collect();
    assert_eq!(left, [place.root().join("lock"), place.root().join("version")]);
}

#[test]
fn what_a_running_process_keeps_stays() {
    let place = place();
    let store = &place.store;
    let everything =
        Policy { dangling_images: true, all_images: true, cache: true, derived: true, dry_run: false };
    let other = Store::open(place.root()).expect("a store");
    let lease = store.lease("a build").expect("a lease");
    let found = store.blobs().put(&store.lease("short").expect("a lease"), b"found").expect("a blob");
    assert!(store.blobs().keep(&lease, &found).expect("a look"));
    let written = store.blobs().put(&lease, b"written").expect("a blob");
    let layer = material("x").add_tree_layer(store, &lease);
    let (id, manifest) = add_image(store, &lease, &[&layer], "one");
    store.names().set(&lease, &name("app"), id, &manifest).expect("a name");
    drop(layer);
    let cached = material("y").add_tree_layer(store, &store.lease("short").expect("a lease")).diff_id();
    put_step(store, "y", cached);
    assert!(store.cache().get(&lease, &key("definition"), &key("y")).expect("a look").is_some());
    assert_eq!(collect(&other, everything), Report::default());
    assert_whole(store);
    // Without the lease, all of it goes, but for a layer that is held.
    let held = store.layers().get(&cached).expect("a look").expect("a layer");
    drop(lease);
    let report = collect(&other, everything);
    assert_eq!((report.names.len(), report.images.len(), report.layers, report.records), (1, 1, 1, 1));
    assert_eq!([found, written].map(|digest| store.blobs().size(&digest).expect("a look")), [None, None]);
    assert!(held.tree(None).expect("a look").is_some());
    drop(held);
    assert_eq!(collect(&other, everything).layers, 1);
}

#[test]
fn a_held_layer_keeps_its_blobs() {
    let place = place();
    let store = &place.store;
    let lease = store.lease("short").expect("a lease");
    let (layer, blob) = material("x").add_compressed_layer(store, &lease);
    drop(lease);
    assert_eq!(collect(store, Policy { derived: true, ..NOTHING }), Report::default());
    assert_eq!(layer.blobs().expect("blobs"), [blob]);
    // A descriptor that was inherited holds it as well.
    let inherited = layer.hold().try_clone_to_owned().expect("a descriptor");
    drop(layer);
    assert_eq!(collect(store, NOTHING), Report::default());
    drop(inherited);
    assert_eq!(collect(store, NOTHING).layers, 1);
}

#[test]
fn derived_forms_go_but_never_the_last_one() {
    /// Forms: tree, pack, made here, as it came. Before, and what of them stays.
    const TABLE: [([bool; 4], [bool; 4]); 9] = [
        ([true, false, false, false], [true, false, false, false]),
        ([false, true, false, false], [false, true, false, false]),
        ([false, false, true, false], [false, false, true, false]),
        ([false, false, false, true], [false, false, false, true]),
        ([true, true, false, false], [false, true, false, false]),
        ([true, true, true, false], [false, true, false, false]),
        ([true, false, true, false], [false, false, true, false]),
        ([true, true, true, true], [false, false, false, true]),
        ([false, true, false, true], [false, false, false, true]),
    ];
    for (before, after) in TABLE {
        let place = place();
        let store = &place.store;
        let material = material("x");
        let (pack, gzip, came) = {
            let lease = store.lease("setup").expect("a lease");
            let gzip = material.compressed(store, &lease, "gzip-2");
            let came = material.compressed(store, &lease, "as-came");
            let mut table = material.table();
            for (blob, is_there) in [(&gzip, before[2]), (&came, before[3])] {
                if is_there {
                    table = table.with_blob(blob.clone());
                }
            }
            if before[1] {
                store.blobs().put(&lease, &material.pack).expect("a blob");
            }
            let tree = before[0].then(|| material.tree(store));
            let layer = store.layers().add(&lease, table, tree).expect("a layer");
            add_image(store, &lease, &[&layer], "one");
            (layer.diff_id().0, gzip.descriptor.digest, came.descriptor.digest)
        };
        collect(store, Policy { derived: true, ..NOTHING });
        let tree = place.root().join("layers").join(pack.hex()).join("tree");
        let there = |digest: &Digest| store.blobs().size(digest).expect("a look").is_some();
        assert_eq!([tree.exists(), there(&pack), there(&gzip), there(&came)], after, "of {before:?}");
        assert!(!tree.with_file_name("tree.unsynced").exists() || after[0]);
        assert_whole(store);
    }
}

#[test]
fn a_tree_on_layers_below_goes_with_its_layer() {
    use store::table::{Entry, EntryKind, TableBuilder};
    let place = place();
    let store = &place.store;
    let lease = store.lease("setup").expect("a lease");
    let mut builder = TableBuilder::new().expect("a builder");
    let kind = EntryKind::Fifo;
    let entry =
        Entry { path: b"implied/fifo", kind, mode: 0o600, uid: 0, gid: 0, mtime: 0, xattrs: Vec::new() };
    builder.entry(&entry);
    let pack = store.blobs().put(&lease, b"the tar").expect("a blob");
    let table = builder.finish(image::DiffId(pack), 7).expect("a table");
    let layer = store.layers().add(&lease, table, None).expect("a layer");
    assert!(layer.table().needs_lower());
    let tree = || {
        let tree = store.temp_dir("tree").expect("a temporary directory");
        let directory = tree.subdirectory("implied").expect("a subdirectory");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, directory.join("fifo"), rustix::fs::FileType::Fifo, mode, 0)
            .expect("mkfifo");
        let epoch = rustix::fs::Timespec { tv_sec: 0, tv_nsec: 0 };
        let times = rustix::fs::Timestamps { last_access: epoch, last_modification: epoch };
        let flags = rustix::fs::AtFlags::empty();
        rustix::fs::utimensat(rustix::fs::CWD, directory.join("fifo"), &times, flags).expect("utimensat");
        tree
    };
    let below = [b"one", b"two"].map(|text| image::ChainId(Digest::sha256(text)));
    let paths = below.each_ref().map(|below| layer.add_tree(Some(below), tree()).expect("a tree"));
    assert_ne!(paths[0], paths[1]);
    assert_eq!(layer.tree(Some(&below[0])).expect("a look").as_ref(), Some(&paths[0]));
    assert_eq!(layer.tree(Some(&image::ChainId(pack))).expect("a look"), None);
    assert_eq!(layer.tree(None).expect("a look"), None);
    assert_whole(store);
    assert_eq!(collect(store, Policy { derived: true, ..NOTHING }), Report::default());
    drop((layer, lease));
    assert!(collect(store, NOTHING).bytes > 0);
    assert_eq!(everything_in(&place.root().join("chains")), Vec::<std::path::PathBuf>::new());
    assert_whole(store);
}

#[test]
fn it_says_why_something_stays() {
    let place = place();
    let store = &place.store;
    let lease = store.lease("lap build -t app .").expect("a lease");
    let kept = store.blobs().put(&lease, b"kept").expect("a blob");
    let short = store.lease("setup").expect("a lease");
    let layer = material("x").add_pack_layer(store, &short);
    let (id, manifest) = add_image(store, &short, &[&layer], "one");
    store.names().set(&short, &name("debian:bookworm"), id, &manifest).expect("a name");
    let cached = material("y").add_tree_layer(store, &short).diff_id();
    put_step(store, "y", cached);
    let nobody = store.blobs().put(&short, b"nobody's").expect("a blob");
    drop(short);
    let why = |digest: &Digest| store.why(digest).expect("a reason");
    let image = format!("name debian:bookworm → image {}", id.0.short());
    let layer = layer.diff_id().0;
    assert_eq!(why(&id.0), Some(image.clone()));
    assert_eq!(why(&layer), Some(format!("{image} → layer {}", layer.short())));
    assert_eq!(why(&manifest.digest), Some(format!("{image} → manifest")));
    assert_eq!(why(&kept), Some("running: lap build -t app .".to_owned()));
    assert_eq!(why(&cached.0), Some(format!("build cache → layer {}", cached.0.short())));
    assert_eq!(why(&nobody), None);
}

#[test]
fn an_index_keeps_what_of_it_is_there() {
    let place = place();
    let store = &place.store;
    let lease = store.lease("setup").expect("a lease");
    let layer = material("x").add_pack_layer(store, &lease);
    let (id, manifest) = add_image(store, &lease, &[&layer], "one");
    let elsewhere = Descriptor::new(MediaType::OCI_MANIFEST, Digest::sha256(b"elsewhere"), 9);
    let index = serde_json::json!({"schemaVersion": 2, "manifests": [manifest, elsewhere]});
    let bytes = serde_json::to_vec(&index).expect("an index");
    let digest = store.blobs().put(&lease, &bytes).expect("a blob");
    let target = Descriptor::new(MediaType::OCI_INDEX, digest, bytes.len() as u64);
    store.names().set(&lease, &name("app"), id, &target).expect("a name");
    drop((layer, lease));
    assert_eq!(collect(store, Policy { dangling_images: true, ..NOTHING }), Report::default());
    assert!(store.why(&digest).expect("a reason").is_some());
    assert_whole(store);
}

#[test]
fn a_collection_does_not_guess() {
    let place = place();
    let store = &place.store;
    let blob = {
        let lease = store.lease("setup").expect("a lease");
        let layer = material("x").add_pack_layer(store, &lease);
        let (id, manifest) = add_image(store, &lease, &[&layer], "one");
        store.names().set(&lease, &name("app"), id, &manifest).expect("a name");
        store.blobs().put(&lease, b"a blob of nobody").expect("a blob")
    };
    let record =
        fs::read_dir(place.root().join("images")).expect("read").next().expect("a record").expect("an entry");
    let bytes = fs::read(record.path()).expect("read");
    for (text, kind) in [("{", Kind::Corrupt), ("{\"version\": 2}", Kind::TooNew)] {
        fs::write(record.path(), text).expect("write");
        let error = store.collect(&NOTHING, &Cancel::new()).expect_err("an error");
        assert_eq!(error.kind(), kind);
        assert!(store.blobs().size(&blob).expect("a look").is_some());
    }
    fs::write(record.path(), bytes).expect("write");
    // Somebody newer works on the store: nobody here knows what it keeps.
    let lease = place.root().join("leases/newer");
    fs::write(&lease, "lapstrake lease 2\nwork\nchunk 1234\n").expect("write");
    let file = fs::File::open(&lease).expect("open");
    file.lock().expect("a lock");
    assert_eq!(store.collect(&NOTHING, &Cancel::new()).expect_err("an error").kind(), Kind::TooNew);
    drop(file);
    assert_eq!(collect(store, NOTHING).blobs, 1);
    let cancel = Cancel::new();
    cancel.cancel();
    assert_eq!(store.collect(&NOTHING, &cancel).expect_err("an error").kind(), Kind::Cancelled);
}

/// Others write, look up and rely on what they were told is there, while one collects all it may.
#[test]
fn nothing_that_is_needed_is_lost_to_a_collection() {
    let place = place();
    let stop = AtomicBool::new(false);
    let everything =
        Policy { dangling_images: true, all_images: true, cache: true, derived: true, dry_run: false };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..3)
            .map(|worker| {
                let root = place.root();
                scope.spawn(move || {
                    // Its own store, as another process would have.
                    let store = Store::open(root).expect("a store");
                    for round in 0..40 {
                        work(&store, worker, round);
                    }
                })
            })
            .collect();
        let collector = scope.spawn(|| {
            let store = Store::open(place.root()).expect("a store");
            let mut removed = 0;
            while !stop.load(Ordering::SeqCst) {
                removed += collect(&store, everything).layers;
            }
            removed
        });
        let worked: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
        stop.store(true, Ordering::SeqCst);
        assert!(worked.iter().all(Result::is_ok), "a worker lost what it needed");
        assert!(collector.join().expect("no panic") > 0, "the collections had something to do");
    });
    assert_whole(&place.store);
    collect(&place.store, everything);
    assert_eq!(place.store.blobs().list().expect("a list"), []);
    assert_eq!(place.store.layers().list().expect("a list"), []);
}

#[test]
fn usage_tells_what_could_go() {
    let place = place();
    let store = &place.store;
    assert_eq!(store.usage().expect("usage").images, store::usage::Line::default());
    let big = "x".repeat(1 << 20);
    {
        let lease = store.lease("setup").expect("a lease");
        let layer = material(&big).add_pack_layer(store, &lease);
        let (id, manifest) = add_image(store, &lease, &[&layer], "named");
        store.names().set(&lease, &name("app"), id, &manifest).expect("a name");
        add_image(store, &lease, &[&layer, &material("unnamed").add_pack_layer(store, &lease)], "unnamed");
        material("cached").add_tree_layer(store, &lease);
        store.blobs().put(&lease, b"a blob of nobody").expect("a blob");
    }
    put_step(store, "cached", material("cached").diff_id());
    let usage = store.usage().expect("usage");
    assert_eq!((usage.images.count, usage.images.active), (2, 1));
    assert_eq!((usage.cache.count, usage.cache.active), (1, 0));
    assert!(usage.images.size > 1 << 20 && usage.images.reclaimable < 1 << 17, "{usage:?}");
    assert!(
        usage.images.reclaimable > 0 && usage.cache.size == usage.cache.reclaimable && usage.cache.size > 0
    );
    let before = usage.images.reclaimable + usage.cache.reclaimable;
    let report = collect(store, Policy { dangling_images: true, cache: true, ..NOTHING });
    // What of it went is what was said, and the blob of nobody, and the records themselves.
    assert!(report.bytes >= before && report.bytes - before <= 4 * 4096, "{report:?} {before}");
    let held = store.temp_dir("x").expect("a temporary directory");
    let temporary = store.usage().expect("usage").temporary;
    assert!(temporary.active >= 1 && temporary.size > temporary.reclaimable);
    drop(held);
}
