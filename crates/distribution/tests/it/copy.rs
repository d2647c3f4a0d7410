//! Copies between registries: everything arrives byte for byte, nothing that is there is sent, and nothing lies on the disk on the way.

use base::{Classified, Kind};
use distribution::DistributionError;
use distribution::copy::{From, To, Wish};
use image::{Digest, Platform};
use serde_json::json;

use crate::lab::{Lab, chain};
use crate::support::{Access, Fault, OCI_INDEX, OCI_MANIFEST, Registry, TestImage, image};

const MIB: usize = 1 << 20;
const SBOM: &str = "application/spdx+json";

fn referrers() -> Wish {
    Wish { referrers: true, ..Wish::default() }
}

/// An index of images for two platforms, under `app:1`; its bytes.
fn put_index(registry: &Registry, images: [&TestImage; 2]) -> Vec<u8> {
    let host = Platform::host();
    let entries: Vec<_> = images
        .iter()
        .zip([host.architecture.as_str(), "s390x"])
        .map(|(image, architecture)| {
            let digest = image.put(registry, "app", "unnamed");
            json!({
                "mediaType": OCI_MANIFEST, "digest": digest.to_string(), "size": image.manifest.len(),
                "platform": {"os": "linux", "architecture": architecture},
            })
        })
        .collect();
    // With blanks that a tool that writes it anew would lose.
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries, "x-unknown": [1]});
    let bytes = serde_json::to_vec_pretty(&index).expect("JSON");
    registry.add_manifest("app", "1", OCI_INDEX, &bytes);
    bytes
}

/// Something that is about a manifest.
fn put_referrer(registry: &Registry, subject: &Digest, contents: &[u8]) -> Vec<u8> {
    let empty = registry.add_blob("app", b"{}");
    let blob = registry.add_blob("app", contents);
    let manifest = json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": SBOM,
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": empty.to_string(), "size": 2},
        "layers": [{"mediaType": "text/spdx", "digest": blob.to_string(), "size": contents.len()}],
        "subject": {"mediaType": OCI_INDEX, "digest": subject.to_string(), "size": 1},
        "annotations": {"made": "by hand"},
    });
    let bytes = serde_json::to_vec(&manifest).expect("JSON");
    let digest = Digest::sha256(&bytes).to_string();
    registry.add_manifest("app", &digest, OCI_MANIFEST, &bytes);
    bytes
}

fn assert_blobs(registry: &Registry, repository: &str, image: &TestImage) {
    for blob in image.layers.iter().chain([&image.config]) {
        assert_eq!(registry.blob(repository, &Digest::sha256(blob)).as_ref(), Some(blob));
    }
}

#[test]
fn rc_083_rc_076_an_index_arrives_byte_for_byte_with_all_below_it_and_its_tag_last() {
    let (from, to, lab) = (Registry::start(), Registry::start(), Lab::new());
    let (one, two) = (image(&[3 * MIB, 10]), image(&[10, 2000]));
    let index = put_index(&from, [&one, &two]);
    let copied = lab.copy(&from.name("app:1"), &to.name("mirror/app:2"), &Wish::default()).expect("a copy");
    assert_eq!((copied.root.digest, copied.documents, copied.was_there), (Digest::sha256(&index), 3, false));
    assert_eq!(to.manifest("mirror/app", "2"), Some(index));
    for image in [&one, &two] {
        let digest = Digest::sha256(&image.manifest).to_string();
        assert_eq!(to.manifest("mirror/app", &digest).as_ref(), Some(&image.manifest));
        assert_blobs(&to, "mirror/app", image);
    }
    let puts = to.requests("PUT", "/manifests/");
    assert!(puts.last().is_some_and(|put| put.target.ends_with("/manifests/2")), "{puts:?}");
    // The layer that both have came once, and nothing came through the disk.
    assert_eq!(from.requests("GET", "/blobs/").len(), to.requests("PUT", "/uploads/").len());
    assert_eq!(std::fs::read_dir(lab.path("store/partial")).expect("the directory").count(), 0);
    assert_eq!(lab.uploads(), 0);
    // Once more: one look is enough.
    to.forget_requests();
    let again = lab.copy(&from.name("app:1"), &to.name("mirror/app:2"), &Wish::default()).expect("a copy");
    assert!(again.was_there);
    assert_eq!(to.requests("", "/v2/mirror").len(), 0);
    assert_eq!(to.requests("HEAD", "/manifests/2").len(), 1);
    assert_eq!(to.requests("PUT", "").len() + to.requests("POST", "").len(), 0);
}

