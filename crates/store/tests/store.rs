//! The store from outside: blobs, layers, images, names, records.

mod common;

use std::fs;
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::PermissionsExt;

use base::{Cancel, Classified, Kind};
use common::*;
use image::{Algorithm, DiffId, Digest, Digester, ImageId};
use store::{Origin, StepKey, StepRecord, Store, StoreError};

fn large(size: usize) -> Vec<u8> {
    (0..size).map(|index| (index * 31 % 251) as u8).collect()
}

#[test]
fn blobs_of_all_sizes_come_back() {
    let place = place();
    let (store, blobs) = (&place.store, place.store.blobs());
    let lease = store.lease("test").expect("a lease");
    for size in [0, 1, 256 << 10, (256 << 10) + 1, 1 << 20, 12 << 20] {
        let bytes = large(size);
        let mut writer = blobs.writer(&lease).expect("a writer");
        for piece in bytes.chunks(100_000) {
            writer.write_all(piece).expect("write");
        }
        assert_eq!(writer.written(), size as u64);
        let (digest, written) = writer.commit(None).expect("a commit");
        assert_eq!((digest, written), (Digest::sha256(&bytes), size as u64));
        assert_eq!(blobs.size(&digest).expect("a size"), Some(size as u64));
        assert_eq!(blobs.read(&digest, 12 << 20).expect("read"), bytes);
        let mut read = Vec::new();
        blobs.verified(&lease, &digest).expect("open").read_to_end(&mut read).expect("read");
        assert_eq!(read, bytes);
        let mode = fs::metadata(blobs.path(&digest)).expect("stat").permissions().mode();
        assert_eq!(mode & 0o777, 0o444);
    }
    assert_whole(store);
}

#[test]
fn a_blob_with_a_sha512_is_verified_and_kept_as_such() {
    let place = place();
    let lease = place.store.lease("test").expect("a lease");
    let bytes = large(3 << 20);
    let mut digester = Digester::new(Algorithm::Sha512);
    digester.update(&bytes);
    let digest = digester.finish();
    let mut writer = place.store.blobs().writer(&lease).expect("a writer");
    writer.write_all(&bytes).expect("write");
    assert_eq!(writer.commit(Some((digest, bytes.len() as u64))).expect("a commit").0, digest);
    assert_eq!(place.store.blobs().read(&digest, 4 << 20).expect("read"), bytes);
    assert_whole(&place.store);
}

#[test]
fn bytes_that_are_not_as_expected_are_refused_and_leave_nothing() {
    let place = place();
    let (store, blobs) = (&place.store, place.store.blobs());
    let lease = store.lease("test").expect("a lease");
    let digest = Digest::sha256(b"right");
    for (bytes, expected) in [(&b"wrong"[..], (digest, 5)), (b"right", (digest, 4)), (b"righ", (digest, 5))] {
        let mut writer = blobs.writer(&lease).expect("a writer");
        writer.write_all(bytes).expect("write");
        let error = writer.commit(Some(expected)).expect_err("a mismatch");
        assert!(matches!(error, StoreError::Mismatch { .. }), "{error}");
    }
    let mut dropped = blobs.writer(&lease).expect("a writer");
    dropped.write_all(&large(2 << 20)).expect("write");
    drop(dropped);
    assert!(blobs.list().expect("a list").is_empty());
    let files = everything_in(&store.root().join("tmp")).into_iter().filter(|path| path.is_file()).count();
    assert_eq!(files, 0);
    assert!(matches!(blobs.open(&lease, &digest), Err(StoreError::NoBlob(_))));
    assert!(matches!(blobs.read(&digest, 9), Err(StoreError::NoBlob(_))));
}

