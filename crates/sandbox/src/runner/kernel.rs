//! What the kernel shows of itself: `/proc`, `/sys`, `/sys/fs/cgroup`, and what of it is hidden (CT-31, CT-32).

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, Mode, fstat, mkdirat, symlinkat};

use super::mounts::{self, Filesystem, INERT, READ_ONLY};
use super::resolve;
use crate::cgroup::Hierarchy;
use crate::error::{Doing, Error};
use crate::spec::Security;

/// Docker's masked paths.
const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// Masked for each processor.
const THERMAL: &str = "thermal_throttle";

/// Docker's read-only paths.
const READ_ONLY_PATHS: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// What is masked of `/proc`.
pub(crate) fn masked_in_proc() -> impl Iterator<Item = &'static str> {
    MASKED.into_iter().filter(|path| path.starts_with("/proc/"))
}

/// What is read-only of `/proc`.
pub(crate) fn read_only_in_proc() -> impl Iterator<Item = &'static str> {
    READ_ONLY_PATHS.into_iter()
}

/// Mounts `/proc` on an open place. Only a process of the new pid namespace can.
pub(super) fn mount_proc(place: impl AsFd) -> Result<(), Error> {
    let proc = Filesystem::new("proc")?.mount(INERT)?;
    mounts::attach(&proc, place).doing("mount proc on /proc")
}

/// Mounts `/sys` on an open place, and the cgroups in it.
pub(super) fn mount_sys(place: &OwnedFd, root: &OwnedFd, security: Security) -> Result<(), Error> {
    let attributes = match security {
        Security::Default => INERT | READ_ONLY,
        Security::Insecure => INERT,
    };
    match Filesystem::new("sysfs").and_then(|sys| sys.mount(attributes)) {
        // The root of a user namespace may mount sysfs only with a network of its own.
        Err(Error::System { source, .. }) if source.raw_os_error() == Some(libc::EPERM) => {
            host_sys(place, attributes)?;
        }
        sys => mounts::attach(sys?, place).doing("mount sysfs on /sys")?,
    }
    let Some(place) = resolve::open(root, Path::new("/sys/fs/cgroup"))? else { return Ok(()) };
    // What of the cgroups cannot be had (a controller that is not mounted on the host, a version 2 of which
    // nothing is left) is not shown; nothing inside depends on it.
    let hierarchies = Hierarchy::all();
    match hierarchies.as_slice() {
        [] => Ok(()),
        [Hierarchy::Unified] => Filesystem::new("cgroup2")
            .and_then(|unified| unified.mount(attributes))
            .map_or(Ok(()), |unified| {
                mounts::attach(&unified, &place).doing("mount cgroup2 on /sys/fs/cgroup")
            }),
        several => mount_hierarchies(&place, several, attributes),
    }
}

/// The host's `/sys`, and all that is mounted in it: what a user namespace sees cannot be taken apart.
fn host_sys(place: &OwnedFd, attributes: rustix::mount::MountAttrFlags) -> Result<(), Error> {
    let sys = mounts::clone_path(Path::new("/sys"), true).doing("bind-mount /sys")?;
    mounts::attach(&sys, place).doing("mount the host's /sys")?;
    mounts::restrict(&sys, true, attributes).doing("restrict the mount of /sys")
}

impl Hierarchy {
    fn directory(&self) -> &str {
        match self {
            Hierarchy::Unified => "unified",
            Hierarchy::Controllers(name) | Hierarchy::Named(name) => name,
        }
    }

    fn mount(&self, attributes: rustix::mount::MountAttrFlags) -> Result<OwnedFd, Error> {
        match self {
            Hierarchy::Unified => Filesystem::new("cgroup2")?.mount(attributes),
            Hierarchy::Named(name) => {
                Filesystem::new("cgroup")?.with_flag("none")?.with("name", name)?.mount(attributes)
            }
            Hierarchy::Controllers(names) => {
                let mut cgroup = Filesystem::new("cgroup")?;
                for name in names.split(',') {
                    cgroup = cgroup.with_flag(name)?;
                }
                cgroup.mount(attributes)
            }
        }
    }
}

