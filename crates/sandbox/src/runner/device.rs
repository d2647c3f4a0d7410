//! `/dev`: a few harmless devices of the host, and what belongs to the container alone.
//!
//! The tmpfs itself is mounted `nodev`, like everything else inside: a node that the contained process makes
//! (it has CAP_MKNOD, as in Docker) cannot be opened. The host's own nodes are bind-mounted one by one, and
//! keep working. This is what Docker's device cgroup does, and needs no cgroup.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, Uid, fchown, fstat, mkdirat, openat, symlinkat, unlinkat,
};
use rustix::mount::MountAttrFlags;
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::mounts::{self, Filesystem, INERT};
use super::resolve;
use crate::error::{Doing, Error};
use crate::spec::{Security, Spec, Terminal};

/// The host's devices that every container has (CT-36).
const HOST_DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// Names that lead elsewhere.
const LINKS: [(&str, &str); 2] = [("ptmx", "pts/ptmx"), ("core", "/proc/kcore")];

/// The names of a process's own descriptors.
const STREAMS: [(&str, &str); 4] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];

/// Docker's size of `/dev/shm`, 64 MiB.
const SHARED_MEMORY: u64 = 64 << 20;

/// The group of terminals, `tty`, the same everywhere.
const TERMINALS: &str = "5";

/// The two ends of a terminal.
pub(super) struct Pty {
    /// For the caller.
    pub(super) master: OwnedFd,
    /// For the contained process.
    pub(super) slave: OwnedFd,
}

/// Mounts `/dev` on an open place; with a terminal, opens it.
pub(super) fn mount(place: &OwnedFd, spec: &Spec) -> Result<Option<Pty>, Error> {
    let Spec { process, security, .. } = spec;
    let attributes = match *security {
        Security::Default => MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOSUID,
        Security::Insecure => MountAttrFlags::MOUNT_ATTR_NOSUID,
    };
    let dev = Filesystem::new("tmpfs")?.with("mode", "755")?.with("size", "65536k")?.mount(attributes)?;
    for (name, target) in LINKS.into_iter().chain(STREAMS) {
        symlinkat(target, &dev, name).doing_to("create", inside(name))?;
    }
    for name in ["pts", "shm", "mqueue"] {
        mkdirat(&dev, name, Mode::from(0o755)).doing_to("create", inside(name))?;
    }
    mounts::attach(&dev, place).doing("mount tmpfs on /dev")?;
    for name in HOST_DEVICES {
        bind_device(&dev, name)?;
    }
    let size = spec.shared_memory.unwrap_or(SHARED_MEMORY).to_string();
    let shm = Filesystem::new("tmpfs")?.with("mode", "1777")?.with("size", &size)?.mount(INERT)?;
    put(&dev, "shm", &shm)?;
    // A kernel without message queues does without.
    if let Ok(mqueue) = Filesystem::new("mqueue").and_then(|queue| queue.mount(INERT)) {
        put(&dev, "mqueue", &mqueue)?;
    }
    let pts = pseudo_terminals()?;
    put(&dev, "pts", &pts)?;
    match process.terminal {
        Some(size) => {
            let owner = if spec.single_id.is_some() { 0 } else { process.user.uid };
            console(&dev, &pts, size, owner).map(Some)
        }
        None => Ok(None),
    }
}

/// Removes the names of descriptors, for an OCI runtime: they are its task ("Dev symbolic links" in the runtime specification), and runc from
/// 1.3.6 on follows those that are there, into `/proc`.
pub(super) fn leave_streams(root: &OwnedFd) -> Result<(), Error> {
    let Some(dev) = resolve::open(root, Path::new("/dev"))? else { return Ok(()) };
    for (name, _) in STREAMS {
        unlinkat(&dev, name, AtFlags::empty()).doing_to("remove", inside(name))?;
    }
    Ok(())
}

fn bind_device(dev: &OwnedFd, name: &str) -> Result<(), Error> {
    let host = Path::new("/dev").join(name);
    let node = mounts::clone_path(&host, false).doing_to("bind-mount", &host)?;
    let stat = fstat(&node).doing_to("examine", &host)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::CharacterDevice {
        return Err(Error::Invalid(format!("{} of the host is not a device", host.display())));
    }
    put_file(dev, name, &node)
}

/// A new instance, so that no terminal of the host is seen.
fn pseudo_terminals() -> Result<OwnedFd, Error> {
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let terminals = || {
        Filesystem::new("devpts")?.with_flag("newinstance")?.with("ptmxmode", "0666")?.with("mode", "0620")
    };
    // A user namespace may lack the group; kernels say so when the option is given, or when it is mounted.
    let with_group = terminals().and_then(|it| it.with("gid", TERMINALS)).and_then(|it| it.mount(attributes));
    with_group.or_else(|_| terminals()?.mount(attributes))
}

fn console(dev: &OwnedFd, pts: &OwnedFd, size: Terminal, uid: u32) -> Result<Pty, Error> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let master = openat(pts, "ptmx", flags, Mode::empty()).doing("open a new terminal")?;
    let Pty { master, slave } = both_ends(master, size)?;
    fchown(&slave, Some(Uid::from_raw(uid)), None).doing("set the owner of the new terminal")?;
    let node = mounts::clone_at(pts, "0", false).doing("bind-mount the new terminal")?;
    put_file(dev, "console", &node)?;
    Ok(Pty { master, slave })
}

/// A terminal of the system around, where no new instance can be mounted.
pub(super) fn terminal(size: Terminal) -> Result<Pty, Error> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let master = openat(CWD, "/dev/ptmx", flags, Mode::empty()).doing_to("open", Path::new("/dev/ptmx"))?;
    both_ends(master, size)
}

fn both_ends(master: OwnedFd, size: Terminal) -> Result<Pty, Error> {
    unlockpt(&master).doing("unlock the new terminal")?;
    let peer = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let slave = ioctl_tiocgptpeer(&master, peer).doing("open the other end of the new terminal")?;
    tcsetwinsize(&master, window(size)).doing("set the size of the new terminal")?;
    Ok(Pty { master, slave })
}

/// A size for the kernel.
pub(crate) fn window(size: Terminal) -> Winsize {
    Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 }
}

/// Attaches a mount to a file made for it.
fn put_file(dev: &OwnedFd, name: &str, mount: &OwnedFd) -> Result<(), Error> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    openat(dev, name, flags, Mode::from(0o644)).doing_to("create", inside(name))?;
    put(dev, name, mount)
}

fn put(dev: &OwnedFd, name: &str, mount: impl AsFd) -> Result<(), Error> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let place = openat(dev, name, flags, Mode::empty()).doing_to("open", inside(name))?;
    mounts::attach(mount, place).doing_to("mount on", inside(name))
}

fn inside(name: &str) -> std::path::PathBuf {
    Path::new("/dev").join(name)
}