#[test]
fn damaged_blobs_are_named_when_they_are_read() {
    let place = place();
    let blobs = place.store.blobs();
    let lease = place.store.lease("test").expect("a lease");
    let digest = blobs.put(&lease, b"some bytes").expect("a blob");
    assert_eq!(blobs.read(&digest, 9).expect_err("too large").kind(), Kind::TooLarge);
    flip(&blobs.path(&digest));
    let error = blobs.read(&digest, 99).expect_err("damaged");
    assert_eq!(error.kind(), Kind::Corrupt);
    assert!(error.to_string().contains(&digest.to_string()), "{error}");
    let mut reader = blobs.verified(&lease, &digest).expect("open");
    let error = reader.read_to_end(&mut Vec::new()).expect_err("damaged");
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    // One of the wrong size is not taken for the right one.
    rewrite(&blobs.path(&digest), b"some");
    assert_eq!(blobs.put(&lease, b"some bytes").expect("a blob"), digest);
    assert_eq!(blobs.read(&digest, 99).expect("read"), b"some bytes");
}

#[test]
fn a_layer_keeps_its_table_and_its_forms() {
    let place = place();
    let (store, layers) = (&place.store, place.store.layers());
    let lease = store.lease("test").expect("a lease");
    let material = material("contents");
    assert!(layers.get(&material.diff_id()).expect("a look").is_none());
    let layer = material.add_tree_layer(store, &lease);
    assert_eq!(layers.list().expect("a list"), [material.diff_id()]);
    let again = layers.get(&material.diff_id()).expect("a look").expect("a layer");
    assert_eq!(again.table().len(), 4);
    assert!(again.table().find(b"usr/file").is_some());
    let mut framing = Vec::new();
    again.table().framing().expect("framing").read_to_end(&mut framing).expect("read");
    assert_eq!(framing.len(), 1024);
    let tree = layer.tree(None).expect("a look").expect("a tree");
    assert_eq!(fs::read(tree.join("usr/file")).expect("read"), b"contents");
    assert!(!layer.has_pack().expect("a look"));
    assert_eq!(layer.blobs().expect("blobs"), []);
    let blob = material.compressed(store, &lease, "gzip-2");
    let strange = material.compressed(store, &lease, "../../as-came sha256:\n");
    for blob in [&blob, &strange, &blob] {
        layer.add_blob(blob).expect("a record");
    }
    let mut encodings: Vec<_> = layer.blobs().expect("blobs").into_iter().map(|blob| blob.encoding).collect();
    encodings.sort();
    assert_eq!(encodings, [strange.encoding, blob.encoding]);
    store.blobs().put(&lease, &material.pack).expect("a blob");
    assert!(layer.has_pack().expect("a look"));
    // What is there already stays.
    material.add_tree_layer(store, &lease);
    assert_eq!(layer.add_tree(None, material.tree(store)).expect("a tree"), tree);
    assert_whole(store);
}

#[test]
fn a_layer_without_contents_is_refused() {
    let place = place();
    let lease = place.store.lease("test").expect("a lease");
    let layers = place.store.layers();
    let error = layers.add(&lease, material("x").table(), None).err().expect("an error");
    assert!(matches!(error, StoreError::NoForm(_)), "{error}");
    assert!(layers.list().expect("a list").is_empty());
    let (layer, blob) = material("x").add_compressed_layer(&place.store, &lease);
    assert_eq!(layer.blobs().expect("blobs"), [blob]);
    material("y").add_pack_layer(&place.store, &lease);
    assert_whole(&place.store);
}

#[test]
fn a_layer_gains_the_tree_that_it_lacked() {
    let place = place();
    let lease = place.store.lease("test").expect("a lease");
    let material = material("x");
    let layer = material.add_pack_layer(&place.store, &lease);
    assert_eq!(layer.tree(None).expect("a look"), None);
    material.add_tree_layer(&place.store, &lease);
    assert!(layer.tree(None).expect("a look").is_some());
}

#[test]
fn a_damaged_table_is_replaced() {
    let place = place();
    let lease = place.store.lease("test").expect("a lease");
    let material = material("x");
    material.add_pack_layer(&place.store, &lease);
    let table = place.root().join("layers").join(material.diff_id().0.hex()).join("table");
    flip(&table);
    let reopened = Store::open(place.root()).expect("a store");
    let error = reopened.layers().get(&material.diff_id()).err().expect("an error");
    assert_eq!(error.kind(), Kind::Corrupt);
    assert!(error.to_string().contains("table"), "{error}");
    material.add_pack_layer(&reopened, &lease);
    assert_whole(&reopened);
}

