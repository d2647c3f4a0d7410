//! Pushing to registries that misbehave: what is there in the end is right, and nothing is sent twice that need not be.

use base::{Classified, Kind};
use distribution::DistributionError;
use image::Digest;

use crate::lab::{Lab, chain};
use crate::support::{Access, Fault, Registry, TestImage, image};

const MIB: usize = 1 << 20;

/// A registry with an image under `base:1`, and a lab that has pulled it.
fn pulled(sizes: &[usize]) -> (Registry, Lab, TestImage, distribution::pull::Pulled) {
    let (registry, lab) = (Registry::start(), Lab::new());
    let image = image(sizes);
    image.put(&registry, "base", "1");
    let pulled = lab.pull(&registry.name("base:1")).expect("a pull");
    registry.forget_requests();
    (registry, lab, image, pulled)
}

/// The same image, and a registry that has nothing.
fn elsewhere(sizes: &[usize]) -> (Registry, Lab, TestImage, distribution::pull::Pulled) {
    let (_, lab, image, pulled) = pulled(sizes);
    (Registry::start(), lab, image, pulled)
}

fn assert_arrived(registry: &Registry, repository: &str, image: &TestImage) {
    for blob in image.layers.iter().chain([&image.config]) {
        let digest = Digest::sha256(blob);
        assert_eq!(registry.blob(repository, &digest).as_ref(), Some(blob), "{digest}");
    }
}

#[test]
fn rc_069_rc_083_two_requests_a_blob_and_the_manifest_byte_for_byte() {
    let (registry, lab, image, pulled) = elsewhere(&[1000]);
    let names = [registry.name("app:1"), registry.name("app:2")];
    let pushed = lab.push(&pulled, &names).expect("a push");
    assert_eq!(pushed.manifest.digest, Digest::sha256(&image.manifest));
    assert_arrived(&registry, "app", &image);
    for tag in ["1", "2"] {
        assert_eq!(registry.manifest("app", tag).as_ref(), Some(&image.manifest));
    }
    let mut methods: Vec<_> =
        registry.trace().iter().map(|line| line.split(' ').next().unwrap_or_default().to_owned()).collect();
    methods.sort();
    assert_eq!(methods, ["HEAD", "HEAD", "POST", "POST", "PUT", "PUT", "PUT", "PUT"]);
    // RC-071: what stood in the location stands there still, as it was.
    assert!(
        registry
            .requests("PUT", "/uploads/")
            .iter()
            .all(|put| put.target.contains("_state=a%2Fb&digest=sha256"))
    );
    assert!(registry.requests("PUT", "/uploads/").iter().all(|put| put.header("content-length").is_some()));
    // RC-075: what is there is not sent.
    registry.forget_requests();
    let again = lab.push(&pulled, &names[..1]).expect("a push");
    assert_eq!((again.sent, registry.trace().len()), (0, 3), "{:?}", registry.trace());
}

#[test]
fn rc_074_what_another_repository_has_is_mounted() {
    let (registry, lab, image, pulled) = pulled(&[MIB, 10]);
    let pushed = lab.push(&pulled, &[registry.name("team/app:1")]).expect("a push");
    assert_eq!(pushed.sent, 0);
    assert_arrived(&registry, "team/app", &image);
    assert_eq!(registry.requests("POST", "from=base").len(), 3);
    assert_eq!(registry.requests("PUT", "/uploads/").len(), 0);
}

#[test]
fn rc_074_a_mount_that_is_not_possible_is_an_upload() {
    for fault in [None, Some(Fault::Answer(403, vec![], vec![])), Some(Fault::Answer(404, vec![], vec![]))] {
        let (registry, lab, image, pulled) = pulled(&[1000]);
        // The other repository has lost it: the registry answers with a session.
        registry.state.blobs.lock().expect("no panic").clear();
        if let Some(fault) = fault {
            registry.rule("POST", "mount=", usize::MAX, fault);
        }
        lab.push(&pulled, &[registry.name("app:1")]).expect("a push");
        assert_arrived(&registry, "app", &image);
    }
}

#[test]
fn rc_074_the_token_for_a_mount_is_for_both_repositories() {
    let (registry, lab, image, pulled) = pulled(&[1000]);
    registry.set_access(Access::Token(None));
    lab.push(&pulled, &[registry.name("app:1")]).expect("a push");
    assert_arrived(&registry, "app", &image);
    let scopes: Vec<_> =
        registry.requests("GET", "/token").iter().map(|request| request.query("scope")).collect();
    let both = ["repository:app:pull,push".to_owned(), "repository:base:pull".to_owned()];
    assert!(scopes.contains(&both.to_vec()), "{scopes:?}");
}

