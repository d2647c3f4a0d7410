//! Forking the contained process, waiting for it, and ending it when the caller is gone.

use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::retry_on_intr;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, WaitOptions, pidfd_open, waitpid};

use super::root::Built;
use super::{Order, init};
use crate::error::{Doing, Error, Failure};
use crate::running::{CreatedMountPoint, Status};
use crate::sys;
use crate::wire::{self, Reply};

/// Runs the contained process to its end.
pub(super) fn run(socket: &OwnedFd, order: Order, built: Built) -> Result<(), Error> {
    let action = "open a pipe";
    let (failure_reader, failure_writer) = pipe_with(PipeFlags::CLOEXEC).doing(action)?;
    let (alive_reader, alive_writer) = pipe_with(PipeFlags::CLOEXEC).doing(action)?;
    let Some(child) = sys::fork().doing("fork")? else {
        drop((failure_reader, alive_writer));
        init::run(order, built, failure_writer, alive_reader);
    };
    drop((failure_writer, alive_reader));
    let process = pidfd_open(child, PidfdFlags::empty()).doing("watch the contained process")?;
    let Built { root, host, pty, created, .. } = built;
    // The other ends of pipes and terminals must close when the contained process closes them.
    let Order { spec, stdio, _keep } = order;
    drop((stdio, host));
    let master = pty.map(|pty| pty.master);
    if let Some(error) = failure_of(failure_reader)? {
        wait(child)?;
        clean_up(&root, spec.read_only_root, created);
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
    let status = watch(socket, &process, child)?;
    let created = clean_up(&root, spec.read_only_root, created);
    // Nobody to tell is no error.
    let _ = wire::send(socket, &Reply::Exited { status, created }, &[]);
    drop(alive_writer);
    Ok(())
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

/// Waits for the end of the process, and brings it about when the caller's end of the socket closes.
fn watch(socket: &OwnedFd, process: &OwnedFd, child: Pid) -> Result<Status, Error> {
    let action = "wait for the contained process";
    let mut fds = [PollFd::new(process, PollFlags::IN), PollFd::new(socket, PollFlags::IN)];
    retry_on_intr(|| poll(&mut fds, None)).doing(action)?;
    if !fds[1].revents().is_empty() {
        // It may have ended by itself in the meantime.
        let _ = sys::pidfd_kill(process.as_fd(), libc::SIGKILL);
    }
    wait(child)
}

fn wait(child: Pid) -> Result<Status, Error> {
    let action = "wait for the contained process";
    let ended = retry_on_intr(|| waitpid(Some(child), WaitOptions::empty())).doing(action)?;
    let (_, status) = ended.ok_or_else(|| Error::Internal("a wait without an end".to_owned()))?;
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Ok(Status::Code(code)),
        (None, Some(signal)) => Ok(Status::Signal(signal)),
        (None, None) => Err(Error::Internal("an end that is none".to_owned())),
    }
}

fn clean_up(root: &OwnedFd, read_only: bool, created: super::created::Created) -> Vec<CreatedMountPoint> {
    if created.is_empty() {
        return Vec::new();
    }
    if read_only {
        // Where this fails, what was created stays, and is reported.
        let _ = sys::mount_setattr(root, false, 0, super::mounts::READ_ONLY.bits().into());
    }
    created.remove(root)
}