#[test]
fn rc_086_one_platform_is_copied_as_the_image_that_it_is() {
    let (from, to, lab) = (Registry::start(), Registry::start(), Lab::new());
    let (one, two) = (image(&[10]), image(&[20]));
    put_index(&from, [&one, &two]);
    let wish = |platform: &str| Wish {
        platforms: Platform::parse(platform).into_iter().collect(),
        ..Wish::default()
    };
    lab.copy(&from.name("app:1"), &to.name("app:z"), &wish("linux/s390x")).expect("a copy");
    assert_eq!(to.manifest("app", "z"), Some(two.manifest.clone()));
    assert_blobs(&to, "app", &two);
    assert_eq!(to.blob("app", &Digest::sha256(&one.config)), None);
    // RC-089
    let error =
        lab.copy(&from.name("app:1"), &to.name("app:w"), &wish("windows/amd64")).expect_err("no such one");
    assert!(chain(&error).contains("linux/s390x"), "{error}");
}

#[test]
fn rc_075_what_is_there_is_not_sent_and_not_even_asked_for() {
    let (from, to, lab) = (Registry::start(), Registry::start(), Lab::new());
    let image = image(&[MIB, 500]);
    image.put(&from, "app", "1");
    to.add_blob("app", &image.layers[0]);
    let copied = lab.copy(&from.name("app:1"), &to.name("app:1"), &Wish::default()).expect("a copy");
    assert_eq!(copied.spared, image.layers[0].len() as u64);
    assert_eq!(copied.sent, (image.layers[1].len() + image.config.len()) as u64);
    let digest = Digest::sha256(&image.layers[0]).to_string();
    assert_eq!(from.requests("GET", &digest).len(), 0);
    assert_blobs(&to, "app", &image);
}

#[test]
fn rc_074_in_the_same_registry_nothing_moves() {
    let (registry, lab) = (Registry::start(), Lab::new());
    let image = image(&[MIB]);
    image.put(&registry, "app", "1");
    let copied = lab
        .copy(&registry.name("app:1"), &registry.name("released/app:1"), &Wish::default())
        .expect("a copy");
    assert_eq!((copied.sent, registry.requests("POST", "from=app").len()), (0, 2));
    assert_eq!(registry.requests("GET", "/blobs/").len(), 0);
    assert_blobs(&registry, "released/app", &image);
    // Another tag of the same repository: one manifest.
    let copied =
        lab.copy(&registry.name("app:1"), &registry.name("app:latest"), &Wish::default()).expect("a copy");
    assert_eq!((copied.sent, registry.manifest("app", "latest")), (0, Some(image.manifest)));
}

#[test]
fn rc_064_rc_068_what_breaks_on_either_side_goes_on() {
    let (from, to, lab) = (Registry::start(), Registry::start(), Lab::new());
    let image = image(&[20 * MIB]);
    image.put(&from, "app", "1");
    let layer = Digest::sha256(&image.layers[0]).to_string();
    from.rule("GET", &layer, 1, Fault::Cut(3_000_000));
    to.rule("PATCH", "/uploads/", 1, Fault::CutRequest(5_000_000));
    lab.copy(&from.name("app:1"), &to.name("app:1"), &Wish::default()).expect("a copy");
    assert_blobs(&to, "app", &image);
    let chunks = to.requests("PATCH", "/uploads/");
    assert!(chunks[1].header("content-range").is_some_and(|range| range.starts_with("5000000-")));
    // The source was read on where its connection broke, and again where the registry went on.
    let ranges: Vec<_> =
        from.requests("GET", &layer).iter().map(|get| get.header("range").map(str::to_owned)).collect();
    assert_eq!(ranges[..2], [None, Some("bytes=3000000-".to_owned())]);
    assert_eq!(ranges.last(), Some(&Some("bytes=5000000-".to_owned())), "{ranges:?}");
}

#[test]
fn rc_068_another_process_goes_on_where_a_copy_was() {
    let (from, to, mut lab) = (Registry::start(), Registry::start(), Lab::new());
    let image = image(&[20 * MIB]);
    image.put(&from, "app", "1");
    lab.config.patience.retries = 0;
    to.rule("PATCH", "/uploads/", 1, Fault::CutRequest(1_000_000));
    let error =
        lab.copy(&from.name("app:1"), &to.name("app:1"), &Wish::default()).expect_err("a broken connection");
    assert_eq!((error.kind(), to.manifest("app", "1")), (Kind::Io, None), "{}", chain(&error));
    assert_eq!(lab.uploads(), 1);
    from.forget_requests();
    lab.copy(&from.name("app:1"), &to.name("app:1"), &Wish::default()).expect("a copy");
    assert_blobs(&to, "app", &image);
    let layer = Digest::sha256(&image.layers[0]).to_string();
    let ranges: Vec<_> =
        from.requests("GET", &layer).iter().map(|get| get.header("range").map(str::to_owned)).collect();
    assert_eq!(ranges, [Some("bytes=1000000-".to_owned())]);
}

