//! Pulling from registries that misbehave: whatever happens, the image is right, or the error is.

use std::time::{Duration, Instant};

use base::{Cancel, Classified, Kind};
use distribution::DistributionError;
use image::{Digest, Platform};

use crate::lab::{Lab, chain};
use crate::support::{Fault, OCI_INDEX, Registry, image};

const MIB: usize = 1 << 20;
/// At most this much that has come is not in the store when a transfer ends early.
const PIECE: u64 = 256 << 10;

#[test]
fn rc_083_an_image_comes_byte_for_byte_and_once() {
    let (registry, lab) = (Registry::start(), Lab::new());
    let image = image(&[100_000, 10, 3 * MIB]);
    let digest = image.put(&registry, "app", "1");
    let pulled = lab.pull(&registry.name("app:1")).expect("a pull");
    assert_eq!((pulled.target.digest, pulled.was_there()), (digest, false));
    assert_eq!(lab.store.blobs().read(&digest, 1 << 20).expect("the manifest"), image.manifest);
    for layer in &image.layers {
        let digest = Digest::sha256(layer);
        assert_eq!(lab.store.blobs().read(&digest, 1 << 30).expect("a layer"), *layer);
    }
    // RC-020: the manifest, the config, the layers, and nothing else (but for the question whether it is TLS).
    assert_eq!(registry.trace().len(), 5, "{:?}", registry.trace());
    registry.forget_requests();
    let again = lab.pull(&registry.name("app:1")).expect("a pull");
    assert!(again.was_there());
    assert_eq!(registry.trace(), ["GET /v2/app/manifests/1"]);
    assert_eq!(lab.partials(), []);
}

#[test]
fn rc_007_by_digest_it_is_found_by_digest() {
    let (registry, lab) = (Registry::start(), Lab::new());
    let digest = image(&[10]).put(&registry, "app", "1");
    let name = registry.name(&format!("app@{digest}"));
    let pulled = lab.pull(&name).expect("a pull");
    let found = lab.store.images().resolve(&name.to_string()).expect("the image");
    assert_eq!(found.id, pulled.image);
    // A tag beside a digest does not get to mean anything here.
    lab.pull(&registry.name(&format!("app:2@{digest}"))).expect("a pull");
    assert!(lab.store.images().resolve(&registry.name("app:2").to_string()).is_err());
}

#[test]
fn rc_060_rc_064_what_breaks_goes_on_where_it_was() {
    let (registry, lab) = (Registry::start(), Lab::new());
    let image = image(&[3 * MIB]);
    image.put(&registry, "app", "1");
    let layer = Digest::sha256(&image.layers[0]).to_string();
    registry.rule("GET", "/manifests/", 1, Fault::HangUp);
    registry.rule("GET", "/manifests/", 1, Fault::Answer(503, vec![], vec![]));
    registry.rule("GET", &layer, 1, Fault::Answer(500, vec![], b"<html>oops".to_vec()));
    registry.rule("GET", &layer, 1, Fault::Cut(1_000_000));
    registry.rule("GET", &layer, 1, Fault::Cut(500_000));
    registry.rule("GET", &layer, 1, Fault::Cut(1));
    lab.pull(&registry.name("app:1")).expect("a pull");
    let ranges: Vec<_> = registry
        .requests("GET", &layer)
        .iter()
        .map(|request| request.header("range").map(str::to_owned))
        .collect();
    let range = |from: usize| Some(format!("bytes={from}-"));
    assert_eq!(ranges, [None, None, range(1_000_000), range(1_500_000), range(1_500_001)]);
}

#[test]
fn rc_064_lies_about_ranges_are_found_out() {
    for fault in [Fault::IgnoreRange, Fault::WrongRange, Fault::Answer(416, vec![], vec![])] {
        let (registry, lab) = (Registry::start(), Lab::new());
        let image = image(&[MIB]);
        image.put(&registry, "app", "1");
        let layer = Digest::sha256(&image.layers[0]).to_string();
        registry.rule("GET", &layer, 1, Fault::Cut(700_001));
        registry.rule("GET", &layer, 1, fault);
        lab.pull(&registry.name("app:1")).expect("a pull");
        assert_eq!(
            lab.store.blobs().read(&Digest::sha256(&image.layers[0]), 1 << 30).expect("it"),
            image.layers[0]
        );
    }
}

