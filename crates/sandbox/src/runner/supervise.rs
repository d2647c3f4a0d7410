//! Forking the contained process, waiting for it, and ending it when the caller is gone.

use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::retry_on_intr;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, WaitOptions, WaitStatus, pidfd_open, waitpid};

use super::chroot::{self, Prepared};
use super::created::Created;
use super::placed::Placed;
use super::root::Built;
use super::{Order, Place, cgroup, init, solo};
use crate::error::{Doing, Error, Failure};
use crate::running::{CreatedMountPoint, Status};
use crate::spec::Spec;
use crate::sys;
use crate::wire::{self, Reply};

/// Runs the contained process to its end.
pub(super) fn run(
    socket: &OwnedFd,
    order: Order,
    place: Place,
    solo: Option<solo::Preparation>,
) -> Result<(), Error> {
    let action = "open a pipe";
    let (failure_reader, failure_writer) = pipe_with(PipeFlags::CLOEXEC).doing(action)?;
    let (alive_reader, alive_writer) = pipe_with(PipeFlags::CLOEXEC).doing(action)?;
    let (listener_here, listener_there) = wire::pair().doing("open a pair of sockets")?;
    let Some(child) = sys::fork().doing("fork")? else {
        drop((failure_reader, alive_writer, listener_here));
        let ends = init::Ends { failure: failure_writer, alive: alive_reader, listener: listener_there };
        init::run(order, place, ends);
    };
    drop((failure_writer, alive_reader, listener_there));
    let process = pidfd_open(child, PidfdFlags::empty()).doing("watch the contained process")?;
    // The other ends of pipes and terminals must close when the contained process closes them.
    let Order { spec, stdio, cgroup, _keep, .. } = order;
    let Kept { root, upper, master, leftovers } = Kept::of(place);
    drop(stdio);
    let mut solo = match solo {
        Some(preparation) => supervisor(preparation, &listener_here, &spec, &root)?,
        None => None,
    };
    // Looking for the command is done with calls that have to be answered, too.
    if !serve_until(&failure_reader, socket, solo.as_mut())? {
        let _ = sys::pidfd_kill(process.as_fd(), libc::SIGKILL);
    }
    if let Some(error) = failure_of(failure_reader)? {
        wait(child)?;
        leftovers.clean_up(&root, spec.read_only_root)?;
        return Err(error);
    }
    let descriptors: Vec<_> =
        [Some(&process), master.as_ref()].into_iter().flatten().map(AsFd::as_fd).collect();
    let started = Reply::Started { process: child.as_raw_nonzero().get().unsigned_abs() };
    if wire::send(socket, &started, &descriptors).is_err() {
        // The caller is gone.
        let _ = sys::pidfd_kill(process.as_fd(), libc::SIGKILL);
    }
    drop(master);
    let status = watch(socket, &process, child, solo.as_mut())?;
    let owners = match (solo, &upper) {
        (Some(solo), Some(upper)) => {
            solo.claims(solo::Upper { directory: upper.as_fd(), root: root.as_fd() })?
        }
        _ => Vec::new(),
    };
    let owners = match owners.is_empty() {
        true => None,
        false => Some(wire::memory("lapstrake-sandbox-owners", &owners).doing("tell whose the files are")?),
    };
    let created = leftovers.clean_up(&root, spec.read_only_root)?;
    let with: Vec<_> = owners.iter().map(AsFd::as_fd).collect();
    let out_of_memory = cgroup.as_ref().is_some_and(cgroup::Made::ran_out_of_memory);
    // Nobody to tell is no error.
    let _ = wire::send(socket, &Reply::Exited { status, created, out_of_memory }, &with);
    drop(alive_writer);
    Ok(())
}

/// What the runner keeps of a place.
struct Kept {
    root: OwnedFd,
    /// Where changes go, when something mounts an overlay.
    upper: Option<OwnedFd>,
    /// The terminal's master.
    master: Option<OwnedFd>,
    leftovers: Leftovers,
}

/// What has to be taken away when the command has ended.
enum Leftovers {
    /// Mount points.
    Created(Created),
    /// Files and devices, and processes.
    Placed(Placed),
}

impl Kept {
    fn of(place: Place) -> Self {
        match place {
            Place::Mounted(Built { root, upper, pty, created, .. }) => Self {
                root,
                upper: Some(upper),
                master: pty.map(|pty| pty.master),
                leftovers: Leftovers::Created(created),
            },
            Place::Chroot(Prepared { root, pty, placed }) => Self {
                root,
                upper: None,
                master: pty.map(|pty| pty.master),
                leftovers: Leftovers::Placed(placed),
            },
        }
    }
}

