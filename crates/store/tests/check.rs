//! `check`: every kind of damage is found and named.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use common::*;
use image::Digest;
use store::Store;
use store::check::{Depth, Finding, FindingKind};

/// A store with one of each: an image with a name and two layers (one with a pack, one with a tree), a compressed blob, a
/// record of a step, digests of a context.
struct Whole {
    place: Place,
    packed: String,
    treed: String,
    compressed: Digest,
    config: Digest,
    manifest: Digest,
}

fn whole() -> Whole {
    let place = place();
    let store = &place.store;
    let lease = store.lease("setup").expect("a lease");
    let packed = material("packed").add_pack_layer(store, &lease);
    let compressed = material("packed").compressed(store, &lease, "gzip-2");
    packed.add_blob(&compressed).expect("a record");
    let treed = material("treed").add_tree_layer(store, &lease);
    let (id, manifest) = add_image(store, &lease, &[&packed, &treed], "one");
    store.names().set(&lease, &name("app"), id, &manifest).expect("a name");
    let step = store::StepRecord {
        definition: store::StepKey([1; 32]),
        key: store::StepKey([2; 32]),
        layer: Some(treed.diff_id()),
        document: serde_json::Value::Null,
    };
    store.cache().put(&lease, &step).expect("a record");
    let digests = store::contexts::FileDigests::open(store, Path::new("/context")).expect("digests");
    let stamp = store::contexts::FileStamp { device: 1, inode: 1, size: 1, mtime: 1, ctime: 1 };
    digests.put(stamp, store::table::ContentDigest([3; 32]), true, std::time::SystemTime::now());
    digests.save().expect("saved");
    let (packed, treed) = (packed.diff_id().0.hex(), treed.diff_id().0.hex());
    let (compressed, config, manifest) = (compressed.descriptor.digest, id.0, manifest.digest);
    Whole { place, packed, treed, compressed, config, manifest }
}

impl Whole {
    fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        self.place.root().join(path)
    }

    fn blob(&self, digest: &Digest) -> PathBuf {
        self.place.store.blobs().path(digest)
    }

    fn layer(&self, layer: &str) -> PathBuf {
        self.at("layers").join(layer)
    }
}

fn remove(path: &Path) {
    if path.is_dir() {
        fs::remove_dir_all(path).expect("remove")
    } else {
        fs::remove_file(path).expect("remove")
    }
}

