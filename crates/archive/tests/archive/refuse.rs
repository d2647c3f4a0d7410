//! What is refused; and that nothing is there afterwards.

use base::{Cancel, Classified, Events, Kind};
use image::{Descriptor, DiffId, Digest, MediaType};

use crate::support::*;

/// Loading fails with such words, and leaves nothing that can be seen.
fn refused(what: &str, bytes: &[u8], expected: &str) -> archive::ArchiveError {
    let place = Place::new();
    let error = match place.load(bytes) {
        Ok(loaded) => panic!("{what}: {loaded:?}"),
        Err(error) => error,
    };
    let text = chain(&error);
    assert!(text.contains(expected), "{what}: {text}");
    assert!(!text.contains(|character: char| character.is_control()), "{what}: {text:?}");
    assert_eq!(place.listed(), (vec![], vec![]), "{what}");
    error
}

fn docker(images: &serde_json::Value) -> Tar {
    let plain = layer_tar("a", b"1");
    let config = config(&[DiffId(Digest::sha256(&plain))], "A=1");
    Tar::new().file("config", config.bytes()).file("layer", plain).file("manifest.json", images.to_string())
}

#[test]
fn st_010_what_manifest_json_says_must_fit() {
    let other = layer_tar("b", b"2");
    let good = serde_json::json!([{ "Config": "config", "RepoTags": ["a:1"], "Layers": ["layer"] }]);
    assert_eq!(Place::new().loaded(&docker(&good).bytes()).len(), 1);
    for (what, images, expected) in [
        ("a null member", serde_json::json!([null]), "manifest.json"),
        ("no list", serde_json::json!({}), "manifest.json"),
        ("no config", serde_json::json!([{ "Layers": [] }]), "missing field `Config`"),
        (
            "too few layers",
            serde_json::json!([{ "Config": "config", "Layers": null }]),
            "has 0 layers, its config config has 1",
        ),
        (
            "too many layers",
            serde_json::json!([{ "Config": "config", "Layers": ["layer", "layer"] }]),
            "has 2 layers",
        ),
        (
            "another layer",
            serde_json::json!([{ "Config": "config", "Layers": ["other"] }]),
            "other should be the layer sha256:",
        ),
        (
            "a tag without a tag",
            serde_json::json!([{ "Config": "config", "Layers": ["layer"], "RepoTags": ["a"] }]),
            "has no tag",
        ),
        (
            "a layer that is none",
            serde_json::json!([{ "Config": "config", "Layers": ["config"] }]),
            "cannot load config of the archive",
        ),
        (
            "a config that is a layer",
            serde_json::json!([{ "Config": "layer", "Layers": ["layer"] }]),
            "layer is a tar",
        ),
        (
            "keys in another case",
            serde_json::json!([{ "Config": "config", "Layers": ["layer"], "LAYERS": ["other"] }]),
            "case",
        ),
        (
            "a key in another case",
            serde_json::json!([{ "Config": "config", "Layers": ["layer"], "repoTags": ["a:1"] }]),
            "repoTags",
        ),
        (
            "a layer that is not there",
            serde_json::json!([{ "Config": "config", "Layers": ["\u{1b}[1m"] }]),
            "is not in the archive",
        ),
        ("no image", serde_json::json!([]), "there is no image in it"),
        (
            "one name for two",
            serde_json::json!([
                { "Config": "config", "RepoTags": ["a:1"], "Layers": ["layer"] },
                { "Config": "config2", "RepoTags": ["docker.io/library/a:1"], "Layers": ["layer"] },
            ]),
            "two images in it have the name a:1",
        ),
    ] {
        let second = config(&[DiffId(Digest::sha256(&layer_tar("a", b"1")))], "A=2");
        let tar = docker(&images).file("other", &other).file("config2", second.bytes());
        refused(what, &tar.bytes(), expected);
    }
}