#[test]
fn rc_100_wrong_bytes_do_not_arrive_and_their_source_is_named() {
    let (from, to, lab) = (Registry::start(), Registry::start(), Lab::new());
    let image = image(&[MIB]);
    image.put(&from, "app", "1");
    let layer = Digest::sha256(&image.layers[0]);
    from.rule("GET", layer.to_string(), usize::MAX, Fault::WrongBytes);
    let error = lab.copy(&from.name("app:1"), &to.name("app:1"), &Wish::default()).expect_err("wrong bytes");
    assert_eq!(error.kind(), Kind::Corrupt, "{}", chain(&error));
    assert!(error.to_string().contains(&from.host()), "{error}");
    assert_eq!((to.blob("app", &layer), to.manifest("app", "1")), (None, None));
}

#[test]
fn rc_092_rc_094_referrers_come_along_when_they_are_wished() {
    let (from, to, lab) = (Registry::start(), Registry::start(), Lab::new());
    let index = put_index(&from, [&image(&[10]), &image(&[20])]);
    let sbom = put_referrer(&from, &Digest::sha256(&index), b"a list of parts");
    // What is about what is about it; and what cosign keeps.
    let about = put_referrer(&from, &Digest::sha256(&sbom), b"a signature of the list");
    let cosign = image(&[30]);
    let signature = format!("{}.sig", Digest::sha256(&index).to_string().replace(':', "-"));
    cosign.put(&from, "app", &signature);
    lab.copy(&from.name("app:1"), &to.name("plain:1"), &Wish::default()).expect("a copy");
    assert_eq!(to.manifest("plain", &Digest::sha256(&sbom).to_string()), None);
    let copied = lab.copy(&from.name("app:1"), &to.name("app:1"), &referrers()).expect("a copy");
    assert_eq!((copied.documents, copied.referrers), (3, 3));
    for bytes in [&sbom, &about] {
        assert_eq!(to.manifest("app", &Digest::sha256(bytes).to_string()).as_ref(), Some(bytes));
    }
    assert_eq!(to.manifest("app", &signature).as_ref(), Some(&cosign.manifest));
    assert_blobs(&to, "app", &cosign);
    assert!(to.blob("app", &Digest::sha256(b"a signature of the list")).is_some());
}

#[test]
fn rc_093_for_a_registry_that_knows_no_referrers_the_list_is_kept_under_a_tag() {
    let (from, to, lab) = (Registry::start(), Registry::start(), Lab::new());
    let subject = image(&[10]).put(&from, "app", "1");
    let (one, two) = (put_referrer(&from, &subject, b"one"), put_referrer(&from, &subject, b"two"));
    to.rule("GET", "/referrers/", usize::MAX, Fault::Answer(404, vec![], vec![]));
    // Somebody else writes the list between reading and writing it: the entry is written again.
    let list = subject.to_string().replace(':', "-");
    to.rule("PUT", list.clone(), 1, Fault::Answer(201, vec![], vec![]));
    lab.copy(&from.name("app:1"), &to.name("app:1"), &referrers()).expect("a copy");
    lab.copy(&from.name("app:1"), &to.name("app:1"), &referrers()).expect("a copy");
    let bytes = to.manifest("app", &list).expect("a list");
    let index: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
    let mut digests: Vec<_> = index["manifests"].as_array().expect("entries").iter().collect();
    digests.sort_by_key(|entry| entry["digest"].to_string());
    let mut expected = [Digest::sha256(&one).to_string(), Digest::sha256(&two).to_string()];
    expected.sort();
    assert_eq!(
        digests.iter().map(|entry| entry["digest"].as_str()).collect::<Vec<_>>(),
        [Some(expected[0].as_str()), Some(expected[1].as_str())]
    );
    // RC-091
    assert_eq!(
        (&index["manifests"][0]["artifactType"], &index["manifests"][0]["annotations"]["made"]),
        (&json!(SBOM), &json!("by hand"))
    );
    // And from there on: the tag is read.
    let third = Registry::start();
    let copied = lab.copy(&to.name("app:1"), &third.name("app:1"), &referrers()).expect("a copy");
    assert_eq!(copied.referrers, 2);
}

#[test]
fn rc_082_schema_1_is_named_in_an_index_too() {
    let (from, to, lab) = (Registry::start(), Registry::start(), Lab::new());
    let old = br#"{"schemaVersion":1,"name":"app","fsLayers":[{"blobSum":"x"}],"history":[]}"#;
    from.add_manifest("app", "old", "application/vnd.docker.distribution.manifest.v1+prettyjws", old);
    let index = json!({"schemaVersion": 2, "manifests": [{
        "mediaType": "application/vnd.docker.distribution.manifest.v1+prettyjws",
        "digest": Digest::sha256(old).to_string(), "size": old.len(),
    }]});
    from.add_manifest("app", "index", OCI_INDEX, index.to_string().as_bytes());
    for tag in ["app:old", "app:index"] {
        let error = lab.copy(&from.name(tag), &to.name("app:1"), &Wish::default()).expect_err("schema 1");
        assert_eq!(error.kind(), Kind::Unsupported, "{}", chain(&error));
        assert!(chain(&error).contains("schema 1"), "{}", chain(&error));
        assert!(error.hint().is_some(), "{}", chain(&error));
    }
    assert_eq!(to.requests("PUT", "").len(), 0);
}

