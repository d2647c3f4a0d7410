//! What the tests of the store share: a store in a temporary directory, and layers and images made of next to nothing.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use base::{Cancel, Events};
use image::{Config, Descriptor, DiffId, Digest, ImageId, Manifest, MediaType, Raw, Reference};
use store::check::{Depth, Finding};
use store::collect::Policy;
use store::table::{ContentDigest, Entry, EntryKind, NewTable, TableBuilder};
use store::{Layer, LayerBlob, Lease, Origin, Store, TempDir};

/// A store, and the directory that it is in.
pub struct Place {
    pub store: Store,
    pub directory: tempfile::TempDir,
}

pub fn place() -> Place {
    let directory = tempfile::tempdir().expect("a directory");
    let store = Store::open(directory.path().join("store")).expect("a store");
    Place { store, directory }
}

impl Place {
    pub fn root(&self) -> &Path {
        self.store.root()
    }
}

/// A layer that holds one file: its pack, and what its table says.
pub struct Material {
    pub pack: Vec<u8>,
    pub content: Vec<u8>,
}

const FRAME: [u8; 512] = [b'f'; 512];
const TIME: i64 = 315_619_200;

pub fn material(content: &str) -> Material {
    let content = content.as_bytes().to_vec();
    Material { pack: [FRAME.as_slice(), &content, &FRAME].concat(), content }
}

impl Material {
    pub fn diff_id(&self) -> DiffId {
        DiffId(Digest::sha256(&self.pack))
    }

    pub fn table(&self) -> NewTable {
        let mut builder = TableBuilder::new().expect("a builder");
        let entry =
            |path, mode, kind| Entry { path, kind, mode, uid: 0, gid: 0, mtime: TIME, xattrs: Vec::new() };
        let directory = EntryKind::Directory { opaque: false, implied: false };
        builder.entry(&entry(b"", 0o755, directory.clone()));
        builder.entry(&entry(b"usr", 0o755, directory));
        let content = ContentDigest(*blake3::hash(&self.content).as_bytes());
        let size = self.content.len() as u64;
        let file = EntryKind::File { size, content, offset: FRAME.len() as u64, sparse: None };
        builder.entry(&entry(b"usr/file", 0o644, file));
        builder.entry(&entry(b"usr/link", 0o777, EntryKind::Symlink { target: b"file" }));
        builder.framing(&FRAME).expect("framing");
        builder.framing(&FRAME).expect("framing");
        builder.finish(self.diff_id(), self.pack.len() as u64).expect("a table")
    }

    pub fn tree(&self, store: &Store) -> TempDir {
        let tree = store.temp_dir("tree").expect("a temporary directory");
        let usr = tree.subdirectory("usr").expect("a subdirectory");
        fs::write(usr.join("file"), &self.content).expect("write");
        fs::set_permissions(usr.join("file"), fs::Permissions::from_mode(0o644)).expect("chmod");
        std::os::unix::fs::symlink("file", usr.join("link")).expect("symlink");
        for path in [usr.join("link"), usr.join("file"), usr, tree.path().to_owned()] {
            set_time(&path);
        }
        fs::set_permissions(tree.path(), fs::Permissions::from_mode(0o755)).expect("chmod");
        tree
    }

    pub fn add_tree_layer(&self, store: &Store, lease: &Lease) -> Layer {
        store.layers().add(lease, self.table(), Some(self.tree(store))).expect("a layer")
    }

    pub fn add_pack_layer(&self, store: &Store, lease: &Lease) -> Layer {
        store.blobs().put(lease, &self.pack).expect("a blob");
        store.layers().add(lease, self.table(), None).expect("a layer")
    }

    /// As if it had come compressed.
    pub fn add_compressed_layer(&self, store: &Store, lease: &Lease) -> (Layer, LayerBlob) {
        let blob = self.compressed(store, lease, "as-came");
        let table = self.table().with_blob(blob.clone());
        (store.layers().add(lease, table, None).expect("a layer"), blob)
    }

    /// A blob that stands for the layer in some encoding.
    pub fn compressed(&self, store: &Store, lease: &Lease, encoding: &str) -> LayerBlob {
        let bytes = [encoding.as_bytes(), &self.content].concat();
        let digest = store.blobs().put(lease, &bytes).expect("a blob");
        let descriptor = Descriptor::new(MediaType::OCI_LAYER_GZIP, digest, bytes.len() as u64);
        LayerBlob { encoding: encoding.to_owned(), descriptor }
    }
}

pub fn set_time(path: &Path) {
    let time = rustix::fs::Timespec { tv_sec: TIME, tv_nsec: 0 };
    let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(rustix::fs::CWD, path, &times, rustix::fs::AtFlags::SYMLINK_NOFOLLOW)
        .expect("utimensat");
}

