//! Registries that are killed, and what the next one makes of it; and how much memory one needs.

use std::io::Write;
use std::net::TcpStream;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use super::{Served, header, run, skopeo, wait_for_image, wait_until};
use crate::environment::{Environment, path_text, tool};
use crate::peak;
use crate::registries::killed::{LARGE, begin, blobs};

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
        (512 << 20, "sha256:9acca8e8c22201155389f65abbf6bc9723edc7384ead80503839f49dcc56d767")
    } else {
        (64 << 20, "sha256:3b6a07d0d404fab4e23b6d34bc6696a6a312dd92821332385e5af7c01c421351")
    }
}

#[test]
fn rs_026_the_memory_of_four_uploads_and_four_downloads_at_once_is_bounded() {
    let lap = Environment::new();
    let served = Served::start(&lap, 0, &[]);
    let (length, digest) = zeros();
    let zeros = lap.path("zeros");
    std::fs::File::create(&zeros).and_then(|file| file.set_len(length)).expect("a large file");
    let curl =
        |arguments: &[&str]| run(Command::new(tool("curl", "curl")).args(["-s", "-S", "-f"]).args(arguments));
    let four_times = |job: &(dyn Fn(usize) + Sync)| {
        std::thread::scope(|scope| (0..4).for_each(|number| drop(scope.spawn(move || job(number)))));
    };
    four_times(&|number| {
        let (_, reply) = served.request(&format!("POST /v2/app{number}/blobs/uploads/ HTTP/1.1"), b"");
        let location = format!("http://{}{}", served.address, header(&reply, "location"));
        curl(&["-X", "PATCH", "-T", path_text(&zeros), "-H", "Transfer-Encoding: chunked", &location]);
        curl(&["-X", "PUT", &format!("{location}?digest={digest}")]);
    });
    four_times(&|number| {
        curl(&["-o", "/dev/null", &format!("http://{}/v2/app{number}/blobs/{digest}", served.address)]);
    });
    let peak = peak::of(served.child.id()).expect("it runs");
    peak::assert_below(64 << 20, peak, "four uploads, then four downloads, of lap serve");
    served.stop();
}

/// Whoever has more of a blob than this has it of the layer.
const MORE_THAN_A_CONFIG: u64 = 64 << 10;

/// A push that compresses and sends at once, and is on its way.
struct Pushing {
    lap: Environment,
    client: Environment,
    served: Served,
    name: String,
    process: Child,
}

impl Pushing {
    fn begin() -> Self {
        let (lap, client) = (Environment::new(), Environment::new());
        crate::registries::import_large(&client, "large", LARGE);
        let served = Served::start(&lap, 0, &[]);
        let name = served.name("large:1");
        client.lap(["tag", "large", &name]).success();
        let before = blobs(&client);
        let process = begin(&client, &["push", &name]);
        let pushing = Self { lap, client, served, name, process };
        wait_until(|| pushing.arrived() > MORE_THAN_A_CONFIG);
        assert_eq!(blobs(&pushing.client), before, "the layer was compressed before anything was sent");
        pushing
    }

    /// How much of the layer the registry has on its disk. (The config is on its way, too.)
    fn arrived(&self) -> u64 {
        let Ok(uploads) = std::fs::read_dir(self.lap.store().join("repositories/_uploads")) else { return 0 };
        let sizes = uploads.filter_map(|upload| upload.ok()?.path().join("data").metadata().ok());
        sizes.map(|data| data.len()).max().unwrap_or(0)
    }

    /// Ends the registry, and starts it again at the same place. Gives how much had arrived.
    fn restart(&mut self, how: Signal) -> u64 {
        let port = self.served.address.port();
        rustix::process::kill_process(Pid::from_child(&self.served.child), how).expect("a signal");
        self.served.child.wait().expect("an end");
        let arrived = self.arrived();
        self.served = Served::start(&self.lap, port, &[]);
        arrived
    }

    /// All of it is there; the second registry got what was missing, and nothing else.
    fn has_arrived(self, before: u64) {
        assert!(before > MORE_THAN_A_CONFIG);
        let manifest = self.client.lap(["registry", "manifest", &self.name]).success().stdout;
        let manifest: serde_json::Value = serde_json::from_str(&manifest).expect("a manifest");
        let size = |blob: &serde_json::Value| blob["size"].as_u64().expect("a size");
        let whole = size(&manifest["config"]) + size(&manifest["layers"][0]);
        assert_eq!(self.served.metric("received_bytes_total"), whole - before);
        wait_for_image(&self.lap, "large:1");
        self.served.stop();
        self.lap.check_clean();
        self.client.check_clean();
        assert_eq!(self.lap.inspect("large:1", ".Id"), self.client.inspect("large", ".Id"));
    }
}

#[test]
fn rs_026_a_push_that_was_killed_while_it_compressed_goes_on_with_a_registry_that_was_restarted() {
    for how in [Signal::TERM, Signal::KILL] {
        let mut pushing = Pushing::begin();
        pushing.process.kill().expect("kill");
        pushing.process.wait().expect("an end");
        let arrived = pushing.restart(how);
        pushing.client.lap(["push", &pushing.name]).success();
        pushing.has_arrived(arrived);
    }
}

#[test]
fn rs_026_a_push_goes_on_by_itself_when_the_registry_is_back() {
    let mut pushing = Pushing::begin();
    let arrived = pushing.restart(Signal::KILL);
    assert!(pushing.process.wait().expect("an end").success());
    pushing.has_arrived(arrived);
}
