//! Pushing what was built here: one stream from the layer to the registry, and the layers of bases as others have them.

use std::io::Read;

use base::{Cancel, Classified, Kind};
use distribution::DistributionError;
use distribution::pull::Pulled;
use distribution::push::Pushed;
use image::{Descriptor, DiffId, Digest, ImageId, Manifest, MediaType, Raw};
use layer::ingest::{Expected, ingest};
use store::Origin;

use crate::lab::{Lab, chain};
use crate::support::{Fault, Registry, TestImage, image, noise};

const MIB: usize = 1 << 20;
const CHUNK: usize = 16 * MIB;

/// A tar with one file.
fn tar_of(name: &str, contents: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_size(contents.len() as u64);
    header.set_mode(0o644);
    header.set_mtime(1);
    let mut tar = tar::Builder::new(Vec::new());
    tar.append_data(&mut header, name, contents).expect("a tar");
    tar.into_inner().expect("a tar")
}

/// The tar that a compressed layer holds.
fn plain(layer: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(layer).read_to_end(&mut plain).expect("gzip");
    plain
}

/// Puts an image into the store as a build does: its layers are there as plain tars.
fn build(lab: &Lab, tars: &[&[u8]]) -> Pulled {
    let lease = lab.store.lease("test").expect("a lease");
    let (mut layers, mut diff_ids) = (Vec::new(), Vec::new());
    for tar in tars {
        let expected = Expected::default();
        let ingested = ingest(&lab.store, &lease, &mut &**tar, expected, &Cancel::new());
        let layer = ingested.expect("a layer").layer;
        let DiffId(digest) = layer.diff_id();
        layers.push(Descriptor::new(MediaType::OCI_LAYER, digest, tar.len() as u64));
        diff_ids.push(digest.to_string());
    }
    let host = image::Platform::host();
    let config = serde_json::to_vec(&serde_json::json!({
        "architecture": host.architecture, "os": host.os, "rootfs": {"type": "layers", "diff_ids": diff_ids},
    }));
    let config = config.expect("JSON");
    let id = lab.store.blobs().put(&lease, &config).expect("the config");
    let config = Descriptor::new(MediaType::OCI_CONFIG, id, config.len() as u64);
    let manifest = Raw::write(Manifest::oci(config, layers)).expect("a manifest");
    lab.store.blobs().put(&lease, manifest.bytes()).expect("the manifest");
    let descriptor = manifest.descriptor(MediaType::OCI_MANIFEST);
    lab.store.sync().expect("a sync");
    lab.store.images().add(&lease, ImageId(id), descriptor.clone(), Origin::Built).expect("the image");
    let reference = image::Reference::parse("built").expect("a name");
    Pulled { reference, image: ImageId(id), manifest: descriptor.clone(), target: descriptor, before: None }
}

fn pushed_layers(registry: &Registry, repository: &str) -> Vec<Descriptor> {
    let manifest = registry.manifest(repository, "1").expect("the manifest");
    Raw::<Manifest>::parse("manifest", manifest).expect("a manifest").value().layers.clone()
}

fn push(lab: &Lab, image: &Pulled, registry: &Registry) -> Result<Pushed, DistributionError> {
    lab.push(image, &[registry.name("app:1")])
}

/// What arrived is this tar, and the store has the same blob.
fn assert_arrived(lab: &Lab, registry: &Registry, tar: &[u8]) {
    let layers = pushed_layers(registry, "app");
    let digest = layers.last().expect("a layer").digest;
    let blob = registry.blob("app", &digest).expect("the blob");
    assert!(plain(&blob) == tar, "another tar");
    assert!(lab.store.blobs().read(&digest, 1 << 30).expect("the blob") == blob);
    assert_eq!(lab.uploads(), 0);
}

fn chunks(registry: &Registry) -> Vec<(usize, usize)> {
    let range = |text: &str| {
        let (from, to) = text.split_once('-').expect("a range");
        (from.parse().expect("a number"), to.parse::<usize>().expect("a number") + 1)
    };
    let requests = registry.requests("PATCH", "/uploads/");
    requests.iter().map(|request| range(request.header("content-range").expect("a range"))).collect()
}

