use std::os::unix::fs::MetadataExt;

use base::{Classified, Kind};
use store::StoreError;

use super::*;
use crate::View;
use crate::testing::{Make, Scratch, What, capability, file, layer, look, make, scratch};

fn everything() -> Vec<Make> {
    let big = (0..200_000_u32).flat_map(u32::to_le_bytes).collect::<Vec<u8>>();
    vec![
        Make { mode: 0o1777, ..make("d", What::Directory) },
        file("d/a", "first"),
        Make { xattrs: vec![("security.capability", capability())], ..file("d/b", "second") },
        file("d/empty", ""),
        make("d/big", What::File(big)),
        make("d/holes", What::Sparse(1 << 20, vec![(0, b"x".to_vec()), (500_000, vec![1; 70_000])])),
        make("d/link", What::Link("d/a")),
        make("d/symlink", What::Symlink("a")),
        make("w", What::Whiteout),
    ]
}

fn tar_bytes(scratch: &Scratch, layer: &Layer) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    tar(&scratch.store, &scratch.lease, layer, &mut bytes, &Cancel::new()).map(|()| bytes)
}

fn remove_pack(scratch: &Scratch, layer: &Layer) {
    std::fs::remove_file(scratch.store.blobs().path(&layer.diff_id().0)).expect("removed");
}

fn one_tree(scratch: &Scratch, layer: &Layer) -> PathBuf {
    let stack = std::slice::from_ref(layer);
    trees(&scratch.store, &scratch.lease, stack, &Cancel::new()).expect("trees").remove(0)
}

fn contents(scratch: &Scratch, layer: &Layer) -> Vec<(Vec<u8>, Vec<u8>)> {
    let table = layer.table();
    let files = (0..table.len())
        .filter(|index| matches!(table.entry(*index).expect("an entry").kind, EntryKind::File { .. }));
    files
        .map(|index| {
            let mut bytes = Vec::new();
            open_content(&scratch.store, &scratch.lease, layer, index)
                .expect("open")
                .read_to_end(&mut bytes)
                .expect("read");
            (table.entry(index).expect("an entry").path.to_vec(), bytes)
        })
        .collect()
}

#[test]
fn each_form_gives_the_others_to_the_byte() {
    let scratch = scratch();
    let layer = layer(&scratch, &everything());
    let from_pack = tar_bytes(&scratch, &layer).expect("a tar");
    assert_eq!(DiffId(Digest::sha256(&from_pack)), layer.diff_id());
    let contents_of_pack = contents(&scratch, &layer);
    for (path, bytes) in &contents_of_pack {
        let entry = layer.table().entry(layer.table().find(path).expect("there")).expect("an entry");
        let EntryKind::File { content, size, .. } = entry.kind else { panic!("a file") };
        assert_eq!((*blake3::hash(bytes).as_bytes(), bytes.len() as u64), (content.0, size));
    }
    let tree = one_tree(&scratch, &layer);
    assert_eq!(one_tree(&scratch, &layer), tree);
    remove_pack(&scratch, &layer);
    assert!(!layer.has_pack().expect("asked"));
    // From the tree: contents, tar, and the pack again.
    assert!(contents(&scratch, &layer) == contents_of_pack);
    assert!(!layer.has_pack().expect("asked"));
    assert!(tar_bytes(&scratch, &layer).expect("a tar") == from_pack);
    let digest = pack(&scratch.store, &scratch.lease, &layer, &Cancel::new()).expect("a pack");
    assert_eq!(digest, layer.diff_id().0);
    assert!(std::fs::read(scratch.store.blobs().path(&digest)).expect("a pack") == from_pack);
}

#[test]
fn all_forms_give_the_same_stat() {
    let scratch = scratch();
    let layer = layer(&scratch, &everything());
    let seen = look(&one_tree(&scratch, &layer));
    let view = View::new(std::slice::from_ref(&layer));
    let mut names = Vec::new();
    for (path, node) in view.walk(b"") {
        let name = String::from_utf8(path).expect("text");
        let entry = view.entry(view.file(node));
        let found = &seen[&name];
        let xattrs: Vec<(&[u8], &[u8])> =
            found.xattrs.iter().map(|(name, value)| (name.as_bytes(), value.as_slice())).collect();
        assert_eq!((found.owner, found.mtime), ((entry.uid, entry.gid), (entry.mtime, 0)), "{name}");
        assert_eq!(xattrs, entry.xattrs, "{name}");
        if !matches!(entry.kind, EntryKind::Symlink { .. }) {
            assert_eq!(found.mode, entry.mode, "{name}");
        }
        names.push(name);
    }
    let visible: Vec<&String> = seen.keys().filter(|name| *name != "w").collect();
    names.sort();
    assert_eq!(visible, names.iter().collect::<Vec<_>>());
}