#[test]
fn rc_065_another_process_goes_on_where_it_was() {
    let (registry, mut lab) = (Registry::start(), Lab::new());
    let image = image(&[4 * MIB, 1000]);
    image.put(&registry, "app", "1");
    let layer = Digest::sha256(&image.layers[0]);
    lab.config.patience.retries = 0;
    registry.rule("GET", layer.to_string(), 1, Fault::Cut(3_000_000));
    let error = lab.pull(&registry.name("app:1")).expect_err("a broken connection");
    assert_eq!(error.kind(), Kind::Io, "{}", chain(&error));
    let partials = lab.partials();
    let [(name, size)] = partials.as_slice() else { panic!("{partials:?}") };
    assert_eq!(*name, format!("sha256-{}", layer.hex()));
    // But for the last piece, which was on its way.
    assert!((3_000_000 - PIECE..=3_000_000).contains(size), "{size}");
    registry.forget_requests();
    lab.pull(&registry.name("app:1")).expect("a pull");
    let requests = registry.requests("GET", &layer.to_string());
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].header("range"), Some(format!("bytes={size}-").as_str()));
    assert_eq!(lab.store.blobs().read(&layer, 1 << 30).expect("the layer"), image.layers[0]);
    assert_eq!(lab.partials(), []);
    let findings = lab.store.check(store::check::Depth::Full, &base::Events::none(), &Cancel::new());
    assert_eq!(findings.expect("a check"), []);
}

#[test]
fn rc_065_a_torn_partial_blob_is_found_out_and_begun_again() {
    let (registry, mut lab) = (Registry::start(), Lab::new());
    let image = image(&[2 * MIB]);
    image.put(&registry, "app", "1");
    let layer = Digest::sha256(&image.layers[0]);
    lab.config.patience.retries = 0;
    registry.rule("GET", layer.to_string(), 1, Fault::Cut(1_500_000));
    lab.pull(&registry.name("app:1")).expect_err("a broken connection");
    let path = lab.path(&format!("store/partial/sha256-{}", layer.hex()));
    let mut bytes = std::fs::read(&path).expect("the partial blob");
    bytes[1_200_000..].fill(0);
    std::fs::write(&path, bytes).expect("write");
    lab.pull(&registry.name("app:1")).expect("a pull");
    assert_eq!(lab.store.blobs().read(&layer, 1 << 30).expect("the layer"), image.layers[0]);
}

#[test]
fn rc_065_a_cancelled_pull_goes_on_where_it_was() {
    let (registry, lab) = (Registry::start(), Lab::new());
    let image = image(&[2 * MIB]);
    image.put(&registry, "app", "1");
    let layer = Digest::sha256(&image.layers[0]);
    registry.rule("GET", layer.to_string(), 1, Fault::Stall(1_000_000));
    let cancel = Cancel::new();
    let later = cancel.clone();
    let stopper = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        later.cancel();
    });
    let begun = Instant::now();
    let error =
        lab.pull_for(&registry.name("app:1"), &Platform::host(), &cancel).expect_err("a cancellation");
    assert_eq!(error.kind(), Kind::Cancelled, "{}", chain(&error));
    assert!(begun.elapsed() < Duration::from_secs(2));
    stopper.join().expect("no panic");
    let partials = lab.partials();
    assert!(
        matches!(partials.as_slice(), [(_, size)] if (1_000_000 - PIECE..=1_000_000).contains(size)),
        "{partials:?}"
    );
    lab.pull(&registry.name("app:1")).expect("a pull");
}

#[test]
fn rc_077_two_that_want_the_same_get_it_once() {
    let (registry, lab) = (Registry::start(), Lab::new());
    let image = image(&[2 * MIB]);
    image.put(&registry, "app", "1");
    let layer = Digest::sha256(&image.layers[0]).to_string();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| lab.pull(&registry.name("app:1")).expect("a pull"));
        }
    });
    assert_eq!(registry.requests("GET", &layer).len(), 1);
}

#[test]
fn rc_048_silence_is_not_waited_for() {
    let (registry, lab) = (Registry::start(), Lab::impatient());
    let image = image(&[MIB]);
    image.put(&registry, "app", "1");
    let layer = Digest::sha256(&image.layers[0]).to_string();
    registry.rule("GET", &layer, 1, Fault::Stall(300_000));
    lab.pull(&registry.name("app:1")).expect("a pull");
    assert_eq!(registry.requests("GET", &layer).len(), 2);
}

