//! What is found out about this machine, this user and the store.

use std::path::{Path, PathBuf};
use std::process::Command;

use engine::snapshot::{SnapshotKind, Snapshots, Ways};
use sandbox::cgroup::{Limits, Plan};
use sandbox::identity::{Identity, Obstacle, Shortage};
use sandbox::{Cgroups, Isolation};

use crate::cli::Context;
use crate::failure::Failure;
use crate::identity;

/// Runtimes that are looked for.
const RUNTIMES: [&str; 3] = ["runc", "crun", "youki"];

/// Everything that a diagnosis stands on.
pub struct Facts {
    pub kernel: String,
    /// Whether overlays take layers one by one; `None` when there are no overlays.
    pub overlay: Option<bool>,
    pub cgroups: Cgroups,
    /// What can be limited, by the name of its controller; or why not.
    pub limits: Vec<(&'static str, Result<(), Refusal>)>,
    pub seccomp: bool,
    /// In which container this runs, if it can be seen.
    pub container: Option<&'static str>,
    pub user: User,
    /// The way commands are contained, or why they cannot be.
    pub isolation: Result<Isolation, Refusal>,
    /// Why namespaces cannot be had.
    pub namespaces: Result<(), String>,
    pub snapshots: Result<SnapshotKind, Refusal>,
    /// Why overlays cannot be had where the store lies.
    pub overlay_here: Result<(), String>,
    pub store: Result<StoreFacts, Refusal>,
    pub runtimes: Vec<Runtime>,
}

/// Who runs this.
pub enum User {
    Root,
    Mapped {
        ids: u64,
    },
    Single {
        shortage: Shortage,
    },
    Ordinary {
        obstacle: Obstacle,
    },
    /// The user namespace could not be entered as the store wants it.
    Broken(Refusal),
}

/// Something that does not work, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub why: String,
    pub remedy: Option<String>,
}

/// The store, and the filesystem that it lies on.
pub struct StoreFacts {
    pub root: PathBuf,
    pub filesystem: String,
    pub free: u64,
    /// Whether copies can share their blocks.
    pub reflinks: bool,
    /// Whether files can have attributes (capabilities, `user.*`).
    pub attributes: bool,
}

/// An installed OCI runtime.
pub struct Runtime {
    pub name: &'static str,
    pub path: PathBuf,
    pub version: String,
}

impl Refusal {
    fn of(failure: Failure) -> Self {
        let remedy = failure.first_hint();
        Self { why: failure.message(), remedy }
    }
}

impl Facts {
    /// Whether commands can be run.
    pub fn work(&self) -> bool {
        self.isolation.is_ok() && self.snapshots.is_ok()
    }

    /// Finds out everything. Enters the user namespace, so there must be one thread only.
    pub fn find(context: &Context) -> Self {
        let user = user(context.root());
        let machine = sandbox::probe();
        let namespaces = sandbox::ways::try_namespaces().map_err(|error| reason(&error));
        let store = context.store();
        let chosen = match &store {
            Ok(store) => Snapshots::choose(store, Ways::default()).map_err(Failure::from),
            Err(_) => Err(Failure::new(base::Kind::Unsupported, "there is no store to try them in")),
        };
        let isolation = sandbox::ways::choose(None).map_err(|error| Refusal::of(Failure::from(error)));
        let overlay_here = match &store {
            Ok(store) => try_overlay(store),
            Err(_) => Err("there is no store".to_owned()),
        };
        Self {
            kernel: machine.kernel,
            overlay: machine.overlay.then_some(machine.overlay_append),
            cgroups: machine.cgroups,
            limits: limits(),
            seccomp: machine.seccomp,
            container: container(),
            user,
            namespaces,
            isolation,
            snapshots: chosen.map(|snapshots| snapshots.kind()).map_err(Refusal::of),
            overlay_here,
            store: store.map(|store| store_facts(&store)).map_err(Refusal::of),
            runtimes: runtimes(),
        }
    }
}

