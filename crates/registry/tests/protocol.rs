//! What HTTP makes hard: bodies that come early or never, connections that break, other protocols, headers.

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::process::Command;
use std::time::Duration;

use common::http::{connect, read_response};
use common::*;
use serde_json::json;

#[test]
fn rs_004_errors_are_json() {
    let target = ours();
    for (method, path, status, code) in [
        ("GET", "/v2/app/nothing", 404, "UNKNOWN"),
        ("GET", "/nothing", 404, "UNKNOWN"),
        ("GET", "/v2/app/manifests/1", 404, "NAME_UNKNOWN"),
        ("GET", "/v2/APP/manifests/1", 400, "NAME_INVALID"),
        ("GET", "/v2/a%2Fb/manifests/1", 400, "NAME_INVALID"),
        ("GET", "/v2/../manifests/1", 400, "NAME_INVALID"),
        ("GET", "/v2/app/manifests/-x", 400, "TAG_INVALID"),
        ("GET", "/v2/app/blobs/sha256:x", 400, "DIGEST_INVALID"),
        ("GET", "/v2/app/referrers/x", 400, "DIGEST_INVALID"),
        ("POST", "/v2/app/manifests/1", 405, "UNSUPPORTED"),
        ("PUT", "/v2/_catalog", 405, "UNSUPPORTED"),
        ("POST", "/v2/app/blobs/uploads/?mount=x", 400, "DIGEST_INVALID"),
        ("POST", "/v2/app/blobs/uploads/?digest-algorithm=md5", 400, "DIGEST_INVALID"),
        ("PATCH", "/v2/app/blobs/uploads/0123", 404, "BLOB_UPLOAD_UNKNOWN"),
        ("GET", "/v2/_catalog?n=x", 400, "PAGINATION_NUMBER_INVALID"),
        ("GET", "/v2/_catalog?n=-1", 400, "PAGINATION_NUMBER_INVALID"),
    ] {
        let response = target.request(method, path).send().expect(&[status]);
        assert_eq!(response.header("content-type"), Some("application/json"), "{method} {path}");
        assert_eq!(response.code(), code, "{method} {path}");
        if status == 405 {
            assert!(response.header("allow").is_some_and(|allow| allow.contains("GET")), "{response:?}");
        }
    }
    // CVE-2023-2253: what a client asks for is not what is reserved.
    target.get("/v2/_catalog?n=99999999999999999999999").expect(&[200]);
}

#[test]
fn rs_005_nothing_is_compressed() {
    let target = ours();
    let digest = target.push_blob("app", noise(10_000, 1));
    target.push_image("app", "1", "image");
    for path in
        [format!("/v2/app/blobs/{digest}"), "/v2/app/manifests/1".to_owned(), "/v2/_catalog".to_owned()]
    {
        let response =
            target.request("GET", &path).header("Accept-Encoding", "gzip, zstd").send().expect(&[200]);
        assert_eq!(response.header("content-encoding"), None, "{path}");
    }
}