#[test]
fn rc_062_a_pause_is_one_for_the_whole_host() {
    let (registry, lab) = (Registry::start(), Lab::new());
    let image = image(&[1000, 2000, 3000, 4000]);
    image.put(&registry, "app", "1");
    let pause = || Fault::Answer(429, vec![("Retry-After", "1".to_owned())], b"slow down".to_vec());
    registry.rule("GET", "/blobs/", 1, pause());
    let begun = Instant::now();
    lab.pull(&registry.name("app:1")).expect("a pull");
    assert!(begun.elapsed() >= Duration::from_secs(1));
    // One was told to wait, and all did: nobody else was told.
    assert_eq!(registry.requests("GET", "/blobs/").len(), 6);
    let other = Lab::new();
    registry.rule(
        "GET",
        "/manifests/",
        1,
        Fault::Answer(429, vec![("Retry-After", "3600".to_owned())], vec![]),
    );
    let error = other.pull(&registry.name("app:1")).expect_err("too long a pause");
    assert_eq!(error.kind(), Kind::Busy);
    assert!(error.to_string().contains("3600 seconds"), "{error}");
}

#[test]
fn rc_061_what_does_not_get_better_ends() {
    let (registry, lab) = (Registry::start(), Lab::new());
    image(&[1000]).put(&registry, "app", "1");
    registry.rule(
        "GET",
        "/manifests/",
        usize::MAX,
        Fault::Answer(502, vec![], b"<h1>Bad\nGateway</h1>".to_vec()),
    );
    let error = lab.pull(&registry.name("app:1")).expect_err("an error");
    assert!(error.to_string().contains("502 Bad Gateway: it says Bad Gateway"), "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("later")));
    assert_eq!(registry.requests("GET", "/manifests/").len(), 5);
}

#[test]
fn rc_084_a_manifest_without_an_end_is_not_read() {
    let (registry, lab) = (Registry::start(), Lab::new());
    image(&[10]).put(&registry, "app", "1");
    registry.rule("GET", "/manifests/", 1, Fault::Endless);
    let error = lab.pull(&registry.name("app:1")).expect_err("an error");
    assert_eq!(error.kind(), Kind::TooLarge, "{}", chain(&error));
}

#[test]
fn rc_100_wrong_bytes_are_asked_for_once_more_and_never_kept() {
    let (registry, lab) = (Registry::start(), Lab::new());
    let image = image(&[MIB]);
    image.put(&registry, "app", "1");
    let layer = Digest::sha256(&image.layers[0]).to_string();
    registry.rule("GET", &layer, 2, Fault::WrongBytes);
    let error = lab.pull(&registry.name("app:1")).expect_err("wrong bytes");
    assert_eq!(error.kind(), Kind::Corrupt, "{}", chain(&error));
    assert!(chain(&error).contains(&layer), "{}", chain(&error));
    assert_eq!(registry.requests("GET", &layer).len(), 2);
    assert_eq!(lab.partials(), []);
    registry.rule("GET", &layer, 1, Fault::WrongBytes);
    lab.pull(&registry.name("app:1")).expect("a pull");
}

#[test]
fn rc_081_a_registry_that_lies_about_a_manifest_is_not_believed() {
    let (registry, lab) = (Registry::start(), Lab::new());
    let digest = image(&[10]).put(&registry, "app", "1");
    registry.rule("GET", "/manifests/", 1, Fault::WrongBytes);
    let error = lab.pull(&registry.name(&format!("app@{digest}"))).expect_err("wrong bytes");
    assert_eq!(error.kind(), Kind::Corrupt);
    let both = br#"{"schemaVersion":2,"config":{},"layers":[],"manifests":[]}"#;
    registry.add_manifest("app", "both", OCI_INDEX, both);
    let error = lab.pull(&registry.name("app:both")).expect_err("two things at once");
    assert!(chain(&error).contains("both manifests and layers"), "{}", chain(&error));
}

#[test]
fn rc_082_schema_1_is_an_error_that_says_what_to_do() {
    let (registry, lab) = (Registry::start(), Lab::new());
    let schema1 = br#"{"schemaVersion":1,"name":"app","tag":"1","fsLayers":[],"history":[]}"#;
    registry.add_manifest("app", "1", "application/vnd.docker.distribution.manifest.v1+prettyjws", schema1);
    let error = lab.pull(&registry.name("app:1")).expect_err("schema 1");
    assert_eq!(error.kind(), Kind::Unsupported);
    assert!(chain(&error).contains("schema 1"), "{}", chain(&error));
    assert!(error.hint().is_some_and(|hint| hint.contains("schema 2")));
}

#[test]
fn rc_086_rc_088_rc_089_the_right_one_of_an_index() {
    let (registry, lab) = (Registry::start(), Lab::new());
    let image = image(&[10]);
    image.put(&registry, "app", "only");
    let host = Platform::host();
    let entry = serde_json::json!({
        "mediaType": crate::support::OCI_MANIFEST, "digest": Digest::sha256(&image.manifest).to_string(),
        "size": image.manifest.len(), "platform": {"os": host.os, "architecture": host.architecture},
    });
    let index = serde_json::json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]});
    let index = serde_json::to_vec(&index).expect("JSON");
    let inner = registry.add_manifest("app", "inner", OCI_INDEX, &index);
    let mut outer = entry.clone();
    outer["mediaType"] = OCI_INDEX.into();
    outer["digest"] = inner.to_string().into();
    outer["size"] = index.len().into();
    let nested = serde_json::json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [outer]});
    let nested_digest = registry.add_manifest("app", "nested", OCI_INDEX, nested.to_string().as_bytes());
    let pulled = lab.pull(&registry.name("app:nested")).expect("a pull");
    assert_eq!(pulled.target.digest, nested_digest);
    assert_eq!(pulled.manifest.digest, Digest::sha256(&image.manifest));
    let other = Platform::parse("linux/s390x").expect("a platform");
    let error =
        lab.pull_for(&registry.name("app:inner"), &other, &Cancel::new()).expect_err("no such platform");
    assert_eq!(error.kind(), Kind::NotFound);
    assert!(chain(&error).contains(&format!("there is linux/{}", host.architecture)), "{error}");
    // RC-088: a size that is not the one that was promised.
    let wrong = index.iter().map(|byte| char::from(*byte)).collect::<String>();
    let wrong = wrong.replace(&format!("\"size\":{}", image.manifest.len()), "\"size\":7");
    registry.add_manifest("app", "wrong", OCI_INDEX, wrong.as_bytes());
    let error = lab.pull(&registry.name("app:wrong")).expect_err("a wrong size");
    assert!(error.to_string().contains("expected 7 bytes"), "{error}");
}