#[test]
fn rc_069_a_layer_is_sent_while_it_is_compressed() {
    let (registry, lab) = (Registry::start(), Lab::new());
    let tar = tar_of("large", &noise(52 * MIB, 7));
    let built = build(&lab, &[&tar]);
    let pushed = push(&lab, &built, &registry).expect("a push");
    assert_arrived(&lab, &registry, &tar);
    let digest = pushed_layers(&registry, "app")[0].digest;
    // The first chunk went when nobody knew the digest yet.
    assert_eq!(registry.requests("HEAD", &digest.to_string()).len(), 0);
    let chunks = chunks(&registry);
    assert_eq!(chunks[..3], [(0, CHUNK), (CHUNK, 2 * CHUNK), (2 * CHUNK, 3 * CHUNK)]);
    assert_eq!(chunks.len(), 4);
    let ends = registry.requests("PUT", &format!("digest={}", digest.to_string().replace(':', "%3A")));
    assert_eq!(ends.len(), 1, "{:?}", registry.trace());
    assert_eq!(ends[0].header("content-length"), Some("0"));
    assert!(registry.requests("POST", "").iter().all(|post| post.header("content-length") == Some("0")));
    assert!(pushed.sent > 52 * MIB as u64, "{pushed:?}");
    // Again, and nothing is sent; also when the store has let the blob go, since it would be the same one.
    registry.forget_requests();
    assert_eq!(push(&lab, &built, &registry).expect("a push").sent, 0);
    std::fs::remove_file(lab.store.blobs().path(&digest)).expect("the blob is there");
    let again = push(&lab, &built, &registry).expect("a push");
    assert_eq!((again.sent, again.manifest), (0, pushed.manifest));
    assert_eq!(registry.requests("POST", "/uploads/").len(), 0, "{:?}", registry.trace());
    assert_eq!(lab.store.blobs().size(&digest).expect("a look"), None, "it was not made again");
}

#[test]
fn rc_070_chunks_are_as_large_as_the_registry_wants_them() {
    let (registry, lab) = (Registry::start(), Lab::new());
    let least = 20 * MIB;
    registry.rule("POST", "/uploads/", 1, Fault::Header("OCI-Chunk-Min-Length", "20971520"));
    let tar = tar_of("large", &noise(45 * MIB, 8));
    let built = build(&lab, &[&tar]);
    push(&lab, &built, &registry).expect("a push");
    assert_arrived(&lab, &registry, &tar);
    let chunks = chunks(&registry);
    assert_eq!(chunks[..2], [(0, least), (least, 2 * least)]);
    assert_eq!(chunks.len(), 3);
}

#[test]
fn rc_068_a_layer_that_was_being_compressed_goes_on_where_it_was() {
    let (registry, mut lab) = (Registry::start(), Lab::new());
    let tar = tar_of("large", &noise(40 * MIB, 9));
    let built = build(&lab, &[&tar]);
    lab.config.patience.retries = 0;
    registry.rule("PATCH", "/uploads/", 1, Fault::Header("X", "Y"));
    registry.rule("PATCH", "/uploads/", 1, Fault::CutRequest(1_000_000));
    let error = push(&lab, &built, &registry).expect_err("a broken connection");
    assert_eq!(error.kind(), Kind::Io, "{}", chain(&error));
    assert_eq!((registry.manifest("app", "1"), lab.uploads()), (None, 1));
    registry.forget_requests();
    push(&lab, &built, &registry).expect("a push");
    assert_arrived(&lab, &registry, &tar);
    assert_eq!(chunks(&registry)[0].0, CHUNK + 1_000_000);
}

#[test]
fn rc_068_a_broken_chunk_of_a_growing_blob_goes_on_where_it_was() {
    let (registry, lab) = (Registry::start(), Lab::new());
    let tar = tar_of("large", &noise(40 * MIB, 10));
    let built = build(&lab, &[&tar]);
    registry.rule("PATCH", "/uploads/", 1, Fault::CutRequest(5_000_000));
    push(&lab, &built, &registry).expect("a push");
    assert_arrived(&lab, &registry, &tar);
    let chunks = chunks(&registry);
    assert_eq!(chunks[..2], [(0, CHUNK), (5_000_000, 5_000_000 + CHUNK)]);
}

#[test]
fn rc_068_a_session_with_something_else_in_it_is_begun_again() {
    let (registry, mut lab) = (Registry::start(), Lab::new());
    let tar = tar_of("large", &noise(40 * MIB, 11));
    let built = build(&lab, &[&tar]);
    lab.config.patience.retries = 0;
    registry.rule("PATCH", "/uploads/", 1, Fault::CutRequest(1_000_000));
    push(&lab, &built, &registry).expect_err("a broken connection");
    registry.state.uploads.lock().expect("no panic").values_mut().for_each(|bytes| bytes.fill(0));
    lab.config.patience.retries = 1;
    push(&lab, &built, &registry).expect("a push");
    assert_arrived(&lab, &registry, &tar);
}