#[test]
fn rs_006_a_refusal_comes_before_the_body_that_waits_for_it() {
    let target = ours_with(|options| options.read_only = true);
    let mut stream = connect(target.address);
    let head = "PUT /v2/app/manifests/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\nExpect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).expect("send");
    let response = read_response(&mut BufReader::new(stream), false).expect(&[405]);
    assert_eq!(response.code(), "UNSUPPORTED");

    let target = ours();
    let location = target.begin("app");
    let mut stream = connect(target.address);
    let head =
        format!("PATCH {location} HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("send");
    let mut reader = BufReader::new(stream.try_clone().expect("a descriptor"));
    read_response(&mut reader, false).expect(&[100]);
    stream.write_all(b"body").expect("send");
    read_response(&mut reader, false).expect(&[202]);
}

#[test]
fn rs_006_a_connection_stays_open() {
    let target = ours();
    let mut stream = connect(target.address);
    let mut reader = BufReader::new(stream.try_clone().expect("a descriptor"));
    for (request, status) in [
        ("GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n", 200),
        ("HEAD /v2/app/manifests/1 HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        // A body that nobody reads is out of the way of the next request.
        ("POST /v2/_catalog HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12345", 405),
        ("GET /v2/_catalog HTTP/1.1\r\nHost: x\r\n\r\n", 200),
    ] {
        stream.write_all(request.as_bytes()).expect("send");
        read_response(&mut reader, request.starts_with("HEAD")).expect(&[status]);
    }
}

#[test]
fn rs_006_http_2_without_tls() {
    let target = ours();
    let digest = target.push_blob("app", noise(2_000_000, 7));
    let output = Command::new("curl")
        .args([
            "--http2-prior-knowledge",
            "-s",
            "-o",
            "/dev/null",
            "-w",
            "%{http_version} %{http_code} %{size_download}",
        ])
        .arg(format!("http://{}/v2/app/blobs/{digest}", target.address))
        .output()
        .expect("curl");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "2 200 2000000");
}

#[test]
fn rs_006b_tls_on_the_plain_port_is_answered_in_http() {
    let target = ours();
    let mut stream = connect(target.address);
    // The beginning of a ClientHello.
    stream.write_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03").expect("send");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).expect("a reply and an end");
    assert!(reply.starts_with("HTTP/1.1 400 Bad Request\r\n") && reply.contains("plain HTTP"), "{reply}");
}

#[test]
fn rs_007_a_reply_is_seen_while_a_body_is_sent() {
    let target = ours_with(|options| options.read_only = true);
    let body = noise(8 << 20, 3);
    let response = target.request("PUT", "/v2/app/manifests/1").body(&body).send().expect(&[405]);
    assert_eq!(response.code(), "UNSUPPORTED");
    let response = target.request("POST", "/v2/app/blobs/uploads/").chunked(&body).send().expect(&[405]);
    assert_eq!(response.code(), "UNSUPPORTED");
}

#[test]
fn rs_010_headers_of_blobs() {
    let target = ours();
    let digest = target.push_blob("app", "blob");
    let path = format!("/v2/app/blobs/{digest}");
    let response = target.get(&path).expect(&[200]);
    let etag = format!("\"{digest}\"");
    for (name, value) in [
        ("content-type", "application/octet-stream"),
        ("docker-content-digest", digest.as_str()),
        ("accept-ranges", "bytes"),
        ("etag", etag.as_str()),
        ("cache-control", "max-age=31536000, immutable"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(response.header(name), Some(value), "{name}");
    }
    for (tags, status) in [(etag.as_str(), 304), ("*", 304), ("\"x\", W/\"y\"", 200)] {
        target.request("GET", &path).header("If-None-Match", tags).send().expect(&[status]);
    }
    let weak = format!("\"x\", W/{etag}");
    target.request("HEAD", &path).header("If-None-Match", weak).send().expect(&[304]);
}

#[test]
fn rs_011_several_ranges_in_one_reply() {
    let target = ours();
    let bytes = noise(1_000_000, 5);
    let digest = target.push_blob("app", &bytes);
    let path = format!("/v2/app/blobs/{digest}");
    let get = |range: &str| target.request("GET", &path).header("Range", range);
    let response = get("bytes=0-9,500000-899999,-5").send().expect(&[206]);
    let kind = response.header("content-type").expect("a type");
    let boundary = kind.strip_prefix("multipart/byteranges; boundary=").expect("parts");
    let mut expected = Vec::new();
    for (start, end) in [(0, 10), (500_000, 900_000), (999_995, 1_000_000)] {
        let last = end - 1;
        let head = format!(
            "\r\n--{boundary}\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes {start}-{last}/1000000\r\n\r\n"
        );
        expected.extend_from_slice(head.as_bytes());
        expected.extend_from_slice(&bytes[start..end]);
    }
    expected.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    assert!(response.body == expected);
    let head = target.request("HEAD", &path).header("Range", "bytes=0-9,20-29").send().expect(&[206]);
    assert!(head.header("content-length").is_some());
    get("bytes=0-9").header("If-Range", format!("\"{digest}\"")).send().expect(&[206]);
    get("bytes=0-9").header("If-Range", "\"another\"").send().expect(&[200]);
    get("lines=0-9").send().expect(&[200]);
}

#[test]
fn rs_043_a_manifest_is_what_was_pushed_whatever_the_client_accepts() {
    let target = ours();
    let (digest, manifest) = target.push_image("app", "1", "image");
    for accept in ["application/vnd.docker.distribution.manifest.v1+json", "text/html", "*/*"] {
        let response =
            target.request("GET", "/v2/app/manifests/1").header("Accept", accept).send().expect(&[200]);
        assert_eq!(response.body, manifest.to_string().as_bytes());
        assert_eq!(response.header("content-type"), Some(MANIFEST));
    }
    let known =
        target.request("GET", "/v2/app/manifests/1").header("If-None-Match", format!("\"{digest}\"")).send();
    known.expect(&[304]);
}

#[test]
fn rs_046_manifests_have_a_limit() {
    let target = ours();
    let put = || target.request("PUT", "/v2/app/manifests/1").header("Content-Type", MANIFEST);
    let large = vec![b' '; (4 << 20) + 1];
    assert_eq!(put().body(&large).send().expect(&[413]).code(), "SIZE_INVALID");
    assert_eq!(put().chunked(&large).send().expect(&[413]).code(), "SIZE_INVALID");
    // CVE-2017-11468: what is announced is not waited for.
    let mut stream = connect(target.address);
    let head = "PUT /v2/app/manifests/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000000\r\n\r\n";
    stream.write_all(head.as_bytes()).expect("send");
    read_response(&mut BufReader::new(stream), false).expect(&[413]);
}

#[test]
fn rs_042_too_many_tags() {
    let target = ours();
    let manifest = target.image("app", "tags").to_string();
    let put = |count: usize| {
        let path = format!("/v2/app/manifests/{}", sha256(&manifest));
        let put = target.request("PUT", &path).header("Content-Type", MANIFEST).body(&manifest);
        (0..count).fold(put, |put, number| put.query("tag", format!("t{number}"))).send()
    };
    put(64).expect(&[201]);
    put(65).expect(&[414]);
}

#[test]
fn rs_047_conditional_tags() {
    let target = ours();
    let (first, _) = target.push_image("app", "1", "first");
    let second = target.image("app", "second").to_string();
    let put = |name: &str, value: String| {
        let put = target.request("PUT", "/v2/app/manifests/1").header("Content-Type", MANIFEST);
        put.header(name, value).body(&second).send()
    };
    assert_eq!(put("If-None-Match", "*".to_owned()).expect(&[412]).code(), "DENIED");
    put("If-Match", format!("\"{}\"", sha256("other"))).expect(&[412]);
    put("If-Match", "what".to_owned()).expect(&[400]);
    put("If-Match", format!("\"{first}\"")).expect(&[201]);
    assert_eq!(
        target.head("/v2/app/manifests/1").header("docker-content-digest"),
        Some(sha256(&second).as_str())
    );
}

#[test]
fn rs_041_sparse_indexes_when_they_are_wanted() {
    let target = ours_with(|options| options.sparse_indexes = true);
    let index =
        json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor(MANIFEST, "elsewhere")]});
    target.put_manifest("app", "sparse", INDEX, &index).expect(&[201]);
    assert_eq!(target.get("/v2/app/manifests/sparse").expect(&[200]).json(), index);
}

