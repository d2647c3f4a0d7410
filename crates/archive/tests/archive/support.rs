//! Stores, images and tars to test with.

use std::collections::BTreeMap;
use std::io::{Cursor, Read, Write};

use archive::load::Loaded;
use archive::save::{Item, Options};
use archive::{ArchiveError, import, load, save};
use base::{Cancel, Events};
use image::{
    Config, ContainerConfig, Descriptor, DiffId, Digest, History, ImageId, Manifest, MediaType, Platform,
    Raw, Reference, RootFs, Timestamp,
};
use layer::packer::PackOptions;
use layer::{Encoding, Meta, Packer};
use store::{Lease, Origin, Store};

/// A store of its own.
pub struct Place {
    pub store: Store,
    pub lease: Lease,
    pub directory: tempfile::TempDir,
}

pub const GZIP: Options = Options { encoding: Encoding::DEFAULT, threads: 2, docker: true };

pub fn reference(text: &str) -> Reference {
    Reference::parse(text).unwrap_or_else(|error| panic!("{error}"))
}

impl Place {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let store = Store::open(directory.path().join("store")).expect("a store");
        let lease = store.lease("test").expect("a lease");
        Self { store, lease, directory }
    }

    /// A layer of these files, as a pack.
    pub fn layer(&self, files: &[(&str, &[u8])]) -> DiffId {
        let mut packer =
            Packer::to_store(&self.store, &self.lease, PackOptions::default()).expect("a packer");
        let meta = Meta { mode: 0o644, mtime: 1_600_000_000, ..Meta::default() };
        for (path, contents) in files {
            packer
                .file(path.as_bytes(), &meta, contents.len() as u64, &mut &contents[..])
                .expect("a file is packed");
        }
        packer.finish(None).expect("a layer").diff_id()
    }

    /// An image as a build makes it: a manifest of plain layers.
    pub fn build(&self, layers: &[DiffId], env: &str, names: &[&str]) -> Item {
        let config = config(layers, env);
        let manifest_layers = layers.iter().map(|layer| {
            let size = self.store.blobs().size(&layer.0).expect("a store").expect("a pack");
            Descriptor::new(MediaType::OCI_LAYER, layer.0, size)
        });
        let manifest = Manifest::oci(config.descriptor(MediaType::OCI_CONFIG), manifest_layers.collect());
        let manifest = Raw::write(manifest).expect("a manifest");
        self.store.blobs().put(&self.lease, config.bytes()).expect("a blob");
        self.store.blobs().put(&self.lease, manifest.bytes()).expect("a blob");
        let image = ImageId(config.digest());
        let manifest = manifest.descriptor(MediaType::OCI_MANIFEST);
        self.store.images().add(&self.lease, image, manifest.clone(), Origin::Built).expect("an image");
        let names: Vec<_> = names.iter().map(|name| reference(name)).collect();
        for name in &names {
            self.store.names().set(&self.lease, name, image, &manifest).expect("a name");
        }
        Item::of_image(image, manifest, names)
    }

    /// Two images that share a layer: `app:1` with a second name, and one without a name.
    pub fn two_images(&self) -> [Item; 2] {
        let shared = self.layer(&[("etc/hostname", b"app\n"), ("hello", b"Hello, world\n")]);
        let second = self.layer(&[("data", &noise(100_000))]);
        [
            self.build(&[shared, second], "A=1", &["app:1", "localhost:5000/app:one"]),
            self.build(&[shared], "A=2", &[]),
        ]
    }

    pub fn save(&self, items: &[Item], options: Options) -> (Vec<u8>, Vec<Descriptor>) {
        let mut bytes = Vec::new();
        let manifests =
            save::save(&self.store, &self.lease, items, options, &mut bytes, &Events::none(), &Cancel::new())
                .unwrap_or_else(|error| panic!("{}", chain(&error)));
        (bytes, manifests)
    }

    pub fn load(&self, bytes: &[u8]) -> Result<Vec<Loaded>, ArchiveError> {
        self.load_for(bytes, None)
    }

    pub fn load_for(&self, bytes: &[u8], platform: Option<&Platform>) -> Result<Vec<Loaded>, ArchiveError> {
        let stream = Box::new(Cursor::new(bytes.to_vec()));
        load::load(&self.store, &self.lease, stream, platform, &Events::none(), &Cancel::new())
    }

    pub fn loaded(&self, bytes: &[u8]) -> Vec<Loaded> {
        self.load(bytes).unwrap_or_else(|error| panic!("{}", chain(&error)))
    }

    pub fn import(&self, bytes: &[u8], request: &import::Request) -> Result<import::Imported, ArchiveError> {
        let stream = Box::new(Cursor::new(bytes.to_vec()));
        import::import(&self.store, &self.lease, stream, request, &Events::none(), &Cancel::new())
    }

    /// The images and the names of the store.
    pub fn listed(&self) -> (Vec<ImageId>, Vec<(String, ImageId)>) {
        let images =
            self.store.images().list().expect("images").into_iter().map(|record| record.id).collect();
        let names = self.store.names().list().expect("names");
        (images, names.into_iter().map(|record| (record.reference.familiar(), record.image)).collect())
    }

    /// The tar of a layer, from whatever form there is.
    pub fn tar_of(&self, diff_id: DiffId) -> Vec<u8> {
        let layer = self.store.layers().get(&diff_id).expect("a store").expect("a layer");
        let mut bytes = Vec::new();
        layer::forms::tar(&self.store, &self.lease, &layer, &mut bytes, &Cancel::new()).expect("a tar");
        bytes
    }

    pub fn config_of(&self, image: &ImageId) -> Raw<Config> {
        self.store.images().config(image).expect("a config")
    }
}