/// In the words of the disk: the power was cut, and this is another boot.
fn pretend_another_boot(place: &Place, diff_id: DiffId) -> std::path::PathBuf {
    let directory = place.root().join("layers").join(diff_id.0.hex());
    let mark = directory.join("tree.unsynced");
    assert!(mark.exists(), "a new tree carries its mark");
    fs::write(&mark, "another boot").expect("write");
    directory
}

#[test]
fn a_tree_is_marked_until_it_is_synced() {
    let place = place();
    let lease = place.store.lease("test").expect("a lease");
    let layer = material("x").add_tree_layer(&place.store, &lease);
    let packed = material("y").add_pack_layer(&place.store, &lease);
    packed.add_tree(None, material("y").tree(&place.store)).expect("a tree");
    let marks = |place: &Place| {
        everything_in(place.root()).into_iter().filter(|path| path.ends_with("tree.unsynced")).count()
    };
    assert_eq!(marks(&place), 2);
    assert!(layer.tree(None).expect("a look").is_some());
    place.store.sync().expect("a sync");
    assert_eq!(marks(&place), 0);
    assert!(layer.tree(None).expect("a look").is_some());
}

#[test]
fn after_a_power_cut_a_whole_tree_is_trusted_again() {
    let place = place();
    let lease = place.store.lease("test").expect("a lease");
    let layer = material("x").add_tree_layer(&place.store, &lease);
    let directory = pretend_another_boot(&place, layer.diff_id());
    assert!(layer.tree(None).expect("a look").is_some());
    assert!(!directory.join("tree.unsynced").exists());
}

#[test]
fn after_a_power_cut_a_tree_without_marks_is_compared() {
    let place = place();
    let lease = place.store.lease("test").expect("a lease");
    for is_torn in [false, true] {
        let layer = material(&is_torn.to_string()).add_tree_layer(&place.store, &lease);
        let directory = pretend_another_boot(&place, layer.diff_id());
        fs::remove_file(directory.join("tree.unsynced")).expect("remove");
        if is_torn {
            rewrite(&directory.join("tree/usr/file"), b"");
        }
        assert_eq!(layer.tree(None).is_err(), is_torn);
        assert_eq!(directory.join("tree.synced").exists(), !is_torn);
    }
}

#[test]
fn what_is_said_of_a_tree_is_not_said_of_the_next() {
    let place = place();
    let lease = place.store.lease("test").expect("a lease");
    let layer = material("x").add_pack_layer(&place.store, &lease);
    let directory = place.root().join("layers").join(layer.diff_id().0.hex());
    fs::write(directory.join("tree.synced"), "").expect("write");
    layer.add_tree(None, material("x").tree(&place.store)).expect("a tree");
    assert!(!directory.join("tree.synced").exists() && directory.join("tree.unsynced").exists());
}

#[test]
fn after_a_power_cut_torn_small_files_count_as_not_there() {
    for torn in [b"".as_slice(), &[0; 300]] {
        let place = place();
        let lease = place.store.lease("test").expect("a lease");
        let material = material("x");
        let layer = material.add_tree_layer(&place.store, &lease);
        let record = StepRecord {
            definition: StepKey([1; 32]),
            key: StepKey([2; 32]),
            layer: Some(layer.diff_id()),
            document: serde_json::json!({}),
        };
        place.store.cache().put(&lease, &record).expect("a record");
        let get = |store: &Store| {
            store.cache().get(&lease, &record.definition, &record.key).expect("a look").is_some()
        };
        let directory = place.root().join("layers").join(layer.diff_id().0.hex());
        let kept = place.root().join(format!("cache/{}/{}", record.definition, record.key));
        let table = directory.join("table");
        assert!(get(&place.store));
        fs::remove_file(&table).expect("remove");
        fs::write(&table, torn).expect("write");
        let reopened = Store::open(place.root()).expect("a store");
        assert!(!get(&reopened), "its layer has no table");
        material.add_tree_layer(&reopened, &lease);
        assert!(get(&reopened));
        fs::write(&kept, torn).expect("write");
        assert!(!get(&reopened), "it cannot be read");
        reopened.cache().put(&lease, &record).expect("a record");
        assert!(get(&reopened));
        assert_whole(&reopened);
    }
}