#[test]
fn rs_050_pages_are_not_longer_than_a_thousand() {
    let target = ours();
    let manifest = target.image("app", "many").to_string();
    for start in (0..1030).step_by(60) {
        let path = format!("/v2/app/manifests/{}", sha256(&manifest));
        let put = target.request("PUT", &path).header("Content-Type", MANIFEST).body(&manifest);
        (start..start + 60)
            .fold(put, |put, number| put.query("tag", format!("t{number:04}")))
            .send()
            .expect(&[201]);
    }
    for query in ["", "?n=5000"] {
        let response = target.get(&format!("/v2/app/tags/list{query}")).expect(&[200]);
        assert_eq!(response.json()["tags"].as_array().map(Vec::len), Some(1000));
        assert_eq!(response.header("link"), Some("</v2/app/tags/list?n=1000&last=t0999>; rel=\"next\""));
    }
}

#[test]
fn rs_052_long_lists_of_referrers_come_in_pages() {
    let target = ours();
    target.push_blob("app", "{}");
    let subject = sha256("subject");
    // Together more than one manifest may have.
    for number in 0..3 {
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "artifactType": "application/x",
            "config": descriptor("application/vnd.oci.empty.v1+json", "{}"), "layers": [],
            "subject": {"mediaType": MANIFEST, "digest": subject, "size": 7},
            "annotations": {"number": number.to_string(), "long": "x".repeat(2_000_000)}});
        target.put_manifest("app", &format!("t{number}"), MANIFEST, &manifest).expect(&[201]);
    }
    let mut next = Some(format!("/v2/app/referrers/{subject}?artifactType=application/x"));
    let (mut pages, mut found) = (0, Vec::new());
    while let Some(path) = next {
        let response = target.get(&path).expect(&[200]);
        assert!(response.body.len() <= 4 << 20);
        found.extend(response.json()["manifests"].as_array().expect("a list").clone());
        next = response.header("link").map(|link| link[1..].split_once('>').expect("a link").0.to_owned());
        pages += 1;
    }
    assert_eq!((pages, found.len()), (2, 3));
}

