//! Copies that are not byte for byte: a part of an index, the other format, other annotations and labels.

use std::collections::BTreeMap;

use base::{Classified, Kind};
use distribution::copy::{Annotation, AnnotationPlace, Format, Wish};
use image::{Algorithm, Config, Descriptor, Digest, Digester, Document, Manifest, MediaType, Platform, Raw};
use serde_json::{Value, json};

use crate::lab::{Lab, chain};
use crate::support::{OCI_INDEX, OCI_MANIFEST, Registry, TestImage, image};

const ATTESTED: &str = "vnd.docker.reference.digest";

/// An entry of an index.
fn entry(bytes: &[u8], architecture: &str) -> Value {
    json!({
        "mediaType": OCI_MANIFEST, "digest": Digest::sha256(bytes).to_string(), "size": bytes.len(),
        "platform": {"os": "linux", "architecture": architecture},
    })
}

/// What BuildKit puts beside an image into its index: a manifest of statements, under a platform that does not exist.
fn put_attestation(registry: &Registry, of: &TestImage) -> (Vec<u8>, Value) {
    let config = registry.add_blob("app", b"{}");
    let statement = registry.add_blob("app", &of.config[..20]);
    let manifest = json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST,
        "config": {"mediaType": MediaType::OCI_CONFIG, "digest": config.to_string(), "size": 2},
        "layers": [{"mediaType": "application/vnd.in-toto+json", "digest": statement.to_string(), "size": 20}],
    });
    let bytes = serde_json::to_vec(&manifest).expect("JSON");
    registry.add_manifest("app", "attestation", OCI_MANIFEST, &bytes);
    let mut entry = entry(&bytes, "unknown");
    entry["platform"]["os"] = "unknown".into();
    entry["annotations"] = json!({
        "vnd.docker.reference.type": "attestation-manifest",
        ATTESTED: Digest::sha256(&of.manifest).to_string(),
    });
    (bytes, entry)
}

/// `app:1`: three images, of which the first and the last are attested.
struct Three {
    images: [TestImage; 3],
    attestations: [Vec<u8>; 2],
    index: Vec<u8>,
}

impl Three {
    fn put(registry: &Registry) -> Self {
        let images = [image(&[10, 300]), image(&[20]), image(&[30])];
        let mut entries = Vec::new();
        for (image, architecture) in images.iter().zip(["amd64", "arm64", "s390x"]) {
            image.put(registry, "app", "unnamed");
            entries.push(entry(&image.manifest, architecture));
        }
        let (first, first_entry) = put_attestation(registry, &images[0]);
        let (last, last_entry) = put_attestation(registry, &images[2]);
        entries.extend([first_entry, last_entry]);
        let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries, "annotations": {"a": "b"}});
        let index = serde_json::to_vec_pretty(&index).expect("JSON");
        registry.add_manifest("app", "1", OCI_INDEX, &index);
        Self { images, attestations: [first, last], index }
    }
}

fn platforms(texts: &[&str]) -> Vec<Platform> {
    texts.iter().map(|text| Platform::parse(text).expect("a platform")).collect()
}

fn index_at(registry: &Registry, tag: &str) -> image::Index {
    let bytes = registry.manifest("app", tag).expect("a document");
    match Document::parse(&bytes).expect("it can be read") {
        Document::Index(index) => index.value().clone(),
        Document::Manifest(_) => panic!("a manifest"),
    }
}

fn manifest_at(registry: &Registry, described: &Descriptor) -> Manifest {
    let bytes = registry.manifest("app", &described.digest.to_string()).expect("a manifest");
    Raw::<Manifest>::parse("manifest", bytes).expect("a manifest").value().clone()
}

#[test]
fn rc_090_some_images_of_an_index_are_an_index_of_their_own() {
    let (from, to, lab) = (Registry::start(), Registry::start(), Lab::new());
    let three = Three::put(&from);
    let wish = |texts: &[&str]| Wish { platforms: platforms(texts), ..Wish::default() };
    let two = wish(&["linux/amd64", "linux/arm64"]);
    let copied = lab.copy(&from.name("app:1"), &to.name("app:2"), &two).expect("a copy");
    assert_eq!(copied.instead_of, Some(Digest::sha256(&three.index)));
    let there = index_at(&to, "2");
    let digests: Vec<Digest> = there.manifests.iter().map(|entry| entry.digest).collect();
    let [first, second, last] = &three.images;
    let kept = [&first.manifest, &second.manifest, &three.attestations[0]];
    assert_eq!(digests, kept.map(|bytes| Digest::sha256(bytes)), "the images, and what attests one of them");
    assert_eq!(there.annotations.get("a").map(String::as_str), Some("b"));
    assert_eq!(to.blob("app", &Digest::sha256(&last.config)), None, "what was not wished was not sent");
    assert!(to.blob("app", &Digest::sha256(&first.layers[1])).is_some());

    // Once more: the same document, and one look at it.
    let again = lab.copy(&from.name("app:1"), &to.name("app:2"), &two).expect("a copy");
    assert!(again.was_there);
    // All of them is what was there, byte for byte.
    let all = wish(&["linux/amd64", "linux/arm64", "linux/s390x"]);
    let copied = lab.copy(&from.name("app:1"), &to.name("app:3"), &all).expect("a copy");
    assert_eq!((copied.instead_of, to.manifest("app", "3")), (None, Some(three.index)));

    let error = lab
        .copy(&from.name("app:1"), &to.name("app:4"), &wish(&["linux/amd64", "windows/amd64"]))
        .expect_err("no such platform");
    assert!(chain(&error).contains("linux/s390x"), "{}", chain(&error));
    from.add_manifest("app", "single", OCI_MANIFEST, &first.manifest);
    let error = lab.copy(&from.name("app:single"), &to.name("app:4"), &two).expect_err("no index");
    assert_eq!(error.kind(), Kind::Unsupported, "{}", chain(&error));
    assert_eq!(to.manifest("app", "4"), None);
}

