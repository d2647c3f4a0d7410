//! The ways in which a process can be contained, and which of them this machine allows. They are tried, not assumed.

use std::fs;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, mkdirat, openat, unlinkat};
use rustix::mount::{MountAttrFlags, MountPropagationFlags, mount_change};
use rustix::process::{chroot, geteuid};
use rustix::thread::UnshareFlags;
use serde::{Deserialize, Serialize};

use crate::error::{Doing, Error};
use crate::identity::{Obstacle, obstacle};
use crate::runner::Trial;
use crate::sys;

/// How a process is contained.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    /// In namespaces of its own, with everything mounted that it sees.
    #[default]
    Namespaces,
    /// With another root directory, and nothing else: where neither namespaces nor mounts can be had, as root of an unprivileged container.
    Chroot,
}

impl Isolation {
    /// Every way, with its name.
    pub const ALL: [(&'static str, Isolation); 2] =
        [("namespaces", Isolation::Namespaces), ("chroot", Isolation::Chroot)];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, isolation)| *isolation == self).map_or("", |(name, _)| name)
    }

    /// What a process has not, that it would have in namespaces: a sentence each.
    pub fn gives_up(self) -> &'static [&'static str] {
        match self {
            Isolation::Namespaces => &[],
            Isolation::Chroot => &[
                "there is nothing in /proc and /sys, and no /dev/fd",
                "a command sees, and as root can signal, the processes around it",
                "the network, the host name and System V memory are those around it",
                "what a step mounts read-only of a stage, an image or a context can be written, which is thrown away",
                "directories as volumes, a tmpfs with a size, a read-only root and a network of its own are refused",
                "the filter of system calls is left to the container around it, unless it can be loaded",
                "a process that leaves its parent may outlive lap, if lap's runner is killed with SIGKILL",
            ],
        }
    }
}

/// The way that was asked for, or the best one there is. An error says what is missing for it.
pub fn choose(asked: Option<Isolation>) -> Result<Isolation, Error> {
    let tried = |isolation| match isolation {
        Isolation::Namespaces => try_namespaces(),
        Isolation::Chroot => try_chroot(),
    };
    if let Some(asked) = asked {
        return tried(asked).map(|()| asked).map_err(|error| refused(asked, &error));
    }
    let Err(namespaces) = tried(Isolation::Namespaces) else { return Ok(Isolation::Namespaces) };
    let Err(chroot) = tried(Isolation::Chroot) else { return Ok(Isolation::Chroot) };
    if !geteuid().is_root() {
        let obstacle = obstacle().unwrap_or(Obstacle::Unknown);
        return Err(Error::Unsupported {
            what: format!("running commands as an ordinary user without user namespaces ({obstacle})"),
            hint: format!("{}; everything that runs no command works without", obstacle.remedy()),
        });
    }
    Err(Error::Unsupported {
        what: format!("running commands here ({namespaces}: {}; {chroot}: {})", cause(&namespaces), cause(&chroot)),
        hint: "in a container: allow CAP_SYS_CHROOT, or (docker) --privileged; everything that runs no command works without".to_owned(),
    })
}

fn refused(asked: Isolation, error: &Error) -> Error {
    Error::Unsupported {
        what: format!("isolation by {} here ({error}: {})", asked.name(), cause(error)),
        hint: "`lap doctor` says what this machine allows".to_owned(),
    }
}

fn cause(error: &Error) -> String {
    std::error::Error::source(error).map_or_else(String::new, ToString::to_string)
}

/// What is tried is done by a thread of its own, whose namespaces and root end with it.
fn in_thread<T: Send + 'static>(
    attempt: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let thread = std::thread::spawn(attempt);
    thread.join().unwrap_or_else(|_| Err(Error::Internal("an attempt panicked".to_owned())))
}

/// Whether namespaces can be entered, and things mounted in them.
pub fn try_namespaces() -> Result<(), Error> {
    in_thread(|| {
        sys::unshare(UnshareFlags::NEWNS | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS)
            .doing("enter new namespaces")?;
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
            .doing("make the mounts of the new namespace private")?;
        Trial::new().map(|_| ())
    })
}

/// The root becomes what it is already, which changes nothing, and is allowed when changing it is. (A thread with a root of its own would need
/// unshare(2), which containers forbid altogether.)
fn try_chroot() -> Result<(), Error> {
    chroot("/").doing("change the root (chroot)")
}

/// Whether overlays work whose directories lie in `directory`, which is empty and private: one is mounted and used, as a thorough command would.
/// `user_attributes` as in [`crate::Root::Overlay`].
pub fn try_overlay(directory: &Path, user_attributes: bool) -> Result<(), Error> {
    let directory = directory.to_owned();
    in_thread(move || {
        for name in ["lower", "upper", "work", "lower/gone"] {
            let path = directory.join(name);
            fs::create_dir(&path).doing_to("create", &path)?;
        }
        sys::unshare(UnshareFlags::NEWNS).doing("enter new namespaces")?;
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
            .doing("make the mounts of the new namespace private")?;
        let open = |name: &str| {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let path = directory.join(name);
            openat(CWD, &path, flags, Mode::empty()).doing_to("open", path)
        };
        let (lower, upper, work) = (open("lower")?, open("upper")?, open("work")?);
        let attributes = MountAttrFlags::MOUNT_ATTR_NODEV;
        let mount = Trial::new()?.overlay(&lower, &upper, &work, user_attributes, attributes)?;
        // A directory that takes the place of another one needs a mark, which not every filesystem can hold.
        unlinkat(mount.as_fd(), "gone", AtFlags::REMOVEDIR).doing("remove a directory from an overlay")?;
        mkdirat(mount.as_fd(), "gone", Mode::from(0o755)).doing("make a directory in an overlay again")
    })
}