#[test]
fn st_011_nothing_leads_out_of_the_archive() {
    let images = |layer: &str| serde_json::json!([{ "Config": "config", "Layers": [layer] }]);
    let (inside, outside) = (docker(&images("link")), docker(&images("../layer")));
    refused("a path upwards", &outside.bytes(), "leads upwards");
    refused("an absolute path", &docker(&images("/etc/passwd")).bytes(), "absolute");
    let tar = |link: &dyn Fn(Tar) -> Tar| link(inside.clone()).bytes();
    refused("a link upwards", &tar(&|tar| tar.symlink("link", "../layer")), "leads out of the archive");
    refused("an absolute link", &tar(&|tar| tar.symlink("link", "/etc/passwd")), "absolute target");
    refused("a hard link upwards", &tar(&|tar| tar.hardlink("link", "../../etc/passwd")), "leads upwards");
    refused("a link to itself", &tar(&|tar| tar.symlink("link", "link")), "too many links");
    refused(
        "a link to nowhere",
        &tar(&|tar| tar.symlink("link", "nowhere")),
        "leads to nowhere, which is no file",
    );
    refused(
        "a link to a directory",
        &tar(&|tar| tar.symlink("link", "d").directory("d/")),
        "which is no file",
    );
    refused("a name upwards", &tar(&|tar| tar.file("../x", "")), "leads upwards");
    refused("an absolute name", &tar(&|tar| tar.file("/x", "")), "absolute name");
    let chain = |length: usize| {
        let tar = (1..length).fold(inside.clone(), |tar, number| {
            tar.symlink(format!("l{number}"), &format!("l{}", number + 1))
        });
        tar.symlink("link", "l1").hardlink(format!("l{length}"), "layer").bytes()
    };
    assert_eq!(Place::new().loaded(&chain(10)).len(), 1);
    refused("a long chain", &chain(20), "too many links");
}

#[test]
fn st_012_documents_have_limits() {
    let blanks = " ".repeat(21 << 20);
    let tar = Tar::new().file("manifest.json", format!("[{blanks}]"));
    let error = refused("manifest.json", &tar.bytes(), "larger than the limit");
    assert_eq!(error.kind(), Kind::TooLarge);
    let images = serde_json::json!([{ "Config": "config", "Layers": ["layer"] }]);
    let tar = docker(&images).changed("config", |config| [config, &vec![b' '; 9 << 20]].concat());
    refused("config", &tar.bytes(), "config is larger than the limit");
    let tar = layout(&[], &[]).changed("index.json", |index| [index, &vec![b' '; 5 << 20]].concat());
    refused("index.json", &tar.bytes(), "index.json is larger than the limit");
}

#[test]
fn st_014_archives_of_the_beginnings() {
    let (tar, _) = legacy();
    refused("repositories alone", &tar.without("manifest.json").bytes(), "docker before 1.10");
    refused("a root filesystem", &layer_tar("etc/passwd", b"root"), "neither index.json nor manifest.json");
    refused("nothing", b"", "it is empty");
    refused("an empty tar", &[0; 10240], "neither index.json nor manifest.json");
    refused("no tar", &noise(4096), "it is not a tar");
}

#[test]
fn st_022c_two_files_of_one_name_must_be_the_same() {
    let images = serde_json::json!([{ "Config": "config", "Layers": ["layer"] }]);
    for (what, tar) in [
        ("manifest.json", docker(&images).file("manifest.json", "[]")),
        ("./manifest.json", docker(&images).file("./manifest.json", "[]")),
        ("a layer", docker(&images).file("layer", layer_tar("b", b"2"))),
        ("a layer and text", docker(&images).file("layer", "text")),
        ("a file and a link", docker(&images).symlink("layer", "config")),
        ("a file and a directory", docker(&images).directory("layer/")),
    ] {
        refused(what, &tar.bytes(), "is in it twice, with different contents");
    }
    let again = docker(&images).file("layer", layer_tar("a", b"1"));
    assert_eq!(Place::new().loaded(&again.bytes()).len(), 1);
}

