//! SIGKILL of `lap copy` at random moments: what it copies to is whole, what was there before stays, and the same command just works.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;

use super::sha256;
use crate::chance::Chance;
use crate::environment::{Environment, Ran, path_text, tool};
use crate::left::assert_nothing_is_left;
use crate::serve::Served;

/// How many copies to each kind of place are hit.
fn kills() -> usize {
    if std::env::var_os("LAP_TEST_ALL").is_some() { 40 } else { 3 }
}

/// Of `kills`, how many may be tried for one that is hit.
const TRIES: usize = 4;

/// What an archive that is to be replaced holds until then.
const BEFORE: &[u8] = b"what was there before";

/// A place that is copied to, as it is before each copy.
struct Target {
    lap: Environment,
    /// Where a registry is, and the one who has its store.
    served: Option<(Served, Environment)>,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Layout,
    OciArchive,
    DockerArchive,
    Registry,
}

impl Target {
    /// One that has something already: what is copied must not take it along.
    fn new(lap: Environment, kind: Kind) -> Self {
        let mut target = Self { lap, served: None, kind };
        target.renew();
        target
    }

    /// As before the first copy.
    fn renew(&mut self) {
        match self.kind {
            Kind::Layout => {
                let _ = std::fs::remove_dir_all(self.lap.path("layout"));
                self.lap.lap(["copy", "-q", "store:base:1", "oci:layout:before"]).success();
            }
            Kind::OciArchive | Kind::DockerArchive => {
                self.lap.write("out.tar", BEFORE);
            }
            Kind::Registry => {
                let store = Environment::new();
                let served = Served::start(&store, 0, &[]);
                self.lap.lap(["copy", "-q", "store:base:1", &served.name("app:before")]).success();
                self.served = Some((served, store));
            }
        }
    }

    /// What it is called, with a name for an image where it can have several.
    fn name(&self, name: &str) -> String {
        match self.kind {
            Kind::Layout => format!("oci:layout:{name}"),
            Kind::OciArchive => "oci-archive:out.tar:1".to_owned(),
            Kind::DockerArchive => "docker-archive:out.tar:app:1".to_owned(),
            Kind::Registry => {
                let (served, _) = self.served.as_ref().expect("a registry");
                served.name(&format!("app:{name}"))
            }
        }
    }

    fn command(&self) -> Command {
        self.lap.command(["copy", "store:large", &self.name("new")])
    }