/// Tries to find places for cgroups. None is made.
fn limits() -> Vec<(&'static str, Result<(), Refusal>)> {
    let wanted = [
        ("memory", Limits { memory: Some(1 << 30), ..Limits::default() }),
        (
            "processors",
            Limits { cpu_quota: Some(100_000), cpuset_cpus: Some("0".to_owned()), ..Limits::default() },
        ),
        ("processes", Limits { pids: Some(100), ..Limits::default() }),
    ];
    let find = |limits: &Limits| match Plan::find(limits) {
        Ok(_) => Ok(()),
        Err(error) => Err(Refusal::of(Failure::from(error))),
    };
    wanted.iter().map(|(name, limits)| (*name, find(limits))).collect()
}

fn user(root: Option<&Path>) -> User {
    match identity::enter(root) {
        Ok(Identity::Root) => User::Root,
        Ok(Identity::Mapped(ids)) => User::Mapped { ids: ids.user_count() },
        Ok(Identity::Single(shortage)) => User::Single { shortage },
        Ok(Identity::Ordinary(obstacle)) => User::Ordinary { obstacle },
        Err(failure) => User::Broken(Refusal::of(failure)),
    }
}

/// An error with what lies behind it.
fn reason(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

fn try_overlay(store: &store::Store) -> Result<(), String> {
    let place = store.temp_dir("doctor").map_err(|error| reason(&error))?;
    let user_attributes = store.ownership() != store::Ownership::Host;
    sandbox::ways::try_overlay(place.path(), user_attributes).map_err(|error| reason(&error))
}

fn store_facts(store: &store::Store) -> StoreFacts {
    let root = store.root().to_owned();
    let place = store.temp_dir("doctor");
    let (reflinks, attributes) = match &place {
        Ok(place) => (can_share(place.path()), can_have_attributes(place.path())),
        Err(_) => (false, false),
    };
    let free = rustix::fs::statvfs(&root).map_or(0, |stat| stat.f_bavail.saturating_mul(stat.f_frsize));
    StoreFacts { filesystem: filesystem(&root), root, free, reflinks, attributes }
}

fn can_share(directory: &Path) -> bool {
    let original = directory.join("original");
    let shared = || -> std::io::Result<()> {
        std::fs::write(&original, [1; 8192])?;
        let copy = std::fs::File::create(directory.join("copy"))?;
        Ok(rustix::fs::ioctl_ficlone(&copy, std::fs::File::open(&original)?)?)
    };
    shared().is_ok()
}

fn can_have_attributes(directory: &Path) -> bool {
    let file = directory.join("attributes");
    let set = || -> std::io::Result<()> {
        std::fs::write(&file, "")?;
        Ok(rustix::fs::setxattr(&file, "user.lapstrake", b"1", rustix::fs::XattrFlags::empty())?)
    };
    set().is_ok()
}

/// The type of the filesystem, as the kernel's list of mounts names it.
fn filesystem(path: &Path) -> String {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mount = |line: &str| {
        let (before, after) = line.split_once(" - ")?;
        // Blanks and the like are escaped, in octal; such mount points are not found, and the one above is.
        Some((PathBuf::from(before.split(' ').nth(4)?), after.split(' ').next()?.to_owned()))
    };
    let mut mounts: Vec<_> =
        mounts.lines().filter_map(mount).filter(|(place, _)| path.starts_with(place)).collect();
    // The longest one counts, and of those at one place the last.
    mounts.sort_by_key(|(place, _)| place.as_os_str().len());
    mounts.pop().map_or_else(|| "unknown".to_owned(), |(_, kind)| kind)
}

/// What leaves traces of itself.
fn container() -> Option<&'static str> {
    let exists = |path: &str| std::fs::exists(path).unwrap_or(false);
    if exists("/run/.containerenv") {
        return Some("podman");
    }
    if exists("/var/run/secrets/kubernetes.io") {
        return Some("kubernetes");
    }
    exists("/.dockerenv").then_some("docker")
}

fn runtimes() -> Vec<Runtime> {
    let search = std::env::var_os("PATH").unwrap_or_default();
    let find = |name: &'static str| {
        let path = std::env::split_paths(&search)
            .map(|directory| directory.join(name))
            .find(|path| path.is_file())?;
        let output = Command::new(&path).arg("--version").output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let version =
            text.split_whitespace().find(|word| word.starts_with(|first: char| first.is_ascii_digit()));
        Some(Runtime { name, path, version: version.unwrap_or("of an unknown version").to_owned() })
    };
    RUNTIMES.into_iter().filter_map(find).collect()
}
