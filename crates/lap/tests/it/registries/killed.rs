//! Transfers that are killed, and what the next process makes of them.

use std::io::Read;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::import_large;
use super::real::{DockerRegistry, Setup, Valve};
use super::support::{Fault, Registry};
use crate::environment::Environment;

/// A layer that takes far longer to compress than its first chunks take to arrive.
pub const LARGE: u64 = 128 << 20;
/// How much is sent in one request.
const CHUNK: usize = 16 << 20;

/// Begins a command that is going to be killed.
pub fn begin(lap: &Environment, arguments: &[&str]) -> Child {
    lap.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("lap runs")
}

/// How many blobs the store has.
pub fn blobs(lap: &Environment) -> usize {
    std::fs::read_dir(lap.store().join("blobs/sha256")).expect("the blobs").count()
}

#[test]
fn rc_065_a_pull_that_was_killed_goes_on_where_it_was() {
    let lap = Environment::new();
    let registry = DockerRegistry::start(&lap, "registry", &Setup::default());
    import_large(&lap, "large", 30_000_000);
    let name = format!("{}/large:1", registry.host());
    lap.lap(["tag", "large", &name]).success();
    lap.lap(["push", &name]).success();

    let other = Environment::new();
    let valve = Valve::before(&registry, 20_000_000);
    let name = format!("{}/large:1", valve.host());
    let mut child = begin(&other, &["pull", &name]);
    valve.wait_until_shut();
    child.kill().expect("it is killed");
    child.wait().expect("it ends");
    valve.open();
    let pulled = other.lap(["pull", &name]).success();
    let resumed = pulled.stderr.split("resumed at ").nth(1).unwrap_or_else(|| panic!("{}", pulled.stderr));
    let (from, of) = resumed.lines().next().and_then(|line| line.split_once(" of ")).expect("how far it was");
    let from: f64 = from.parse().expect("a number");
    assert!((18.0..20.0).contains(&from) && of == "30MB", "{from} of {of}");
    other.check();
}

/// What is killed compresses and sends at once: the layer was made here, and never compressed before.
#[test]
fn rc_068_a_push_that_was_killed_while_it_compressed_goes_on_where_it_was() {
    let lap = Environment::new();
    let registry = Registry::start();
    import_large(&lap, "large", LARGE);
    let name = format!("{}/large:1", registry.host());
    lap.lap(["tag", "large", &name]).success();
    let before = blobs(&lap);
    // The first chunk arrives, and a part of the second.
    const PART: usize = 1_000_000;
    registry.rule("PATCH", "/uploads/", 1, Fault::Header("X-Chunk", "1"));
    registry.rule("PATCH", "/uploads/", 1, Fault::StallRequest(PART));
    let mut pushing = begin(&lap, &["push", &name]);
    let arrived = || registry.state.uploads.lock().expect("no panic").values().map(Vec::len).max();
    let begun = Instant::now();
    while arrived() != Some(CHUNK + PART) {
        assert!(begun.elapsed() < Duration::from_secs(60), "{:?} have arrived", arrived());
        std::thread::sleep(Duration::from_millis(1));
    }
    pushing.kill().expect("it is killed");
    pushing.wait().expect("it ends");
    assert_eq!(blobs(&lap), before, "the layer was compressed before the push was killed");

    registry.forget_requests();
    let pushed = lap.lap(["push", &name]).success();
    assert!(pushed.stderr.contains("resumed at 17.8MB"), "{}", pushed.stderr);
    // One session was begun, for the config; that of the layer was asked how far it is.
    assert_eq!(registry.requests("POST", "/uploads/").len(), 1, "{:?}", registry.trace());
    assert_eq!(registry.requests("GET", "/uploads/").len(), 1, "{:?}", registry.trace());
    let chunks = registry.requests("PATCH", "/uploads/");
    let mut end = CHUNK + PART;
    for chunk in &chunks {
        let range = chunk.header("content-range").and_then(|range| range.split_once('-')).expect("a range");
        let (from, last): (usize, usize) =
            (range.0.parse().expect("a number"), range.1.parse().expect("one"));
        assert_eq!(from, end, "{chunks:?}");
        end = last + 1;
    }
    let blobs = registry.state.blobs.lock().expect("no panic").clone();
    let layer = blobs.values().max_by_key(|blob| blob.len()).expect("a layer");
    assert_eq!(end, layer.len(), "every byte was sent once");
    let mut tar = Vec::new();
    flate2::read::GzDecoder::new(layer.as_slice()).read_to_end(&mut tar).expect("gzip");
    assert!(tar == std::fs::read(lap.path("large.tar")).expect("the tar"), "another layer has arrived");
    let other = Environment::new();
    other.lap(["pull", "-q", &name]).success();
    other.check();
    lap.check_clean();
}

#[test]
fn rc_068_a_push_that_was_killed_arrives_at_a_registry_that_forgets() {
    let lap = Environment::new();
    let registry = DockerRegistry::start(&lap, "registry", &Setup::default());
    import_large(&lap, "large", 40_000_000);
    let valve = Valve::before(&registry, 25_000_000);
    let name = format!("{}/large:1", valve.host());
    lap.lap(["tag", "large", &name]).success();
    let mut child = begin(&lap, &["push", &name]);
    valve.wait_until_shut();
    child.kill().expect("it is killed");
    child.wait().expect("it ends");
    valve.open();
    // docker-registry gives up a session whose last chunk broke.
    lap.lap(["push", &name]).success();
    let other = Environment::new();
    other.lap(["pull", &name]).success();
    other.check();
}