    /// Nothing is there by halves: `before` is there with all its blobs, and so is the new one if it has a name.
    fn assert_whole(&self) {
        let has = match self.kind {
            Kind::OciArchive | Kind::DockerArchive => {
                if std::fs::read(self.lap.path("out.tar")).expect("an archive") == BEFORE {
                    return;
                }
                true
            }
            Kind::Layout => {
                blobs_are_whole(&self.lap.path("layout"));
                self.assert_readable("before");
                let index = std::fs::read_to_string(self.lap.path("layout/index.json")).expect("an index");
                index.contains(r#""new""#)
            }
            Kind::Registry => {
                self.assert_readable("before");
                let (served, _) = self.served.as_ref().expect("a registry");
                let tags = self.lap.lap(["registry", "tags", &served.name("app")]).success().stdout;
                tags.lines().any(|tag| tag == "new")
            }
        };
        if has {
            self.assert_readable("new");
        }
    }

    /// All blobs of an image are there, and are what their digests say: for us, who check them, and for skopeo.
    fn assert_readable(&self, name: &str) {
        let place = self.name(name);
        self.lap.lap(["copy", "-q", &place, "oci-archive:read.tar"]).success();
        let place = match self.kind {
            Kind::Registry => format!("docker://{place}"),
            _ => place,
        };
        let mut skopeo = Command::new(tool("skopeo", "skopeo"));
        skopeo.args(["inspect", "--raw", "--tls-verify=false", &place]).current_dir(self.lap.path(""));
        Ran::of(skopeo.output().expect("skopeo runs")).success();
    }

    /// The files that are not whole yet, which no process writes any more.
    fn left(&self) -> Vec<String> {
        let find = Command::new("find").arg(self.lap.path("")).args(["-name", "*.partial"]).output();
        Ran::of(find.expect("find runs")).success().stdout.lines().map(str::to_owned).collect()
    }
}

/// What has the name of a digest has that digest.
fn blobs_are_whole(layout: &Path) {
    for blob in std::fs::read_dir(layout.join("blobs/sha256")).expect("blobs") {
        let path = blob.expect("a blob").path();
        let name = path.file_name().expect("a name").to_str().expect("hex");
        if !name.ends_with(".partial") {
            assert_eq!(sha256(&std::fs::read(&path).expect("a blob")), name);
        }
    }
}

/// Kills until enough were hit, at any moment of the time that a copy takes.
fn kill_copies(kind: Kind) {
    let mut chance = Chance::new();
    let lap = Environment::with_base();
    crate::registries::import_large(&lap, "large", 12_000_000);
    let mut target = Target::new(lap, kind);
    let copy = |target: &Target| {
        let started = Instant::now();
        let ran = Ran::of(target.command().output().expect("lap runs")).success();
        (ran, started.elapsed())
    };
    // Compressed once, it is there.
    let expected = copy(&target).0.stdout;
    target.renew();
    let whole = copy(&target).1;
    let mut hits = 0;
    for _ in 0..kills() * TRIES {
        target.renew();
        hits += usize::from(kill_once(&target, whole.mul_f64(chance.below(1000) as f64 / 1000.0)));
        target.assert_whole();
        let left = target.left();
        let again = copy(&target).0;
        assert_eq!(again.stdout, expected, "the same again");
        let says = ["in", "beside"].map(|which| format!("cleared what an interrupted lap left {which} "));
        assert_eq!(!left.is_empty(), says.iter().any(|text| again.stderr.contains(text)), "{left:?}");
        assert_eq!(target.left(), [""; 0]);
        target.assert_whole();
        target.assert_readable("new");
        if hits == kills() {
            break;
        }
    }
    assert_eq!(hits, kills(), "too many ended before they were killed");
    target.lap.check();
    if let Some((served, store)) = target.served.take() {
        served.stop();
        store.check();
    }
    assert_nothing_is_left(&target.lap);
}

/// Starts a copy, and kills it a while later. Whether it was hit.
fn kill_once(target: &Target, after: Duration) -> bool {
    let mut command = target.command();
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("lap runs");
    std::thread::sleep(after);
    // It may have ended by itself since.
    let _ = child.kill();
    !child.wait().expect("it ends").success()
}

#[test]
fn st_033_a_copy_into_a_layout() {
    kill_copies(Kind::Layout);
}

#[test]
fn st_094_a_copy_into_an_archive() {
    kill_copies(Kind::OciArchive);
    kill_copies(Kind::DockerArchive);
}

#[test]
fn rc_065_a_copy_into_a_registry() {
    kill_copies(Kind::Registry);
}

#[test]
fn st_033_what_a_killed_copy_left_in_a_layout_is_cleared_and_said() {
    let lap = Environment::with_base();
    lap.lap(["copy", "-q", "store:base:1", "oci:layout:1"]).success();
    // As they are called where files cannot be without a name.
    let left = ["index.json.1.partial", "oci-layout.22.partial", "blobs/sha256/0123.333.partial"];
    let kept = ["blobs/sha256/0123.x.partial", "notes.partial", "blobs/1.partial"];
    for name in left.iter().chain(&kept) {
        lap.write(&format!("layout/{name}"), "half");
    }
    let again = lap.lap(["copy", "store:base:1", "oci:layout:1"]).success();
    let said = "note: cleared what an interrupted lap left in layout: 3 files";
    assert_eq!(again.stderr.matches(said).count(), 1, "{}", again.stderr);
    for name in left {
        assert!(!lap.path("layout").join(name).exists(), "{name}");
    }
    for name in kept {
        assert!(lap.path("layout").join(name).exists(), "{name}");
    }
    assert_eq!(lap.lap(["copy", "-q", "store:base:1", "oci:layout:1"]).success().stderr, "");
}

/// On a filesystem where a file cannot be without a name, a killed copy does leave something.
#[test]
fn st_033_where_files_have_names_while_they_are_written() {
    let lap = Environment::with_base();
    crate::registries::import_large(&lap, "large", 12_000_000);
    let mut target = Target::new(lap, Kind::Layout);
    // It may have ended its file when the signal comes.
    for _ in 0..30 {
        target.renew();
        kill_while_it_writes(&target);
        if !target.left().is_empty() {
            break;
        }
    }
    target.assert_whole();
    let files = match target.left().len() {
        0 => panic!("nothing was left"),
        1 => "1 file".to_owned(),
        count => format!("{count} files"),
    };
    let again = Ran::of(target.command().output().expect("lap runs")).success();
    let said = format!("note: cleared what an interrupted lap left in layout: {files}\n");
    assert_eq!(again.stderr.matches(&said).count(), 1, "{}", again.stderr);
    assert_eq!(target.left(), [""; 0]);
    target.assert_whole();
    target.assert_readable("new");
}

/// Kills a copy when a file is begun, for which there was no other way than a name. There is hardly a filesystem like that which could be mounted
/// everywhere, so the kernel's answer is made up for one directory.
fn kill_while_it_writes(target: &Target) {
    let plain = target.command();
    let mut strace = Command::new(tool("strace", "strace"));
    strace
        .args(["-f", "-qq", "-o", path_text(&target.lap.path("trace")), "-e", "trace=openat"])
        .args(["-P", "layout/blobs/sha256", "-e", "inject=openat:error=EOPNOTSUPP"])
        .arg(plain.get_program())
        .args(plain.get_args())
        .current_dir(target.lap.path(""))
        .env("LAPSTRAKE_ROOT", target.lap.store());
    let begun = inotify::init(inotify::CreateFlags::CLOEXEC).expect("inotify");
    let directory = target.lap.path("layout/blobs/sha256");
    inotify::add_watch(&begun, &directory, inotify::WatchFlags::CREATE).expect("inotify");
    let mut traced = strace.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("strace runs");
    let often = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
    let has_begun = || poll(&mut [PollFd::new(&begun, PollFlags::IN)], Some(&often)).is_ok_and(|n| n > 0);
    while !has_begun() && traced.try_wait().expect("a status").is_none() {}
    let id = traced.id();
    let lap = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
    if let Some(lap) = lap.trim().parse().ok().and_then(rustix::process::Pid::from_raw) {
        // It may have ended by itself since.
        let _ = rustix::process::kill_process(lap, rustix::process::Signal::KILL);
    }
    traced.wait().expect("strace ends with it");
}