#[test]
fn rs_044_deletion_can_be_forbidden_of_tags_too() {
    let target = ours_with(|options| options.delete = false);
    let (digest, manifest) = target.push_image("app", "1", "kept");
    let layer = manifest["layers"][0]["digest"].as_str().expect("a digest");
    for path in [
        "/v2/app/manifests/1".to_owned(),
        format!("/v2/app/manifests/{digest}"),
        format!("/v2/app/blobs/{layer}"),
    ] {
        assert_eq!(target.delete(&path).expect(&[405]).code(), "UNSUPPORTED", "{path}");
    }
    // An upload of one's own is something else.
    target.delete(&target.begin("app")).expect(&[204]);
}

#[test]
fn rs_054_warnings_and_names_of_requests() {
    let target = ours_with(|options| options.warning = Some("closed \"for ever\" on Friday".to_owned()));
    let (one, two) = (target.get("/v2/"), target.get("/nothing"));
    assert_eq!(one.header("warning"), Some("299 - \"closed 'for ever' on Friday\""));
    assert_eq!(two.header("warning"), one.header("warning"));
    assert!(one.header("x-request-id").is_some() && one.header("x-request-id") != two.header("x-request-id"));
}

#[test]
fn rs_110_tls_and_its_certificate_is_read_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name);
    let files = certificate(directory.path());
    let target = ours_with(|options| options.tls = Some(files));
    let curl = || {
        let output = Command::new("curl")
            .args(["-s", "-S", "-w", " %{http_version} %{http_code}", "--cacert"])
            .arg(path("cert.pem"))
            .arg(format!("https://{}/v2/", target.address))
            .output()
            .expect("curl");
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    };
    assert_eq!(curl(), "{} 2 200");
    // Plain HTTP is answered in a way that can be read.
    let response = target.request("GET", "/v2/").send().expect(&[400]);
    assert!(response.json()["errors"][0]["message"].as_str().is_some_and(|text| text.contains("HTTPS")));
    std::thread::sleep(Duration::from_millis(1100));
    certificate(directory.path());
    assert_eq!(curl(), "{} 2 200");
    std::fs::write(path("cert.pem.old"), std::fs::read(path("cert.pem")).expect("read")).expect("write");
    std::thread::sleep(Duration::from_millis(1100));
    std::fs::write(path("key.pem"), "no key").expect("write");
    // What cannot be used changes nothing.
    assert_eq!(curl(), "{} 2 200");
}

