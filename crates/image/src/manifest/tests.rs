use std::fmt::Write as _;

use base::{Classified, Kind};

use super::*;
use crate::Platform;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn manifest(json: &str) -> Raw<Manifest> {
    match Document::parse(json.as_bytes()) {
        Ok(Document::Manifest(raw)) => raw,
        other => panic!("{json}: {other:?}"),
    }
}

fn index(json: &str) -> Raw<Index> {
    match Document::parse(json.as_bytes()) {
        Ok(Document::Index(raw)) => raw,
        other => panic!("{json}: {other:?}"),
    }
}

fn descriptor(media_type: &str) -> String {
    format!(r#"{{"mediaType":"{media_type}","size":7,"digest":"{DIGEST}"}}"#)
}

#[test]
fn a_manifest_of_docker_schema_2() {
    let text = format!(
        "{{\n   \"schemaVersion\": 2,\n   \"mediaType\": \"{}\",\n   \"config\": {},\n   \"layers\": [{}]\n}}",
        MediaType::DOCKER_MANIFEST,
        descriptor(MediaType::DOCKER_CONFIG.as_str()),
        descriptor(MediaType::DOCKER_LAYER_GZIP.as_str()),
    );
    let raw = manifest(&text);
    assert_eq!(raw.digest(), Digest::sha256(text.as_bytes()));
    assert_eq!(raw.value().config, Descriptor::new(MediaType::DOCKER_CONFIG, Digest::sha256(b""), 7));
    assert_eq!(raw.value().layers, [Descriptor::new(MediaType::DOCKER_LAYER_GZIP, Digest::sha256(b""), 7)]);
}

#[test]
fn an_oci_manifest_with_everything() {
    let text = format!(
        r#"{{"schemaVersion":2,"artifactType":"application/x","config":{},"layers":[{{"mediaType":"application/y",
        "digest":"{DIGEST}","size":0,"urls":["https://registry.example/x"],"annotations":{{"a":"1","A":"2"}},"data":"",
        "newKey":{{}}}}],"subject":{},"annotations":{{"b":"<3"}},"another":[1]}}"#,
        descriptor("application/vnd.oci.empty.v1+json"),
        descriptor(MediaType::OCI_MANIFEST.as_str()),
    );
    let raw = manifest(&text);
    assert_eq!(raw.value().media_type, None);
    let layer = &raw.value().layers[0];
    assert_eq!((layer.size, layer.urls.len(), layer.annotations.len()), (0, 1, 2));
    assert_eq!(layer.data.as_deref(), Some(""));
    assert!(raw.value().subject.is_some());
    assert_eq!(raw.value().annotations.get("b").map(String::as_str), Some("<3"));
}

#[test]
fn null_lists_of_go_are_empty() {
    let config = descriptor(MediaType::OCI_CONFIG.as_str());
    let raw = manifest(&format!(
        r#"{{"schemaVersion":2,"config":{config},"layers":null,"annotations":null,"subject":null,"manifests":null}}"#
    ));
    assert_eq!(raw.value().layers, []);
    assert_eq!(index(r#"{"schemaVersion":2,"manifests":null}"#).value().manifests, []);
    assert_eq!(index(r#"{"schemaVersion":2,"manifests":[]}"#).value().manifests, []);
    let nulls = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"m","digest":"{DIGEST}","size":1,"urls":null,"annotations":null,
        "data":null,"platform":null,"artifactType":null}}]}}"#
    );
    assert_eq!(
        index(&nulls).value().manifests,
        [Descriptor::new(MediaType::new("m"), Digest::sha256(b""), 1)]
    );
}

#[test]
fn an_index_with_platforms() {
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[{{"mediaType":"{}","digest":"{DIGEST}","size":9,
        "platform":{{"architecture":"arm64","os":"linux","variant":"v8","features":["x"]}}}}]}}"#,
        MediaType::DOCKER_LIST,
        MediaType::DOCKER_MANIFEST,
    );
    let raw = index(&text);
    let platform = raw.value().manifests[0].platform.as_ref().expect("a platform");
    assert_eq!(platform.normalized(), Platform::new("linux", "arm64", None));
}