#[test]
fn rc_076_a_layer_that_turns_out_to_be_damaged_does_not_arrive() {
    let (registry, lab) = (Registry::start(), Lab::new());
    let tar = tar_of("large", &noise(40 * MIB, 12));
    let built = build(&lab, &[&tar]);
    let path = lab.store.blobs().path(&Digest::sha256(&tar));
    let mut bytes = std::fs::read(&path).expect("the tar");
    bytes[39 * MIB] ^= 1;
    std::fs::remove_file(&path).expect("it goes");
    std::fs::write(&path, bytes).expect("it is written");
    let error = push(&lab, &built, &registry).expect_err("a damaged layer");
    assert_eq!(error.kind(), Kind::Corrupt, "{}", chain(&error));
    assert_eq!(registry.requests("PUT", "").len(), 0, "{:?}", registry.trace());
}

/// A lab that has the layer of a base from elsewhere, as a plain tar, and has then pulled the base: its blob was not needed. On the base, an image was built.
struct OnBase {
    registry: Registry,
    lab: Lab,
    base: TestImage,
    pulled: Pulled,
    built: Pulled,
}

impl OnBase {
    fn new() -> Self {
        let (registry, lab) = (Registry::start(), Lab::new());
        let base = image(&[3 * MIB]);
        base.put(&registry, "base", "1");
        let below = plain(&base.layers[0]);
        build(&lab, &[&below]);
        let pulled = lab.pull(&registry.name("base:1")).expect("a pull");
        let blob = Digest::sha256(&base.layers[0]);
        assert_eq!(registry.requests("GET", &blob.to_string()).len(), 0);
        let built = build(&lab, &[&below, &tar_of("own", b"own")]);
        registry.forget_requests();
        Self { registry, lab, base, pulled, built }
    }

    fn blob(&self) -> Digest {
        Digest::sha256(&self.base.layers[0])
    }
}

#[test]
fn rc_074_the_layer_of_a_base_is_mounted_as_it_is_there() {
    let case = OnBase::new();
    push(&case.lab, &case.built, &case.registry).expect("a push");
    let layers = pushed_layers(&case.registry, "app");
    assert_eq!(layers[0], case.pulled_layer());
    assert_eq!(case.registry.blob("app", &case.blob()).as_ref(), Some(&case.base.layers[0]));
    assert_eq!(case.registry.requests("POST", "from=base").len(), 1);
    assert_eq!(case.registry.requests("GET", &case.blob().to_string()).len(), 0);
    assert_eq!(case.lab.store.blobs().size(&case.blob()).expect("a look"), None);
    // Into the very repository that the base is in, nothing has to be done for it at all.
    case.registry.forget_requests();
    case.lab.push(&case.built, &[case.registry.name("base:2")]).expect("a push");
    assert_eq!(case.registry.requests("POST", &case.blob().to_string().replace(':', "%3A")).len(), 0);
}

#[test]
fn rc_074_the_layer_of_a_base_from_another_registry_goes_through() {
    let case = OnBase::new();
    let other = Registry::start();
    push(&case.lab, &case.built, &other).expect("a push");
    assert_eq!(pushed_layers(&other, "app")[0], case.pulled_layer());
    assert_eq!(other.blob("app", &case.blob()).as_ref(), Some(&case.base.layers[0]));
    assert_eq!(case.registry.requests("GET", &case.blob().to_string()).len(), 1);
    assert_eq!(case.lab.store.blobs().size(&case.blob()).expect("a look"), None, "it is not kept on the way");
}

#[test]
fn rc_083_an_image_of_which_a_blob_never_came_is_pushed_byte_for_byte() {
    let case = OnBase::new();
    let other = Registry::start();
    let pushed = case.lab.push(&case.pulled, &[other.name("base:1")]).expect("a push");
    assert_eq!(pushed.manifest.digest, Digest::sha256(&case.base.manifest));
    assert_eq!(other.blob("base", &case.blob()).as_ref(), Some(&case.base.layers[0]));
}

#[test]
fn rc_074_the_layer_of_a_base_that_is_nowhere_is_compressed() {
    let case = OnBase::new();
    case.registry.state.blobs.lock().expect("no panic").clear();
    let other = Registry::start();
    push(&case.lab, &case.built, &other).expect("a push");
    let layers = pushed_layers(&other, "app");
    assert_ne!(layers[0].digest, case.blob());
    let blob = other.blob("app", &layers[0].digest).expect("the blob");
    assert!(plain(&blob) == plain(&case.base.layers[0]));
}

impl OnBase {
    /// The layer as the base's manifest has it.
    fn pulled_layer(&self) -> Descriptor {
        let manifest = Raw::<Manifest>::parse("manifest", self.base.manifest.clone()).expect("a manifest");
        manifest.value().layers[0].clone()
    }
}