#[test]
fn after_a_power_cut_a_torn_tree_is_dropped_when_there_is_a_blob() {
    let damages: [&dyn Fn(&std::path::Path); 6] = [
        &|tree| flip(&tree.join("usr/file")),
        &|tree| rewrite(&tree.join("usr/file"), b""),
        &|tree| fs::remove_file(tree.join("usr/link")).expect("remove"),
        &|tree| fs::write(tree.join("usr/more"), "").expect("write"),
        &|tree| fs::remove_dir_all(tree.join("usr")).expect("remove"),
        &|tree| fs::set_permissions(tree.join("usr"), PermissionsExt::from_mode(0o700)).expect("chmod"),
    ];
    for (index, damage) in damages.into_iter().enumerate() {
        let place = place();
        let lease = place.store.lease("test").expect("a lease");
        let material = material("contents");
        let layer = material.add_tree_layer(&place.store, &lease);
        let directory = pretend_another_boot(&place, layer.diff_id());
        damage(&directory.join("tree"));
        for time in ["usr/file", "usr", ""] {
            if directory.join("tree").join(time).exists() {
                set_time(&directory.join("tree").join(time));
            }
        }
        let error = layer.tree(None).expect_err("damaged, and the only form");
        assert!(matches!(error, StoreError::Damaged { .. }), "damage {index}: {error}");
        place.store.blobs().put(&lease, &material.pack).expect("a blob");
        assert_eq!(layer.tree(None).expect("a look"), None, "damage {index}");
        assert!(!directory.join("tree").exists() && !directory.join("tree.unsynced").exists());
        layer.add_tree(None, material.tree(&place.store)).expect("a tree");
        assert_whole(&place.store);
    }
}

#[test]
fn a_new_tree_takes_the_place_of_a_torn_one() {
    let place = place();
    let lease = place.store.lease("test").expect("a lease");
    let material = material("contents");
    let layer = material.add_tree_layer(&place.store, &lease);
    let directory = pretend_another_boot(&place, layer.diff_id());
    flip(&directory.join("tree/usr/file"));
    let again = material.add_tree_layer(&place.store, &lease);
    assert!(again.tree(None).expect("a look").is_some());
    assert_whole(&place.store);
}

#[test]
fn images_have_manifests_names_and_what_they_need() {
    let place = place();
    let (store, images, names) = (&place.store, place.store.images(), place.store.names());
    let lease = store.lease("test").expect("a lease");
    let layer = material("x").add_pack_layer(store, &lease);
    let (id, manifest) = add_image(store, &lease, &[&layer], "one");
    let record = images.get(&id).expect("a look").expect("a record");
    assert_eq!((record.manifests.as_slice(), record.origin), (&[manifest.clone()][..], Origin::Built));
    // The same once more changes nothing; another manifest is added.
    assert_eq!(images.add(&lease, id, manifest.clone(), Origin::Loaded).expect("an image"), record);
    let blob = material("x").compressed(store, &lease, "gzip-2");
    let (same, compressed) = add_image_with(store, &lease, &[&layer], "one", vec![blob.descriptor]);
    assert_eq!(same, id);
    let manifests = images.get(&id).expect("a look").expect("a record").manifests;
    assert_eq!(manifests, [manifest.clone(), compressed]);
    assert_eq!(images.config(&id).expect("a config").value().rootfs.diff_ids, [layer.diff_id()]);

    let tag = name("localhost:5000/team/app:v1");
    assert_eq!(names.set(&lease, &tag, id, &manifest).expect("a name"), None);
    assert_eq!(names.get(&tag).expect("a look").map(|name| name.image), Some(id));
    assert!(place.root().join("names/localhost:5000/team/app/_tags/v1").is_file());
    assert_eq!(images.remove(&id).expect_err("it has a name").kind(), Kind::Conflict);
    let (other, target) = add_image(store, &lease, &[&layer], "two");
    let before = names.set(&lease, &tag, other, &target).expect("a name").expect("the name before");
    assert_eq!((before.image, before.target), (id, manifest.clone()));
    for text in ["debian:b", "debian", "a/b", "debian:a", "docker.io/x/y/z:1"] {
        names.set(&lease, &name(text), id, &manifest).expect("a name");
    }
    let listed: Vec<_> = names.list().expect("a list").iter().map(|name| name.reference.familiar()).collect();
    let expected =
        ["a/b:latest", "debian:a", "debian:b", "debian:latest", "x/y/z:1", "localhost:5000/team/app:v1"];
    assert_eq!(listed, expected);
    assert_whole(store);
    for record in names.list().expect("a list") {
        assert!(names.remove(&record.reference).expect("a removal").is_some());
    }
    assert_eq!(names.remove(&tag).expect("nothing to remove"), None);
    assert_eq!(everything_in(&place.root().join("names")), Vec::<std::path::PathBuf>::new());
    assert!(images.remove(&id).expect("a removal"));
    assert!(!images.remove(&id).expect("nothing to remove"));
}

