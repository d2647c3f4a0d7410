//! The caller's side: what can be done with a process that runs, and how it ends.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::Child;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base::Cancel;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::retry_on_intr;

use crate::error::{Doing, Error};
use crate::oci::Runtime;
use crate::runner::window;
use crate::spec::Terminal;
use crate::sys;
use crate::wire::{self, Reply};

/// The program that becomes the runner; it calls [`crate::intercept`] first thing in `main`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runner {
    /// Which program.
    pub program: PathBuf,
    /// What makes the contained process instead of the runner itself.
    pub runtime: Option<Runtime>,
}

/// This very program, alone.
impl Default for Runner {
    fn default() -> Self {
        Self { program: PathBuf::from("/proc/self/exe"), runtime: None }
    }
}

/// Where the standard streams of a process lead. A process with a terminal has none of these: see
/// [`Running::terminal`].
#[derive(Debug, Default)]
pub struct Stdio {
    /// Standard input.
    pub stdin: Input,
    /// Standard output.
    pub stdout: Output,
    /// Standard error.
    pub stderr: Output,
}

/// Where standard input comes from.
#[derive(Debug, Default)]
pub enum Input {
    /// From nowhere: `/dev/null`.
    #[default]
    Null,
    /// From the caller's own standard input.
    Inherit,
    /// From this descriptor.
    Descriptor(OwnedFd),
    /// From a pipe: [`Running::take_stdin`].
    Pipe,
}

/// Where standard output or error goes.
#[derive(Debug, Default)]
pub enum Output {
    /// Nowhere: `/dev/null`.
    Null,
    /// To the caller's own.
    Inherit,
    /// To this descriptor.
    Descriptor(OwnedFd),
    /// Into a pipe: [`Running::take_stdout`], [`Running::take_stderr`].
    #[default]
    Pipe,
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exit {
    /// Its status.
    pub status: Status,
    /// Whether it was stopped because the caller cancelled.
    pub cancelled: bool,
    /// Whether the kernel killed something since the limit of memory ([`crate::cgroup::Limits::memory`]) was reached.
    pub out_of_memory: bool,
    /// Mount points that had to be created in the root itself, because nothing else was possible.
    pub created_mount_points: Vec<CreatedMountPoint>,
    /// With [`crate::Spec::single_id`]: whom the files that are left were given to.
    pub owners: Vec<OwnerClaim>,
}

/// A file that was given to somebody who could not really get it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct OwnerClaim {
    /// Where it is in the root, without the leading slash.
    #[serde(with = "crate::wire::path")]
    pub path: PathBuf,
    /// To which user; `None` when only the group was changed.
    pub user: Option<u32>,
    /// To which group; `None` when only the user was changed.
    pub group: Option<u32>,
}

/// A mount point that had to be created in the root.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct CreatedMountPoint {
    /// Where, in the root, without symlinks.
    #[serde(with = "crate::wire::path")]
    pub path: PathBuf,
    /// Whether it was removed again. It is left where something was put into it.
    pub removed: bool,
}

/// With what a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Status {
    /// It exited with this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

impl Status {
    /// The exit code as shells and docker give it: 128 + N for signal N (CT-2).
    pub fn exit_code(self) -> i32 {
        match self {
            Status::Code(code) => code,
            Status::Signal(signal) => 128 + signal,
        }
    }

    /// Whether it is code 0.
    pub fn is_success(self) -> bool {
        self == Status::Code(0)
    }
}

/// A process that runs in isolation.
///
/// Dropping it kills the process and waits for its end.
#[derive(Debug)]
pub struct Running {
    /// The runner.
    pub(crate) child: Mutex<Child>,
    /// To the runner, which kills the process when this end closes.
    pub(crate) socket: OwnedFd,
    /// The process itself.
    pub(crate) process: OwnedFd,
    pub(crate) id: u32,
    pub(crate) terminal: Option<File>,
    pub(crate) streams: Streams,
    pub(crate) exit: Mutex<Option<Exit>>,
}

/// The caller's ends of pipes.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    pub(crate) stdin: Option<File>,
    pub(crate) stdout: Option<File>,
    pub(crate) stderr: Option<File>,
}