#[test]
fn rc_091_an_artifact_is_not_an_image() {
    let (registry, lab) = (Registry::start(), Lab::new());
    let config = registry.add_blob("app", b"{}");
    let manifest = serde_json::json!({"schemaVersion": 2, "config": {
        "mediaType": "application/vnd.oci.empty.v1+json", "digest": config.to_string(), "size": 2}, "layers": []});
    registry.add_manifest("app", "sbom", crate::support::OCI_MANIFEST, manifest.to_string().as_bytes());
    let error = lab.pull(&registry.name("app:sbom")).expect_err("no image");
    assert_eq!(error.kind(), Kind::Unsupported);
    assert!(error.to_string().contains("artifact"), "{error}");
}

#[test]
fn rc_049_an_encoding_that_nobody_asked_for_is_refused() {
    let (registry, lab) = (Registry::start(), Lab::new());
    let image = image(&[10]);
    image.put(&registry, "app", "1");
    registry.rule("GET", "/blobs/", usize::MAX, Fault::Header("Content-Encoding", "gzip"));
    let error = lab.pull(&registry.name("app:1")).expect_err("an encoding");
    assert!(matches!(error, DistributionError::Protocol { .. }), "{}", chain(&error));
    assert!(
        registry.requests("GET", "/blobs/").iter().all(|request| request.header("accept-encoding").is_none())
    );
}

#[test]
fn what_is_not_there_is_said() {
    let (registry, lab) = (Registry::start(), Lab::new());
    let error = lab.pull(&registry.name("app:9")).expect_err("nothing there");
    assert_eq!(error.kind(), Kind::NotFound);
    assert!(
        error.to_string().starts_with(&format!("the image {}/app:9 does not exist", registry.host())),
        "{error}"
    );
}
