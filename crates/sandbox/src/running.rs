//! The caller's side: starting the runner, and what can be done with a process that runs.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use base::Cancel;

use crate::error::Error;
use crate::spec::{Spec, Terminal};

/// The program that becomes the runner; it calls [`crate::intercept`] first thing in `main`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runner {
    /// Which program.
    pub program: PathBuf,
}

/// This very program.
impl Default for Runner {
    fn default() -> Self {
        Self { program: PathBuf::from("/proc/self/exe") }
    }
}

/// Where the standard streams of a process lead. A process with a terminal has none of these: see
/// [`Running::take_terminal`].
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
    /// Mount points that had to be created in the root itself, because nothing else was possible.
    pub created_mount_points: Vec<CreatedMountPoint>,
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
    never: std::convert::Infallible,
}

/// Starts a process in isolation, and returns when its command has been executed.
///
/// The descriptors in `keep` (locks on what is mounted) stay open in the runner as long as the process lives,
/// also when the caller dies; the contained process does not get them.
pub fn spawn(
    _runner: &Runner,
    _spec: &Spec,
    _stdio: Stdio,
    _keep: &[BorrowedFd<'_>],
) -> Result<Running, Error> {
    Err(Error::Unsupported { what: "running".to_owned(), hint: "wait".to_owned() })
}

impl Running {
    /// The number of the process, as the host sees it.
    pub fn id(&self) -> u32 {
        match self.never {}
    }

    /// Waits for the end of the process and of everything that it left behind.
    ///
    /// When `cancel` is set, it gets SIGTERM, and SIGKILL after `grace`. May be called again: the answer stays.
    pub fn wait(&self, _cancel: &Cancel, _grace: Duration) -> Result<Exit, Error> {
        match self.never {}
    }

    /// Sends a signal to the process; one that has ended already is no error.
    pub fn signal(&self, _signal: i32) -> Result<(), Error> {
        match self.never {}
    }

    /// Changes the size of the terminal's window; nothing happens without a terminal.
    pub fn resize(&self, _size: Terminal) -> Result<(), Error> {
        match self.never {}
    }

    /// The end to write to of standard input, when it is a pipe and was not taken before.
    pub fn take_stdin(&mut self) -> Option<File> {
        match self.never {}
    }

    /// The end to read from of standard output, when it is a pipe and was not taken before.
    pub fn take_stdout(&mut self) -> Option<File> {
        match self.never {}
    }

    /// The end to read from of standard error, when it is a pipe and was not taken before.
    pub fn take_stderr(&mut self) -> Option<File> {
        match self.never {}
    }

    /// The master side of the terminal, when there is one and it was not taken before.
    ///
    /// Reading from it ends with EIO when the process has ended. Another handle for writing: `try_clone`.
    pub fn take_terminal(&mut self) -> Option<File> {
        match self.never {}
    }
}

const _: fn(&OwnedFd) -> BorrowedFd<'_> = AsFd::as_fd;