/// These bytes must not change: the digests of manifests depend on them.
#[test]
fn golden_what_is_written() {
    let layer = Descriptor::new(MediaType::OCI_LAYER_GZIP, Digest::sha256(b""), 3);
    let config = Descriptor::new(MediaType::OCI_CONFIG, Digest::sha256(b""), 2);
    let written = Raw::write(Manifest::oci(config, vec![layer])).expect("JSON");
    let expected = format!(
        concat!(
            r#"{{"config":{{"digest":"{0}","mediaType":"application/vnd.oci.image.config.v1+json","size":2}},"#,
            r#""layers":[{{"digest":"{0}","mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","size":3}}],"#,
            r#""mediaType":"application/vnd.oci.image.manifest.v1+json","schemaVersion":2}}"#,
        ),
        DIGEST
    );
    assert_eq!(String::from_utf8_lossy(written.bytes()), expected);
    assert_eq!(manifest(&expected).value(), written.value());
    let entry = written.descriptor(MediaType::OCI_MANIFEST);
    let written = Raw::write(Index::oci(vec![entry])).expect("JSON");
    assert_eq!(index(&String::from_utf8_lossy(written.bytes())).value(), written.value());
}

#[test]
fn rc_081_what_could_be_two_things_is_refused() {
    let (config, layer) = (descriptor("c"), descriptor("l"));
    let list = MediaType::DOCKER_LIST;
    let oci = MediaType::OCI_MANIFEST;
    for (json, reason) in [
        (format!(r#"{{"schemaVersion":2,"manifests":[],"layers":[{layer}]}}"#), "both manifests and layers"),
        (format!(r#"{{"schemaVersion":2,"manifests":[],"config":{config}}}"#), "both manifests and a config"),
        (r#"{"schemaVersion":2}"#.to_owned(), "neither manifests nor layers"),
        (r#"{"schemaVersion":2,"layers":null}"#.to_owned(), "neither manifests nor layers"),
        (format!(r#"{{"schemaVersion":2,"mediaType":"{oci}","manifests":[]}}"#), "holds manifests, and says"),
        (
            format!(r#"{{"schemaVersion":2,"mediaType":"{list}","config":{config},"layers":[]}}"#),
            "holds layers, and says",
        ),
        (
            format!(r#"{{"schemaVersion":2,"manifests":[],"Layers":[{layer}]}}"#),
            "its key Layers is not how layers is",
        ),
        (
            format!(r#"{{"schemaVersion":2,"config":{config},"layers":[],"Manifests":[]}}"#),
            "its key Manifests",
        ),
        (
            format!(r#"{{"schemaVersion":2,"config":{config},"layers":[],"layers":[{layer}]}}"#),
            "layers is there twice",
        ),
        (
            format!(r#"{{"schemaVersion":2,"config":{config},"layers":[],"Layers":[]}}"#),
            "letters of different case",
        ),
        (
            format!(r#"{{"schemaVersion":2,"mediaType":"{oci}","mediaType":"{list}","manifests":[]}}"#),
            "mediaType is there twice",
        ),
    ] {
        let error = Document::parse(json.as_bytes()).expect_err(&json);
        assert!(error.source.to_string().contains(reason), "{json}: {}", error.source);
        assert_eq!(error.kind(), Kind::Invalid, "{json}");
    }
}

#[test]
fn rc_082_schema_1_is_named() {
    for json in [
        r#"{"schemaVersion":1,"name":"x","tag":"y","fsLayers":[],"history":[],"signatures":[]}"#,
        r#"{"fsLayers":[{"blobSum":"sha256:abc"}]}"#,
    ] {
        let error = Document::parse(json.as_bytes()).expect_err(json);
        assert!(error.source.to_string().contains("it is of schema 1"), "{}", error.source);
        assert_eq!(error.kind(), Kind::Unsupported);
        assert!(error.hint().is_some_and(|hint| hint.contains("schema 2")));
    }
    let error = Document::parse(br#"{"schemaVersion":3,"layers":[]}"#).expect_err("schema 3");
    assert_eq!(error.source.to_string(), "it is of schema 3, only schema 2 is known");
    assert_eq!(error.kind(), Kind::Unsupported);
}

#[test]
fn cve_2024_3727_descriptors_are_parsed_whole() {
    let upper = DIGEST.to_uppercase().replace("SHA", "sha");
    for (digest, size) in [
        ("sha256:../../x", "1"),
        ("sha256:ab", "1"),
        (&upper, "1"),
        ("md5:ab", "1"),
        (DIGEST, "-1"),
        (DIGEST, "1.5"),
        (DIGEST, "9223372036854775808"),
        (DIGEST, "1e99"),
        (DIGEST, "\"1\""),
    ] {
        let json = format!(
            r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"m","digest":"{digest}","size":{size}}}]}}"#
        );
        let error = Document::parse(json.as_bytes()).expect_err(&json);
        assert!(error.source.to_string().contains("line 1 column"), "{json}: {}", error.source);
    }
    for key in ["mediaType", "digest", "size"] {
        let json =
            format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, descriptor("m")).replace(key, "other");
        let error = Document::parse(json.as_bytes()).expect_err(&json);
        assert!(error.source.to_string().contains(&format!("missing field `{key}`")), "{}", error.source);
    }
}

#[test]
fn rc_084_too_large_and_too_deep_documents_are_refused() {
    let limit = usize::try_from(MAX_MANIFEST_SIZE).expect("a size");
    let mut json = r#"{"schemaVersion":2,"manifests":[]}"#.to_owned();
    let missing = limit - json.len();
    write!(json, "{}", " ".repeat(missing)).expect("room");
    assert!(Document::parse(json.as_bytes()).is_ok());
    json.push(' ');
    assert_eq!(
        Document::parse(json.as_bytes()).map(|_| ()).map_err(|error| error.kind()),
        Err(Kind::TooLarge)
    );
    let deep = format!(r#"{{"schemaVersion":2,"manifests":[],"x":{}{}}}"#, "[".repeat(200), "]".repeat(200));
    let error = Document::parse(deep.as_bytes()).expect_err("too deep");
    assert!(error.source.to_string().contains("recursion limit"), "{}", error.source);
}

#[test]
fn what_is_no_document_is_an_error() {
    for json in [
        "",
        "{",
        "[]",
        // serde alone would take this for an index.
        "[2, null, null, []]",
        "null",
        "1",
        "\"x\"",
        "<html>",
        r#"{"schemaVersion":"2","layers":[]}"#,
        r#"{"manifests":[]}"#,
    ] {
        let error = Document::parse(json.as_bytes()).expect_err(json);
        assert_eq!(error.kind(), Kind::Invalid, "{json}");
    }
}

#[test]
fn what_a_document_says_of_itself() {
    let digest = Digest::sha256(b"x");
    let subject = format!(r#","subject":{{"mediaType":"a/b","digest":"{digest}","size":1}}"#);
    let config = format!(r#""config":{{"mediaType":"a/config","digest":"{digest}","size":1}}"#);
    let descriptor = Descriptor::new(MediaType::OCI_MANIFEST, digest, 1);
    for (json, is_index, said, kind) in [
        (format!(r#"{{"schemaVersion":2,{config}{subject}}}"#), false, None, Some("a/config")),
        (format!(r#"{{"schemaVersion":2,"artifactType":"a/c",{config}}}"#), false, None, Some("a/c")),
        (r#"{"schemaVersion":2,"mediaType":"a/own","manifests":[]}"#.to_owned(), true, Some("a/own"), None),
        (r#"{"schemaVersion":2,"artifactType":"a/c","manifests":[]}"#.to_owned(), true, None, Some("a/c")),
    ] {
        let document = Document::parse(json.as_bytes()).expect(&json);
        assert_eq!((document.is_index(), document.bytes()), (is_index, json.as_bytes()));
        assert_eq!(document.digest(), Digest::sha256(json.as_bytes()));
        assert_eq!(document.said_type().map(MediaType::as_str), said, "{json}");
        let usual = if is_index { MediaType::OCI_INDEX } else { MediaType::OCI_MANIFEST };
        assert_eq!(document.media_type().as_str(), said.unwrap_or(usual.as_str()), "{json}");
        let is_about = document.subject().map(|subject| subject.digest);
        assert_eq!(is_about, json.contains("subject").then_some(digest), "{json}");
        let referrer = document.as_referrer(descriptor.clone());
        assert_eq!(referrer.artifact_type.as_ref().map(MediaType::as_str), kind, "{json}");
    }
}
