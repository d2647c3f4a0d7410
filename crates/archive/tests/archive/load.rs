//! Loading: the shapes that are found in the wild.

use image::{Descriptor, DiffId, Digest, ImageId, MediaType, Platform};

use std::collections::BTreeSet;
use std::io::Read;

use base::{Cancel, Events};

use crate::support::*;

fn names_of(loaded: &archive::load::Loaded) -> Vec<String> {
    loaded.names.iter().map(image::Reference::familiar).collect()
}

#[test]
fn our_own_archive_comes_back_whole() {
    let place = Place::new();
    let items = place.two_images();
    let (bytes, manifests) = place.save(&items, GZIP);
    let other = Place::new();
    let loaded = other.loaded(&bytes);
    assert_eq!(loaded.len(), 2);
    for ((loaded, item), manifest) in loaded.iter().zip(&items).zip(&manifests) {
        assert_eq!((loaded.image, &loaded.manifest, &loaded.names), (item.image, manifest, &item.names));
        assert_eq!(loaded.moved, []);
        for diff_id in &other.config_of(&loaded.image).value().rootfs.diff_ids {
            assert!(other.tar_of(*diff_id) == place.tar_of(*diff_id));
        }
    }
    // And goes out again with the same bytes.
    let items: Vec<_> = loaded
        .into_iter()
        .map(|loaded| archive::save::Item::of_image(loaded.image, loaded.manifest, loaded.names))
        .collect();
    assert!(other.save(&items, GZIP).0 == bytes);
}

#[test]
fn st_001_legacy_docker() {
    let (tar, image) = legacy();
    let place = Place::new();
    let loaded = place.loaded(&tar.bytes());
    assert_eq!((loaded.len(), loaded[0].image, names_of(&loaded[0])), (1, image, vec!["app:1".to_owned()]));
    let diff_ids = &place.config_of(&image).value().rootfs.diff_ids.clone();
    assert!(place.tar_of(diff_ids[2]) == layer_tar("a", b"1"));
    // The manifest is ours, and the same everywhere.
    assert_eq!(Place::new().loaded(&tar.bytes()), loaded);
}