fn mount_hierarchies(
    place: &OwnedFd,
    hierarchies: &[Hierarchy],
    attributes: rustix::mount::MountAttrFlags,
) -> Result<(), Error> {
    let action = "prepare /sys/fs/cgroup";
    let directory = Filesystem::new("tmpfs")?.with("mode", "755")?.mount(INERT)?;
    let mut mounted = Vec::new();
    for hierarchy in hierarchies {
        if let Ok(mount) = hierarchy.mount(attributes) {
            mkdirat(&directory, hierarchy.directory(), Mode::from(0o755)).doing(action)?;
            mounted.push((hierarchy.directory(), mount));
        }
    }
    for (directory_name, _) in &mounted {
        for alias in directory_name.split(',').filter(|alias| alias != directory_name) {
            symlinkat(*directory_name, &directory, alias).doing(action)?;
        }
    }
    mounts::attach(&directory, place).doing("mount tmpfs on /sys/fs/cgroup")?;
    for (name, mount) in &mounted {
        let target = resolve::open(&directory, Path::new(name))?;
        if let Some(target) = target {
            mounts::attach(mount, target).doing("mount cgroup in /sys/fs/cgroup")?;
        }
    }
    mounts::restrict(&directory, false, attributes).doing(action)
}

/// Hides and protects what Docker hides and protects, of the paths that begin with `prefix`.
pub(super) fn protect(root: &OwnedFd, prefix: &str) -> Result<(), Error> {
    for path in READ_ONLY_PATHS.iter().filter(|path| path.starts_with(prefix)) {
        if let Some(place) = resolve::open(root, Path::new(path))? {
            let copy = mounts::clone_at(&place, "", true).doing_to("bind-mount", path)?;
            mounts::attach(&copy, &place).doing_to("bind-mount", path)?;
            mounts::restrict(&copy, true, READ_ONLY).doing_to("make read-only", path)?;
        }
    }
    let mut masks = Masks::default();
    for path in MASKED.iter().filter(|path| path.starts_with(prefix)) {
        masks.hide(root, Path::new(path))?;
    }
    if prefix == "/sys" {
        for path in thermal_paths() {
            masks.hide(root, &path)?;
        }
    }
    Ok(())
}

/// The host's processors are the container's.
fn thermal_paths() -> Vec<std::path::PathBuf> {
    let processors = std::fs::read_dir("/sys/devices/system/cpu").into_iter().flatten().flatten();
    processors.map(|processor| processor.path().join(THERMAL)).filter(|path| path.exists()).collect()
}

/// What hides: one empty directory, and the null device.
#[derive(Default)]
struct Masks {
    empty: Option<OwnedFd>,
}

impl Masks {
    fn hide(&mut self, root: &OwnedFd, path: &Path) -> Result<(), Error> {
        let Some(place) = resolve::open(root, path)? else { return Ok(()) };
        let stat = fstat(&place).doing_to("examine, in the root,", path)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            let missing = || Error::Invalid("/dev/null is missing in the root".to_owned());
            let null = resolve::open(root, Path::new("/dev/null"))?.ok_or_else(missing)?;
            let mask = mounts::clone_at(&null, "", false).doing("bind-mount /dev/null")?;
            return mounts::attach(&mask, &place).doing_to("mask", path);
        }
        match &self.empty {
            // The first mask is attached itself, so that the next ones can be copies of it.
            Some(empty) => {
                let mask = mounts::clone_at(empty, "", false).doing_to("mask", path)?;
                mounts::attach(&mask, &place).doing_to("mask", path)
            }
            None => {
                let mask = Filesystem::new("tmpfs")?.with("mode", "755")?.mount(INERT | READ_ONLY)?;
                mounts::attach(&mask, &place).doing_to("mask", path)?;
                self.empty = Some(mask);
                Ok(())
            }
        }
    }
}