#[test]
fn an_image_needs_its_parts() {
    let place = place();
    let store = &place.store;
    let lease = store.lease("test").expect("a lease");
    let layer = material("x").add_pack_layer(store, &lease);
    let (id, manifest) = add_image(store, &lease, &[&layer], "one");
    let (other, _) = add_image(store, &lease, &[], "two");
    let images = store.images();
    let error = images.add(&lease, other, manifest.clone(), Origin::Built).expect_err("another's manifest");
    assert!(matches!(error, StoreError::Mismatch { .. }), "{error}");
    let nothing = ImageId(Digest::sha256(b"nothing"));
    let error = images.add(&lease, nothing, manifest.clone(), Origin::Built).expect_err("no config");
    assert!(matches!(error, StoreError::NoBlob(_)), "{error}");
    let error = store.names().set(&lease, &name("x"), nothing, &manifest).expect_err("no image");
    assert_eq!(error.kind(), Kind::NotFound);
    drop(layer);
    fs::remove_dir_all(place.root().join("layers").join(material("x").diff_id().0.hex())).expect("remove");
    let error = images.add(&lease, id, manifest, Origin::Built).expect_err("no layer");
    assert!(matches!(error, StoreError::NoLayer(_)), "{error}");
}

#[test]
fn an_image_that_is_removed_before_it_gets_its_name_is_added_again() {
    let place = place();
    let store = &place.store;
    let lease = store.lease("test").expect("a lease");
    let (id, manifest) = add_image(store, &lease, &[], "one");
    assert!(store.images().remove(&id).expect("it is removed"));
    let before = store.images().name(&lease, &name("app"), (id, &manifest), Origin::Built).expect("a name");
    assert_eq!(before, None);
    assert_eq!(store.images().resolve("app").expect("an image").id, id);
    assert_whole(store);
}

#[test]
fn what_a_user_may_call_an_image() {
    let place = place();
    let store = &place.store;
    let lease = store.lease("test").expect("a lease");
    let mut images = Vec::new();
    // Until two IDs begin alike: with 17 that is certain for one digit, and wanted for two.
    for number in 0..2000 {
        let (id, manifest) = add_image(store, &lease, &[], &number.to_string());
        let alike = images.iter().any(|(other, _): &(ImageId, _)| other.0.hex()[..2] == id.0.hex()[..2]);
        images.push((id, manifest));
        if alike && number > 2 {
            break;
        }
    }
    let (last, manifest) = images.last().expect("images").clone();
    store.names().set(&lease, &name("app:v1"), last, &manifest).expect("a name");
    store.names().set(&lease, &name("app"), last, &manifest).expect("a name");
    // A name that could be the beginning of an ID is a name.
    let first = images[0].0;
    store.names().set(&lease, &name(&first.0.hex()[..8]), last, &manifest).expect("a name");
    let hex = last.0.hex();
    for text in [
        "app".to_owned(),
        "app:v1".to_owned(),
        "docker.io/library/app".to_owned(),
        first.0.hex()[..8].to_owned(),
        hex.clone(),
        format!("sha256:{hex}"),
        hex[..20].to_owned(),
        format!("sha256:{}", &hex[..12]),
        format!("app@{}", manifest.digest),
        format!("app@sha256:{hex}"),
    ] {
        assert_eq!(store.images().resolve(&text).expect("an image").id, last, "{text}");
    }
    let error = store.images().resolve(&hex[..2]).expect_err("ambiguous");
    assert!(matches!(error, StoreError::Ambiguous { count: 2.., .. }), "{error}");
    let missing = format!("other@{}", manifest.digest);
    for text in ["app:v2", "nothing", "0", &hex[..1], "", "../x", missing.as_str(), "UPPER"] {
        let error = store.images().resolve(text).expect_err("no image");
        assert_eq!(error.kind(), Kind::NotFound, "{text}: {error}");
    }
}

