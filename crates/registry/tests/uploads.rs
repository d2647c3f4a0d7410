//! Uploads: what they are told, pieces, broken connections, restarts, and what is there already.

mod common;

use std::io::{BufReader, Write};
use std::time::{Duration, Instant};

use common::http::{connect, read_response};
use common::*;

#[test]
fn rs_020_what_an_upload_is_told() {
    let target = ours();
    let response = target.request("POST", "/v2/app/blobs/uploads/").send().expect(&[202]);
    assert_eq!(response.header("content-length"), Some("0"));
    assert_eq!(response.header("range"), Some("0-0"));
    let id = response.header("docker-upload-uuid").expect("a name").to_owned();
    // RS-027: a path alone, which is right whatever proxies stand between.
    assert_eq!(response.location(), format!("/v2/app/blobs/uploads/{id}"));
    let other = format!("/v2/other/blobs/uploads/{id}");
    assert_eq!(target.get(&other).expect(&[404]).code(), "BLOB_UPLOAD_UNKNOWN");
    target.request("HEAD", &response.location()).send().expect(&[204]);
}

#[test]
fn rs_022_a_piece_of_another_length_than_it_says_is_none() {
    let target = ours();
    let location = target.begin("app");
    let patch = |range: &str| target.request("PATCH", &location).header("Content-Range", range);
    patch("0-4").body("first").send().expect(&[202]);
    let error = patch("5-9").body("long er").send().expect(&[400]);
    assert_eq!(error.code(), "SIZE_INVALID");
    for body in ["sho", "too long"] {
        assert_eq!(patch("5-9").chunked(body).send().expect(&[400]).code(), "SIZE_INVALID");
    }
    patch("x").body("y").send().expect(&[400]);
    let status = target.get(&location).expect(&[204]);
    assert_eq!(status.header("range"), Some("0-4"));
    patch("5-5").body("!").send().expect(&[202]);
    let digest = sha256("first!");
    target.request("PUT", &location).query("digest", &digest).send().expect(&[201]);
}

/// Sends a part of a body and breaks the connection; gives how much arrived.
fn break_off(target: &Target, location: &str, bytes: &[u8], sent: usize) -> usize {
    let mut stream = connect(target.address);
    let head = format!("PATCH {location} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", bytes.len());
    stream.write_all(head.as_bytes()).expect("send");
    stream.write_all(&bytes[..sent]).expect("send");
    drop(stream);
    let started = Instant::now();
    loop {
        let status = target.get(location).expect(&[204]);
        let range = status.header("range").expect("a range").to_owned();
        let last: usize = range.strip_prefix("0-").and_then(|last| last.parse().ok()).expect("a number");
        if last + 1 == sent {
            return last + 1;
        }
        assert!(started.elapsed() < Duration::from_secs(10), "{sent} bytes were sent, {range} arrived");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn rs_026_what_came_of_a_broken_upload_stays() {
    let target = ours();
    let bytes = noise(5_000_000, 9);
    let digest = sha256(&bytes);
    let location = target.begin("app");
    let arrived = break_off(&target, &location, &bytes, 3_210_987);
    let rest =
        target.request("PATCH", &location).header("Content-Range", format!("{arrived}-{}", bytes.len() - 1));
    rest.body(&bytes[arrived..]).send().expect(&[202]);
    target.request("PUT", &location).query("digest", &digest).send().expect(&[201]);
    assert!(target.get(&format!("/v2/app/blobs/{digest}")).body == bytes);
}

#[test]
fn rs_026_an_upload_survives_a_restart() {
    let target = ours();
    let bytes = noise(2_000_000, 10);
    let location = target.begin("app");
    let arrived = break_off(&target, &location, &bytes, 1_234_567);
    let target = ours_in(target.stop(), |_| {});
    let status = target.get(&location).expect(&[204]);
    assert_eq!(status.header("range"), Some(format!("0-{}", arrived - 1).as_str()));
    let put = target.request("PUT", &location).query("digest", sha256(&bytes));
    put.header("Content-Range", format!("{arrived}-{}", bytes.len() - 1))
        .body(&bytes[arrived..])
        .send()
        .expect(&[201]);
    assert!(target.get(&format!("/v2/app/blobs/{}", sha256(&bytes))).body == bytes);
}

#[test]
fn rs_027_one_writes_at_a_time() {
    let target = ours();
    let location = target.begin("app");
    let mut stream = connect(target.address);
    let head = format!("PATCH {location} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345");
    stream.write_all(head.as_bytes()).expect("send");
    std::thread::sleep(Duration::from_millis(200));
    let response = target.request("PATCH", &location).body("other").send().expect(&[409]);
    assert_eq!(response.code(), "BLOB_UPLOAD_INVALID");
    stream.write_all(b"67890").expect("send");
    read_response(&mut BufReader::new(stream), false).expect(&[202]);
    target.request("PUT", &location).query("digest", sha256("1234567890")).send().expect(&[201]);
}

#[test]
fn rs_023_wrong_bytes_are_refused_and_the_upload_is_gone() {
    let target = ours();
    let location = target.begin("app");
    let put = target.request("PUT", &location).query("digest", sha256("right")).body("wrong");
    assert_eq!(put.send().expect(&[400]).code(), "DIGEST_INVALID");
    target.get(&location).expect(&[404]);
    let location = target.begin("app");
    assert_eq!(target.request("PUT", &location).send().expect(&[400]).code(), "DIGEST_INVALID");
    target.get(&location).expect(&[204]);
}

#[test]
fn rs_025_the_algorithm_is_known_before_or_only_at_the_end() {
    let target = ours();
    let bytes = noise(700_000, 11);
    let digests = [sha256(&bytes), sha512(&bytes)];
    for algorithm in ["", "?digest-algorithm=sha256", "?digest-algorithm=sha512"] {
        for digest in &digests {
            let begun = target.request("POST", &format!("/v2/app/blobs/uploads/{algorithm}")).send();
            let location = begun.expect(&[202]).location();
            target.request("PATCH", &location).body(&bytes[..300_000]).send().expect(&[202]);
            target.request("PATCH", &location).body(&bytes[300_000..]).send().expect(&[202]);
            let put = target.request("PUT", &location).query("digest", digest).send().expect(&[201]);
            assert_eq!(put.header("docker-content-digest"), Some(digest.as_str()));
            assert!(target.get(&format!("/v2/app/blobs/{digest}")).expect(&[200]).body == bytes);
            target.delete(&format!("/v2/app/blobs/{digest}")).expect(&[202]);
        }
    }
}

#[test]
fn rs_030_an_upload_of_nothing_survives_a_restart() {
    let target = ours();
    let location = target.begin("app");
    let target = ours_in(target.stop(), |_| {});
    // `0-0` is nothing as well as one byte; what comes next tells which.
    assert_eq!(target.get(&location).expect(&[204]).header("range"), Some("0-0"));
    let patch = target.request("PATCH", &location).header("Content-Range", "0-4").body("later");
    patch.send().expect(&[202]);
    target.request("PUT", &location).query("digest", sha256("later")).send().expect(&[201]);
}