impl Running {
    /// The number of the process, as the host sees it.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Waits for the end of the process and of everything that it left behind.
    ///
    /// When `cancel` is set, it gets SIGTERM, and SIGKILL after `grace`. May be called again: the answer stays.
    pub fn wait(&self, cancel: &Cancel, grace: Duration) -> Result<Exit, Error> {
        let mut known = self.exit.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(exit) = &*known {
            return Ok(exit.clone());
        }
        let cancelled = self.await_end(cancel, grace)?;
        let reply = wire::receive::<Reply>(&self.socket).doing("hear from the sandbox runner")?;
        // When the runner has ended, the mounts are gone too.
        let ended = self.child().wait().doing("wait for the sandbox runner")?;
        let exit = match reply {
            Some((Reply::Exited { status, created, out_of_memory }, descriptors)) => {
                let owners = wire::read_memory(descriptors).doing("hear from the sandbox runner")?;
                Exit { status, cancelled, out_of_memory, created_mount_points: created, owners }
            }
            Some((Reply::Failed(failure), _)) => return Err(self.abandon(failure.into())),
            Some((Reply::Started { .. }, _)) => {
                return Err(self.abandon(Error::Internal("it started twice".to_owned())));
            }
            None => return Err(self.abandon(Error::RunnerDied { status: ended })),
        };
        *known = Some(exit.clone());
        Ok(exit)
    }

    /// Waits until the runner has something to say; whether it had to be made to.
    fn await_end(&self, cancel: &Cancel, grace: Duration) -> Result<bool, Error> {
        let event = eventfd(0, EventfdFlags::CLOEXEC).doing("open an eventfd")?;
        let waker = event.try_clone().doing("open an eventfd")?;
        let _registration = cancel.on_cancel(move || {
            // A counter that has just been made has room for one.
            let _ = rustix::io::write(&waker, &1_u64.to_ne_bytes());
        });
        self.readable(Some(&event), None)?;
        if !cancel.is_cancelled() {
            return Ok(false);
        }
        self.signal(libc::SIGTERM)?;
        if !self.readable(None, Some(grace))? {
            self.signal(libc::SIGKILL)?;
            self.readable(None, None)?;
        }
        Ok(true)
    }

    /// Waits for the socket, or the event; `false` when the time is over.
    fn readable(&self, event: Option<&OwnedFd>, limit: Option<Duration>) -> Result<bool, Error> {
        let mut fds = vec![PollFd::new(&self.socket, PollFlags::IN)];
        fds.extend(event.map(|event| PollFd::new(event, PollFlags::IN)));
        let limit = limit.map(|limit| Timespec {
            tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: limit.subsec_nanos().into(),
        });
        let ready = retry_on_intr(|| poll(&mut fds, limit.as_ref())).doing("wait for the process")?;
        Ok(ready > 0)
    }

    /// The runner is gone and has not said how the process ended: the process must not stay.
    fn abandon(&self, error: Error) -> Error {
        let _ = self.signal(libc::SIGKILL);
        error
    }

    /// Sends a signal to the process; one that has ended already is no error.
    ///
    /// Process 1 gets, apart from SIGKILL and SIGSTOP, only those signals that it handles.
    pub fn signal(&self, signal: i32) -> Result<(), Error> {
        match sys::pidfd_kill(self.process.as_fd(), signal) {
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
            result => result.doing("send a signal to the process"),
        }
    }

    /// Changes the size of the terminal's window; nothing happens without a terminal.
    pub fn resize(&self, size: Terminal) -> Result<(), Error> {
        let Some(terminal) = &self.terminal else { return Ok(()) };
        rustix::termios::tcsetwinsize(terminal, window(size)).doing("set the size of the terminal")
    }

    /// The end to write to of standard input, when it is a pipe and was not taken before.
    pub fn take_stdin(&mut self) -> Option<File> {
        self.streams.stdin.take()
    }

    /// The end to read from of standard output, when it is a pipe and was not taken before.
    pub fn take_stdout(&mut self) -> Option<File> {
        self.streams.stdout.take()
    }

    /// The end to read from of standard error, when it is a pipe and was not taken before.
    pub fn take_stderr(&mut self) -> Option<File> {
        self.streams.stderr.take()
    }

    /// The master side of the terminal, for reading and writing; `None` when there is no terminal.
    ///
    /// Reading from it ends with EIO when nobody inside has the terminal open any more.
    pub fn terminal(&self) -> Result<Option<File>, Error> {
        let copy = self.terminal.as_ref().map(File::try_clone).transpose();
        copy.doing("duplicate the descriptor of the terminal")
    }

    fn child(&self) -> std::sync::MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.exit.lock().unwrap_or_else(PoisonError::into_inner).is_none() {
            let _ = self.signal(libc::SIGKILL);
            let _: io::Result<_> = self.child().wait();
        }
    }
}
