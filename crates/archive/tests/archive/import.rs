//! Importing root filesystems.

use archive::import::Request;
use image::{ContainerConfig, DiffId, Digest, MediaType, Platform};

use crate::support::*;

fn request() -> Request {
    Request {
        name: Some(reference("base:1")),
        config: ContainerConfig { cmd: Some(vec!["/bin/sh".to_owned()]), ..ContainerConfig::default() },
        message: "Imported from -".to_owned(),
        platform: Platform::new("linux", "arm64", None),
    }
}

/// A tar whose newest entry is from then.
fn rootfs(newest: u64) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, mtime) in [("etc/hostname", newest), ("hello", 5)] {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_mtime(mtime);
        header.set_size(5);
        tar.append_data(&mut header, name, &b"hello"[..]).expect("an entry");
    }
    tar.into_inner().expect("a tar")
}

#[test]
fn st_042_a_root_filesystem_becomes_an_image() {
    let place = Place::new();
    let tar = rootfs(1_700_000_000);
    let imported = place.import(&tar, &request()).expect("an image");
    assert_eq!(imported.warnings, Vec::<String>::new());
    let config = place.config_of(&imported.image);
    let config = config.value();
    let created = Some("2023-11-14T22:13:20Z".to_owned());
    assert_eq!(config.created.map(|created| created.to_string()), created);
    assert_eq!(config.rootfs.diff_ids, [DiffId(Digest::sha256(&tar))]);
    assert_eq!(config.config, request().config);
    assert_eq!((config.os.as_str(), config.architecture.as_str()), ("linux", "arm64"));
    let [step] = config.history.as_slice() else { panic!("{:?}", config.history) };
    assert_eq!(
        (step.comment.as_str(), step.created_by.as_str(), step.empty_layer),
        ("Imported from -", "", false)
    );
    assert_eq!(step.created.map(|created| created.to_string()), created);
    assert_eq!(place.listed(), (vec![imported.image], vec![("base:1".to_owned(), imported.image)]));
    // The same everywhere, and whenever.
    let again = Place::new().import(&tar, &request()).expect("an image");
    assert_eq!(again, imported);
}

#[test]
fn st_042_times_that_cannot_be_written_are_clamped_and_nothing_has_the_fixed_time() {
    for (tar, expected) in [
        (rootfs(1 << 32), "2106-02-07T06:28:16Z"),
        (rootfs(300_000_000_000), "9999-12-31T23:59:59Z"),
        (vec![0; 1024], "1980-01-02T00:00:00Z"),
    ] {
        let place = Place::new();
        let imported = place.import(&tar, &Request { name: None, ..request() }).expect("an image");
        let created = place.config_of(&imported.image).value().created.map(|created| created.to_string());
        assert_eq!(created.as_deref(), Some(expected));
        assert_eq!(place.listed().1, vec![]);
    }
}

#[test]
fn st_043_gzip_and_zstd_stay_as_they_are() {
    let tar = rootfs(1_700_000_000);
    let plain = Digest::sha256(&tar);
    for (what, bytes, media_type, kept) in [
        ("plain", tar.clone(), MediaType::OCI_LAYER, true),
        ("gzip", gzip(&tar), MediaType::OCI_LAYER_GZIP, true),
        ("zstd", zstd(&tar), MediaType::OCI_LAYER_ZSTD, true),
        ("xz", filter("xz", &tar), MediaType::OCI_LAYER, false),
        ("bzip2", filter("bzip2", &tar), MediaType::OCI_LAYER, false),
    ] {
        let place = Place::new();
        let imported =
            place.import(&bytes, &request()).unwrap_or_else(|error| panic!("{what}: {}", chain(&error)));
        let manifest = place.store.images().manifest(&imported.manifest).expect("a manifest");
        let [layer] = manifest.value().layers.as_slice() else { panic!("{what}: {manifest:?}") };
        let digest = if kept { Digest::sha256(&bytes) } else { plain };
        assert_eq!((&layer.media_type, layer.digest), (&media_type, digest), "{what}");
        assert_eq!(place.config_of(&imported.image).value().rootfs.diff_ids, [DiffId(plain)], "{what}");
        assert!(place.tar_of(DiffId(plain)) == tar, "{what}");
    }
}

#[test]
fn st_043_an_import_is_saved_compressed() {
    let place = Place::new();
    let imported = place.import(&rootfs(0), &request()).expect("an image");
    let names = vec![reference("base:1")];
    let item = archive::save::Item::of_image(imported.image, imported.manifest, names);
    let (bytes, manifests) = place.save(&[item], GZIP);
    let loaded = Place::new().loaded(&bytes);
    assert_eq!((loaded[0].image, &loaded[0].manifest), (imported.image, &manifests[0]));
    let manifest = Tar::read(&bytes).json(&format!("blobs/sha256/{}", manifests[0].digest.hex()));
    assert_eq!(manifest["layers"][0]["mediaType"], MediaType::OCI_LAYER_GZIP.as_str());
}

#[test]
fn what_is_no_root_filesystem_is_refused_or_told() {
    let whole = rootfs(0);
    for (what, bytes) in [
        ("nothing", Vec::new()),
        ("no tar", noise(4000)),
        ("cut in contents", whole[..514].to_vec()),
        ("cut behind an entry", whole[..1024].to_vec()),
        ("cut in a header", whole[..1500].to_vec()),
        ("cut before the end mark", whole[..2048].to_vec()),
        ("cut behind an entry, then compressed", gzip(&whole[..1024])),
        ("truncated gzip", gzip(&whole)[..60].to_vec()),
        ("a name upwards", layer_tar("../x", b"1")),
    ] {
        let place = Place::new();
        let error =
            place.import(&bytes, &request()).map(|imported| panic!("{what}: {imported:?}")).unwrap_err();
        assert!(!chain(&error).is_empty());
        assert_eq!(place.listed(), (vec![], vec![]), "{what}");
    }
    let place = Place::new();
    let (archive, _) = place.save(&place.two_images(), GZIP);
    let imported = Place::new().import(&archive, &request()).expect("a tar");
    assert!(
        imported.warnings.iter().any(|warning| warning.contains("`lap load`")),
        "{:?}",
        imported.warnings
    );
}
