//! Saving: the shape of what is written.

use base::{Cancel, Events};
use image::{Digest, MediaType};
use layer::Encoding;

use crate::support::*;

#[test]
fn st_020_st_021_one_hybrid_layout_in_order_for_one_pass() {
    let place = Place::new();
    let items = place.two_images();
    let (bytes, manifests) = place.save(&items, GZIP);
    let tar = Tar::read(&bytes);
    let names = tar.names();
    assert_eq!(names[..5], ["oci-layout", "index.json", "manifest.json", "blobs/", "blobs/sha256/"]);
    assert_eq!(tar.get("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#);

    // Manifests, configs, layers; each sort in order, the shared layer once.
    let hex = |digests: &mut Vec<String>| {
        digests.sort();
        digests.dedup();
        digests.iter().map(|digest| format!("blobs/sha256/{digest}")).collect::<Vec<_>>()
    };
    let mut layers = Vec::new();
    for manifest in &manifests {
        let document = tar.json(&format!("blobs/sha256/{}", manifest.digest.hex()));
        for layer in document["layers"].as_array().expect("layers") {
            assert_eq!(layer["mediaType"], MediaType::OCI_LAYER_GZIP.as_str());
            let digest =
                layer["digest"].as_str().and_then(|text| text.strip_prefix("sha256:")).expect("a digest");
            assert_eq!(tar.get(&format!("blobs/sha256/{digest}")).len() as u64, layer["size"]);
            layers.push(digest.to_owned());
        }
    }
    assert_eq!(layers.len(), 3);
    let expected = [
        hex(&mut manifests.iter().map(|manifest| manifest.digest.hex()).collect()),
        hex(&mut items.iter().map(|item| item.image.0.hex()).collect()),
        hex(&mut layers),
    ];
    assert_eq!(names[5..], expected.concat());
    assert_eq!(names.len(), 5 + 2 + 2 + 2);

    // Every blob is what its name says.
    for name in &names[5..] {
        assert_eq!(*name, format!("blobs/sha256/{}", Digest::sha256(tar.get(name)).hex()));
    }
}

#[test]
fn st_020_docker_finds_its_manifest() {
    let place = Place::new();
    let items = place.two_images();
    let (bytes, manifests) = place.save(&items, GZIP);
    let tar = Tar::read(&bytes);
    let docker = tar.json("manifest.json");
    let first = &docker[0];
    assert_eq!(first["Config"], format!("blobs/sha256/{}", items[0].image.0.hex()));
    // Familiar names here, canonical ones in the index.
    assert_eq!(first["RepoTags"], serde_json::json!(["app:1", "localhost:5000/app:one"]));
    assert_eq!(docker[1]["RepoTags"], serde_json::Value::Null);
    let manifest = tar.json(&format!("blobs/sha256/{}", manifests[0].digest.hex()));
    for (path, layer) in
        first["Layers"].as_array().expect("paths").iter().zip(manifest["layers"].as_array().expect("layers"))
    {
        let digest =
            layer["digest"].as_str().and_then(|text| text.strip_prefix("sha256:")).expect("a digest");
        assert_eq!(*path, format!("blobs/sha256/{digest}"));
    }

    let without = archive::save::Options { docker: false, ..GZIP };
    assert!(!Tar::read(&place.save(&items, without).0).names().contains(&"manifest.json"));
}

#[test]
fn st_020c_the_names_in_the_index_are_canonical() {
    let place = Place::new();
    let (bytes, manifests) = place.save(&place.two_images(), GZIP);
    let index = Tar::read(&bytes).json("index.json");
    let entries = index["manifests"].as_array().expect("manifests");
    let described: Vec<_> = entries
        .iter()
        .map(|entry| {
            assert_eq!(entry["platform"], serde_json::json!({"architecture": "amd64", "os": "linux"}));
            let name = |name: &str| entry["annotations"][name].as_str().unwrap_or_default().to_owned();
            let digest = entry["digest"].as_str().expect("a digest").to_owned();
            (digest, name("io.containerd.image.name"), name("org.opencontainers.image.ref.name"))
        })
        .collect();
    let [first, second] = [&manifests[0], &manifests[1]].map(|manifest| manifest.digest.to_string());
    assert_eq!(
        described,
        [
            (first.clone(), "docker.io/library/app:1".to_owned(), "1".to_owned()),
            (first, "localhost:5000/app:one".to_owned(), "one".to_owned()),
            (second, String::new(), String::new()),
        ]
    );
}

#[test]
fn st_015_an_image_that_is_asked_for_twice_is_there_once_with_all_names() {
    let place = Place::new();
    let [item, other] = place.two_images();
    let [one, two] =
        [0, 1].map(|number| archive::save::Item { names: vec![item.names[number].clone()], ..item.clone() });
    let (expected, manifests) = place.save(&[item, other.clone()], GZIP);
    let (bytes, given) = place.save(&[one, other, two], GZIP);
    assert!(bytes == expected);
    assert_eq!(given, [manifests[0].clone(), manifests[1].clone(), manifests[0].clone()]);
}

#[test]
fn st_020d_the_same_images_give_the_same_bytes() {
    let save = |threads| {
        let place = Place::new();
        let items = place.two_images();
        let options = archive::save::Options { threads, ..GZIP };
        let (bytes, _) = place.save(&items, options);
        // Also from the store that has the blobs already.
        assert!(place.save(&items, options).0 == bytes);
        bytes
    };
    let expected = save(1);
    for threads in [2, 3, 8] {
        assert!(save(threads) == expected, "{threads} threads");
    }
}

#[test]
fn st_022_layers_travel_as_asked() {
    let place = Place::new();
    let items = place.two_images();
    for (encoding, media_type) in [
        (Encoding::Plain, MediaType::OCI_LAYER),
        (Encoding::Gzip(6), MediaType::OCI_LAYER_GZIP),
        (Encoding::Zstd(3), MediaType::OCI_LAYER_ZSTD),
    ] {
        let (bytes, manifests) = place.save(&items, archive::save::Options { encoding, ..GZIP });
        let tar = Tar::read(&bytes);
        let manifest = tar.json(&format!("blobs/sha256/{}", manifests[0].digest.hex()));
        assert_eq!(manifest["layers"][0]["mediaType"], media_type.as_str());
        // The manifest of plain layers is the image's own.
        assert_eq!(manifests[0] == items[0].manifest, encoding == Encoding::Plain);
        let other = Place::new();
        let loaded = other.loaded(&bytes);
        assert_eq!(loaded[0].manifest, manifests[0], "{encoding:?}");
        for diff_id in &other.config_of(&loaded[0].image).value().rootfs.diff_ids {
            assert!(other.tar_of(*diff_id) == place.tar_of(*diff_id));
        }
    }
}

#[test]
fn what_came_from_outside_leaves_as_it_came() {
    let plain = layer_tar("a", b"1");
    let diff_id = image::DiffId(Digest::sha256(&plain));
    for (media_type, bytes) in [
        (MediaType::OCI_LAYER_GZIP, gzip(&plain)),
        (MediaType::OCI_LAYER_ZSTD, zstd(&plain)),
        (MediaType::OCI_LAYER, plain.clone()),
        // Docker's own media types stay too.
        (MediaType::DOCKER_LAYER_GZIP, gzip(&plain)),
    ] {
        let tar =
            layout(&[(media_type, bytes, diff_id)], &[("io.containerd.image.name", "docker.io/library/a:1")]);
        let place = Place::new();
        let loaded = place.loaded(&tar.bytes()).remove(0);
        let item = archive::save::Item::of_image(loaded.image, loaded.manifest, loaded.names);
        let (saved, manifests) = place.save(std::slice::from_ref(&item), GZIP);
        assert_eq!(manifests, std::slice::from_ref(&item.manifest));
        let saved = Tar::read(&saved);
        for name in tar.names().iter().filter(|name| name.starts_with("blobs/")) {
            assert_eq!(saved.get(name), tar.get(name));
        }
    }
}

#[test]
fn an_image_that_is_not_whole_is_not_saved() {
    let place = Place::new();
    let [mut item, other] = place.two_images();
    item.manifest = other.manifest;
    let mut bytes = Vec::new();
    let result = archive::save::save(
        &place.store,
        &place.lease,
        &[item],
        GZIP,
        &mut bytes,
        &Events::none(),
        &Cancel::new(),
    );
    let error = result.expect_err("the manifest of another image");
    assert!(error.to_string().contains("is not complete"), "{error}");
    assert!(bytes.is_empty());
}

#[test]
fn saving_stops_when_it_is_cancelled_or_nobody_listens() {
    struct Closed;
    impl std::io::Write for Closed {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let place = Place::new();
    let items = place.two_images();
    let save = |out: &mut dyn std::io::Write, cancel: &Cancel| {
        archive::save::save(&place.store, &place.lease, &items, GZIP, out, &Events::none(), cancel)
    };
    let cancel = Cancel::new();
    cancel.cancel();
    let error = save(&mut Vec::new(), &cancel).expect_err("cancelled");
    assert_eq!(base::Classified::kind(&error), base::Kind::Cancelled);
    let error = save(&mut Closed, &Cancel::new()).expect_err("a broken pipe");
    assert!(matches!(&error, archive::ArchiveError::Stream { action: "write", .. }), "{error}");
}
