//! Images whose layers are layers: as a build leaves them in the store, and pushed.

use std::io::Write;

use base::Cancel;
use image::{Config, Descriptor, Digest, ImageId, Manifest, MediaType, Raw, Reference};
use layer::ingest::{Expected, ingest};
use serde_json::{Value, json};
use store::{Origin, Store};

use super::{MANIFEST, Target, descriptor, sha256};

pub fn tar(name: &str, content: &[u8]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    builder.append_data(&mut header, name, content).expect("an entry");
    builder.into_inner().expect("a tar")
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("compress");
    encoder.finish().expect("compress")
}

pub fn name(text: &str) -> Reference {
    Reference::parse(text).expect("a reference").or_latest()
}

/// An image as a build leaves it: its manifest lists the plain tar, which is not in the store.
pub fn built(store: &Store, text: &str) -> (Vec<u8>, ImageId) {
    let lease = store.lease("build").expect("a lease");
    let tar = tar("file", text.as_bytes());
    let compressed = gzip(&tar);
    let layer = ingest(store, &lease, &mut compressed.as_slice(), Expected::default(), &Cancel::new())
        .expect("a layer")
        .layer;
    let mut config = Config { architecture: "amd64".into(), os: "linux".into(), ..Config::default() };
    config.rootfs.diff_ids = vec![layer.diff_id()];
    config.history = vec![image::History { created_by: "COPY <b>&file".to_owned(), ..Default::default() }];
    let config = Raw::write(config).expect("a config");
    let part = Descriptor::new(MediaType::OCI_LAYER, layer.diff_id().0, tar.len() as u64);
    let manifest =
        Raw::write(Manifest::oci(config.descriptor(MediaType::OCI_CONFIG), vec![part])).expect("a manifest");
    for bytes in [config.bytes(), manifest.bytes()] {
        store.blobs().put(&lease, bytes).expect("a blob");
    }
    let (id, descriptor) = (ImageId(config.digest()), manifest.descriptor(MediaType::OCI_MANIFEST));
    store.images().add(&lease, id, descriptor.clone(), Origin::Built).expect("an image");
    store.images().name(&lease, &name(text), (id, &descriptor), Origin::Built).expect("a name");
    (tar, id)
}

/// Pushes an image that can be run; gives its ID and the digest of its manifest.
pub fn push(target: &Target, repository: &str, tag: &str, text: &str) -> (ImageId, String, Value) {
    let tar = tar("file", text.as_bytes());
    let compressed = gzip(&tar);
    target.push_blob(repository, &compressed);
    let config = json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [sha256(&tar)]}});
    let config = config.to_string();
    target.push_blob(repository, &config);
    let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST,
        "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar+gzip", &compressed)]});
    target.put_manifest(repository, tag, MANIFEST, &manifest).expect(&[201]);
    (ImageId(Digest::sha256(config.as_bytes())), sha256(manifest.to_string()), manifest)
}