fn key(text: &str) -> StepKey {
    StepKey(*blake3::hash(text.as_bytes()).as_bytes())
}

#[test]
fn steps_are_remembered_while_their_layers_are_there() {
    let place = place();
    let (store, cache) = (&place.store, place.store.cache());
    let lease = store.lease("test").expect("a lease");
    let layer = material("x").add_tree_layer(store, &lease);
    let record = |text: &str, layer| StepRecord {
        definition: key("definition"),
        key: key(text),
        layer,
        document: serde_json::json!({"step": text}),
    };
    let (first, second) = (record("first", Some(layer.diff_id())), record("second", None));
    cache.put(&lease, &first).expect("a record");
    cache.put(&lease, &second).expect("a record");
    assert_eq!(cache.get(&lease, &first.definition, &first.key).expect("a look"), Some(first.clone()));
    assert_eq!(cache.get(&lease, &first.definition, &key("third")).expect("a look"), None);
    let known = cache.of_definition(&first.definition).expect("records");
    assert_eq!(known, [second.clone(), first.clone()]);
    let path = place.root().join("cache").join(image::digest::hex(&first.definition.0));
    for text in ["", "{", "{\"version\":99}", "{\"version\":1}"] {
        fs::write(path.join(image::digest::hex(&second.key.0)), text).expect("write");
        assert_eq!(cache.get(&lease, &second.definition, &second.key).expect("a look"), None, "{text}");
    }
    // A power cut that took the tree, the only form: the step is built again.
    let directory = pretend_another_boot(&place, layer.diff_id());
    flip(&directory.join("tree/usr/file"));
    assert_eq!(cache.get(&lease, &first.definition, &first.key).expect("a look"), None);
    drop(layer);
    fs::remove_dir_all(directory).expect("remove");
    assert_eq!(cache.get(&lease, &first.definition, &first.key).expect("a look"), None);
}

#[test]
fn a_step_is_executed_by_one_at_a_time() {
    let place = place();
    let running = std::sync::atomic::AtomicU32::new(0);
    let waited = std::sync::atomic::AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                // Each its own store, as processes would have.
                let store = Store::open(place.root()).expect("a store");
                for _ in 0..5 {
                    let mut waiting = || {
                        waited.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    };
                    let lock =
                        store.cache().lock(&key("step"), &Cancel::new(), &mut waiting).expect("a lock");
                    assert_eq!(running.fetch_add(1, std::sync::atomic::Ordering::SeqCst), 0);
                    std::thread::sleep(std::time::Duration::from_millis(5));
                    running.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                    drop(lock);
                }
            });
        }
    });
    assert!(waited.into_inner() > 0);
    let lock = place.store.cache().lock(&key("step"), &Cancel::new(), &mut || {}).expect("a lock");
    let cancel = Cancel::new();
    let result = place.store.cache().lock(&key("step"), &cancel, &mut || cancel.cancel());
    assert_eq!(result.err().expect("cancelled").kind(), Kind::Cancelled);
    place.store.cache().lock(&key("other"), &Cancel::new(), &mut || panic!("nobody has it")).expect("a lock");
    drop(lock);
    assert_eq!(everything_in(&place.root().join("steps")), Vec::<std::path::PathBuf>::new());
}

/// Mounts something for a test, and unmounts it in the end.
struct Mounted(std::path::PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH);
    }
}