#[test]
fn rc_095_foreign_layers_stay_where_they_are_and_come_from_there_without_credentials() {
    let (from, to, elsewhere) = (Registry::start(), Registry::start(), Registry::start());
    let image = image(&[1000]);
    let layer = elsewhere.add_blob("layers", &image.layers[0]);
    let mut manifest: serde_json::Value = serde_json::from_slice(&image.manifest).expect("JSON");
    manifest["layers"][0]["mediaType"] = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip".into();
    let place = format!("http://{}/v2/layers/blobs/{layer}", elsewhere.host());
    // In TLS, or from this machine: others are not even asked.
    manifest["layers"][0]["urls"] = json!(["http://192.0.2.1/x", "ftp://127.0.0.1/x", place]);
    let manifest = manifest.to_string().into_bytes();
    from.add_blob("app", &image.config);
    from.add_manifest("app", "1", OCI_MANIFEST, &manifest);
    from.set_access(Access::Basic("anna", "s3cret"));
    let auths = json!({"auths": {
        (from.host()): {"username": "anna", "password": "s3cret"},
        (elsewhere.host()): {"username": "anna", "password": "s3cret"},
    }});
    let lab = Lab::new().with_auths(&auths);
    let copied = lab.copy(&from.name("app:1"), &to.name("app:1"), &Wish::default()).expect("a copy");
    assert_eq!((copied.left_out, to.blob("app", &layer)), (vec![layer], None));
    assert_eq!(to.manifest("app", "1").as_ref(), Some(&manifest));
    let wish = Wish { foreign_layers: true, ..Wish::default() };
    lab.copy(&from.name("app:1"), &to.name("app:2"), &wish).expect("a copy");
    assert_eq!(to.blob("app", &layer).as_ref(), Some(&image.layers[0]));
    lab.pull(&from.name("app:1")).expect("a pull");
    let asked = elsewhere.requests("GET", "/v2/layers");
    assert_eq!(asked.len(), 2);
    // CVE-2020-15157
    assert!(asked.iter().all(|request| request.header("authorization").is_none()), "{asked:?}");
    // Wrong bytes from there are no layer.
    elsewhere.rule("GET", "/v2/layers", usize::MAX, Fault::WrongBytes);
    let error = Lab::new().with_auths(&auths).pull(&from.name("app:1")).expect_err("wrong bytes");
    assert_eq!(error.kind(), Kind::Corrupt, "{}", chain(&error));
}

#[test]
fn rc_007_a_digest_in_the_destination_has_to_be_the_one() {
    let (from, to, lab) = (Registry::start(), Registry::start(), Lab::new());
    let image = image(&[10]);
    let digest = image.put(&from, "app", "1");
    let other = Digest::sha256(b"other");
    let error = lab
        .copy(&from.name("app:1"), &to.name(&format!("app@{other}")), &Wish::default())
        .expect_err("another digest");
    assert!(matches!(error, DistributionError::OtherDigest { .. }), "{error}");
    lab.copy(&from.name("app:1"), &to.name(&format!("app:x@{digest}")), &Wish::default()).expect("a copy");
    assert_eq!(to.manifest("app", "x").as_ref(), Some(&image.manifest));
}

#[test]
fn to_the_store_under_another_name_and_on_from_there() {
    let (from, to, lab) = (Registry::start(), Registry::start(), Lab::new());
    let (one, two) = (image(&[10]), image(&[20]));
    put_index(&from, [&one, &two]);
    let name = image::Reference::parse("mine:1").expect("a name");
    lab.copy_to(&From::Registry(from.name("app:1")), To::Store(name.clone()), &Wish::default())
        .expect("a copy");
    let record = lab.store.names().get(&name).expect("no damage").expect("the image");
    let item = archive::save::Item::of_image(record.image, record.target, vec![name]);
    let options = archive::save::Options { encoding: layer::Encoding::DEFAULT, threads: 1, docker: false };
    lab.copy_to(&From::Store(Box::new(item), options), To::Registry(to.name("app:1")), &Wish::default())
        .expect("a copy");
    assert_eq!(to.manifest("app", "1"), Some(one.manifest.clone()));
    assert_blobs(&to, "app", &one);
}