#[test]
fn rc_098_documents_in_dockers_format_and_back_in_ocis() {
    let (from, to, lab) = (Registry::start(), Registry::start(), Lab::new());
    let three = Three::put(&from);
    let wish = |format: Format| Wish { format: Some(format), ..Wish::default() };
    let copied =
        lab.copy(&from.name("app:1"), &to.name("app:docker"), &wish(Format::Docker)).expect("a copy");
    assert_eq!((copied.instead_of, copied.attestations_left), (Some(Digest::sha256(&three.index)), 2));
    let list = index_at(&to, "docker");
    assert_eq!(list.media_type, Some(MediaType::DOCKER_LIST));
    assert!(list.annotations.is_empty());
    assert_eq!(list.manifests.len(), 3);
    for (entry, image) in list.manifests.iter().zip(&three.images) {
        assert_eq!(entry.media_type, MediaType::DOCKER_MANIFEST);
        let manifest = manifest_at(&to, entry);
        assert_eq!(manifest.media_type, Some(MediaType::DOCKER_MANIFEST));
        assert_eq!(manifest.config.media_type, MediaType::DOCKER_CONFIG);
        assert_eq!(manifest.config.digest, Digest::sha256(&image.config), "blobs stay what they are");
        assert!(manifest.layers.iter().all(|layer| layer.media_type == MediaType::DOCKER_LAYER_GZIP));
    }

    let oci = wish(Format::Oci);
    lab.copy(&to.name("app:docker"), &to.name("app:oci"), &oci).expect("a copy");
    let index = index_at(&to, "oci");
    assert_eq!(index.media_type, Some(MediaType::OCI_INDEX));
    assert!(index.manifests.iter().all(|entry| entry.media_type == MediaType::OCI_MANIFEST));
    // What is in the format already stays what it is, byte for byte, attestations and all.
    let copied = lab.copy(&from.name("app:1"), &to.name("app:same"), &oci).expect("a copy");
    assert_eq!((copied.instead_of, copied.attestations_left), (None, 0));
    assert_eq!(to.manifest("app", "same"), Some(three.index));
}

#[test]
fn rc_098_what_the_other_format_cannot_say_is_refused() {
    let (from, to, lab) = (Registry::start(), Registry::start(), Lab::new());
    let image = image(&[10]);
    image.put(&from, "app", "1");
    let docker = Wish { format: Some(Format::Docker), ..Wish::default() };
    let mut manifest: Value = serde_json::from_slice(&image.manifest).expect("JSON");
    let refused = |tag: &str, words: &str, manifest: &Value| {
        from.add_manifest("app", tag, OCI_MANIFEST, manifest.to_string().as_bytes());
        let error = lab.copy(&from.name(&format!("app:{tag}")), &to.name("app:1"), &docker).expect_err(tag);
        assert_eq!(error.kind(), Kind::Unsupported, "{}", chain(&error));
        assert!(chain(&error).contains(words), "{}", chain(&error));
    };
    manifest["layers"][0]["mediaType"] = MediaType::OCI_LAYER_ZSTD.as_str().into();
    refused("zstd", "no layers of the type", &manifest);
    manifest["layers"][0]["mediaType"] = MediaType::OCI_LAYER_GZIP.as_str().into();
    manifest["config"]["mediaType"] = "application/spdx+json".into();
    refused("artifact", "not an image", &manifest);
    // Referrers name an image by its digest.
    let wish = Wish { referrers: true, ..docker.clone() };
    let error = lab.copy(&from.name("app:1"), &to.name("app:1"), &wish).expect_err("referrers");
    assert!(chain(&error).contains("what refers to it"), "{}", chain(&error));
    assert_eq!(to.requests("PUT", "").len(), 0);
}

fn note(place: AnnotationPlace, key: &str, value: &str) -> Annotation {
    Annotation { place, key: key.to_owned(), value: value.to_owned() }
}

fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn rc_099_annotations_and_labels_stand_where_they_belong() {
    let (from, to, lab) = (Registry::start(), Registry::start(), Lab::new());
    let three = Three::put(&from);
    let wish = Wish {
        annotations: vec![
            note(AnnotationPlace::Manifest, "m", "1"),
            note(AnnotationPlace::Index, "a", ""),
            note(AnnotationPlace::Index, "i", "2"),
            note(AnnotationPlace::Descriptor, "d", "3"),
        ],
        labels: vec![("l".to_owned(), "4".to_owned())],
        ..Wish::default()
    };
    let copied = lab.copy(&from.name("app:1"), &to.name("app:2"), &wish).expect("a copy");
    assert_eq!(copied.instead_of, Some(Digest::sha256(&three.index)));
    let index = index_at(&to, "2");
    assert_eq!(index.annotations, texts(&[("i", "2")]), "an empty value takes one away");
    for (entry, image) in index.manifests.iter().zip(&three.images) {
        assert_eq!(entry.annotations, texts(&[("d", "3")]));
        let manifest = manifest_at(&to, entry);
        assert_eq!(manifest.annotations, texts(&[("m", "1")]));
        let config = to.blob("app", &manifest.config.digest).expect("a config");
        assert_eq!(config.len() as u64, manifest.config.size);
        let (config, before) = (Config::parse(&config).expect("a config"), Config::parse(&image.config));
        let mut expected = before.expect("a config").value().clone();
        expected.config.labels = texts(&[("l", "4")]);
        assert_eq!(*config.value(), expected);
        let layers: Vec<Digest> = manifest.layers.iter().map(|layer| layer.digest).collect();
        assert_eq!(layers, image.layers.iter().map(|layer| Digest::sha256(layer)).collect::<Vec<_>>());
    }
    // What attests an image stays what it is, and says which image that is now.
    for (attestation, place, of) in [(&three.attestations[0], 3, 0), (&three.attestations[1], 4, 2)] {
        let entry = &index.manifests[place];
        assert_eq!(entry.digest, Digest::sha256(attestation));
        assert_eq!(entry.annotations.get(ATTESTED), Some(&index.manifests[of].digest.to_string()));
        assert_eq!(entry.annotations.get("d"), None);
    }
    // What says all of it already stays what it is, byte for byte.
    let copied = lab.copy(&to.name("app:2"), &to.name("app:3"), &wish).expect("a copy");
    assert_eq!((copied.instead_of, to.manifest("app", "3")), (None, to.manifest("app", "2")));
}

#[test]
fn rc_099_what_has_no_place_for_a_note_is_refused() {
    let (from, to, lab) = (Registry::start(), Registry::start(), Lab::new());
    let image = image(&[10]);
    image.put(&from, "app", "1");
    let refused = |tag: &str, words: &str, wish: Wish| {
        let error = lab.copy(&from.name(&format!("app:{tag}")), &to.name("app:1"), &wish).expect_err(words);
        assert_eq!(error.kind(), Kind::Unsupported, "{}", chain(&error));
        assert!(chain(&error).contains(words), "{}", chain(&error));
    };
    let of_index = Wish { annotations: vec![note(AnnotationPlace::Index, "a", "b")], ..Wish::default() };
    refused("1", "it is one image", of_index);
    let annotated = Wish { annotations: vec![note(AnnotationPlace::Manifest, "a", "b")], ..Wish::default() };
    refused("1", "no annotations", Wish { format: Some(Format::Docker), ..annotated.clone() });
    let labelled = Wish { labels: vec![("a".to_owned(), "b".to_owned())], ..Wish::default() };
    let mut artifact: Value = serde_json::from_slice(&image.manifest).expect("JSON");
    artifact["config"]["mediaType"] = "application/spdx+json".into();
    from.add_manifest("app", "artifact", OCI_MANIFEST, artifact.to_string().as_bytes());
    refused("artifact", "only those have labels", labelled.clone());
    refused("1", "what refers to it", Wish { referrers: true, ..labelled });
    assert_eq!(to.requests("PUT", "").len(), 0);
    // An artifact may be annotated.
    lab.copy(&from.name("app:artifact"), &to.name("app:1"), &annotated).expect("a copy");
}

#[test]
fn rc_118_a_registry_is_told_of_the_algorithm_that_it_does_not_expect() {
    let (from, to, lab) = (Registry::start(), Registry::start(), Lab::new());
    let image = image(&[1000]);
    image.put(&from, "app", "other");
    let mut digester = Digester::new(Algorithm::Sha512);
    digester.update(&image.layers[0]);
    let digest = digester.finish();
    let key = ("app".to_owned(), digest.to_string());
    from.state.blobs.lock().expect("no panic").insert(key, image.layers[0].clone());
    let mut manifest: Value = serde_json::from_slice(&image.manifest).expect("JSON");
    manifest["layers"][0]["digest"] = digest.to_string().into();
    from.add_manifest("app", "1", OCI_MANIFEST, manifest.to_string().as_bytes());
    lab.copy(&from.name("app:1"), &to.name("app:1"), &Wish::default()).expect("a copy");
    assert_eq!(to.blob("app", &digest).as_ref(), Some(&image.layers[0]));
    assert_eq!(to.requests("POST", "/uploads/").len(), 2);
    assert_eq!(to.requests("POST", "digest-algorithm=sha512").len(), 1);
}