/// Adds an image of layers that are there; its manifest lists the packs.
pub fn add_image(store: &Store, lease: &Lease, layers: &[&Layer], remark: &str) -> (ImageId, Descriptor) {
    let parts = layers
        .iter()
        .map(|layer| Descriptor::new(MediaType::OCI_LAYER, layer.diff_id().0, layer.table().tar_size()))
        .collect();
    add_image_with(store, lease, layers, remark, parts)
}

pub fn add_image_with(
    store: &Store,
    lease: &Lease,
    layers: &[&Layer],
    remark: &str,
    parts: Vec<Descriptor>,
) -> (ImageId, Descriptor) {
    let mut config = Config { architecture: "amd64".into(), os: "linux".into(), ..Config::default() };
    config.author = Some(remark.to_owned());
    config.rootfs.diff_ids = layers.iter().map(|layer| layer.diff_id()).collect();
    let config = Raw::write(config).expect("a config");
    let manifest = Manifest::oci(config.descriptor(MediaType::OCI_CONFIG), parts);
    let manifest = Raw::write(manifest).expect("a manifest");
    for bytes in [config.bytes(), manifest.bytes()] {
        store.blobs().put(lease, bytes).expect("a blob");
    }
    let (id, manifest) = (ImageId(config.digest()), manifest.descriptor(MediaType::OCI_MANIFEST));
    store.images().add(lease, id, manifest.clone(), Origin::Built).expect("an image");
    (id, manifest)
}

pub fn name(text: &str) -> Reference {
    Reference::parse(text).expect("a reference").or_latest()
}

pub fn check(store: &Store, depth: Depth) -> Vec<Finding> {
    store.check(depth, &Events::none(), &Cancel::new()).expect("a check")
}

#[track_caller]
pub fn assert_whole(store: &Store) {
    assert_eq!(check(store, Depth::Full), []);
}

pub fn collect(store: &Store, policy: Policy) -> store::collect::Report {
    store.collect(&policy, &Cancel::new()).expect("a collection")
}

/// Everything that is in a directory, by path.
pub fn everything_in(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("read the directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() && !path.is_symlink() {
            found.extend(everything_in(&path));
        }
        found.push(path);
    }
    found.sort();
    found
}

/// Changes one byte of a file, whatever its mode; the times stay.
pub fn flip(path: &Path) {
    let mut bytes = fs::read(path).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    rewrite(path, &bytes);
}

/// Replaces the contents of a file in place; the times stay.
pub fn rewrite(path: &Path, bytes: &[u8]) {
    let metadata = fs::metadata(path).expect("stat");
    let mut file = fs::OpenOptions::new().write(true).truncate(true).open(path).expect("open");
    file.write_all(bytes).expect("write");
    file.set_modified(metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH + Duration::from_secs(1)))
        .expect("time");
}

/// Makes an image of layers that all workers share, and finds everything again under its lease.
pub fn work(store: &Store, worker: u32, round: u32) {
    let lease = store.lease("work").expect("a lease");
    let shared = material(&format!("shared {}", round % 3));
    let layer = match store.layers().get(&shared.diff_id()).expect("a look") {
        // Held, and so it has a form that stays: its pack, or a tree.
        Some(layer) => layer,
        None if round.is_multiple_of(2) => shared.add_tree_layer(store, &lease),
        None => shared.add_pack_layer(store, &lease),
    };
    let has_tree = || layer.tree(None).expect("a look").is_some();
    assert!(layer.has_pack().expect("a look") || has_tree(), "a held layer lost its contents");
    let blob = format!("blob {}", round % 2);
    let digest = store.blobs().put(&lease, blob.as_bytes()).expect("a blob");
    let (id, manifest) = add_image(store, &lease, &[&layer], &format!("image {worker}"));
    let tag = name(&format!("worker-{worker}:latest"));
    store.names().set(&lease, &tag, id, &manifest).expect("a name");
    drop(layer);
    std::thread::yield_now();
    assert_eq!(store.blobs().read(&digest, 99).expect("a kept blob"), blob.as_bytes());
    assert_eq!(store.names().get(&tag).expect("a look").map(|name| name.image), Some(id));
    assert_eq!(store.images().get(&id).expect("a look").map(|record| record.id), Some(id));
    store.images().manifest(&manifest).expect("a kept manifest");
    let layer = store.layers().get(&shared.diff_id()).expect("a look").expect("a kept layer");
    assert!(layer.has_pack().expect("a look") || layer.tree(None).expect("a look").is_some());
}