/// An error and all its causes.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text.push_str(": ");
        text.push_str(&source.to_string());
        cause = source.source();
    }
    text
}

pub fn config(layers: &[DiffId], env: &str) -> Raw<Config> {
    let created = Some(Timestamp::from_unix(1_600_000_000));
    let step = History { created, created_by: "COPY".to_owned(), ..History::default() };
    Raw::write(Config {
        architecture: "amd64".to_owned(),
        os: "linux".to_owned(),
        config: ContainerConfig { env: vec![env.to_owned()], ..ContainerConfig::default() },
        created,
        history: vec![step; layers.len()],
        rootfs: RootFs { diff_ids: layers.to_vec(), ..RootFs::default() },
        ..Config::default()
    })
    .expect("a config")
}

/// Bytes that hardly compress.
pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// A tar that is put together by hand.
#[derive(Clone, Default)]
pub struct Tar(Vec<(String, Contents)>);

#[derive(Clone)]
enum Contents {
    File(Vec<u8>),
    Symlink(String),
    Hardlink(String),
    Directory,
}

impl Tar {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn file(self, name: impl Into<String>, contents: impl AsRef<[u8]>) -> Self {
        self.with(name, Contents::File(contents.as_ref().to_vec()))
    }

    pub fn symlink(self, name: impl Into<String>, target: &str) -> Self {
        self.with(name, Contents::Symlink(target.to_owned()))
    }

    pub fn hardlink(self, name: impl Into<String>, target: &str) -> Self {
        self.with(name, Contents::Hardlink(target.to_owned()))
    }

    pub fn directory(self, name: impl Into<String>) -> Self {
        self.with(name, Contents::Directory)
    }

    fn with(mut self, name: impl Into<String>, contents: Contents) -> Self {
        self.0.push((name.into(), contents));
        self
    }

    /// The blob, in its place in an OCI layout.
    pub fn blob(self, bytes: &[u8]) -> Self {
        self.file(format!("blobs/sha256/{}", Digest::sha256(bytes).hex()), bytes)
    }

    pub fn reversed(mut self) -> Self {
        self.0.reverse();
        self
    }

    /// With `./` before every name.
    pub fn dotted(mut self) -> Self {
        self.0.iter_mut().for_each(|(name, _)| name.insert_str(0, "./"));
        self
    }

    /// Without an entry.
    pub fn without(mut self, name: &str) -> Self {
        let before = self.0.len();
        self.0.retain(|(other, _)| other != name);
        assert!(self.0.len() < before, "there is no {name}");
        self
    }

    /// With other contents of a file.
    pub fn changed(mut self, name: &str, change: impl Fn(&[u8]) -> Vec<u8>) -> Self {
        let entry = self.0.iter_mut().find(|(other, _)| other == name);
        let Some((_, Contents::File(contents))) = entry else { panic!("there is no file {name}") };
        *contents = change(contents);
        self
    }

    pub fn names(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| name.as_str()).collect()
    }

    pub fn get(&self, name: &str) -> &[u8] {
        match self.0.iter().find(|(other, _)| other == name) {
            Some((_, Contents::File(contents))) => contents,
            _ => panic!("there is no file {name} in {:?}", self.names()),
        }
    }

    pub fn json(&self, name: &str) -> serde_json::Value {
        serde_json::from_slice(self.get(name)).expect("JSON")
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for (name, contents) in &self.0 {
            let mut header = tar::Header::new_ustar();
            header.set_mode(0o644);
            header.set_mtime(0);
            header.set_size(0);
            // The crate's own setters refuse what has to be tried here.
            header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
            let mut link = |kind, target: &str| {
                header.set_entry_type(kind);
                header.as_mut_bytes()[157..157 + target.len()].copy_from_slice(target.as_bytes());
            };
            let mut data: &[u8] = &[];
            match contents {
                Contents::File(contents) => {
                    header.set_size(contents.len() as u64);
                    data = contents;
                }
                Contents::Symlink(target) => link(tar::EntryType::Symlink, target),
                Contents::Hardlink(target) => link(tar::EntryType::Link, target),
                Contents::Directory => header.set_entry_type(tar::EntryType::Directory),
            }
            header.set_cksum();
            tar.append(&header, data).expect("an entry");
        }
        tar.into_inner().expect("a tar")
    }

    pub fn read(bytes: &[u8]) -> Self {
        let mut archive = tar::Archive::new(bytes);
        let mut found = Self::new();
        for entry in archive.entries().expect("entries") {
            let mut entry = entry.expect("an entry");
            let name = entry.path().expect("a path").to_string_lossy().into_owned();
            let link = entry.link_name().expect("a link").map(|link| link.to_string_lossy().into_owned());
            let mut contents = Vec::new();
            entry.read_to_end(&mut contents).expect("contents");
            found = match (entry.header().entry_type(), link) {
                (tar::EntryType::Directory, _) => found.directory(name),
                (tar::EntryType::Symlink, Some(link)) => found.symlink(name, &link),
                (tar::EntryType::Link, Some(link)) => found.hardlink(name, &link),
                _ => found.file(name, contents),
            };
        }
        found
    }
}