#[test]
fn what_is_damaged_gets_no_name() {
    let scratch = scratch();
    let damaged = layer(&scratch, &everything());
    let tree = one_tree(&scratch, &damaged);
    remove_pack(&scratch, &damaged);
    std::fs::write(tree.join("d/a"), "FIRST").expect("write");
    let error = pack(&scratch.store, &scratch.lease, &damaged, &Cancel::new()).expect_err("refused");
    assert_eq!(error.kind(), Kind::Corrupt, "{error}");
    assert!(matches!(error, LayerError::Mismatch { .. }), "{error}");
    assert!(!damaged.has_pack().expect("asked"));
    assert!(matches!(tar_bytes(&scratch, &damaged), Err(LayerError::Mismatch { .. })));
    // Shorter than it should be, or gone.
    std::fs::write(tree.join("d/a"), "FI").expect("write");
    assert_eq!(tar_bytes(&scratch, &damaged).expect_err("refused").kind(), Kind::Corrupt);
    std::fs::remove_dir_all(&tree).expect("removed");
    let error = tar_bytes(&scratch, &damaged).expect_err("refused");
    assert!(matches!(error, LayerError::Store(StoreError::NoBlob(_))), "{error}");
}

#[test]
fn a_damaged_pack_gives_no_tree() {
    let scratch = scratch();
    let damaged = layer(&scratch, &everything());
    let path = scratch.store.blobs().path(&damaged.diff_id().0);
    let mut bytes = std::fs::read(&path).expect("a pack");
    let place = bytes.windows(5).position(|part| part == b"first").expect("there");
    bytes[place] ^= 1;
    std::fs::remove_file(&path).expect("removed");
    std::fs::write(&path, bytes).expect("written");
    let stack = std::slice::from_ref(&damaged);
    let error = trees(&scratch.store, &scratch.lease, stack, &Cancel::new()).expect_err("refused");
    assert!(matches!(error, LayerError::Entry { .. }), "{error}");
    assert_eq!(damaged.tree(None).expect("asked"), None);
}

#[test]
fn trees_that_need_what_lies_below_are_made_for_each_chain() {
    let scratch = scratch();
    let one = layer(&scratch, &[Make { mode: 0o700, ..make("d", What::Directory) }, file("d/f", "one")]);
    let other = layer(&scratch, &[Make { mode: 0o711, ..make("d", What::Directory) }, file("d/f", "other")]);
    let upper = layer(&scratch, &[make("d/link", What::Link("d/f"))]);
    let independent = layer(&scratch, &[file("x", "")]);
    let mut found = Vec::new();
    for lower in [&one, &other] {
        let stack = [lower.clone(), upper.clone(), independent.clone()];
        let paths = trees(&scratch.store, &scratch.lease, &stack, &Cancel::new()).expect("trees");
        assert_eq!(trees(&scratch.store, &scratch.lease, &stack, &Cancel::new()).expect("trees"), paths);
        let mode = std::fs::metadata(paths[1].join("d")).expect("a stat").mode() & 0o777;
        let text = std::fs::read_to_string(paths[1].join("d/link")).expect("a file");
        found.push((mode, text, paths[1].clone(), paths[2].clone()));
    }
    assert_eq!((found[0].0, found[0].1.as_str()), (0o700, "one"));
    assert_eq!((found[1].0, found[1].1.as_str()), (0o711, "other"));
    assert!(found[0].2 != found[1].2 && found[0].3 == found[1].3);
}

#[test]
fn a_tree_is_mounted_once() {
    let scratch = scratch();
    let [one, other] = ["one", "other"].map(|name| layer(&scratch, &[file(name, name)]));
    let stack = [one.clone(), other.clone(), other.clone(), one.clone()];
    let paths = trees(&scratch.store, &scratch.lease, &stack, &Cancel::new()).expect("trees");
    assert_eq!(paths, [one_tree(&scratch, &other), one_tree(&scratch, &one)]);
}

#[test]
fn many_threads_get_the_same_tree() {
    let scratch = scratch();
    let layer = layer(&scratch, &everything());
    let paths: Vec<PathBuf> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| one_tree(&scratch, &layer))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a path")).collect()
    });
    assert!(paths.iter().all(|path| *path == paths[0]));
    let cancel = Cancel::new();
    cancel.cancel();
    remove_pack(&scratch, &layer);
    let error = pack(&scratch.store, &scratch.lease, &layer, &cancel).expect_err("cancelled");
    assert_eq!(error.kind(), Kind::Cancelled);
}