#[test]
fn st_002_docker_25_with_an_image_that_the_index_forgets() {
    // Plain layers named by their DiffIDs; an untagged image is in manifest.json alone.
    let [one, two] = [layer_tar("a", b"1"), layer_tar("b", b"2")];
    let [one_id, two_id] = [&one, &two].map(|bytes| DiffId(Digest::sha256(bytes)));
    let (tar, manifest) = image_blobs(Tar::new(), &[(MediaType::OCI_LAYER, one, one_id)], "A=1");
    let forgotten = config(&[one_id, two_id], "A=2");
    let path = |digest: &Digest| format!("blobs/sha256/{}", digest.hex());
    let known = config(&[one_id], "A=1");
    let docker = serde_json::json!([
        { "Config": path(&known.digest()), "RepoTags": ["app:1"], "Layers": [path(&one_id.0)],
          "LayerSources": { one_id.to_string(): { "mediaType": MediaType::OCI_LAYER.as_str() } } },
        { "Config": path(&forgotten.digest()), "RepoTags": null, "Layers": [path(&one_id.0), path(&two_id.0)] },
    ]);
    let annotations: &[(&str, &str)] = &[
        ("io.containerd.image.name", "docker.io/library/app:1"),
        ("org.opencontainers.image.ref.name", "1"),
    ];
    let tar = tar
        .directory("blobs/")
        .directory("blobs/sha256/")
        .blob(&two)
        .blob(forgotten.bytes())
        .file("index.json", index_of(&[(manifest.clone(), annotations)]))
        .file("manifest.json", docker.to_string())
        .file("oci-layout", r#"{"imageLayoutVersion": "1.0.0"}"#)
        .file("repositories", r#"{"app":{"1":"x"}}"#);
    let loaded = Place::new().loaded(&tar.bytes());
    assert_eq!(loaded.len(), 2);
    assert_eq!((&loaded[0].manifest, names_of(&loaded[0])), (&manifest, vec!["app:1".to_owned()]));
    assert_eq!((loaded[1].image, names_of(&loaded[1])), (ImageId(forgotten.digest()), vec![]));
}

#[test]
fn st_005_st_006_crane_and_its_like() {
    // A config named by its digest with a colon, compressed layers, one of them listed twice, one a hard link.
    let plain = layer_tar("a", b"1");
    let diff_id = DiffId(Digest::sha256(&plain));
    let config = config(&[diff_id; 3], "A=1");
    let layer = gzip(&plain);
    let name = format!("{}.tar.gz", Digest::sha256(&layer).hex());
    let docker = serde_json::json!([
        { "Config": config.digest().to_string(), "RepoTags": null, "Layers": [&name, &name, "again.tar.gz"] }
    ]);
    let tar = Tar::new()
        .file(config.digest().to_string(), config.bytes())
        .file(&name, &layer)
        .hardlink("again.tar.gz", &format!("./{name}"))
        .file("manifest.json", docker.to_string());
    let place = Place::new();
    let loaded = place.loaded(&tar.bytes());
    assert_eq!((loaded[0].image, names_of(&loaded[0])), (ImageId(config.digest()), vec![]));
    // The compressed blob is kept.
    let manifest = place.store.images().manifest(&loaded[0].manifest).expect("a manifest");
    assert_eq!(manifest.value().layers[0].digest, Digest::sha256(&layer));
    assert_eq!(manifest.value().layers[0].media_type, MediaType::OCI_LAYER_GZIP);
}

#[test]
fn st_007_any_compression_outside_and_inside() {
    let plain = layer_tar("a", &noise(50_000));
    let diff_id = DiffId(Digest::sha256(&plain));
    let squeeze = |kind: &str, bytes: &[u8]| match kind {
        "gzip" => gzip(bytes),
        "zstd" => zstd(bytes),
        other => filter(other, bytes),
    };
    for kind in ["gzip", "zstd", "xz", "bzip2"] {
        let layer = squeeze(kind, &plain);
        let tar = layout(&[(MediaType::OCI_LAYER, layer.clone(), diff_id)], &[]);
        let place = Place::new();
        let loaded = place.loaded(&squeeze(kind, &tar.bytes()));
        let manifest = place.store.images().manifest(&loaded[0].manifest).expect("a manifest");
        let blob = &manifest.value().layers[0];
        let expected = match kind {
            // What registries take is kept as it came, with its manifest; the others are unpacked (ST-043).
            "gzip" | "zstd" => Digest::sha256(&layer),
            _ => diff_id.0,
        };
        assert_eq!(blob.digest, expected, "{kind}");
        assert!(place.tar_of(diff_id) == plain, "{kind}");

        // In a docker archive, under a name that says nothing.
        let config = config(&[diff_id], "A=1");
        let docker =
            serde_json::json!([{ "Config": "config.json", "RepoTags": ["a:1"], "Layers": ["layer"] }]);
        let tar = Tar::new()
            .file("layer", &layer)
            .file("config.json", config.bytes())
            .file("manifest.json", docker.to_string());
        assert_eq!(Place::new().loaded(&tar.bytes())[0].image, ImageId(config.digest()), "{kind}");
    }
}

#[test]
fn st_013_the_index_counts_and_manifest_json_gives_names() {
    let place = Place::new();
    let items = place.two_images();
    let (bytes, manifests) = place.save(&items, GZIP);
    let tar = Tar::read(&bytes);
    let bare = index_of(&[(manifests[0].clone(), &[("org.opencontainers.image.ref.name", "1")])]);
    let tar = tar.changed("index.json", |_| bare.clone());
    let loaded = Place::new().loaded(&tar.bytes());
    assert_eq!(loaded[0].manifest, manifests[0]);
    assert_eq!(loaded[0].names, items[0].names);
    // The second image is in manifest.json alone now.
    assert_eq!((loaded.len(), loaded[1].image), (2, items[1].image));
}

#[test]
fn st_016_a_name_that_moves_is_told() {
    let place = Place::new();
    let [item, _] = place.two_images();
    let (bytes, _) = place.save(std::slice::from_ref(&item), GZIP);
    let other = Place::new();
    let before = other.build(&[other.layer(&[("x", b"y")])], "A=3", &["app:1", "kept:1"]);
    let loaded = other.loaded(&bytes);
    assert_eq!(loaded[0].moved, [(reference("app:1"), before.image)]);
    assert_eq!(
        other.listed().1,
        [
            ("app:1".to_owned(), item.image),
            ("kept:1".to_owned(), before.image),
            ("localhost:5000/app:one".to_owned(), item.image)
        ]
    );
    // The same again moves nothing.
    assert_eq!(other.loaded(&bytes)[0].moved, []);
}

#[test]
fn st_022b_st_035_any_order_and_dots_before_names() {
    let place = Place::new();
    let items = place.two_images();
    let (bytes, _) = place.save(&items, GZIP);
    let expected = Place::new().loaded(&bytes);
    let tar = Tar::read(&bytes);
    for (what, tar) in [
        ("blobs first", tar.clone().reversed()),
        ("dots", tar.clone().dotted()),
        ("both", tar.clone().reversed().dotted()),
        ("OCI alone", tar.clone().without("manifest.json")),
        ("OCI alone, blobs first", tar.clone().without("manifest.json").reversed()),
        ("the same twice", tar.clone().file("./manifest.json", tar.get("manifest.json"))),
        ("other files", tar.clone().file("README", "text").symlink("link", "nowhere").directory("d/")),
    ] {
        assert_eq!(Place::new().loaded(&tar.bytes()), expected, "{what}");
    }
    // manifest.json alone: the same images and names, with manifests of our own.
    let docker = Place::new().loaded(&tar.without("oci-layout").without("index.json").reversed().bytes());
    let short = |loaded: &[archive::load::Loaded]| {
        loaded.iter().map(|loaded| (loaded.image, names_of(loaded))).collect::<Vec<_>>()
    };
    assert_eq!(short(&docker), short(&expected));
}

#[test]
fn st_058_bytes_behind_the_end_of_a_layer_belong_to_it() {
    let plain = [layer_tar("a", b"1"), b"trailing".to_vec()].concat();
    let diff_id = DiffId(Digest::sha256(&plain));
    let tar = layout(&[(MediaType::OCI_LAYER_GZIP, gzip(&plain), diff_id)], &[]);
    let place = Place::new();
    place.loaded(&tar.bytes());
    assert!(place.tar_of(diff_id) == plain);
}

#[test]
fn st_003_st_030_a_nested_index_gives_the_image_for_this_machine() {
    let host = Platform::host();
    let other = Platform::new("linux", if host.architecture == "s390x" { "amd64" } else { "s390x" }, None);
    let plain = layer_tar("a", b"1");
    let layers = [(MediaType::OCI_LAYER_GZIP, gzip(&plain), DiffId(Digest::sha256(&plain)))];
    let (tar, mut mine) = image_blobs(Tar::new(), &layers, "A=1");
    mine.platform = Some(host);
    // A variant whose blobs are not there, and an attestation.
    let mut absent = Descriptor::new(MediaType::OCI_MANIFEST, Digest::sha256(b"absent"), 6);
    absent.platform = Some(other.clone());
    let mut attestation = Descriptor::new(MediaType::OCI_MANIFEST, Digest::sha256(b"x"), 1);
    attestation.platform =
        Some(Platform { os: "unknown".into(), architecture: "unknown".into(), ..Platform::default() });
    let nested = |manifests: Vec<Descriptor>| {
        let index = image::Raw::write(image::Index::oci(manifests)).expect("an index");
        (index.bytes().to_vec(), index.descriptor(MediaType::OCI_INDEX))
    };
    let named: &[(&str, &str)] = &[("io.containerd.image.name", "docker.io/library/a:1")];
    let whole = |(bytes, descriptor): (Vec<u8>, Descriptor)| {
        tar.clone()
            .blob(&bytes)
            .file("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#)
            .file("index.json", index_of(&[(descriptor, named)]))
    };
    let archive = whole(nested(vec![absent.clone(), mine.clone(), attestation]));
    let loaded = Place::new().loaded(&archive.bytes());
    assert_eq!(
        (loaded.len(), loaded[0].manifest.digest, names_of(&loaded[0])),
        (1, mine.digest, vec!["a:1".to_owned()])
    );

    // Variants side by side under one name, without an index of their own.
    let flat = tar
        .clone()
        .file("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#)
        .file("index.json", index_of(&[(absent.clone(), named), (mine.clone(), named)]));
    assert_eq!(Place::new().loaded(&flat.bytes())[0].manifest.digest, mine.digest);

    // An index of one image gives that, whatever it is for; one of others says what there is.
    mine.platform = Some(other.clone());
    assert_eq!(
        Place::new().loaded(&whole(nested(vec![mine.clone()])).bytes())[0].manifest.digest,
        mine.digest
    );
    absent.platform = Some(Platform::new("linux", "ppc64le", None));
    let error =
        Place::new().load(&whole(nested(vec![mine, absent])).bytes()).expect_err("nothing for this machine");
    assert!(error.to_string().contains(&format!("there is {other}, linux/ppc64le")), "{error}");
}

#[test]
fn st_003_an_index_that_is_whole_is_loaded_with_all_its_images() {
    let host = Platform::host();
    let other = Platform::new("linux", if host.architecture == "s390x" { "amd64" } else { "s390x" }, None);
    let mut tar = Tar::new().file("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#);
    let mut entries = Vec::new();
    for (text, platform) in [("other", &other), ("mine", &host)] {
        let plain = layer_tar(text, text.as_bytes());
        let layers = [(MediaType::OCI_LAYER_GZIP, gzip(&plain), DiffId(Digest::sha256(&plain)))];
        let (with, mut entry) = image_blobs(tar, &layers, text);
        entry.platform = Some(platform.clone());
        entries.push(entry);
        tar = with;
    }
    let index = image::Raw::write(image::Index::oci(entries.clone())).expect("an index");
    let described = index.descriptor(MediaType::OCI_INDEX);
    let named: &[(&str, &str)] = &[("io.containerd.image.name", "docker.io/library/a:1")];
    let archive = tar.clone().blob(index.bytes()).file("index.json", index_of(&[(described.clone(), named)]));

    let place = Place::new();
    let loaded = place.loaded(&archive.bytes());
    assert_eq!(
        (loaded.len(), loaded[0].manifest.digest),
        (1, entries[1].digest),
        "the name means this one here"
    );
    assert_eq!(loaded[0].index.as_ref().map(|index| index.digest), Some(described.digest));
    let target = place.store.names().list().expect("names")[0].target.clone();
    let variants = place.store.images().variants(&target).expect("variants").expect("an index");
    assert!(variants.is_whole);
    assert_eq!(
        variants.images.iter().map(|one| one.manifest.digest).collect::<Vec<_>>(),
        [entries[0].digest, entries[1].digest]
    );

    // One of them, when it is asked for; and when a layer of the other one was left out.
    let one = |loaded: Vec<archive::load::Loaded>| {
        (loaded.len(), loaded[0].manifest.digest, loaded[0].index.clone())
    };
    let only = Place::new();
    assert_eq!(
        one(only.load_for(&archive.bytes(), Some(&other)).expect("an image")),
        (1, entries[0].digest, None)
    );
    assert_eq!(only.listed().0.len(), 1);
    let layer = Digest::sha256(&gzip(&layer_tar("other", b"other")));
    let part = archive.without(&format!("blobs/sha256/{}", layer.hex()));
    assert_eq!(one(Place::new().loaded(&part.bytes())), (1, entries[1].digest, None));
    // What BuildKit puts beside images, with a config as if it were one: an index with that could not be passed on as a whole.
    let statement =
        (MediaType::new("application/vnd.in-toto+json"), b"{}".to_vec(), DiffId(Digest::sha256(b"{}")));
    let (tar, mut attestation) = image_blobs(tar, &[statement], "statement");
    attestation.platform =
        Some(Platform { os: "unknown".into(), architecture: "unknown".into(), ..Platform::default() });
    let attested =
        image::Raw::write(image::Index::oci([&entries[..], &[attestation]].concat())).expect("an index");
    let index = index_of(&[(attested.descriptor(MediaType::OCI_INDEX), named)]);
    let attested = tar.blob(attested.bytes()).file("index.json", index);
    assert_eq!(one(Place::new().loaded(&attested.bytes())), (1, entries[1].digest, None));
    let windows = Platform::new("windows", "amd64", None);
    let error = Place::new().load_for(&part.bytes(), Some(&windows)).expect_err("there is none");
    assert!(error.to_string().contains("linux/s390x"), "{error}");
}

#[test]
fn st_030_blobs_that_the_store_has_may_be_missing() {
    let place = Place::new();
    let items = place.two_images();
    let (bytes, manifests) = place.save(&items, GZIP);
    let tar = Tar::read(&bytes);
    let layers = tar
        .names()
        .iter()
        .filter(|name| name.len() > "blobs/sha256/".len())
        .map(|name| (*name).to_owned())
        .collect::<Vec<_>>();
    let largest = layers.iter().max_by_key(|name| tar.get(name).len()).expect("a layer");
    let sparse = tar.clone().without(largest).bytes();
    let other = Place::new();
    let error = other.load(&sparse).expect_err("a layer is missing");
    assert!(error.to_string().contains(largest) && error.to_string().contains("is not in it"), "{error}");
    other.loaded(&bytes);
    assert_eq!(other.loaded(&sparse)[0].manifest, manifests[0]);
}

#[test]
fn st_032_what_is_no_image_is_left_out() {
    let plain = layer_tar("a", b"1");
    let layers = [(MediaType::OCI_LAYER_GZIP, gzip(&plain), DiffId(Digest::sha256(&plain)))];
    let (tar, mine) = image_blobs(Tar::new(), &layers, "A=1");
    let empty =
        Descriptor::new(MediaType::new("application/vnd.oci.empty.v1+json"), Digest::sha256(b"{}"), 2);
    let artifact = image::Raw::write(image::Manifest::oci(empty, Vec::new())).expect("a manifest");
    let unknown = Descriptor::new(MediaType::new("application/x"), Digest::sha256(b"x"), 1);
    let tar =
        tar.blob(b"{}").blob(artifact.bytes()).file("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#).file(
            "index.json",
            index_of(&[
                (unknown, &[]),
                (artifact.descriptor(MediaType::OCI_MANIFEST), &[]),
                (mine.clone(), &[]),
            ]),
        );
    let loaded = Place::new().loaded(&tar.bytes());
    assert_eq!((loaded.len(), &loaded[0].manifest), (1, &mine));
}

#[test]
fn st_023_one_pass_over_a_stream_and_no_second_copy() {
    /// A pipe: a few bytes at a time, and no way back.
    struct Pipe(std::io::Cursor<Vec<u8>>);
    impl Read for Pipe {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let most = buffer.len().min(1013);
            self.0.read(&mut buffer[..most])
        }
    }
    let place = Place::new();
    let (bytes, manifests) = place.save(&place.two_images(), GZIP);
    let tar = Tar::read(&bytes);
    for bytes in [bytes, tar.clone().reversed().bytes(), gzip(&tar.bytes())] {
        let other = Place::new();
        let pipe = Box::new(Pipe(std::io::Cursor::new(bytes)));
        let loaded =
            archive::load::load(&other.store, &other.lease, pipe, None, &Events::none(), &Cancel::new())
                .unwrap_or_else(|error| panic!("{}", chain(&error)));
        let found: Vec<_> = loaded.into_iter().map(|loaded| loaded.manifest).collect();
        assert_eq!(found, manifests);
        let stored: BTreeSet<_> = other.store.blobs().list().expect("blobs").into_iter().collect();
        let blobs = tar.names().into_iter().filter(|name| name.len() > "blobs/sha256/".len());
        let expected: BTreeSet<_> =
            blobs.map(|name| (Digest::sha256(tar.get(name)), tar.get(name).len() as u64)).collect();
        assert_eq!(stored, expected);
    }
}

#[test]
fn st_023_what_memory_is_too_small_for_waits_in_the_store() {
    // Its config has more than a megabyte, and so have files that nobody asks for.
    let plain = layer_tar("a", b"1");
    let diff_id = DiffId(Digest::sha256(&plain));
    let config = config(&[diff_id], &format!("A={}", "x".repeat(2 << 20)));
    let images = serde_json::json!([{ "Config": "config", "RepoTags": ["a:1"], "Layers": ["layer"] }]);
    let mut tar = Tar::new();
    for number in 0..12 {
        tar = tar.file(format!("attached-{number}"), noise(1 << 20));
    }
    let tar =
        tar.file("layer", &plain).file("config", config.bytes()).file("manifest.json", images.to_string());
    let place = Place::new();
    assert_eq!(place.loaded(&tar.bytes())[0].image, ImageId(config.digest()));
    assert_eq!(place.config_of(&ImageId(config.digest())).bytes(), config.bytes());
}

#[test]
fn st_023_a_layer_whose_beginning_does_not_show_it_is_found_later() {
    // A block of bzip2 is larger than what is looked at.
    let plain = layer_tar("a", &noise(800_000));
    let diff_id = DiffId(Digest::sha256(&plain));
    let layer = filter("bzip2", &plain);
    assert!(layer.len() > 512 << 10);
    let place = Place::new();
    place.loaded(&layout(&[(MediaType::OCI_LAYER, layer, diff_id)], &[]).bytes());
    assert!(place.tar_of(diff_id) == plain);
    // So is one of no bytes at all.
    let nothing = DiffId(Digest::sha256(b""));
    Place::new().loaded(&layout(&[(MediaType::OCI_LAYER, Vec::new(), nothing)], &[]).bytes());
}

#[test]
fn blobs_may_be_named_by_sha512() {
    let long = |bytes: &[u8]| {
        let mut digester = image::Digester::new(image::Algorithm::Sha512);
        digester.update(bytes);
        digester.finish()
    };
    let path = |digest: &Digest| format!("blobs/{}/{}", digest.algorithm().name(), digest.hex());
    let plain = layer_tar("a", b"1");
    let layer = gzip(&plain);
    let config = config(&[DiffId(Digest::sha256(&plain))], "A=1");
    let archive = |config_digest: Digest| {
        let config_blob = Descriptor::new(MediaType::OCI_CONFIG, config_digest, config.bytes().len() as u64);
        let layer_blob = Descriptor::new(MediaType::OCI_LAYER_GZIP, long(&layer), layer.len() as u64);
        let manifest =
            image::Raw::write(image::Manifest::oci(config_blob, vec![layer_blob])).expect("a manifest");
        let digest = long(manifest.bytes());
        let descriptor = Descriptor::new(MediaType::OCI_MANIFEST, digest, manifest.bytes().len() as u64);
        let tar = Tar::new()
            .file("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#)
            .file("index.json", index_of(&[(descriptor.clone(), &[])]));
        (
            long_names(
                tar.bytes(),
                &[
                    (path(&digest), manifest.bytes()),
                    (path(&long(&layer)), &layer),
                    (path(&config_digest), config.bytes()),
                ],
            ),
            descriptor,
        )
    };
    let place = Place::new();
    let (bytes, manifest) = archive(config.digest());
    let loaded = place.loaded(&bytes).remove(0);
    assert_eq!((loaded.image, &loaded.manifest), (ImageId(config.digest()), &manifest));
    let item = archive::save::Item::of_image(loaded.image, loaded.manifest, loaded.names);
    let (saved, _) = place.save(&[item], GZIP);
    assert_eq!(Place::new().loaded(&saved)[0].manifest, manifest);

    let error = Place::new().load(&archive(long(config.bytes())).0).expect_err("an ID of another sort");
    assert!(error.to_string().contains("IDs are SHA-256"), "{error}");
}

/// Adds files with names of any length to a tar.
fn long_names(tar: Vec<u8>, files: &[(String, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, contents) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(contents.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, *contents).expect("an entry");
    }
    let mut bytes = builder.into_inner().expect("a tar");
    bytes.truncate(bytes.len() - 1024);
    bytes.extend(tar);
    bytes
}