/// What is done, at which depth it must be found, of which kind it is, and what must be named.
type Damage = (&'static str, fn(&Whole), Depth, FindingKind, fn(&Whole) -> String);

fn truncate(path: &Path) {
    let bytes = fs::read(path).expect("read");
    rewrite(path, &bytes[..bytes.len() - 1]);
}

fn one_in(directory: &Path) -> PathBuf {
    fs::read_dir(directory).expect("read").next().expect("something").expect("an entry").path()
}

const DAMAGES: [Damage; 31] = {
    use Depth::{Full, Quick};
    use FindingKind::{Blob, Missing, NoForm, Record, Stray, Table, Tree};
    [
        (
            "pack truncated",
            |w| truncate(&w.at("blobs/sha256").join(&w.packed)),
            Quick,
            Blob,
            |w| w.packed.clone(),
        ),
        ("pack flipped", |w| flip(&w.at("blobs/sha256").join(&w.packed)), Full, Blob, |w| w.packed.clone()),
        (
            "compressed blob truncated",
            |w| truncate(&w.blob(&w.compressed)),
            Quick,
            Blob,
            |w| w.compressed.hex(),
        ),
        ("compressed blob flipped", |w| flip(&w.blob(&w.compressed)), Full, Blob, |w| w.compressed.hex()),
        ("config flipped", |w| flip(&w.blob(&w.config)), Quick, Blob, |w| w.config.hex()),
        ("manifest truncated", |w| truncate(&w.blob(&w.manifest)), Quick, Blob, |w| w.manifest.hex()),
        (
            "blob under a wrong name",
            |w| fs::rename(w.blob(&w.compressed), w.blob(&Digest::sha256(b"else"))).expect("rename"),
            Full,
            Blob,
            |_| Digest::sha256(b"else").hex(),
        ),
        (
            "directory in a blob's place",
            |w| {
                remove(&w.blob(&w.compressed));
                fs::create_dir(w.blob(&w.compressed)).expect("mkdir");
            },
            Quick,
            Blob,
            |w| w.compressed.hex(),
        ),
        ("config missing", |w| remove(&w.blob(&w.config)), Quick, Missing, |w| format!("image {}", w.config)),
        (
            "manifest missing",
            |w| remove(&w.blob(&w.manifest)),
            Quick,
            Missing,
            |w| format!("image {}", w.config),
        ),
        ("layer missing", |w| remove(&w.layer(&w.treed)), Quick, Missing, |w| format!("image {}", w.config)),
        (
            "image missing",
            |w| remove(&one_in(&w.at("images"))),
            Quick,
            Missing,
            |_| "name app:latest".to_owned(),
        ),
        (
            "all blobs of a layer missing",
            |w| {
                remove(&w.at("blobs/sha256").join(&w.packed));
                remove(&w.blob(&w.compressed));
            },
            Quick,
            NoForm,
            |w| format!("layer sha256:{}", w.packed),
        ),
        ("tree missing", |w| remove(&w.layer(&w.treed).join("tree")), Quick, NoForm, |w| w.treed.clone()),
        ("table missing", |w| remove(&w.layer(&w.treed).join("table")), Quick, Table, |w| w.treed.clone()),
        ("table flipped", |w| flip(&w.layer(&w.treed).join("table")), Quick, Table, |w| w.treed.clone()),
        (
            "table truncated",
            |w| truncate(&w.layer(&w.treed).join("table")),
            Quick,
            Table,
            |w| w.treed.clone(),
        ),
        (
            "table of another layer",
            |w| {
                remove(&w.layer(&w.treed).join("table"));
                fs::copy(w.layer(&w.packed).join("table"), w.layer(&w.treed).join("table")).expect("copy");
            },
            Quick,
            Table,
            |w| w.treed.clone(),
        ),
        (
            "file in a tree missing",
            |w| remove(&w.layer(&w.treed).join("tree/usr/file")),
            Quick,
            Tree,
            |_| "usr/file".to_owned(),
        ),
        (
            "file in a tree too much",
            |w| fs::write(w.layer(&w.treed).join("tree/more"), "").expect("write"),
            Quick,
            Tree,
            |w| format!("layer sha256:{}: more", w.treed),
        ),
        (
            "file in a tree truncated",
            |w| truncate(&w.layer(&w.treed).join("tree/usr/file")),
            Quick,
            Tree,
            |_| "usr/file".to_owned(),
        ),
        (
            "file in a tree flipped",
            |w| {
                flip(&w.layer(&w.treed).join("tree/usr/file"));
                set_time(&w.layer(&w.treed).join("tree/usr/file"));
            },
            Full,
            Tree,
            |_| "usr/file".to_owned(),
        ),
        (
            "mode in a tree changed",
            |w| {
                fs::set_permissions(w.layer(&w.treed).join("tree/usr"), PermissionsExt::from_mode(0o700))
                    .expect("chmod")
            },
            Quick,
            Tree,
            |_| ": usr".to_owned(),
        ),
        (
            "owner in a tree changed",
            |w| std::os::unix::fs::chown(w.layer(&w.treed).join("tree/usr"), Some(7), None).expect("chown"),
            Quick,
            Tree,
            |_| ": usr".to_owned(),
        ),
        (
            "link in a tree changed",
            |w| {
                let link = w.layer(&w.treed).join("tree/usr/link");
                remove(&link);
                std::os::unix::fs::symlink("elsewhere", &link).expect("symlink");
                set_time(&link);
                set_time(&w.layer(&w.treed).join("tree/usr"));
            },
            Quick,
            Tree,
            |_| "usr/link".to_owned(),
        ),
        (
            "record of a name torn",
            |w| rewrite(&w.at("names/docker.io/library/app/_tags/latest"), b"{\"version\":1"),
            Quick,
            Record,
            |_| "names/docker.io/library/app/_tags/latest".to_owned(),
        ),
        (
            "record of an image torn",
            |w| rewrite(&one_in(&w.at("images")), b""),
            Quick,
            Record,
            |w| w.config.hex(),
        ),
        (
            "record of a layer's blob torn",
            |w| rewrite(&w.layer(&w.packed).join("blobs/gzip-2"), b"[]"),
            Quick,
            Record,
            |_| "gzip-2".to_owned(),
        ),
        (
            "record of a step torn",
            |w| rewrite(&one_in(&one_in(&w.at("cache"))), b"x"),
            Quick,
            Record,
            |_| "step 0202".to_owned(),
        ),
        (
            "digests of a context flipped",
            |w| flip(&one_in(&w.at("contexts"))),
            Quick,
            Record,
            |_| "context".to_owned(),
        ),
        (
            "chain of no layer",
            |w| fs::create_dir_all(w.at("chains").join(&w.packed).join("tree")).expect("mkdir"),
            Quick,
            Stray,
            |w| w.packed.clone(),
        ),
    ]
};

#[test]
fn every_damage_is_found_and_named() {
    for (damage, make, depth, kind, named) in DAMAGES {
        let whole = whole();
        assert_whole(&whole.place.store);
        make(&whole);
        let names_it = |finding: &Finding| finding.kind == kind && finding.what.contains(&named(&whole));
        // What an open store remembers of its files must not hide what is on the disk.
        for store in [&whole.place.store, &Store::open(whole.place.root()).expect("a store")] {
            let quick = check(store, Depth::Quick);
            assert!(depth == Depth::Full || quick.iter().any(names_it), "{damage}: {quick:?}");
            let full = check(store, Depth::Full);
            assert!(full.iter().any(names_it), "{damage}: {full:?}");
            assert!(full.iter().all(|finding| !finding.remedy.is_empty() && !finding.problem.is_empty()));
        }
    }
}

#[test]
fn strays_are_found_wherever_they_are() {
    let whole = whole();
    let tag = "names/docker.io/library/app/_tags";
    let strays = [
        "notes.txt".to_owned(),
        "blobs/md5".to_owned(),
        "blobs/sha256/not-a-digest".to_owned(),
        "blobs/sha256/abc".to_owned(),
        "layers/abc".to_owned(),
        format!("layers/{}/notes", whole.packed),
        "images/abc".to_owned(),
        "names/file".to_owned(),
        "cache/file".to_owned(),
        format!("cache/{}/file", "01".repeat(32)),
    ];
    for stray in &strays {
        fs::write(whole.at(stray), "").expect("write");
    }
    fs::create_dir(whole.at(tag).join("directory")).expect("mkdir");
    let found: Vec<_> = check(&whole.place.store, Depth::Quick);
    for stray in strays.iter().chain([&format!("{tag}/directory")]) {
        let named = |finding: &&Finding| {
            finding.kind == FindingKind::Stray && finding.what == format!("file {stray}")
        };
        assert_eq!(found.iter().filter(named).count(), 1, "{stray}: {found:?}");
    }
    assert_eq!(found.len(), strays.len() + 1, "{found:?}");
}

#[test]
fn what_processes_leave_behind_is_no_damage() {
    let whole = whole();
    let root = whole.place.root();
    for left in ["tmp/123-dead/tree", "trash/123-dead/layer", "layers/../tmp/x"] {
        fs::create_dir_all(root.join(left)).expect("mkdir");
    }
    for left in ["leases/dead", "steps/dead", ".version-dead", "tmp/file"] {
        fs::write(root.join(left), "x").expect("write");
    }
    // A process that died between writing the mark and renaming the tree.
    fs::write(whole.layer(&whole.packed).join("tree.unsynced"), "another boot").expect("write");
    assert_whole(&whole.place.store);
    let store = Store::open(root).expect("a store");
    assert_whole(&store);
    for swept in ["tmp", "trash", "leases", "steps"] {
        let left = everything_in(&root.join(swept)).into_iter().filter(|path| path.is_file()).count();
        assert_eq!(left, 0, "{swept}");
    }
}

#[test]
fn a_check_changes_nothing() {
    let whole = whole();
    let before = everything_in(whole.place.root());
    check(&whole.place.store, Depth::Full);
    assert_eq!(everything_in(whole.place.root()), before);
}
