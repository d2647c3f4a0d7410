//! The last steps, in the process that becomes the command: process 1 of the new pid namespace.

use std::convert::Infallible;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Gid, Uid, fchown, fstatfs};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::{Signal, ioctl_tiocsctty, set_parent_process_death_signal};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};

use super::root::Built;
use super::{Order, Place, chroot, credentials, execute, kernel, reaper, root, solo};
use crate::error::{Doing, Error, Failure};
use crate::spec::{Process, Security};
use crate::{sys, wire};

/// The filesystem type of anonymous pipes.
const PIPEFS_MAGIC: u64 = 0x5049_5045;

/// This process's ends of what leads to the runner.
pub(super) struct Ends {
    /// Where it says why it cannot become the command; closes when it has.
    pub(super) failure: OwnedFd,
    /// Hangs up when the runner is gone.
    pub(super) alive: OwnedFd,
    /// Where calls for other user ids are handed over.
    pub(super) listener: OwnedFd,
}

/// Becomes the contained process, or says why it cannot.
pub(super) fn run(order: Order, place: Place, ends: Ends) -> ! {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        if let Some(cgroup) = &order.cgroup {
            cgroup.enter()?;
        }
        match place {
            Place::Mounted(built) => become_process(order, built, &ends),
            Place::Chroot(prepared) => chroot::become_process(order, prepared, &ends),
        }
    }));
    let error = match outcome {
        Ok(Err(error)) => error,
        Err(_) => Error::Internal("a panic before the command was executed".to_owned()),
        Ok(Ok(never)) => match never {},
    };
    let text = serde_json::to_vec(&Failure::from(&error)).unwrap_or_default();
    // Without a reader there is nobody to tell.
    let _ = std::fs::File::from(ends.failure).write_all(&text);
    sys::leave(125)
}

fn become_process(order: Order, built: Built, ends: &Ends) -> Result<Infallible, Error> {
    die_with_the_runner(&ends.alive)?;
    let Built { root, proc, host, pty, .. } = built;
    let process = &order.spec.process;
    kernel::mount_proc(&proc)?;
    if order.spec.security == Security::Default {
        kernel::protect(&root, "/proc")?;
    }
    root::leave_host(&host)?;
    drop((root, proc, host));
    match &pty {
        Some(pty) => streams([&pty.slave; 3])?,
        None => {
            let [stdin, stdout, stderr] = &order.stdio;
            if order.spec.single_id.is_none() {
                own_pipes(&order.stdio, &process.user)?;
            }
            streams([stdin, stdout, stderr])?;
        }
    }
    // Keyrings may be compiled out, or forbidden by an outer container.
    let _ = sys::join_session_keyring();
    sys::reset_signals();
    enter_directory(process)?;
    if order.spec.single_id.is_some() {
        let calls = solo::install().doing("catch calls for other user ids")?;
        wire::send(&ends.listener, &(), &[calls.as_fd()]).doing("hand over calls for other user ids")?;
    }
    credentials::apply(&order.spec)?;
    // The change of user has reset it.
    die_with_the_runner(&ends.alive)?;
    if process.init {
        reaper::fork_command()?;
    }
    rustix::process::setsid().doing("start a new session")?;
    if pty.is_some() {
        ioctl_tiocsctty(rustix::stdio::stdin()).doing("make the terminal the controlling one")?;
    }
    sys::close_on_execute().doing("close descriptors")?;
    Err(execute::run(process))
}

/// Asks the kernel to kill this process when the runner ends; it may have ended already.
pub(super) fn die_with_the_runner(alive: &OwnedFd) -> Result<(), Error> {
    let action = "tie the process to its runner";
    set_parent_process_death_signal(Some(Signal::KILL)).doing(action)?;
    let mut fds = [PollFd::new(alive, PollFlags::IN)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    if retry_on_intr(|| poll(&mut fds, Some(&now))).doing(action)? > 0 {
        return Err(Error::Internal("the runner is gone".to_owned()));
    }
    Ok(())
}

pub(super) fn streams([stdin, stdout, stderr]: [&OwnedFd; 3]) -> Result<(), Error> {
    let action = "set the standard streams";
    dup2_stdin(stdin).doing(action)?;
    dup2_stdout(stdout).doing(action)?;
    dup2_stderr(stderr).doing(action)
}

/// Gives anonymous pipes to the user, who could not open `/dev/stdout` otherwise. Files and terminals of the
/// caller keep their owner.
pub(super) fn own_pipes(streams: &[OwnedFd], user: &crate::spec::User) -> Result<(), Error> {
    for stream in streams {
        let action = "examine a standard stream";
        if fstatfs(stream).doing(action)?.f_type as u64 == PIPEFS_MAGIC {
            let (uid, gid) = (Some(Uid::from_raw(user.uid)), Some(Gid::from_raw(user.gid)));
            match fchown(stream.as_fd(), uid, gid) {
                // In a user namespace, a pipe of somebody outside stays that one's.
                Err(Errno::PERM) => {}
                result => result.doing("set the owner of a pipe")?,
            }
        }
    }
    Ok(())
}

/// Enters the working directory, and makes sure that it lies inside the root.
pub(super) fn enter_directory(process: &Process) -> Result<(), Error> {
    let wrong = |errno: rustix::io::Errno| Error::WorkingDirectory {
        path: process.cwd.clone(),
        source: errno.into(),
    };
    rustix::process::chdir(&process.cwd).map_err(wrong)?;
    let path = rustix::process::getcwd(Vec::new()).map_err(wrong)?;
    // The kernel begins the path of a directory outside of the root with "(unreachable)".
    if !Path::new(&*path.to_string_lossy()).is_absolute() {
        return Err(wrong(rustix::io::Errno::XDEV));
    }
    Ok(())
}
