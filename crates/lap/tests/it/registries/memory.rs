//! How much memory transfers take: the same, whatever the size, also when several large layers are on their way at once.

use std::process::Stdio;

use super::real::{DockerRegistry, Setup};
use super::support::{Fault, Registry, TestImage, image};
use super::{import_large, random};
use crate::environment::Environment;
use crate::peak;

const MIB: usize = 1 << 20;
/// What nothing may need.
const BOUND: u64 = 64 << 20;
/// So much of it a second makes a connection slow, so that a blob comes in several parts at once.
const SLOW: usize = 10 * MIB;

/// How large each of three layers is.
fn size() -> usize {
    if std::env::var_os("LAP_TEST_ALL").is_some() { 120 * MIB } else { 40 * MIB }
}

/// Runs a command that succeeds, and gives the most memory that it had.
fn peak(lap: &Environment, arguments: &[&str]) -> u64 {
    let mut child =
        lap.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("lap runs");
    let peak = peak::until_end(&mut child);
    assert!(child.wait().expect("an end").success(), "{arguments:?} failed");
    peak
}

/// A registry of which each connection gives slowly, with an image of three large layers.
fn slow() -> (Registry, TestImage) {
    let registry = Registry::start();
    let image = image(&[size(); 3]);
    image.put(&registry, "app", "1");
    registry.rule("GET", "/blobs/sha256:", usize::MAX, Fault::Slow(SLOW));
    (registry, image)
}

fn assert_parts_were_asked_for(registry: &Registry) {
    let parts = registry.requests("GET", "/blobs/sha256:");
    let parts = parts.iter().filter(|request| request.header("range").is_some()).count();
    assert!(parts > 4, "{parts}");
}

#[test]
fn memory_stays_bounded_whatever_the_size() {
    let bytes = if std::env::var_os("LAP_TEST_ALL").is_some() { 300_000_000 } else { 100_000_000 };
    let lap = Environment::new();
    let registry = DockerRegistry::start(&lap, "registry", &Setup::default());
    import_large(&lap, "large", bytes);
    let name = format!("{}/large:1", registry.host());
    lap.lap(["tag", "large", &name]).success();
    let pushing = peak(&lap, &["push", &name]);
    let pulling = peak(&Environment::new(), &["pull", &name]);
    peak::assert_below(BOUND, pushing, "a push of one layer");
    peak::assert_below(BOUND, pulling, "a pull of one layer");
}

#[test]
fn rc_066_the_memory_of_a_pull_of_three_slow_layers_in_parts_is_bounded() {
    let (registry, _) = slow();
    let lap = Environment::new();
    let peak = peak(&lap, &["pull", &format!("{}/app:1", registry.host())]);
    peak::assert_below(BOUND, peak, "a pull of three slow layers");
    assert_parts_were_asked_for(&registry);
    lap.check_clean();
}

#[test]
fn rc_083_the_memory_of_a_copy_of_three_slow_layers_is_bounded() {
    let (from, image) = slow();
    let to = Registry::start();
    to.rule("PATCH", "/uploads/", usize::MAX, Fault::Slow(SLOW));
    let lap = Environment::new();
    let (from_name, to_name) = (format!("{}/app:1", from.host()), format!("{}/app:1", to.host()));
    let peak = peak(&lap, &["copy", &from_name, &to_name]);
    peak::assert_below(BOUND, peak, "a copy of three slow layers");
    let arrived = to.state.blobs.lock().expect("no panic").clone();
    assert!(image.layers.iter().all(|layer| arrived.values().any(|blob| blob == layer)));
}

#[test]
fn rc_069_the_memory_of_a_push_of_three_layers_that_are_compressed_is_bounded() {
    let lap = Environment::new();
    for name in ["one", "two", "three"] {
        lap.write(&format!("context/{name}"), random(size() as u64));
    }
    lap.write("context/Dockerfile", "FROM scratch\nCOPY one /\nCOPY two /\nCOPY three /\n");
    let registry = Registry::start();
    registry.rule("PATCH", "/uploads/", usize::MAX, Fault::Slow(SLOW));
    let name = format!("{}/app:1", registry.host());
    lap.lap(["build", "-q", "-t", &name, "context"]).success();
    let peak = peak(&lap, &["push", &name]);
    peak::assert_below(BOUND, peak, "a push of three layers, slowly");
    lap.check_clean();
}
