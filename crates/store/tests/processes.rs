//! Several processes on one store, and processes that are killed at any instant.

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base::Cancel;
use common::*;
use store::collect::Policy;
use store::{StepKey, Store};

const EVERYTHING: Policy =
    Policy { dangling_images: true, all_images: true, cache: true, derived: true, dry_run: false };
const ROOT: &str = "STORE_TEST_ROOT";
const TASK: &str = "STORE_TEST_TASK";

/// What the other processes do: this test binary runs this one test again, with a task.
#[test]
#[ignore = "runs in the processes that the other tests start"]
fn other_process() {
    let root = std::env::var(ROOT).expect("started by another test");
    let task = std::env::var(TASK).expect("started by another test");
    let store = Store::open(root).expect("a store");
    let begun = || {
        let mut out = std::io::stdout().lock();
        writeln!(out, "\nbegun").and_then(|()| out.flush()).expect("say so");
    };
    match task.as_str() {
        "work for a while" => {
            begun();
            (0..25).for_each(|round| work(&store, std::process::id(), round));
        }
        "collect for a while" => {
            begun();
            (0..60).for_each(|_| drop(collect(&store, EVERYTHING)));
        }
        "work until killed" => {
            begun();
            for round in 0.. {
                work_on_several(&store, round);
            }
        }
        "collect until killed" => {
            begun();
            loop {
                collect(&store, EVERYTHING);
            }
        }
        "hold until killed" => {
            let lease = store.lease("held").expect("a lease");
            store.blobs().put(&lease, b"held").expect("a blob");
            let _tree = material("held").tree(&store);
            let _step = store.cache().lock(&StepKey([7; 32]), &Cancel::new(), &mut || {}).expect("a lock");
            begun();
            std::thread::sleep(Duration::from_secs(600));
        }
        other => panic!("no such task: {other}"),
    }
}

/// Makes several images, so that a collection has something to take for a while.
fn work_on_several(store: &Store, round: u32) {
    let lease = store.lease("several").expect("a lease");
    for number in 0..8 {
        let material = material(&format!("several {round} {number}"));
        let layer = match number % 3 {
            0 => material.add_tree_layer(store, &lease),
            1 => material.add_pack_layer(store, &lease),
            _ => material.add_compressed_layer(store, &lease).0,
        };
        let (id, manifest) = add_image(store, &lease, &[&layer], "several");
        store.names().set(&lease, &name(&format!("several:{number}")), id, &manifest).expect("a name");
    }
}

/// Killed at the latest when it is dropped: a test that fails leaves no processes.
struct Other {
    process: Child,
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Other {
    /// Starts a process, and waits until it has begun its task.
    fn start(root: &Path, task: &str) -> Self {
        let mut process = Command::new(std::env::current_exe().expect("this binary"))
            .args(["other_process", "--exact", "--ignored", "--nocapture"])
            .env(ROOT, root)
            .env(TASK, task)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a process");
        let mut lines = BufReader::new(process.stdout.take().expect("a pipe"));
        let mut line = String::new();
        while line.trim() != "begun" {
            line.clear();
            assert_ne!(lines.read_line(&mut line).expect("read"), 0, "the process ended before it began");
        }
        // Whatever it says from now on, it must not wait for a reader.
        process.stdout = Some(lines.into_inner());
        Self { process }
    }

    fn kill(self) {
        drop(self);
    }

    /// Kills it, unless it has ended by itself, which it should not.
    fn kill_working(mut self) {
        if self.process.try_wait().expect("a look").is_some() {
            self.finish();
            panic!("a process ended before it was killed");
        }
    }

    fn finish(mut self) {
        let mut said = String::new();
        self.process.stderr.take().expect("a pipe").read_to_string(&mut said).expect("read");
        assert!(self.process.wait().expect("an end").success(), "{said}");
    }
}

#[test]
fn processes_work_while_others_collect() {
    let place = place();
    let tasks = ["work for a while", "work for a while", "collect for a while"];
    let others: Vec<_> = tasks.iter().map(|task| Other::start(place.root(), task)).collect();
    others.into_iter().for_each(Other::finish);
    assert_whole(&place.store);
}

#[test]
fn st_094_a_store_is_whole_whenever_its_processes_are_killed() {
    let place = place();
    for round in 0..40u64 {
        let tasks = ["work until killed", "collect until killed"];
        let others: Vec<_> = tasks.iter().map(|task| Other::start(place.root(), task)).collect();
        std::thread::sleep(Duration::from_micros(700 * round % 23_000 + 137 * round));
        others.into_iter().for_each(Other::kill_working);
        let store = Store::open(place.root()).expect("a store");
        assert_whole(&store);
        for directory in ["tmp", "trash", "leases", "steps"] {
            let left = everything_in(&place.root().join(directory)).len();
            // The store that this test has open all the time has nothing in there.
            assert_eq!(left, 0, "something was left in {directory}, round {round}");
        }
    }
    collect(&place.store, EVERYTHING);
    assert_eq!(place.store.blobs().list().expect("a list"), []);
}

#[test]
fn what_a_killed_process_held_is_free() {
    let place = place();
    let other = Other::start(place.root(), "hold until killed");
    let blobs = || place.store.blobs().list().expect("a list").len();
    assert_eq!(collect(&place.store, EVERYTHING).blobs, 0);
    assert_eq!(blobs(), 1);
    let mut other = Some(other);
    let mut waiting = || other.take().expect("told once").kill();
    let lock = place.store.cache().lock(&StepKey([7; 32]), &Cancel::new(), &mut waiting).expect("a lock");
    assert!(other.is_none(), "the lock was waited for");
    assert_eq!(collect(&place.store, EVERYTHING).blobs, 1);
    assert_eq!(blobs(), 0);
    // Its temporary directories go when the store is opened the next time.
    assert!(!everything_in(&place.root().join("tmp")).is_empty());
    drop(lock);
    let cleared = Store::open(place.root()).expect("a store").cleared();
    assert!(cleared.entries > 0 && cleared.bytes > 0, "{cleared:?}");
    assert_eq!(Store::open(place.root()).expect("a store").cleared(), store::Leftovers::default());
    assert!(everything_in(&place.root().join("tmp")).is_empty());
}
