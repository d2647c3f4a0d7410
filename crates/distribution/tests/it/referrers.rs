//! What is about a manifest: from registries that know it, and from those that leave it to clients (RC-092).

use base::Cancel;
use distribution::DistributionError;
use distribution::referrers::{Referrers, referrers};
use image::{Digest, MediaType};
use serde_json::json;

use crate::lab::Lab;
use crate::support::{Fault, OCI_INDEX, OCI_MANIFEST, Registry, image};

const SBOM: &str = "application/spdx+json";
const SIGNATURE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// An artifact about a manifest; its bytes, and a descriptor of it.
fn artifact(subject: &Digest, artifact_type: &str) -> (Vec<u8>, serde_json::Value) {
    let manifest = json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": artifact_type,
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": Digest::sha256(b"{}").to_string(), "size": 2},
        "layers": [],
        "subject": {"mediaType": OCI_MANIFEST, "digest": subject.to_string(), "size": 1},
    });
    let bytes = serde_json::to_vec(&manifest).expect("JSON");
    let descriptor = json!({
        "mediaType": OCI_MANIFEST, "digest": Digest::sha256(&bytes).to_string(), "size": bytes.len(), "artifactType": artifact_type,
    });
    (bytes, descriptor)
}

fn index(descriptors: &[&serde_json::Value]) -> Vec<u8> {
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": descriptors});
    serde_json::to_vec(&index).expect("JSON")
}

fn ask(lab: &Lab, registry: &Registry, wanted: Option<&str>) -> Result<Referrers, DistributionError> {
    let wanted = wanted.map(|text| MediaType::new(text.to_owned()));
    referrers(&lab.client(), &registry.name("app:1"), wanted.as_ref(), &Cancel::new())
}

fn digests(referrers: &Referrers) -> Vec<String> {
    referrers.manifests.iter().map(|one| one.digest.to_string()).collect()
}

#[test]
fn rc_092_a_registry_that_knows_them_is_asked_and_what_it_does_not_choose_is_chosen_here() {
    let (registry, lab) = (Registry::start(), Lab::new());
    let subject = image(&[10]).put(&registry, "app", "1");
    for (tag, kind) in [("s", SBOM), ("t", SIGNATURE)] {
        registry.add_manifest("app", tag, OCI_MANIFEST, &artifact(&subject, kind).0);
    }
    let all = ask(&lab, &registry, None).expect("a list");
    assert_eq!((all.subject.digest, all.manifests.len()), (subject, 2));
    // The digest of the tag was got without its manifest (RC-085).
    assert_eq!(registry.requests("GET", "/manifests/1").len(), 0);
    let sboms = ask(&lab, &registry, Some(SBOM)).expect("a list");
    assert_eq!(digests(&sboms), [Digest::sha256(&artifact(&subject, SBOM).0).to_string()]);
    let asked = registry.requests("GET", "/referrers/");
    assert_eq!(asked.last().map(|request| request.query("artifactType")), Some(vec![SBOM.to_owned()]));
}

#[test]
fn rc_092_a_registry_that_does_not_know_them_has_a_tag() {
    for fault in [
        Fault::Answer(404, vec![], vec![]),
        Fault::Answer(400, vec![], b"bad request".to_vec()),
        Fault::Answer(405, vec![], vec![]),
        Fault::Answer(200, vec![("Content-Type", "text/html".to_owned())], b"<html>".to_vec()),
    ] {
        let (registry, lab) = (Registry::start(), Lab::new());
        let subject = image(&[10]).put(&registry, "app", "1");
        registry.rule("GET", "/referrers/", usize::MAX, fault);
        assert_eq!(ask(&lab, &registry, None).expect("an empty list").manifests, []);
        let (sbom, signature) = (artifact(&subject, SBOM).1, artifact(&subject, SIGNATURE).1);
        let tag = format!("sha256-{}", subject.hex());
        registry.add_manifest("app", &tag, OCI_INDEX, &index(&[&sbom, &signature]));
        assert_eq!(ask(&lab, &registry, None).expect("a list").manifests.len(), 2);
        let chosen = ask(&lab, &registry, Some(SIGNATURE)).expect("a list");
        assert_eq!(digests(&chosen), [signature["digest"].as_str().expect("a text")]);
    }
}

#[test]
fn rc_092_a_registry_that_has_learned_it_lately_has_some_in_both_places() {
    let (registry, lab) = (Registry::start(), Lab::new());
    let subject = image(&[10]).put(&registry, "app", "1");
    let (sbom, described) = artifact(&subject, SBOM);
    registry.add_manifest("app", "s", OCI_MANIFEST, &sbom);
    let older = artifact(&subject, SIGNATURE).1;
    let tag = format!("sha256-{}", subject.hex());
    registry.add_manifest("app", &tag, OCI_INDEX, &index(&[&described, &older]));
    assert_eq!(ask(&lab, &registry, None).expect("a list").manifests.len(), 2);
}

#[test]
fn rc_092_rc_110_pages_are_followed_to_their_end_and_to_nobody_else() {
    let (registry, lab) = (Registry::start(), Lab::new());
    let subject = image(&[10]).put(&registry, "app", "1");
    let page = |descriptor: &serde_json::Value, next: Option<String>| {
        let mut headers = vec![("Content-Type", OCI_INDEX.to_owned())];
        headers.extend(next.map(|next| ("Link", format!("<{next}>; rel=\"next\""))));
        Fault::Answer(200, headers, index(&[descriptor]))
    };
    let (sbom, signature) = (artifact(&subject, SBOM).1, artifact(&subject, SIGNATURE).1);
    registry.rule("GET", "/referrers/", 1, page(&sbom, Some("?page=2".to_owned())));
    registry.rule("GET", "/referrers/", 1, page(&signature, None));
    assert_eq!(ask(&lab, &registry, None).expect("a list").manifests.len(), 2);
    for (next, said) in [
        (format!("/v2/app/referrers/{subject}?page=2"), "circles"),
        ("https://elsewhere.example.com/v2/app/referrers/x".to_owned(), "another host"),
    ] {
        let registry = Registry::start();
        image(&[10]).put(&registry, "app", "1");
        registry.rule("GET", "/referrers/", usize::MAX, page(&sbom, Some(next)));
        let error = ask(&lab, &registry, None).expect_err("no end");
        assert!(error.to_string().contains(said), "{error}");
    }
}

#[test]
fn rc_092_who_may_not_is_told_so() {
    let (registry, lab) = (Registry::start(), Lab::new());
    image(&[10]).put(&registry, "app", "1");
    registry.rule("GET", "/referrers/", usize::MAX, Fault::Answer(403, vec![], vec![]));
    let error = ask(&lab, &registry, None).expect_err("not permitted");
    assert!(matches!(error, DistributionError::Denied { .. }), "{error}");
}