/// The tar of a layer with one file.
pub fn layer_tar(name: &str, contents: &[u8]) -> Vec<u8> {
    Tar::new().file(name, contents).bytes()
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("gzip");
    encoder.finish().expect("gzip")
}

pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).expect("zstd")
}

/// What a command makes of bytes: `xz`, `bzip2`.
pub fn filter(command: &str, bytes: &[u8]) -> Vec<u8> {
    use std::process::{Command, Stdio};
    let mut child =
        Command::new(command).arg("-c").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap_or_else(
            |error| panic!("cannot run {command} ({error}): install Debian's {command} (xz-utils, bzip2)"),
        );
    let mut stdin = child.stdin.take().expect("a pipe");
    let bytes = bytes.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&bytes));
    let output = child.wait_with_output().expect("an output");
    writer.join().expect("a thread").expect("a pipe");
    assert!(output.status.success(), "{command} failed");
    output.stdout
}

/// An image in an OCI layout, of layers as they are given; the index entry is annotated.
pub fn layout(layers: &[(MediaType, Vec<u8>, DiffId)], annotations: &[(&str, &str)]) -> Tar {
    let (tar, manifest) = image_blobs(Tar::new(), layers, "A=1");
    let index = index_of(&[(manifest, annotations)]);
    tar.file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#).file("index.json", index)
}

/// Adds the blobs of an image; gives its manifest.
pub fn image_blobs(mut tar: Tar, layers: &[(MediaType, Vec<u8>, DiffId)], env: &str) -> (Tar, Descriptor) {
    let diff_ids: Vec<_> = layers.iter().map(|(.., diff_id)| *diff_id).collect();
    let config = config(&diff_ids, env);
    let mut descriptors = Vec::new();
    for (media_type, bytes, _) in layers {
        descriptors.push(Descriptor::new(media_type.clone(), Digest::sha256(bytes), bytes.len() as u64));
        tar = tar.blob(bytes);
    }
    let manifest = Manifest::oci(config.descriptor(MediaType::OCI_CONFIG), descriptors);
    let manifest = Raw::write(manifest).expect("a manifest");
    (tar.blob(config.bytes()).blob(manifest.bytes()), manifest.descriptor(MediaType::OCI_MANIFEST))
}

pub fn index_of(entries: &[(Descriptor, &[(&str, &str)])]) -> Vec<u8> {
    let manifests = entries.iter().map(|(descriptor, annotations)| Descriptor {
        annotations: annotations
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect::<BTreeMap<_, _>>(),
        ..descriptor.clone()
    });
    Raw::write(image::Index::oci(manifests.collect())).expect("an index").bytes().to_vec()
}

/// A docker archive as docker before 25 writes it (ST-001): the second of two equal layers is a symbolic link.
pub fn legacy() -> (Tar, ImageId) {
    let layers = [layer_tar("a", b"1"), layer_tar("b", b"2"), layer_tar("a", b"1")];
    let diff_ids: Vec<_> = layers.iter().map(|bytes| DiffId(Digest::sha256(bytes))).collect();
    let config = config(&diff_ids, "A=1");
    let mut tar = Tar::new();
    for (number, bytes) in layers.iter().enumerate() {
        let directory = format!("{number}").repeat(64);
        tar = tar
            .directory(format!("{directory}/"))
            .file(format!("{directory}/VERSION"), "1.0")
            .file(format!("{directory}/json"), format!(r#"{{"id":"{directory}"}}"#));
        tar = match number {
            2 => tar.symlink(format!("{directory}/layer.tar"), &format!("../{}/layer.tar", "0".repeat(64))),
            _ => tar.file(format!("{directory}/layer.tar"), bytes),
        };
    }
    let hex = config.digest().hex();
    let paths: Vec<_> =
        (0..3).map(|number| format!("{}/layer.tar", format!("{number}").repeat(64))).collect();
    let manifest =
        serde_json::json!([{ "Config": format!("{hex}.json"), "RepoTags": ["app:1"], "Layers": paths }]);
    let tar = tar
        .file(format!("{hex}.json"), config.bytes())
        .file("manifest.json", manifest.to_string())
        .file("repositories", format!(r#"{{"app":{{"1":"{}"}}}}"#, "2".repeat(64)));
    (tar, ImageId(config.digest()))
}