#[test]
fn rc_068_a_broken_chunk_goes_on_where_it_was() {
    let (registry, lab, image, pulled) = elsewhere(&[20 * MIB]);
    registry.rule("PATCH", "/uploads/", 1, Fault::CutRequest(5_000_000));
    lab.push(&pulled, &[registry.name("app:1")]).expect("a push");
    assert_arrived(&registry, "app", &image);
    let ranges: Vec<_> = registry
        .requests("PATCH", "/uploads/")
        .iter()
        .filter_map(|request| request.header("content-range").map(str::to_owned))
        .collect();
    assert_eq!(ranges[0], "0-16777215");
    assert!(ranges[1].starts_with("5000000-"), "{ranges:?}");
    assert_eq!(registry.requests("GET", "/uploads/").len(), 1);
    assert_eq!(lab.uploads(), 0);
}

#[test]
fn rc_048_a_registry_that_does_not_read_on_is_not_waited_for() {
    let (registry, mut lab, image, pulled) = elsewhere(&[20 * MIB]);
    lab.config.patience = Lab::impatient().config.patience;
    registry.rule("PATCH", "/uploads/", 1, Fault::StallRequest(1_000_000));
    lab.push(&pulled, &[registry.name("app:1")]).expect("a push");
    assert_arrived(&registry, "app", &image);
    let second = registry.requests("PATCH", "/uploads/").remove(1);
    assert!(second.header("content-range").is_some_and(|range| range.starts_with("1000000-")), "{second:?}");
}

#[test]
fn rc_068_another_process_goes_on_where_it_was() {
    let (registry, mut lab, image, pulled) = elsewhere(&[20 * MIB]);
    lab.config.patience.retries = 0;
    registry.rule("PATCH", "/uploads/", 1, Fault::Header("X", "Y"));
    registry.rule("PATCH", "/uploads/", 1, Fault::CutRequest(1_000_000));
    let error = lab.push(&pulled, &[registry.name("app:1")]).expect_err("a broken connection");
    assert_eq!(error.kind(), Kind::Io, "{}", chain(&error));
    assert_eq!(registry.manifest("app", "1"), None);
    assert_eq!(lab.uploads(), 1);
    registry.forget_requests();
    let pushed = lab.push(&pulled, &[registry.name("app:1")]).expect("a push");
    let whole: usize = image.layers.iter().chain([&image.config]).map(Vec::len).sum();
    assert_eq!(pushed.sent + pushed.spared, whole as u64);
    assert!(
        pushed.spared >= 17_777_216,
        "what was there was not sent again, and is not said to be: {pushed:?}"
    );
    assert_arrived(&registry, "app", &image);
    let first = registry.requests("PATCH", "/uploads/").remove(0);
    assert_eq!(
        first.header("content-range").map(|range| range.starts_with("17777216-")),
        Some(true),
        "{first:?}"
    );
    assert_eq!(lab.uploads(), 0);
}

#[test]
fn rc_068_a_session_that_has_gone_is_begun_again() {
    let (registry, mut lab, image, pulled) = elsewhere(&[20 * MIB]);
    lab.config.patience.retries = 0;
    registry.rule("PATCH", "/uploads/", 1, Fault::CutRequest(1_000_000));
    lab.push(&pulled, &[registry.name("app:1")]).expect_err("a broken connection");
    // The registry has forgotten it; and another has parts of something else in it.
    registry.state.uploads.lock().expect("no panic").clear();
    lab.push(&pulled, &[registry.name("app:1")]).expect("a push");
    assert_arrived(&registry, "app", &image);
    let (registry, mut lab, image, pulled) = elsewhere(&[20 * MIB]);
    lab.config.patience.retries = 0;
    registry.rule("PATCH", "/uploads/", 1, Fault::CutRequest(1_000_000));
    lab.push(&pulled, &[registry.name("app:1")]).expect_err("a broken connection");
    registry.state.uploads.lock().expect("no panic").values_mut().for_each(|bytes| bytes.fill(0));
    lab.config.patience.retries = 1;
    lab.push(&pulled, &[registry.name("app:1")]).expect("a push");
    assert_arrived(&registry, "app", &image);
}

#[test]
fn rc_060_what_passes_is_tried_again() {
    let (registry, lab, image, pulled) = elsewhere(&[100_000]);
    registry.rule("HEAD", "/blobs/", 1, Fault::Answer(503, vec![], vec![]));
    registry.rule("POST", "/uploads/", 1, Fault::HangUp);
    registry.rule("PUT", "/uploads/", 1, Fault::CutRequest(5000));
    registry.rule("PUT", "/uploads/", 1, Fault::Answer(500, vec![], vec![]));
    registry.rule("PUT", "/manifests/", 1, Fault::Answer(502, vec![], vec![]));
    lab.push(&pulled, &[registry.name("app:1")]).expect("a push");
    assert_arrived(&registry, "app", &image);
}