#[test]
fn rs_170_health_and_metrics() {
    let target = ours();
    assert_eq!(target.get("/healthz").expect(&[200]).body, b"ok\n");
    target.push_blob("app", "blob");
    let text = String::from_utf8(target.get("/metrics").expect(&[200]).body).expect("text");
    for line in [
        "lapstrake_registry_requests_total{method=\"POST\",status=\"2xx\"} 1",
        "lapstrake_registry_blobs_pushed_total 1",
        "lapstrake_registry_received_bytes_total 4",
        "lapstrake_registry_requests_running 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
}

#[test]
fn rs_170_each_request_is_logged() {
    let lines: Lines = Lines::default();
    let log = lines.clone();
    let target = ours_with(|options| {
        options.log = std::sync::Arc::new(move |access| {
            log.lock().expect("the lines").push(serde_json::to_string(access).expect("JSON"));
        });
    });
    target.request("GET", "/v2/app/tags/list").header("User-Agent", "a test").send().expect(&[404]);
    // What is no parameter of the API could be a secret.
    target.get("/v2/_catalog?n=1&last=a").expect(&[200]);
    target.get("/v2/_catalog?n=1&access_token=s3cret").expect(&[200]);
    let lines = lines.lock().expect("the lines").clone();
    assert!(lines[1].contains("\"/v2/_catalog?n=1&last=a\""), "{}", lines[1]);
    assert!(lines[2].contains("\"/v2/_catalog?…\"") && !lines[2].contains("s3cret"), "{}", lines[2]);
    let line: serde_json::Value = serde_json::from_str(&lines[0]).expect("JSON");
    assert_eq!(line["path"], "/v2/app/tags/list");
    assert_eq!(
        (&line["status"], &line["agent"], &line["method"]),
        (&json!(404), &json!("a test"), &json!("GET"))
    );
}

#[test]
fn stopping_lets_what_is_running_end() {
    let target = ours();
    let location = target.begin("app");
    let mut stream = connect(target.address);
    let head = format!("PATCH {location} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345");
    stream.write_all(head.as_bytes()).expect("send");
    std::thread::sleep(Duration::from_millis(100));
    let stopping = std::thread::spawn(move || target.stop());
    std::thread::sleep(Duration::from_millis(300));
    stream.write_all(b"67890").expect("send");
    let mut reader = BufReader::new(stream);
    read_response(&mut reader, false).expect(&[202]);
    let mut rest = String::new();
    assert_eq!(reader.read_line(&mut rest).expect("the end"), 0);
    stopping.join().expect("a graceful stop");
}

#[test]
fn a_port_that_is_taken_is_said_so() {
    let target = ours();
    let directory = tempfile::tempdir().expect("a directory");
    let store = store::Store::open(directory.path().join("store")).expect("a store");
    let error =
        registry::Server::bind(store, registry::Options::new(target.address)).err().expect("an error");
    assert_eq!(error.to_string(), format!("cannot listen on {}", target.address));
    assert!(base::Classified::hint(&error).is_some_and(|hint| hint.contains("--addr")));
}

#[test]
fn rs_003_head_is_get_without_a_body() {
    let target = ours();
    let (digest, manifest) = target.push_image("app", "1", "head");
    let layer = manifest["layers"][0]["digest"].as_str().expect("a digest");
    for (path, status) in [
        ("/v2/".to_owned(), 200),
        ("/v2/_catalog".to_owned(), 200),
        ("/v2/_oci/ext/discover".to_owned(), 200),
        ("/v2/app/tags/list".to_owned(), 200),
        ("/v2/app/manifests/1".to_owned(), 200),
        (format!("/v2/app/referrers/{digest}"), 200),
        (format!("/v2/app/blobs/{layer}"), 200),
        (format!("/v2/app/blobs/{}", sha256("missing")), 404),
        ("/v2/app/manifests/missing".to_owned(), 404),
        ("/v2/missing/tags/list".to_owned(), 404),
        ("/healthz".to_owned(), 200),
        ("/".to_owned(), 200),
        ("/r/app".to_owned(), 200),
    ] {
        let (get, head) = (target.get(&path).expect(&[status]), target.head(&path).expect(&[status]));
        let headers = |response: &Response| {
            let mut headers = response.headers.clone();
            headers.retain(|(name, _)| !["x-request-id", "date"].contains(&name.as_str()));
            headers
        };
        assert_eq!(headers(&get), headers(&head), "{path}");
        assert!(head.body.is_empty());
    }
}

#[test]
fn rs_053_there_are_no_extensions() {
    let response = ours().get("/v2/_oci/ext/discover").expect(&[200]);
    assert_eq!(response.json(), json!({"extensions": []}));
}

#[test]
fn rs_200_a_registry_that_is_read_only() {
    let target = ours();
    let (digest, manifest) = target.push_image("app", "1", "kept");
    let (layer, upload) = (manifest["layers"][0]["digest"].clone(), target.begin("app"));
    let layer = format!("/v2/app/blobs/{}", layer.as_str().expect("a digest"));
    let target = ours_in(target.stop(), |options| options.read_only = true);
    for path in ["/v2/app/manifests/1", "/v2/app/tags/list", &layer, "/", "/healthz"] {
        target.get(path).expect(&[200]);
    }
    for (method, path) in [
        ("POST", "/v2/app/blobs/uploads/"),
        ("PATCH", &upload),
        ("PUT", &upload),
        ("DELETE", &upload),
        ("PUT", "/v2/app/manifests/1"),
        ("DELETE", "/v2/app/manifests/1"),
        ("DELETE", &format!("/v2/app/manifests/{digest}")),
        ("DELETE", &layer),
    ] {
        let response = target.request(method, path).send().expect(&[405]);
        assert_eq!(response.code(), "UNSUPPORTED", "{method} {path}");
        assert_eq!(response.header("allow"), Some("GET, HEAD"), "{method} {path}");
    }
}