#[test]
fn a_full_disk_is_named_and_leaves_nothing() {
    use rustix::mount::MountFlags;
    let directory = tempfile::tempdir().expect("a directory");
    let root = directory.path().join("small");
    fs::create_dir(&root).expect("mkdir");
    rustix::mount::mount("tmpfs", &root, "tmpfs", MountFlags::empty(), Some(c"size=2m"))
        .expect("a mount (this test needs root)");
    let _mounted = Mounted(root.clone());
    let store = Store::open(&root).expect("a store");
    let lease = store.lease("test").expect("a lease");
    let error = store.blobs().put(&lease, &large(8 << 20)).expect_err("no room");
    assert_eq!(error.kind(), Kind::NoSpace, "{error}");
    assert!(error.to_string().contains("small"), "{error}");
    assert!(error.hint().expect("a hint").contains("prune"));
    // What was begun is gone: there is room again.
    store.blobs().put(&lease, &large(1 << 20)).expect("a blob");
    assert_whole(&store);
}

#[test]
fn a_read_only_store_can_be_read() {
    use rustix::mount::{MountFlags, mount_bind, mount_remount};
    let place = place();
    let material = material("x");
    let (id, manifest) = {
        let lease = place.store.lease("test").expect("a lease");
        let layer = material.add_tree_layer(&place.store, &lease);
        let (id, manifest) = add_image(&place.store, &lease, &[&layer], "one");
        place.store.names().set(&lease, &name("app"), id, &manifest).expect("a name");
        (id, manifest)
    };
    let root = place.directory.path().join("read-only");
    fs::create_dir(&root).expect("mkdir");
    mount_bind(place.root(), &root).expect("a mount (this test needs root)");
    let _mounted = Mounted(root.clone());
    mount_remount(&root, MountFlags::BIND | MountFlags::RDONLY, c"").expect("a read-only mount");
    let store = Store::open(&root).expect("a store");
    let lease = store.lease("read").expect("a lease");
    assert_eq!(store.images().resolve("app").expect("an image").id, id);
    assert_eq!(store.names().list().expect("names").len(), 1);
    store.images().manifest(&manifest).expect("a manifest");
    let mut file = store.blobs().open(&lease, &manifest.digest).expect("a blob").file;
    file.seek(io::SeekFrom::Start(0)).expect("a seek");
    let layer = store.layers().get(&material.diff_id()).expect("a look").expect("a layer");
    assert!(layer.tree(None).expect("a look").is_some());
    assert_whole(&store);
    let refused = [
        store.blobs().put(&lease, b"more").err(),
        store.names().set(&lease, &name("more"), id, &manifest).err(),
        store.collect(&store::collect::Policy::default(), &Cancel::new()).err(),
        store.temp_dir("x").err(),
    ];
    for error in refused {
        let error = error.expect("an error");
        assert_eq!(error.kind(), Kind::ReadOnly, "{error}");
    }
}

#[test]
fn rc_077_of_several_that_want_a_blob_one_writes_it() {
    let place = place();
    let store = &place.store;
    for round in 0..150_u32 {
        let bytes = round.to_le_bytes();
        let digest = Digest::sha256(&bytes);
        let written = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for number in 0..6 {
                let (written, digest, bytes) = (&written, &digest, &bytes);
                scope.spawn(move || {
                    // The later ones look in the moment in which the first one ends.
                    std::thread::sleep(std::time::Duration::from_micros(u64::from(
                        number * (round % 50) * 5,
                    )));
                    let lease = store.lease("pull").expect("a lease");
                    let partial = store.blobs().resume(&lease, digest, 4, &base::Cancel::new());
                    let Some(partial) = partial.expect("a look") else { return };
                    let (_, mut writer) = partial.into_parts();
                    writer.write_all(bytes).expect("written");
                    writer.commit(Some((*digest, 4))).expect("a blob");
                    written.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                });
            }
        });
        assert_eq!(written.into_inner(), 1, "in round {round}");
    }
    assert_eq!(std::fs::read_dir(store.root().join("partial")).expect("a directory").count(), 0);
}