#[test]
fn rc_060_what_arrived_without_an_answer_was_sent() {
    for size in [1000, 20 * MIB] {
        let (registry, lab, image, pulled) = elsewhere(&[size]);
        registry.rule("PUT", "/uploads/", 2, Fault::NoAnswer);
        let pushed = lab.push(&pulled, &[registry.name("app:1")]).expect("a push");
        assert_arrived(&registry, "app", &image);
        let whole = image.layers.iter().chain([&image.config]).map(|blob| blob.len() as u64).sum();
        assert_eq!((pushed.sent, registry.requests("PUT", "/uploads/").len()), (whole, 2));
        assert_eq!(lab.uploads(), 0);
    }
}

#[test]
fn rc_062_pauses_are_kept_in_uploads_too() {
    let (registry, lab, image, pulled) = elsewhere(&[100_000]);
    registry.rule("PUT", "/uploads/", 1, Fault::Answer(429, vec![("Retry-After", "1".to_owned())], vec![]));
    let begun = std::time::Instant::now();
    lab.push(&pulled, &[registry.name("app:1")]).expect("a push");
    assert!(begun.elapsed().as_secs() >= 1);
    assert_arrived(&registry, "app", &image);
}

#[test]
fn rc_027_a_token_that_ends_during_a_put_is_replaced() {
    let (registry, lab, image, pulled) = elsewhere(&[2 * MIB]);
    registry.set_access(Access::Token(None));
    // As a server answers whose token has ended while the body came.
    let realm =
        format!(r#"Bearer realm="http://{}/token",service="test",error="invalid_token""#, registry.host());
    registry.rule("PUT", "/uploads/", 2, Fault::Answer(401, vec![("WWW-Authenticate", realm)], vec![]));
    lab.push(&pulled, &[registry.name("app:1")]).expect("a push");
    assert_arrived(&registry, "app", &image);
    assert!(registry.requests("GET", "/token").len() > 1);
}

#[test]
fn rc_078_a_registry_that_takes_something_else_is_found_out() {
    let (registry, lab, _, pulled) = elsewhere(&[10]);
    let wrong = Digest::sha256(b"something else").to_string();
    registry.rule(
        "PUT",
        "/manifests/",
        1,
        Fault::Answer(201, vec![("Docker-Content-Digest", wrong)], vec![]),
    );
    let error = lab.push(&pulled, &[registry.name("app:1")]).expect_err("another digest");
    assert_eq!(error.kind(), Kind::Corrupt, "{}", chain(&error));
}

#[test]
fn rc_076_where_a_blob_cannot_go_no_tag_appears() {
    let (registry, lab, _, pulled) = elsewhere(&[1000, 2000, 3000]);
    let full = br#"{"errors":[{"code":"UNKNOWN","message":"no space left on device"}]}"#.to_vec();
    registry.rule("PUT", "/uploads/", usize::MAX, Fault::Answer(507, vec![], full));
    let error = lab.push(&pulled, &[registry.name("app:1")]).expect_err("a full registry");
    assert_eq!(error.kind(), Kind::NoSpace);
    assert!(error.to_string().contains("no space left on device"), "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("no room")));
    assert_eq!(registry.manifest("app", "1"), None);
}

#[test]
fn rc_037_whoever_may_not_push_learns_as_whom() {
    let (registry, lab, _, pulled) = elsewhere(&[10]);
    registry.set_access(Access::Basic("anna", "x"));
    let error = lab.push(&pulled, &[registry.name("app:1")]).expect_err("no login");
    assert!(matches!(error, DistributionError::Denied { anonymous: true, .. }), "{error}");
    assert!(error.to_string().contains("to pull and push app"), "{error}");
}

#[test]
fn rc_077_a_layer_that_is_there_several_times_is_sent_once() {
    let registry = Registry::start();
    let lab = Lab::new();
    let one = image(&[1000]);
    let manifest = String::from_utf8(one.manifest.clone()).expect("UTF-8");
    let config: serde_json::Value = serde_json::from_slice(&one.config).expect("JSON");
    let mut config = config;
    let diff_id = config["rootfs"]["diff_ids"][0].clone();
    config["rootfs"]["diff_ids"] = serde_json::json!([diff_id.clone(), diff_id]);
    let config = config.to_string().into_bytes();
    let mut manifest: serde_json::Value = serde_json::from_str(&manifest).expect("JSON");
    let layer = manifest["layers"][0].clone();
    manifest["layers"] = serde_json::json!([layer.clone(), layer]);
    manifest["config"]["digest"] = Digest::sha256(&config).to_string().into();
    manifest["config"]["size"] = config.len().into();
    let twice = TestImage { config, layers: one.layers, manifest: manifest.to_string().into_bytes() };
    twice.put(&registry, "base", "1");
    let pulled = lab.pull(&registry.name("base:1")).expect("a pull");
    let other = Registry::start();
    lab.push(&pulled, &[other.name("app:1")]).expect("a push");
    assert_arrived(&other, "app", &twice);
    assert_eq!(other.requests("POST", "/uploads/").len(), 2);
}
