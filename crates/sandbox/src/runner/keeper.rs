//! The keeper: process 1 of the pid namespace that a runtime works in.
//!
//! It executes the runtime (`create`, then `start`), which leaves the command to it, and waits for the command's end. It passes signals on and
//! reaps orphans, so it is the init of a command that wants one.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::fs::{Mode, OFlags};
use rustix::mount::MountAttrFlags;
use rustix::process::{
    DumpableBehavior, Pid, PidfdFlags, WaitOptions, pidfd_open, set_dumpable_behavior, wait,
};
use rustix::termios::tcsetwinsize;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::delegate::Files;
use super::{cgroup, device, init, kernel, mounts, supervise};
use crate::error::{Doing, Error, Failure};
use crate::oci::{self, Runtime};
use crate::running::Status;
use crate::spec::{Process, Security};
use crate::sys;
use crate::wire::{self, Reply};

/// What the runtime calls the one container that it ever sees.
const NAME: &str = "lapstrake";

/// What is to be executed.
pub(super) struct Task<'a> {
    pub(super) runtime: &'a Runtime,
    pub(super) files: &'a Files,
    pub(super) process: &'a Process,
    pub(super) security: Security,
    /// The group that the command is put into; the runtime itself stays outside of it.
    pub(super) cgroup: Option<&'a cgroup::Made>,
}

/// Does the keeper's work, says to `socket` how it goes, and ends the process.
pub(super) fn run(task: Task<'_>, streams: [OwnedFd; 3], socket: OwnedFd, alive: &OwnedFd) -> ! {
    let last = match keep(&task, streams, &socket, alive) {
        Ok(status) => Reply::Exited { status, created: Vec::new(), out_of_memory: false },
        Err(error) => Reply::Failed(Failure::from(&error)),
    };
    // Without a runner there is nobody to tell.
    let _ = wire::send(&socket, &last, &[]);
    sys::leave(0)
}

fn keep(task: &Task<'_>, streams: [OwnedFd; 3], socket: &OwnedFd, alive: &OwnedFd) -> Result<Status, Error> {
    init::die_with_the_runner(alive)?;
    // This process is the host's program, and may be seen from inside: nobody may look into it.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).doing("hide the keeper")?;
    sys::reset_signals();
    show_proc()?;
    let console = match task.process.terminal {
        Some(_) => {
            Some(UnixListener::bind(&task.files.console).doing_to("open the socket", &task.files.console)?)
        }
        None => None,
    };
    create(task, streams)?;
    let command = number(&task.files.number)?;
    if let Some(cgroup) = task.cgroup {
        cgroup.put(command)?;
    }
    if task.security == Security::Default {
        forbid_devices(command)?;
    }
    // The command may send one as soon as it is started; when it was created, it would have inherited this.
    sys::block_signals();
    start(task)?;
    let process = pidfd_open(command, PidfdFlags::empty()).doing("watch the contained process")?;
    let terminal = console.as_ref().map(|console| receive_terminal(console, task.process)).transpose()?;
    let descriptors: Vec<_> =
        [Some(&process), terminal.as_ref()].into_iter().flatten().map(AsFd::as_fd).collect();
    let started = Reply::Started { process: command.as_raw_nonzero().get().unsigned_abs() };
    wire::send(socket, &started, &descriptors).doing("talk to the runner")?;
    drop((process, terminal, console));
    let status = attend(command)?;
    // An init ends with a code, whatever ended its child.
    Ok(if task.process.init { Status::Code(status.exit_code()) } else { status })
}

/// The processes of this pid namespace, in the place of the host's: runtimes look for themselves there.
fn show_proc() -> Result<(), Error> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let place = rustix::fs::open("/proc", flags, Mode::empty()).doing("open /proc")?;
    kernel::mount_proc(&place)
}

/// Lets the runtime make the process, which then waits to be started.
fn create(task: &Task<'_>, [stdin, stdout, stderr]: [OwnedFd; 3]) -> Result<(), Error> {
    let files = task.files;
    let mut command = runtime(task);
    command.arg("create").arg("--bundle").arg(&files.bundle).arg("--pid-file").arg(&files.number);
    if task.process.terminal.is_some() {
        command.arg("--console-socket").arg(&files.console);
    }
    execute(task, command.stdin(stdin).stdout(stdout).stderr(stderr))
}

fn start(task: &Task<'_>) -> Result<(), Error> {
    execute(task, runtime(task).arg("start").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()))
}

fn runtime(task: &Task<'_>) -> Command {
    let files = task.files;
    let mut command = Command::new(&task.runtime.path);
    command.env_clear().env("PATH", oci::directories()).current_dir(&files.bundle);
    command.arg("--root").arg(&files.state).arg("--log").arg(&files.log).args(["--log-format", "json"]);
    command.args(task.runtime.kind.without_cgroup());
    command
}

fn execute(task: &Task<'_>, command: &mut Command) -> Result<(), Error> {
    let path = &task.runtime.path;
    let status = command.arg(NAME).status().doing_to("execute the OCI runtime", path)?;
    if status.success() {
        return Ok(());
    }
    Err(Error::Runtime { runtime: path.clone(), said: format!("it said nothing ({status})") })
}

/// Makes sure that devices in the root cannot be opened: crun mounts the root again without that.
fn forbid_devices(process: Pid) -> Result<(), Error> {
    let action = "restrict the root of the OCI runtime's container";
    let place = format!("/proc/{}/ns/mnt", process.as_raw_nonzero());
    let namespace =
        rustix::fs::open(&place, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).doing(action)?;
    let restrict = || {
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Mount))?;
        mounts::restrict_root(MountAttrFlags::MOUNT_ATTR_NODEV)
    };
    let Some(child) = sys::fork().doing("fork")? else {
        let outcome: std::io::Result<()> = restrict();
        sys::leave(outcome.err().map_or(0, |error| error.raw_os_error().unwrap_or(libc::EIO)));
    };
    match supervise::wait(child)? {
        Status::Code(0) => Ok(()),
        Status::Code(errno) => Err(std::io::Error::from_raw_os_error(errno)).doing(action),
        Status::Signal(_) => Err(Error::Internal(format!("cannot {action}"))),
    }
}

/// The number that the runtime has written down.
fn number(path: &Path) -> Result<Pid, Error> {
    let text =
        std::fs::read_to_string(path).doing_to("read the number that the OCI runtime wrote into", path)?;
    let number = text.trim().parse().ok().and_then(Pid::from_raw);
    number.ok_or_else(|| Error::Internal(format!("{text:?} is not the number of a process")))
}

/// The terminal, which the runtime has sent before it ended.
fn receive_terminal(console: &UnixListener, process: &Process) -> Result<OwnedFd, Error> {
    let action = "receive the terminal from the OCI runtime";
    console.set_nonblocking(true).doing(action)?;
    let (stream, _) = console.accept().doing(action)?;
    let terminal = wire::receive_descriptor(&stream).doing(action)?;
    if let Some(size) = process.terminal {
        tcsetwinsize(&terminal, device::window(size)).doing("set the size of the new terminal")?;
    }
    Ok(terminal)
}

/// Waits for the end of the command, reaps orphans, and passes signals on.
fn attend(command: Pid) -> Result<Status, Error> {
    loop {
        while let Ok(Some((process, status))) = wait(WaitOptions::NOHANG) {
            if process == command {
                return supervise::ended_with(status);
            }
        }
        // The end of a child is a signal, too; all of them are blocked, so none is missed.
        match sys::next_signal() {
            Ok(libc::SIGCHLD) | Err(_) => {}
            Ok(signal) => drop(sys::kill(command, signal)),
        }
    }
}
