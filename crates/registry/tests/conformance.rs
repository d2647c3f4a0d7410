//! What the distribution specification demands of a registry, and what its conformance program tries: against ours, once as it is started without
//! options and once with a login and TLS, and against Debian's docker-registry to see that the tests themselves are right.
//!
//! Where docker-registry is known to do something else, the test has to fail with it, in the way that is known: a test that passes everywhere whatever
//! happens would be found out.

#![allow(clippy::print_stdout, reason = "a known gap is said aloud")]

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};

use common::*;
use serde_json::{Value, json};

/// Something that docker-registry does in another way: what, and what the test says when it finds it.
struct Gap(&'static str, &'static str);

const NO_REFERRERS: Gap = Gap("no referrers", "404 is none of [200]");
const NO_SUBJECT: Gap = Gap("no word of subjects in replies", "right: Some(\"sha256:");
const NO_SHA512: Gap = Gap("no digests of SHA-512 in replies", "right: Some(\"sha512:");
const NO_SHA512_MOUNTS: Gap = Gap("no mounts of what is named with SHA-512", "404 is none of [200]");
const NO_SHA512_MANIFESTS: Gap = Gap("no manifests that are named with SHA-512", "400 is none of [201]");
const NO_ORDER: Gap = Gap("no order of pieces", "202 is none of [416]");
const NO_ORDER_AT_THE_END: Gap = Gap("no order of pieces", "201 is none of [416]");
const NO_LENGTH: Gap = Gap("replies to wrong ranges that are not as long as they say", "the whole body");
const FOREIGN: Gap = Gap("a demand for foreign layers", "MANIFEST_BLOB_UNKNOWN");
const NO_TAGS: Gap = Gap("no tags as parameters", "right: [\"tag-0\"");
const FAILS: Gap = Gap("500 for digests that are none", "500 is none of [400, 404]");
const NO_LAST: Gap = Gap("tags in any order, and no `last`", "right: [\"Upper\", \"_x\", \"alpha\"");
const NO_DELETION: Gap = Gap("no deletion of tags", "is none of [202]");

