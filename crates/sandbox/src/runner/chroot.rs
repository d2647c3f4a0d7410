//! Another root directory and nothing else, where neither namespaces nor mounts can be had.
//!
//! What would be mounted is put into the directory, and taken away again ([`placed`](super::placed)). Instead of a pid namespace, the runner
//! becomes the parent of all that a command leaves behind, and ends it.

use std::convert::Infallible;
use std::os::fd::OwnedFd;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::retry_on_intr;
use rustix::process::{Pid, WaitOptions, chroot, fchdir, waitpid};

use super::device::{self, Pty};
use super::init::{self, Ends};
use super::placed::Placed;
use super::{Order, credentials, execute, reaper};
use crate::error::{Doing, Error};
use crate::spec::{MountSource, Network, Root, Spec};
use crate::sys;

/// A directory that is ready to be entered.
pub(super) struct Prepared {
    pub(super) root: OwnedFd,
    pub(super) pty: Option<Pty>,
    pub(super) placed: Placed,
}

/// Refuses what cannot be had, and puts the rest into the directory.
pub(super) fn prepare(spec: &Spec) -> Result<Prepared, Error> {
    let Root::Directory(path) = &spec.root else {
        return Err(Error::Invalid("an overlay cannot be had without mounts".to_owned()));
    };
    refuse(spec)?;
    sys::become_subreaper().doing("become the parent of what a command leaves behind")?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = openat(CWD, path, flags, Mode::empty()).doing_to("open the root", path)?;
    let mut placed = Placed::new(path)?;
    let done = fill(spec, &root, &mut placed);
    match done {
        Ok(pty) => Ok(Prepared { root, pty, placed }),
        Err(error) => {
            placed.remove(&root);
            Err(error)
        }
    }
}

fn fill(spec: &Spec, root: &OwnedFd, placed: &mut Placed) -> Result<Option<Pty>, Error> {
    placed.devices(root)?;
    let files = [
        ("/etc/hosts", &spec.files.hosts),
        ("/etc/resolv.conf", &spec.files.resolv_conf),
        ("/etc/hostname", &spec.files.hostname),
    ];
    for (path, contents) in files {
        if let Some(contents) = contents {
            placed.file(root, path.as_ref(), contents.as_bytes(), 0o644, None)?;
        }
    }
    for mount in &spec.mounts {
        let target = &mount.target;
        // What is neither of these was refused.
        match &mount.source {
            MountSource::Bind { path, movable: true, .. } => placed.moved(root, target, path)?,
            MountSource::Bind { path, .. } => {
                let contents = std::fs::read(path).doing_to("read", path)?;
                placed.file(root, target, &contents, 0o755, None)?;
            }
            MountSource::Snapshot { root: Root::Directory(top), path } => {
                placed.moved(root, target, &top.join(path))?;
            }
            MountSource::Snapshot { .. } => {}
            MountSource::Secret { contents, mode, uid, gid } => {
                placed.file(root, target, &contents.0, *mode, Some((*uid, *gid)))?;
            }
            MountSource::Tmpfs { mode, .. } => placed.scratch(root, target, *mode)?,
        }
    }
    spec.process.terminal.map(device::terminal).transpose()
}

/// What was asked for and cannot be had is an error, not a surprise.
fn refuse(spec: &Spec) -> Result<(), Error> {
    let refused = |what: &str| {
        Err(Error::Unsupported {
            what: format!("{what} without namespaces"),
            hint: "`lap doctor` says what is missing for them".to_owned(),
        })
    };
    if spec.network == Network::None {
        return refused("a network of its own");
    }
    if spec.read_only_root {
        return refused("a read-only root");
    }
    for mount in &spec.mounts {
        match &mount.source {
            MountSource::Bind { movable: true, .. } if mount.read_only => {
                return refused("a read-only mount");
            }
            MountSource::Bind { movable: true, .. } => {}
            MountSource::Bind { path, .. } if path.is_file() && mount.read_only => {}
            MountSource::Bind { .. } => return refused("a volume"),
            MountSource::Tmpfs { size: Some(_), .. } => return refused("a tmpfs with a size"),
            MountSource::Tmpfs { .. } if mount.read_only => return refused("a read-only tmpfs"),
            MountSource::Snapshot { root: Root::Overlay { .. }, .. } => return refused("an overlay"),
            // What is written to it is thrown away, which is as good as that nothing can be.
            MountSource::Snapshot { .. } | MountSource::Secret { .. } | MountSource::Tmpfs { .. } => {}
        }
    }
    if spec.single_id.is_some() {
        return refused("a single user id");
    }
    Ok(())
}

/// Becomes the contained process; returns when that fails.
pub(super) fn become_process(order: Order, prepared: Prepared, ends: &Ends) -> Result<Infallible, Error> {
    init::die_with_the_runner(&ends.alive)?;
    let Prepared { root, pty, .. } = prepared;
    let process = &order.spec.process;
    match &pty {
        Some(pty) => init::streams([&pty.slave; 3])?,
        None => {
            let [stdin, stdout, stderr] = &order.stdio;
            init::own_pipes(&order.stdio, &process.user)?;
            init::streams([stdin, stdout, stderr])?;
        }
    }
    sys::reset_signals();
    fchdir(&root).doing("enter the root")?;
    chroot(".").doing("change the root (chroot)")?;
    drop(root);
    init::enter_directory(process)?;
    credentials::apply(&order.spec)?;
    init::die_with_the_runner(&ends.alive)?;
    if process.init {
        reaper::fork_command()?;
    }
    rustix::process::setsid().doing("start a new session")?;
    if pty.is_some() {
        rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())
            .doing("make the terminal the controlling one")?;
    }
    sys::close_on_execute().doing("close descriptors")?;
    Err(execute::run(process))
}

/// Ends everything that the command has left behind: all of it are children of this process by now, or become so when their parents end.
pub(super) fn end_all() -> Result<(), Error> {
    let action = "end what the command has left behind";
    loop {
        for child in children().doing(action)? {
            let _ = sys::kill(child, libc::SIGKILL);
        }
        match retry_on_intr(|| waitpid(None, WaitOptions::empty())) {
            Err(rustix::io::Errno::CHILD) => return Ok(()),
            result => result.doing(action)?,
        };
    }
}

/// The children of this process.
fn children() -> std::io::Result<Vec<Pid>> {
    let own = std::process::id();
    let mut children = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let Ok(number) = entry?.file_name().to_string_lossy().parse::<i32>() else { continue };
        // Processes come and go.
        let Ok(stat) = std::fs::read(format!("/proc/{number}/stat")) else { continue };
        let stat = String::from_utf8_lossy(&stat);
        // The name of a process may hold anything, also parentheses.
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
        if parent == Some(own) {
            children.extend(Pid::from_raw(number));
        }
    }
    Ok(children)
}
