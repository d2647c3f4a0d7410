//! Registries that are killed, and what the next one makes of it; and how much memory one needs.

use std::io::Write;
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use super::{Served, header, run, skopeo, wait_for_image, wait_until};
use crate::environment::{Environment, path_text, tool};

#[test]
fn rs_026_an_upload_survives_that_the_registry_is_killed() {
    let lap = Environment::new();
    let mut served = Served::start(&lap, 0, &[]);
    let (status, reply) = served.request("POST /v2/app/blobs/uploads/ HTTP/1.1", b"");
    assert_eq!(status, 202);
    let location = header(&reply, "location").to_owned();
    let bytes: Vec<u8> =
        (0..6_000_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut stream = TcpStream::connect(served.address).expect("connect");
    let head = format!("PATCH {location} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", bytes.len());
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&bytes[..4_000_000])).expect("send");
    let arrived = |served: &Served| -> usize {
        let (status, reply) = served.request(&format!("GET {location} HTTP/1.1"), b"");
        assert_eq!(status, 204);
        header(&reply, "range").strip_prefix("0-").and_then(|last| last.parse().ok()).expect("a number")
    };
    let started = Instant::now();
    while arrived(&served) < 1_000_000 {
        assert!(started.elapsed() < Duration::from_secs(10), "nothing arrives");
    }
    served.child.kill().expect("kill");
    served.child.wait().expect("an end");
    drop(stream);

    let served = Served::start(&lap, served.address.port(), &[]);
    let at = arrived(&served) + 1;
    assert!((1_000_000..=4_000_000).contains(&at), "{at}");
    let digest = lap_digest(&bytes);
    let head = format!("PUT {location}?digest={digest} HTTP/1.1\r\nContent-Range: {at}-{}", bytes.len() - 1);
    assert_eq!(served.request(&head, &bytes[at..]).0, 201);
    let (status, reply) = served.request(&format!("HEAD /v2/app/blobs/{digest} HTTP/1.1"), b"");
    assert_eq!((status, header(&reply, "content-length")), (200, "6000000"));
    served.stop();
    lap.check();
}

fn lap_digest(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    let digest = sha2::Sha256::digest(bytes);
    digest.iter().fold("sha256:".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

#[test]
fn what_was_pushed_to_a_registry_that_was_killed_is_taken_in_by_the_next_one() {
    let lap = Environment::with_base();
    let served = Served::start(&lap, 0, &["--read-only"]);
    let layout = format!("oci:{}:base", lap.path("layout").display());
    let from = format!("docker://{}", served.name("base:1"));
    skopeo(&["copy", "--quiet", "--src-tls-verify=false", &from, &layout]);
    drop(served);
    for round in 0..3 {
        let served = Served::start(&lap, 0, &[]);
        let to = format!("docker://{}", served.name(&format!("pushed:{round}")));
        skopeo(&["copy", "--quiet", "--dest-tls-verify=false", &layout, &to]);
        // Killed at once: perhaps before the image was taken in, perhaps after.
        drop(served);
        let served = Served::start(&lap, 0, &[]);
        wait_for_image(&lap, &format!("pushed:{round}"));
        served.stop();
    }
    lap.check();
}

/// So many bytes, all of them zero, and their digest; with all tests, more than any buffer.
fn zeros() -> (u64, &'static str) {
    if std::env::var_os("LAP_TEST_ALL").is_some() {
        (2 << 30, "sha256:a7c744c13cc101ed66c29f672f92455547889cc586ce6d44fe76ae824958ea51")
    } else {
        (256 << 20, "sha256:a6d72ac7690f53be6ae46ba88506bd97302a093f7108472bd9efc3cefda06484")
    }
}

#[test]
fn rs_026_the_memory_of_an_upload_and_a_download_is_bounded() {
    let lap = Environment::new();
    let served = Served::start(&lap, 0, &[]);
    let (_, reply) = served.request("POST /v2/app/blobs/uploads/ HTTP/1.1", b"");
    let location = format!("http://{}{}", served.address, header(&reply, "location"));
    let (length, digest) = zeros();
    let zeros = lap.path("zeros");
    std::fs::File::create(&zeros).and_then(|file| file.set_len(length)).expect("a large file");
    let curl =
        |arguments: &[&str]| run(Command::new(tool("curl", "curl")).args(["-s", "-S", "-f"]).args(arguments));
    curl(&["-X", "PATCH", "-T", path_text(&zeros), "-H", "Transfer-Encoding: chunked", &location]);
    curl(&["-X", "PUT", &format!("{location}?digest={digest}")]);
    let blob = format!("http://{}/v2/app/blobs/{digest}", served.address);
    curl(&["-o", "/dev/null", &blob]);
    let status = std::fs::read_to_string(format!("/proc/{}/status", served.child.id())).expect("a status");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    let peak: u64 = peak.trim().trim_end_matches(" kB").trim().parse().expect("a number");
    assert!(peak < 64 << 10, "{peak} KiB at most");
    served.stop();
}

#[test]
fn rs_026_a_push_goes_on_with_a_registry_that_was_killed() {
    const SIZE: u64 = 40_000_000;
    let (lap, client) = (Environment::new(), Environment::new());
    crate::registries::import_large(&client, "large", SIZE);
    let mut served = Served::start(&lap, 0, &[]);
    let name = served.name("large:1");
    client.lap(["tag", "large", &name]).success();
    let mut pushing = client.command(["push", &name]).spawn().expect("lap runs");
    wait_until(|| served.metric("received_bytes_total") > SIZE / 4);
    served.child.kill().expect("kill");
    served.child.wait().expect("an end");
    let port = served.address.port();
    drop(served);
    pushing.kill().expect("kill");
    pushing.wait().expect("an end");
    // Another process of either side, and only the rest travels.
    let served = Served::start(&lap, port, &[]);
    client.lap(["push", &name]).success();
    let received = served.metric("received_bytes_total");
    assert!(received < SIZE * 9 / 10, "{received} of {SIZE} bytes were sent again");
    wait_for_image(&lap, "large:1");
    served.stop();
    lap.check();
}