/// Each case is a test of its own with each registry. A case with a gap has to fail with docker-registry.
macro_rules! cases {
    ($($name:ident $(gap $gap:ident)?;)*) => {
        mod lapstrake {
            $(#[test] fn $name() { super::$name(&super::ours()); })*
        }
        mod lapstrake_with_login_and_tls {
            $(#[test] fn $name() { super::$name(&super::ours_with_login_and_tls()); })*
        }
        mod docker_registry {
            $(#[test] fn $name() { super::with_debian(super::$name, None $(.or(Some(super::$gap)))?); })*
        }
    };
}

fn with_debian(case: fn(&Target), gap: Option<Gap>) {
    let target = debian();
    let outcome = catch_unwind(AssertUnwindSafe(|| case(&target)));
    match (outcome, gap) {
        (Ok(()), None) => {}
        (Ok(()), Some(Gap(gap, _))) => {
            panic!("docker-registry passes, although it is known to have {gap}")
        }
        (Err(panic), Some(Gap(gap, sign))) => {
            let said = panic.downcast_ref::<String>().map_or("", String::as_str);
            assert!(
                said.contains(sign),
                "docker-registry is known to have {gap}, and fails otherwise: {said}"
            );
            println!("as known: docker-registry has {gap}");
        }
        (Err(panic), None) => std::panic::resume_unwind(panic),
    }
}

cases! {
    rs_001_base;
    rs_050_tags_of_nothing;
    rs_052_referrers_of_nothing gap NO_REFERRERS;
    rs_010_missing_blob;
    rs_021_post_alone;
    rs_021_post_alone_sha512 gap NO_SHA512;
    rs_023_post_and_put;
    rs_023_post_and_put_sha512 gap NO_SHA512;
    rs_022_one_piece;
    rs_022_one_piece_sha512 gap NO_SHA512;
    rs_022_stream;
    rs_022_stream_sha512 gap NO_SHA512;
    rs_022_pieces;
    rs_022_pieces_sha512 gap NO_SHA512;
    rs_023_last_piece_in_put;
    rs_023_last_piece_in_put_sha512 gap NO_SHA512;
    rs_022_out_of_order gap NO_ORDER;
    rs_022_out_of_order_sha512 gap NO_ORDER;
    rs_023_out_of_order_in_put gap NO_ORDER_AT_THE_END;
    rs_023_out_of_order_in_put_sha512 gap NO_ORDER_AT_THE_END;
    rs_024_status_and_cancel;
    rs_028_mount;
    rs_028_mount_sha512 gap NO_SHA512_MOUNTS;
    rs_028_mount_without_source;
    rs_028_mount_without_source_sha512 gap NO_SHA512;
    rs_028_mount_of_nothing;
    rs_028_mount_of_nothing_sha512 gap NO_SHA512;
    rs_011_ranges;
    rs_011_ranges_sha512;
    rs_011_ranges_beyond gap NO_LENGTH;
    rs_011_ranges_beyond_sha512 gap NO_LENGTH;
    rs_030_empty_blob;
    rs_030_empty_blob_sha512 gap NO_SHA512;
    rs_030_empty_object;
    rs_030_empty_object_sha512 gap NO_SHA512;
    rs_023_bad_digest;
    rs_023_bad_digest_sha512;
    rs_029_again;
    rs_040_image;
    rs_040_image_uncompressed;
    rs_046_large_manifest;
    rs_040_index;
    rs_040_nested_index;
    rs_040_empty_index;
    rs_040_artifact;
    rs_040_artifact_index;
    rs_040_artifact_without_layers;
    rs_052_artifacts_with_subject gap NO_SUBJECT;
    rs_052_index_with_subject gap NO_SUBJECT;
    rs_052_missing_subject gap NO_SUBJECT;
    rs_040_data_field;
    rs_041_layers_that_are_not_distributed gap FOREIGN;
    rs_040_custom_fields;
    rs_040_no_layers;
    rs_041_sparse_index;
    rs_040_manifest_sha512 gap NO_SHA512_MANIFESTS;
    rs_042_tag_parameter gap NO_TAGS;
    rs_040_bad_manifests;
    rs_040_digest_that_is_none gap FAILS;
    rs_041_missing_blobs;
    rs_043_unknown_manifests gap FAILS;
    rs_043_head_is_get;
    rs_050_pages_of_tags gap NO_LAST;
    rs_051_catalog;
    rs_044_delete_tag gap NO_DELETION;
    rs_044_delete_manifest;
    rs_012_delete_blob;
}

const REPOSITORY: &str = "conformance/blobs/manifests";

fn blob_path(digest: &str) -> String {
    format!("/v2/{REPOSITORY}/blobs/{digest}")
}

fn manifest_path(reference: &str) -> String {
    format!("/v2/{REPOSITORY}/manifests/{reference}")
}

fn rs_001_base(target: &Target) {
    let response = target.get("/v2/").expect(&[200]);
    assert_eq!(response.header("docker-distribution-api-version"), Some("registry/2.0"));
    assert_eq!(response.json(), json!({}));
    target.head("/v2/").expect(&[200]);
}

fn rs_050_tags_of_nothing(target: &Target) {
    let response = target.get(&format!("/v2/{REPOSITORY}/tags/list")).expect(&[200, 404]);
    if response.status == 404 {
        assert_eq!(response.code(), "NAME_UNKNOWN");
    }
}

fn rs_052_referrers_of_nothing(target: &Target) {
    let path = format!("/v2/{REPOSITORY}/referrers/{}", sha256("nothing"));
    let response = target.get(&path).expect(&[200]);
    assert_eq!(response.header("content-type"), Some(INDEX));
    assert_eq!(response.json(), json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": []}));
}

fn rs_010_missing_blob(target: &Target) {
    target.head(&blob_path(&sha256("nothing"))).expect(&[404]);
    assert_eq!(target.get(&blob_path(&sha256("nothing"))).expect(&[404]).code(), "BLOB_UNKNOWN");
}

/// A blob that was pushed can be seen and read; after it was deleted, it cannot.
#[track_caller]
fn assert_blob(target: &Target, digest: &str, bytes: &[u8]) {
    let head = target.head(&blob_path(digest)).expect(&[200]);
    assert_eq!(head.header("content-length"), Some(bytes.len().to_string().as_str()));
    let response = target.get(&blob_path(digest)).expect(&[200]);
    assert_eq!(response.body, bytes);
    for response in [head, response] {
        assert_eq!(response.header("docker-content-digest"), Some(digest));
    }
    target.delete(&blob_path(digest)).expect(&[202]);
    target.head(&blob_path(digest)).expect(&[404]);
}

#[track_caller]
fn assert_created(target: &Target, response: Response, digest: &str, bytes: &[u8]) {
    let response = response.expect(&[201]);
    assert_eq!(target.get(&response.location()).expect(&[200]).body, bytes);
    assert_blob(target, digest, bytes);
}

/// How a blob is named.
type Hash = fn(&[u8]) -> String;

/// Cases of blobs: with SHA-256, and with SHA-512.
macro_rules! with_both {
    ($($name:ident $name_sha512:ident = $case:ident;)*) => {
        $(fn $name(target: &Target) {
            $case(target, |bytes| sha256(bytes));
        }
        fn $name_sha512(target: &Target) {
            $case(target, |bytes| sha512(bytes));
        })*
    };
}

with_both! {
    rs_021_post_alone rs_021_post_alone_sha512 = post_alone;
    rs_023_post_and_put rs_023_post_and_put_sha512 = post_and_put;
    rs_022_one_piece rs_022_one_piece_sha512 = one_piece;
    rs_022_pieces rs_022_pieces_sha512 = pieces;
    rs_022_stream rs_022_stream_sha512 = stream;
    rs_023_last_piece_in_put rs_023_last_piece_in_put_sha512 = last_piece_in_put;
    rs_022_out_of_order rs_022_out_of_order_sha512 = out_of_order;
    rs_023_out_of_order_in_put rs_023_out_of_order_in_put_sha512 = out_of_order_in_put;
    rs_028_mount rs_028_mount_sha512 = mount;
    rs_028_mount_without_source rs_028_mount_without_source_sha512 = mount_without_source;
    rs_028_mount_of_nothing rs_028_mount_of_nothing_sha512 = mount_of_nothing;
    rs_011_ranges rs_011_ranges_sha512 = ranges;
    rs_011_ranges_beyond rs_011_ranges_beyond_sha512 = ranges_beyond;
    rs_030_empty_blob rs_030_empty_blob_sha512 = empty_blob;
    rs_030_empty_object rs_030_empty_object_sha512 = empty_object;
    rs_023_bad_digest rs_023_bad_digest_sha512 = bad_digest;
}

#[track_caller]
fn assert_post_alone(target: &Target, digest: &str, bytes: &[u8]) {
    let post = target.request("POST", &format!("/v2/{REPOSITORY}/blobs/uploads/")).query("digest", digest);
    let response =
        post.header("Content-Type", "application/octet-stream").body(bytes).send().expect(&[201, 202]);
    let response = match response.status {
        // That is allowed: then it goes on as any upload.
        202 => target.request("PUT", &response.location()).query("digest", digest).body(bytes).send(),
        _ => response,
    };
    assert_created(target, response, digest, bytes);
}

fn post_alone(target: &Target, hash: Hash) {
    assert_post_alone(target, &hash(b"post"), b"post");
}

#[track_caller]
fn assert_post_and_put(target: &Target, digest: &str, bytes: &[u8]) {
    let location = target.begin(REPOSITORY);
    let put = target.request("PUT", &location).query("digest", digest);
    let response = put.header("Content-Type", "application/octet-stream").body(bytes).send();
    assert_created(target, response, digest, bytes);
}

fn post_and_put(target: &Target, hash: Hash) {
    assert_post_and_put(target, &hash(b"put"), b"put");
    let large = noise(3_000_001, 1);
    assert_post_and_put(target, &hash(&large), &large);
}

/// Sends pieces; gives where the last reply leads.
#[track_caller]
fn send_pieces(target: &Target, mut location: String, pieces: &[&[u8]], has_range: bool) -> String {
    let mut sent = 0;
    for piece in pieces {
        let mut patch =
            target.request("PATCH", &location).header("Content-Type", "application/octet-stream").body(piece);
        if has_range {
            patch = patch.header("Content-Range", format!("{sent}-{}", sent + piece.len() - 1));
        }
        sent += piece.len();
        let response = patch.send().expect(&[202]);
        assert_eq!(response.header("range"), Some(format!("0-{}", sent - 1).as_str()));
        location = response.location();
    }
    location
}

#[track_caller]
fn assert_pieces(target: &Target, hash: Hash, all: &[&[u8]]) {
    let (bytes, location) = (all.concat(), send_pieces(target, target.begin(REPOSITORY), all, true));
    let response = target.request("PUT", &location).query("digest", hash(&bytes)).send();
    assert_created(target, response, &hash(&bytes), &bytes);
}

fn one_piece(target: &Target, hash: Hash) {
    assert_pieces(target, hash, &[b"piece"]);
}

fn pieces(target: &Target, hash: Hash) {
    assert_pieces(target, hash, &[b"one piece", b" and", b" another"]);
}

#[track_caller]
fn assert_stream(target: &Target, digest: &str, bytes: &[u8]) {
    let location = target.begin(REPOSITORY);
    let response = target.request("PATCH", &location).chunked(bytes).send().expect(&[202]);
    let response = target.request("PUT", &response.location()).query("digest", digest).send();
    assert_created(target, response, digest, bytes);
}

fn stream(target: &Target, hash: Hash) {
    let bytes = noise(1_500_000, 2);
    assert_stream(target, &hash(&bytes), &bytes);
}

fn last_piece_in_put(target: &Target, hash: Hash) {
    for has_range in [true, false] {
        let location = send_pieces(target, target.begin(REPOSITORY), &[b"first, "], true);
        let digest = hash(b"first, last");
        let mut put = target.request("PUT", &location).query("digest", &digest).body("last");
        if has_range {
            put = put.header("Content-Range", "7-10");
        }
        assert_created(target, put.send(), &digest, b"first, last");
    }
}

/// A piece that is not the next one is refused, the upload says how far it is, and goes on.
#[track_caller]
fn assert_out_of_order(target: &Target, hash: Hash, response: Response, location: &str) {
    response.expect(&[416]);
    let status = target.get(location).expect(&[204]);
    assert_eq!(status.header("range"), Some("0-4"));
    let location = send_rest(target, status.location());
    let digest = hash(b"first second");
    let response = target.request("PUT", &location).query("digest", &digest).send();
    assert_created(target, response, &digest, b"first second");
}

#[track_caller]
fn send_rest(target: &Target, location: String) -> String {
    let patch = target.request("PATCH", &location).header("Content-Range", "5-11").body(" second");
    let response = patch.send().expect(&[202]);
    assert_eq!(response.header("range"), Some("0-11"));
    response.location()
}

fn out_of_order(target: &Target, hash: Hash) {
    let early =
        target.request("PATCH", &target.begin(REPOSITORY)).header("Content-Range", "5-11").body(" second");
    early.send().expect(&[416]);
    for range in ["7-13", "0-6", "4-10"] {
        let location = send_pieces(target, target.begin(REPOSITORY), &[b"first"], true);
        let patch = target.request("PATCH", &location).header("Content-Range", range).body(" second");
        assert_out_of_order(target, hash, patch.send(), &location);
    }
}

fn out_of_order_in_put(target: &Target, hash: Hash) {
    let location = send_pieces(target, target.begin(REPOSITORY), &[b"first"], true);
    let put = target.request("PUT", &location).query("digest", hash(b"first second"));
    let response = put.header("Content-Range", "8-14").body(" second").send();
    assert_out_of_order(target, hash, response, &location);
}

fn rs_024_status_and_cancel(target: &Target) {
    let location = send_pieces(target, target.begin(REPOSITORY), &[b"bytes"], true);
    let status = target.get(&location).expect(&[204]);
    assert_eq!(status.header("range"), Some("0-4"));
    target.delete(&status.location()).expect(&[204]);
    assert_eq!(target.get(&location).expect(&[404]).code(), "BLOB_UPLOAD_UNKNOWN");
    target.delete(&location).expect(&[404]);
}

fn post_mount(target: &Target, digest: &str, from: Option<&str>) -> Response {
    let post = target.request("POST", &format!("/v2/{REPOSITORY}/blobs/uploads/")).query("mount", digest);
    match from {
        Some(from) => post.query("from", from).send(),
        None => post.send(),
    }
}

/// Sends what was not mounted.
fn put_rest(target: &Target, response: &Response, digest: &str, bytes: &[u8]) -> Response {
    target.request("PUT", &response.location()).query("digest", digest).body(bytes).send()
}

fn mount(target: &Target, hash: Hash) {
    let digest = target.push_blob_as("conformance/source", "mounted", hash(b"mounted"));
    let response = post_mount(target, &digest, Some("conformance/source"));
    assert_created(target, response, &digest, b"mounted");
    target.head(&format!("/v2/conformance/source/blobs/{digest}")).expect(&[200]);
}

fn mount_without_source(target: &Target, hash: Hash) {
    let digest = target.push_blob_as("conformance/source", "from anywhere", hash(b"from anywhere"));
    let response = post_mount(target, &digest, None).expect(&[201, 202]);
    let response = match response.status {
        202 => put_rest(target, &response, &digest, b"from anywhere"),
        _ => response,
    };
    assert_created(target, response, &digest, b"from anywhere");
}

fn mount_of_nothing(target: &Target, hash: Hash) {
    for from in [Some("conformance/source"), None] {
        let digest = hash(b"not there");
        let response = post_mount(target, &digest, from).expect(&[202]);
        let response = put_rest(target, &response, &digest, b"not there");
        assert_created(target, response, &digest, b"not there");
    }
}

fn ranges(target: &Target, hash: Hash) {
    let bytes = noise(1000, 3);
    let digest = target.push_blob_as(REPOSITORY, &bytes, hash(&bytes));
    for (range, expected) in [
        ("0-99", 0..100),
        ("100-199", 100..200),
        ("900-", 900..1000),
        ("-50", 950..1000),
        ("990-2000", 990..1000),
    ] {
        let response = target
            .request("GET", &blob_path(&digest))
            .header("Range", format!("bytes={range}"))
            .send()
            .expect(&[206]);
        let content_range = format!("bytes {}-{}/1000", expected.start, expected.end - 1);
        assert_eq!(response.header("content-range"), Some(content_range.as_str()), "{range}");
        assert_eq!(response.body, bytes[expected], "{range}");
    }
}

fn ranges_beyond(target: &Target, hash: Hash) {
    let bytes = noise(1000, 3);
    let digest = target.push_blob_as(REPOSITORY, &bytes, hash(&bytes));
    for range in ["bytes=1000-1001", "bytes=500-0"] {
        let response =
            target.request("GET", &blob_path(&digest)).header("Range", range).send().expect(&[416]);
        assert_eq!(response.header("content-range"), Some("bytes */1000"), "{range}");
    }
}

fn empty_blob(target: &Target, hash: Hash) {
    let digest = hash(b"");
    assert_post_alone(target, &digest, b"");
    assert_post_and_put(target, &digest, b"");
    assert_stream(target, &digest, b"");
    let location = target.begin(REPOSITORY);
    let response = target.request("PUT", &location).query("digest", &digest).send();
    assert_created(target, response, &digest, b"");
}

fn empty_object(target: &Target, hash: Hash) {
    assert_post_alone(target, &hash(b"{}"), b"{}");
    assert_post_and_put(target, &hash(b"{}"), b"{}");
}

fn bad_digest(target: &Target, hash: Hash) {
    let digest = hash(b"right");
    let post = target.request("POST", &format!("/v2/{REPOSITORY}/blobs/uploads/")).query("digest", &digest);
    post.body("wrong").send().expect(&[400, 202]);
    let put = target.request("PUT", &target.begin(REPOSITORY)).query("digest", &digest).body("wrong");
    assert_eq!(put.send().expect(&[400]).code(), "DIGEST_INVALID");
    let location = send_pieces(target, target.begin(REPOSITORY), &[b"wrong"], true);
    target.request("PUT", &location).query("digest", &digest).send().expect(&[400]);
    let location = send_pieces(target, target.begin(REPOSITORY), &[b"wro", b"ng"], false);
    target.request("PUT", &location).query("digest", &digest).send().expect(&[400]);
    let short = &digest[..digest.len() - 1];
    for wrong in [short, "sha256:abc", "", "sha1:da39a3ee5e6b4b0d3255bfef95601890afd80709"] {
        let location = target.begin(REPOSITORY);
        target.request("PUT", &location).query("digest", wrong).body("x").send().expect(&[400]);
    }
    target.head(&blob_path(&digest)).expect(&[404]);
}

fn rs_029_again(target: &Target) {
    let bytes = noise(100_000, 4);
    for _ in 0..2 {
        target.push_blob(REPOSITORY, &bytes);
    }
    std::thread::scope(|scope| {
        let pushing: Vec<_> =
            (0..4).map(|_| scope.spawn(|| target.push_blob(REPOSITORY, noise(500_000, 5)))).collect();
        for thread in pushing {
            thread.join().expect("a push");
        }
    });
    assert_blob(target, &sha256(&bytes), &bytes);
}

/// Pushes a manifest by digest and then by tag; it comes back to the byte. Then it is deleted.
#[track_caller]
fn assert_manifest(target: &Target, media_type: &str, manifest: &Value) {
    let bytes = manifest.to_string();
    assert_manifest_bytes(target, media_type, bytes.as_bytes(), &sha256(&bytes));
}

#[track_caller]
fn assert_manifest_bytes(target: &Target, media_type: &str, bytes: &[u8], digest: &str) {
    for reference in [digest, "tag"] {
        let put = target.request("PUT", &manifest_path(reference)).header("Content-Type", media_type);
        let response = put.body(bytes).send().expect(&[201]);
        assert_eq!(target.get(&response.location()).expect(&[200]).body, bytes);
        let expected = if reference == digest { digest.to_owned() } else { sha256(bytes) };
        assert_eq!(response.header("docker-content-digest"), Some(expected.as_str()));
    }
    for (reference, expected) in [(digest, digest.to_owned()), ("tag", sha256(bytes))] {
        let get = target
            .request("GET", &manifest_path(reference))
            .header("Accept", media_type)
            .send()
            .expect(&[200]);
        assert_eq!(get.body, bytes);
        let head = target
            .request("HEAD", &manifest_path(reference))
            .header("Accept", media_type)
            .send()
            .expect(&[200]);
        for response in [get, head] {
            assert_eq!(response.header("content-type"), Some(media_type));
            assert_eq!(response.header("content-length"), Some(bytes.len().to_string().as_str()));
            assert_eq!(response.header("docker-content-digest"), Some(expected.as_str()));
        }
    }
    let tags = target.get(&format!("/v2/{REPOSITORY}/tags/list")).expect(&[200]).json();
    assert!(tags["tags"].as_array().is_some_and(|tags| tags.contains(&json!("tag"))), "{tags}");
    target.delete(&manifest_path(digest)).expect(&[202]);
    target.head(&manifest_path(digest)).expect(&[404]);
}

fn rs_040_image(target: &Target) {
    assert_manifest(target, MANIFEST, &target.image(REPOSITORY, "image"));
}

fn rs_040_image_uncompressed(target: &Target) {
    let mut manifest = target.image(REPOSITORY, "uncompressed");
    manifest["layers"][0]["mediaType"] = json!("application/vnd.oci.image.layer.v1.tar");
    assert_manifest(target, MANIFEST, &manifest);
}

fn rs_046_large_manifest(target: &Target) {
    let mut manifest = target.image(REPOSITORY, "large");
    manifest["annotations"] = json!({"org.example.large": "x".repeat(3_900_000)});
    assert_manifest(target, MANIFEST, &manifest);
}

/// An index of manifests that are pushed.
fn index(of: &[(&str, &Value)]) -> Value {
    let manifests: Vec<Value> =
        of.iter().map(|(media_type, manifest)| descriptor(media_type, manifest.to_string())).collect();
    json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests})
}

fn rs_040_index(target: &Target) {
    let (_, one) = target.push_image(REPOSITORY, "one", "index one");
    let (_, two) = target.push_image(REPOSITORY, "two", "index two");
    assert_manifest(target, INDEX, &index(&[(MANIFEST, &one), (MANIFEST, &two)]));
}

fn rs_040_nested_index(target: &Target) {
    let (_, image) = target.push_image(REPOSITORY, "image", "nested");
    let inner = index(&[(MANIFEST, &image)]);
    target.put_manifest(REPOSITORY, "inner", INDEX, &inner).expect(&[201]);
    assert_manifest(target, INDEX, &index(&[(INDEX, &inner)]));
}

fn rs_040_empty_index(target: &Target) {
    assert_manifest(target, INDEX, &index(&[]));
}

/// The manifest of an artifact, whose blobs are pushed.
#[track_caller]
fn artifact(target: &Target, kind: &str, remark: &str) -> Value {
    target.push_blob(REPOSITORY, "{}");
    target.push_blob(REPOSITORY, remark);
    json!({"schemaVersion": 2, "mediaType": MANIFEST, "artifactType": kind,
        "config": descriptor("application/vnd.oci.empty.v1+json", "{}"),
        "layers": [descriptor("text/plain", remark)], "annotations": {"org.example.remark": remark}})
}

fn rs_040_artifact(target: &Target) {
    assert_manifest(target, MANIFEST, &artifact(target, "application/vnd.example.thing", "an artifact"));
}

fn rs_040_artifact_index(target: &Target) {
    let inner = artifact(target, "application/vnd.example.thing", "in an index");
    target.put_manifest(REPOSITORY, &sha256(inner.to_string()), MANIFEST, &inner).expect(&[201]);
    let mut outer = index(&[(MANIFEST, &inner)]);
    outer["artifactType"] = json!("application/vnd.example.things");
    assert_manifest(target, INDEX, &outer);
}

fn rs_040_artifact_without_layers(target: &Target) {
    let mut manifest = artifact(target, "application/vnd.example.nothing", "no layers");
    manifest["layers"] = json!([descriptor("application/vnd.oci.empty.v1+json", "{}")]);
    assert_manifest(target, MANIFEST, &manifest);
}

fn referrers(target: &Target, subject: &str, filter: Option<&str>) -> Vec<Value> {
    let mut get = target.request("GET", &format!("/v2/{REPOSITORY}/referrers/{subject}"));
    if let Some(filter) = filter {
        get = get.query("artifactType", filter);
    }
    let response = get.send().expect(&[200]);
    assert_eq!(response.header("content-type"), Some(INDEX));
    assert_eq!(response.header("oci-filters-applied"), filter.map(|_| "artifactType"));
    response.json()["manifests"].as_array().expect("a list").clone()
}

fn rs_052_artifacts_with_subject(target: &Target) {
    let (subject, image) = target.push_image(REPOSITORY, "subject", "subject");
    let mut referring = Vec::new();
    for (kind, remark) in
        [("application/vnd.example.sbom", "sbom"), ("application/vnd.example.signature", "signature")]
    {
        let mut manifest = artifact(target, kind, remark);
        manifest["subject"] = descriptor(MANIFEST, image.to_string());
        let digest = sha256(manifest.to_string());
        let response = target.put_manifest(REPOSITORY, &digest, MANIFEST, &manifest).expect(&[201]);
        assert_eq!(response.header("oci-subject"), Some(subject.as_str()));
        let mut expected = descriptor(MANIFEST, manifest.to_string());
        expected["artifactType"] = json!(kind);
        expected["annotations"] = json!({"org.example.remark": remark});
        referring.push(expected);
    }
    // An image is an artifact of its config's type.
    let mut manifest = target.image(REPOSITORY, "an image about another");
    manifest["subject"] = descriptor(MANIFEST, image.to_string());
    target.put_manifest(REPOSITORY, "about", MANIFEST, &manifest).expect(&[201]);
    let mut expected = descriptor(MANIFEST, manifest.to_string());
    expected["artifactType"] = json!("application/vnd.oci.image.config.v1+json");
    referring.push(expected);
    let found = referrers(target, &subject, None);
    assert_eq!(found.len(), referring.len());
    assert!(referring.iter().all(|expected| found.contains(expected)), "{found:#?} {referring:#?}");
    assert_eq!(referrers(target, &subject, Some("application/vnd.example.sbom")), referring[..1]);
    assert_eq!(referrers(target, &subject, Some("application/vnd.example.none")), [] as [Value; 0]);
    let digest = referring[0]["digest"].as_str().expect("a digest");
    target.delete(&manifest_path(digest)).expect(&[202]);
    assert_eq!(referrers(target, &subject, None).len(), referring.len() - 1);
}

fn rs_052_index_with_subject(target: &Target) {
    let (subject, image) = target.push_image(REPOSITORY, "subject", "subject of an index");
    let mut about = index(&[(MANIFEST, &image)]);
    about["subject"] = descriptor(MANIFEST, image.to_string());
    let response = target.put_manifest(REPOSITORY, "index", INDEX, &about).expect(&[201]);
    assert_eq!(response.header("oci-subject"), Some(subject.as_str()));
    let found = referrers(target, &subject, None);
    assert_eq!(found, [descriptor(INDEX, about.to_string())]);
    assert!(found[0].get("artifactType").is_none());
    about["artifactType"] = json!("application/vnd.example.index");
    target.put_manifest(REPOSITORY, "index", INDEX, &about).expect(&[201]);
    assert_eq!(referrers(target, &subject, Some("application/vnd.example.index")).len(), 1);
}

fn rs_052_missing_subject(target: &Target) {
    let later = target.image(REPOSITORY, "pushed after what refers to it");
    let subject = sha256(later.to_string());
    let mut manifest = artifact(target, "application/vnd.example.early", "early");
    manifest["subject"] = descriptor(MANIFEST, later.to_string());
    let response = target.put_manifest(REPOSITORY, "early", MANIFEST, &manifest).expect(&[201]);
    assert_eq!(response.header("oci-subject"), Some(subject.as_str()));
    assert_eq!(referrers(target, &subject, None).len(), 1);
    target.put_manifest(REPOSITORY, "later", MANIFEST, &later).expect(&[201]);
    assert_eq!(referrers(target, &subject, None).len(), 1);
}

fn rs_040_data_field(target: &Target) {
    let mut manifest = artifact(target, "application/vnd.example.data", "data");
    manifest["config"]["data"] = json!("e30=");
    assert_manifest(target, MANIFEST, &manifest);
}

fn rs_041_layers_that_are_not_distributed(target: &Target) {
    let mut manifest = target.image(REPOSITORY, "distributed");
    for (media_type, has_urls) in [
        ("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", true),
        ("application/vnd.oci.image.layer.nondistributable.v1.tar", false),
    ] {
        let mut layer = descriptor(media_type, format!("elsewhere, {media_type}"));
        if has_urls {
            layer["urls"] = json!(["https://example.com/layer"]);
        }
        manifest["layers"].as_array_mut().expect("layers").push(layer);
    }
    assert_manifest(target, MANIFEST, &manifest);
}

fn rs_040_custom_fields(target: &Target) {
    let mut manifest = target.image(REPOSITORY, "custom");
    manifest["org.example.custom"] = json!({"kept": true});
    manifest["layers"][0]["org.example.custom"] = json!([1, 2]);
    assert_manifest(target, MANIFEST, &manifest);
}

fn rs_040_no_layers(target: &Target) {
    let mut manifest = target.image(REPOSITORY, "none");
    manifest["layers"] = json!([]);
    assert_manifest(target, MANIFEST, &manifest);
}

fn rs_041_sparse_index(target: &Target) {
    let missing = target.image(REPOSITORY, "its manifest is never pushed");
    let index = index(&[(MANIFEST, &missing)]);
    let response = target.put_manifest(REPOSITORY, "sparse", INDEX, &index).expect(&[400, 404]);
    assert!(
        ["MANIFEST_BLOB_UNKNOWN", "MANIFEST_UNKNOWN"].contains(&response.code().as_str()),
        "{response:?}"
    );
}

fn rs_040_manifest_sha512(target: &Target) {
    let manifest = target.image(REPOSITORY, "sha512").to_string();
    assert_manifest_bytes(target, MANIFEST, manifest.as_bytes(), &sha512(&manifest));
}

fn rs_042_tag_parameter(target: &Target) {
    let manifest = target.image(REPOSITORY, "many tags").to_string();
    for digest in [sha256(&manifest), sha512(&manifest)] {
        let tags: Vec<String> = (0..12).map(|number| format!("tag-{number}")).collect();
        let mut put =
            target.request("PUT", &manifest_path(&digest)).header("Content-Type", MANIFEST).body(&manifest);
        for tag in &tags {
            put = put.query("tag", tag);
        }
        let response = put.send().expect(&[201]);
        assert_eq!(response.all("oci-tag"), tags);
        for tag in &tags {
            let head = target.head(&manifest_path(tag)).expect(&[200]);
            assert_eq!(head.header("docker-content-digest"), Some(digest.as_str()));
        }
    }
}

fn rs_040_bad_manifests(target: &Target) {
    let manifest = target.image(REPOSITORY, "bad");
    let response = target.put_manifest(REPOSITORY, &sha256("other"), MANIFEST, &manifest).expect(&[400]);
    assert_eq!(response.code(), "DIGEST_INVALID");
    let put = target.request("PUT", &manifest_path("bad")).header("Content-Type", MANIFEST).body("not JSON");
    assert_eq!(put.send().expect(&[400]).code(), "MANIFEST_INVALID");
    target.head(&manifest_path("bad")).expect(&[404]);
}

fn rs_040_digest_that_is_none(target: &Target) {
    let manifest = target.image(REPOSITORY, "no digest");
    target.put_manifest(REPOSITORY, "sha256:bad", MANIFEST, &manifest).expect(&[400, 404]);
}

fn rs_041_missing_blobs(target: &Target) {
    let mut manifest = target.image(REPOSITORY, "missing");
    let missing = ["one", "two"].map(|text| descriptor("text/plain", text));
    manifest["layers"].as_array_mut().expect("layers").extend(missing.clone());
    let response = target.put_manifest(REPOSITORY, "missing", MANIFEST, &manifest).expect(&[400, 404]);
    assert_eq!(response.code(), "MANIFEST_BLOB_UNKNOWN");
    // All that is missing is named.
    let text = String::from_utf8_lossy(&response.body).into_owned();
    for part in missing {
        assert!(text.contains(part["digest"].as_str().expect("a digest")), "{text}");
    }
}

fn rs_043_unknown_manifests(target: &Target) {
    target.get(&manifest_path("unknown")).expect(&[404]);
    target.get(&manifest_path(&sha256("unknown"))).expect(&[404]);
    target.push_image(REPOSITORY, "known", "known");
    assert_eq!(target.get(&manifest_path("unknown")).expect(&[404]).code(), "MANIFEST_UNKNOWN");
    target.head(&manifest_path(&sha256("unknown"))).expect(&[404]);
    target.get(&manifest_path("sha256:bad")).expect(&[400, 404]);
    target.get(&blob_path("sha256:bad")).expect(&[400, 404]);
}

fn rs_043_head_is_get(target: &Target) {
    let (digest, manifest) = target.push_image(REPOSITORY, "head", "head");
    let layer = manifest["layers"][0]["digest"].as_str().expect("a digest");
    for path in [manifest_path("head"), manifest_path(&digest), blob_path(layer), "/v2/".to_owned()] {
        let (get, head) = (target.get(&path), target.head(&path));
        assert_eq!(get.status, head.status, "{path}");
        for name in ["content-length", "content-type", "docker-content-digest", "etag"] {
            assert_eq!(get.header(name), head.header(name), "{path}: {name}");
        }
        assert!(head.body.is_empty());
    }
}

fn list(target: &Target, query: &str) -> (Vec<String>, Option<String>) {
    let response = target.get(&format!("/v2/{REPOSITORY}/tags/list{query}")).expect(&[200]);
    let tags = response.json()["tags"].as_array().expect("a list").clone();
    let tags = tags.iter().map(|tag| tag.as_str().expect("a tag").to_owned()).collect();
    let link = response.header("link").map(|link| {
        let (target, relation) = link.split_once('>').expect("a link");
        assert!(relation.contains("rel=\"next\""), "{link}");
        target.trim_start_matches('<').to_owned()
    });
    (tags, link)
}

fn rs_050_pages_of_tags(target: &Target) {
    let manifest = target.image(REPOSITORY, "tagged");
    let mut tags = ["beta", "alpha", "v1.10", "v1.2", "Upper", "_x"].map(str::to_owned);
    for tag in &tags {
        target.put_manifest(REPOSITORY, tag, MANIFEST, &manifest).expect(&[201]);
    }
    tags.sort();
    assert_eq!(list(target, "").0, tags);
    assert_eq!(list(target, "?n=100"), (tags.to_vec(), None));
    assert_eq!(list(target, "?n=0"), (Vec::new(), None));
    assert_eq!(list(target, "?last=alpha").0, tags[3..]);
    assert_eq!(list(target, "?last=b").0, tags[3..], "a boundary that is no tag");
    assert_eq!(list(target, "?n=2&last=_x").0, tags[2..4]);
    let mut seen = Vec::new();
    let mut next = Some(format!("/v2/{REPOSITORY}/tags/list?n=4"));
    while let Some(path) = next {
        let query = path.split_once('?').expect("a query").1.to_owned();
        let (page, link) = list(target, &format!("?{query}"));
        assert!(!page.is_empty());
        seen.extend(page);
        next = link;
    }
    assert_eq!(seen, tags);
}

fn rs_051_catalog(target: &Target) {
    for name in ["c", "a/b", "b"] {
        target.push_image(name, "latest", name);
    }
    let catalog = |query: &str| target.get(&format!("/v2/_catalog{query}")).expect(&[200]);
    assert_eq!(catalog("").json(), json!({"repositories": ["a/b", "b", "c"]}));
    let first = catalog("?n=2");
    assert_eq!(first.json(), json!({"repositories": ["a/b", "b"]}));
    assert!(first.header("link").is_some_and(|link| link.contains("rel=\"next\"")), "{first:?}");
    assert_eq!(catalog("?n=2&last=b").json(), json!({"repositories": ["c"]}));
}

fn rs_044_delete_tag(target: &Target) {
    let (digest, manifest) = target.push_image(REPOSITORY, "gone", "two tags");
    target.put_manifest(REPOSITORY, "stays", MANIFEST, &manifest).expect(&[201]);
    target.delete(&manifest_path("gone")).expect(&[202]);
    target.head(&manifest_path("gone")).expect(&[404]);
    target.head(&manifest_path("stays")).expect(&[200]);
    target.head(&manifest_path(&digest)).expect(&[200]);
    target.delete(&manifest_path("gone")).expect(&[404]);
}

fn rs_044_delete_manifest(target: &Target) {
    let (digest, manifest) = target.push_image(REPOSITORY, "one", "deleted");
    target.put_manifest(REPOSITORY, "two", MANIFEST, &manifest).expect(&[201]);
    target.delete(&manifest_path(&digest)).expect(&[202]);
    for reference in [digest.as_str(), "one", "two"] {
        target.head(&manifest_path(reference)).expect(&[404]);
    }
    target.delete(&manifest_path(&digest)).expect(&[404]);
    // What was deleted can be pushed again.
    target.put_manifest(REPOSITORY, "one", MANIFEST, &manifest).expect(&[201]);
    target.head(&manifest_path("one")).expect(&[200]);
}

fn rs_012_delete_blob(target: &Target) {
    let digest = target.push_blob(REPOSITORY, "in two repositories");
    target.push_blob("conformance/other", "in two repositories");
    target.delete(&blob_path(&digest)).expect(&[202]);
    target.head(&blob_path(&digest)).expect(&[404]);
    target.head(&format!("/v2/conformance/other/blobs/{digest}")).expect(&[200]);
    target.delete(&blob_path(&digest)).expect(&[404]);
    target.head(&format!("/v2/conformance/third/blobs/{digest}")).expect(&[404]);
}