#[test]
fn st_030_st_031_layouts_that_mean_two_things_or_none() {
    let plain = layer_tar("a", b"1");
    let diff_id = DiffId(Digest::sha256(&plain));
    let layers = [(MediaType::OCI_LAYER, plain.clone(), diff_id)];
    let good = layout(&layers, &[]);
    let version = good.clone().changed("oci-layout", |_| br#"{"imageLayoutVersion":"2.0.0"}"#.to_vec());
    refused("another version", &version.bytes(), "of version 2.0.0");
    refused("no index", &good.clone().without("index.json").bytes(), "without an index.json");
    let index = |descriptor: Descriptor| {
        good.clone().changed("index.json", |_| index_of(&[(descriptor.clone(), &[])]))
    };
    let (_, manifest) = image_blobs(Tar::new(), &layers, "A=1");
    // CVE-2021-41190: what a document is called and what it is.
    let as_index = Descriptor { media_type: MediaType::OCI_INDEX, ..manifest.clone() };
    refused(
        "a manifest called an index",
        &index(as_index).bytes(),
        "is the manifest of one image, and is described as",
    );
    let longer = Descriptor { size: manifest.size + 1, ..manifest.clone() };
    refused("another size", &index(longer).bytes(), "bytes, and should have");
    let absent = Descriptor::new(MediaType::OCI_MANIFEST, Digest::sha256(b"absent"), 6);
    refused("no manifest", &index(absent).bytes(), "is not in it");
    // CVE-2024-3727: a digest that is a path.
    let wild = good.clone().changed("index.json", |index| {
        String::from_utf8_lossy(index).replace(&manifest.digest.to_string(), "sha256:../../x").into_bytes()
    });
    refused("a digest that is a path", &wild.bytes(), "is not a digest");

    let (two, second) = image_blobs(good.clone(), &layers, "A=2");
    let same: &[(&str, &str)] = &[("org.opencontainers.image.ref.name", "a:1")];
    let ambiguous =
        two.changed("index.json", |_| index_of(&[(manifest.clone(), same), (second.clone(), same)]));
    refused("one name for two images", &ambiguous.bytes(), "two images in it have the name a:1");

    let counts = layout(&[], &[]);
    let more = image::Raw::write(image::Manifest::oci(
        config(&[], "A=1").descriptor(MediaType::OCI_CONFIG),
        vec![Descriptor::new(MediaType::OCI_LAYER, diff_id.0, plain.len() as u64)],
    ))
    .expect("a manifest");
    let counts = counts
        .blob(&plain)
        .blob(more.bytes())
        .changed("index.json", |_| index_of(&[(more.descriptor(MediaType::OCI_MANIFEST), &[])]));
    refused("more layers than DiffIDs", &counts.bytes(), "has 1 layers, its config");
    let lie = layout(&[(MediaType::OCI_LAYER, plain, DiffId(Digest::sha256(b"another")))], &[]);
    refused("another DiffID", &lie.bytes(), "should be the layer sha256:");
}

#[test]
fn truncated_archives_are_refused_wherever_they_end() {
    let (tar, _) = legacy();
    let plain = layer_tar("a", b"1");
    let oci = layout(&[(MediaType::OCI_LAYER_GZIP, gzip(&plain), DiffId(Digest::sha256(&plain)))], &[]);
    for (what, tar) in [("docker", tar.without("repositories")), ("OCI", oci)] {
        let bytes = tar.bytes();
        // The end mark and the padding before it carry nothing.
        let contents = bytes.len() - 1024 - 511;
        for length in (0..contents).step_by(1021) {
            refused(&format!("{what}, {length} bytes"), &bytes[..length], "archive");
        }
        let packed = gzip(&bytes);
        for length in (0..packed.len() - 1).step_by(211) {
            refused(&format!("{what} in gzip, {length} bytes"), &packed[..length], "archive");
        }
    }
}

#[test]
fn damage_is_found_wherever_it_is() {
    let plain = layer_tar("a", &noise(3000));
    let tar = layout(&[(MediaType::OCI_LAYER_GZIP, gzip(&plain), DiffId(Digest::sha256(&plain)))], &[]);
    for name in tar.names().iter().filter(|name| name.starts_with("blobs/")) {
        let length = tar.get(name).len();
        for place in (0..length).step_by(length / 7 + 1) {
            let damaged = tar.clone().changed(name, |bytes| {
                let mut bytes = bytes.to_vec();
                bytes[place] ^= 0x10;
                bytes
            });
            let error = refused(&format!("{name} at {place}"), &damaged.bytes(), name);
            assert!(matches!(error.kind(), Kind::Corrupt | Kind::Invalid), "{error}");
        }
    }
    // docker names configs by their digests too.
    let (tar, image) = legacy();
    let damaged = tar.changed(&format!("{}.json", image.0.hex()), |bytes| {
        String::from_utf8_lossy(bytes).replace("A=1", "A=2").into_bytes()
    });
    refused("a config", &damaged.bytes(), "has the digest sha256:");
}

#[test]
fn a_bad_image_spoils_the_good_one_before_it() {
    let place = Place::new();
    let items = place.two_images();
    let (bytes, manifests) = place.save(&items, GZIP);
    let path = format!("blobs/sha256/{}", manifests[1].digest.hex());
    let tar = Tar::read(&bytes).without(&path);
    refused("the second manifest is missing", &tar.bytes(), "is not in it");
}

#[test]
fn loading_stops_when_it_is_cancelled() {
    let place = Place::new();
    let (bytes, _) = place.save(&place.two_images(), GZIP);
    let cancel = Cancel::new();
    cancel.cancel();
    let other = Place::new();
    let stream = Box::new(std::io::Cursor::new(bytes));
    let error = archive::load::load(&other.store, &other.lease, stream, None, &Events::none(), &cancel)
        .expect_err("cancelled");
    assert_eq!(error.kind(), Kind::Cancelled);
    assert_eq!(other.listed(), (vec![], vec![]));
}