impl Leftovers {
    fn clean_up(self, root: &OwnedFd, read_only: bool) -> Result<Vec<CreatedMountPoint>, Error> {
        match self {
            Leftovers::Created(created) => Ok(clean_up(root, read_only, created)),
            Leftovers::Placed(placed) => {
                chroot::end_all()?;
                placed.remove(root);
                Ok(Vec::new())
            }
        }
    }
}

/// What the child says went wrong before it could execute the command: nothing when it could.
fn failure_of(reader: OwnedFd) -> Result<Option<Error>, Error> {
    let mut text = String::new();
    std::fs::File::from(reader).read_to_string(&mut text).doing("wait for the command to be executed")?;
    if text.is_empty() {
        return Ok(None);
    }
    let failure: Failure = serde_json::from_str(&text).map_err(|error| Error::Internal(error.to_string()))?;
    Ok(Some(failure.into()))
}

/// Takes the descriptor that the contained process sends before its command is executed; `None` when it failed earlier.
fn supervisor(
    preparation: solo::Preparation,
    listener: &OwnedFd,
    spec: &Spec,
    root: &OwnedFd,
) -> Result<Option<solo::Supervisor>, Error> {
    let action = "take over calls for other user ids";
    let lost = || Error::Internal("the process came without its calls".to_owned());
    let Some(((), descriptors)) = wire::receive(listener).doing(action)? else { return Ok(None) };
    let listener = descriptors.into_iter().next().ok_or_else(lost)?;
    let owners = spec.single_id.as_ref().map_or(&[][..], |single| &single.owners);
    let user = &spec.process.user;
    Ok(Some(solo::Supervisor::new(preparation, listener, user, owners, root.as_fd())))
}

/// Waits for the end of the process, and brings it about when the caller's end of the socket closes. Meanwhile calls are answered.
fn watch(
    socket: &OwnedFd,
    process: &OwnedFd,
    child: Pid,
    solo: Option<&mut solo::Supervisor>,
) -> Result<Status, Error> {
    serve_until(process, socket, solo)?;
    // It may have ended by itself in the meantime.
    let _ = sys::pidfd_kill(process.as_fd(), libc::SIGKILL);
    wait(child)
}

/// Answers calls until one of the two is readable, or hangs up; whether it is the first.
fn serve_until(
    first: &OwnedFd,
    second: &OwnedFd,
    mut solo: Option<&mut solo::Supervisor>,
) -> Result<bool, Error> {
    loop {
        let mut fds = vec![PollFd::new(first, PollFlags::IN), PollFd::new(second, PollFlags::IN)];
        let listener = solo.as_ref().map(|solo| solo.listener());
        fds.extend(listener.iter().map(|listener| PollFd::new(listener, PollFlags::IN)));
        retry_on_intr(|| poll(&mut fds, None)).doing("wait for the contained process")?;
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        if ready.iter().take(2).any(|ready| *ready) {
            return Ok(ready.first() == Some(&true));
        }
        if let Some(solo) = &mut solo {
            solo.serve().doing("answer a call for other user ids")?;
        }
    }
}

pub(super) fn wait(child: Pid) -> Result<Status, Error> {
    let action = "wait for the contained process";
    let ended = retry_on_intr(|| waitpid(Some(child), WaitOptions::empty())).doing(action)?;
    let (_, status) = ended.ok_or_else(|| Error::Internal("a wait without an end".to_owned()))?;
    ended_with(status)
}

/// How a process ended, as the system says it.
pub(super) fn ended_with(status: WaitStatus) -> Result<Status, Error> {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Ok(Status::Code(code)),
        (None, Some(signal)) => Ok(Status::Signal(signal)),
        (None, None) => Err(Error::Internal("an end that is none".to_owned())),
    }
}

pub(super) fn clean_up(root: &OwnedFd, read_only: bool, created: Created) -> Vec<CreatedMountPoint> {
    if created.is_empty() {
        return Vec::new();
    }
    if read_only {
        // Where this fails, what was created stays, and is reported.
        let _ = sys::mount_setattr(root, false, 0, super::mounts::READ_ONLY.bits().into());
    }
    created.remove(root)
}