#[test]
fn boundaries_lie_behind_contents() {
    let scratch = scratch();
    let layer = layer(&scratch, &[file("a", "x"), file("b", "y")]);
    assert_eq!(boundaries(&layer), [512]);
    let layer = crate::testing::layer(&scratch, &[make("a", What::File(vec![0; 1024])), file("b", "y")]);
    assert_eq!(boundaries(&layer), [512, 1536]);
}

fn gzip(scratch: &Scratch, layer: &Layer) -> Descriptor {
    blob(&scratch.store, &scratch.lease, layer, Encoding::DEFAULT, 2, &Cancel::new()).expect("a blob")
}

#[test]
fn st_065_blobs_are_made_once_and_give_every_other_form() {
    let scratch = scratch();
    let layer = layer(&scratch, &everything());
    let from_pack = tar_bytes(&scratch, &layer).expect("a tar");
    let contents_of_pack = contents(&scratch, &layer);
    let tree = one_tree(&scratch, &layer);
    let made = gzip(&scratch, &layer);
    assert_eq!(made.media_type, MediaType::OCI_LAYER_GZIP);
    assert_eq!(scratch.store.blobs().size(&made.digest).expect("asked"), Some(made.size));
    // The same blob from the tree, at another number of threads.
    std::fs::remove_file(scratch.store.blobs().path(&made.digest)).expect("removed");
    remove_pack(&scratch, &layer);
    let again =
        blob(&scratch.store, &scratch.lease, &layer, Encoding::DEFAULT, 1, &Cancel::new()).expect("a blob");
    assert_eq!(again, made);
    let time = |path: &std::path::Path| std::fs::metadata(path).expect("a stat").modified().expect("a time");
    let written = time(&scratch.store.blobs().path(&made.digest));
    assert_eq!(gzip(&scratch, &layer), made);
    assert_eq!(time(&scratch.store.blobs().path(&made.digest)), written);
    // From the blob alone: the tar, the tree, the contents (by way of the pack).
    let before = look(&tree);
    std::fs::remove_dir_all(&tree).expect("removed");
    assert!(tar_bytes(&scratch, &layer).expect("a tar") == from_pack);
    let unlike_whiteouts = |mut seen: std::collections::BTreeMap<String, crate::testing::Seen>| {
        seen.remove("w");
        seen
    };
    assert_eq!(unlike_whiteouts(look(&one_tree(&scratch, &layer))), unlike_whiteouts(before));
    assert!(!layer.has_pack().expect("asked"));
    std::fs::remove_dir_all(&tree).expect("removed");
    assert!(contents(&scratch, &layer) == contents_of_pack);
    assert!(layer.has_pack().expect("asked"));
}

#[test]
fn a_blob_that_came_from_outside_is_used_wherever_a_compressed_one_is_asked_for() {
    let scratch = scratch();
    let layer = layer(&scratch, &everything());
    let plain = tar_bytes(&scratch, &layer).expect("a tar");
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(9));
    encoder.write_all(&plain).expect("compressed");
    let bytes = encoder.finish().expect("compressed");
    let digest = scratch.store.blobs().put(&scratch.lease, &bytes).expect("stored");
    let descriptor = Descriptor::new(MediaType::OCI_LAYER_GZIP, digest, bytes.len() as u64);
    let encoding = format!("as-came-{}", digest.hex());
    layer.add_blob(&LayerBlob { encoding, descriptor: descriptor.clone() }).expect("remembered");
    for encoding in [Encoding::DEFAULT, Encoding::Gzip(9), Encoding::Zstd(3)] {
        let found =
            blob(&scratch.store, &scratch.lease, &layer, encoding, 1, &Cancel::new()).expect("a blob");
        assert_eq!(found, descriptor);
    }
    let found =
        blob(&scratch.store, &scratch.lease, &layer, Encoding::Plain, 1, &Cancel::new()).expect("a blob");
    assert_eq!((found.digest, found.size), (layer.diff_id().0, plain.len() as u64));
}

#[test]
fn a_damaged_blob_gives_nothing() {
    let scratch = scratch();
    let damaged = layer(&scratch, &everything());
    let made = gzip(&scratch, &damaged);
    remove_pack(&scratch, &damaged);
    let path = scratch.store.blobs().path(&made.digest);
    let mut bytes = std::fs::read(&path).expect("a blob");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    std::fs::remove_file(&path).expect("removed");
    std::fs::write(&path, bytes).expect("written");
    let stack = std::slice::from_ref(&damaged);
    let cancel = Cancel::new();
    assert!(trees(&scratch.store, &scratch.lease, stack, &cancel).is_err());
    assert!(pack(&scratch.store, &scratch.lease, &damaged, &cancel).is_err());
    assert!(tar_bytes(&scratch, &damaged).is_err());
    assert!(!damaged.has_pack().expect("asked"));
    assert_eq!(damaged.tree(None).expect("asked"), None);
}
