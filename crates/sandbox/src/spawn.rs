//! Starting the runner, and telling it what to run.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::Mutex;

use rustix::fs::{Mode, OFlags};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::error::{Doing, Error};
use crate::program::Protected;
use crate::runner;
use crate::running::{Input, Output, Runner, Running, Stdio, Streams};
use crate::spec::Spec;
use crate::wire::{self, Hello, Keep, Reply};

/// Starts a process in isolation, and returns when its command has been executed.
///
/// The descriptors in `keep` (locks on what is mounted) stay open in the runner as long as the process lives,
/// also when the caller dies; the contained process does not get them.
pub fn spawn(runner: &Runner, spec: &Spec, stdio: Stdio, keep: &[BorrowedFd<'_>]) -> Result<Running, Error> {
    spec.validate()?;
    if !rustix::process::geteuid().is_root() {
        return Err(Error::Unsupported {
            what: "running without being root, of a user namespace at least,".to_owned(),
            hint: "run as root, or enter a user namespace first".to_owned(),
        });
    }
    let text = wire::memory("lapstrake-sandbox-description", spec).doing("describe the process")?;
    let (inside, streams) = connect(stdio).doing("prepare the standard streams")?;
    let (here, there) = wire::pair().doing("open a pair of sockets")?;
    let mut child = start(runner, there)?;
    let hello = Hello { keep: keep.len(), runtime: runner.runtime.clone() };
    match converse(&here, &hello, &text, &inside, keep) {
        Ok(Some((Reply::Started { process }, descriptors))) => {
            let mut descriptors = descriptors.into_iter();
            let lost = || Error::Internal("the process came without a descriptor".to_owned());
            Ok(Running {
                process: descriptors.next().ok_or_else(lost)?,
                terminal: descriptors.next().map(File::from),
                child: Mutex::new(child),
                socket: here,
                id: process,
                streams,
                exit: Mutex::new(None),
            })
        }
        outcome => {
            drop(here);
            let status = child.wait().doing("wait for the sandbox runner")?;
            Err(match outcome {
                Ok(Some((Reply::Failed(failure), _))) => failure.into(),
                Ok(Some((other, _))) => Error::Internal(format!("it said {other:?}")),
                // Nothing can be sent to a runner that has died either.
                Ok(None) => Error::RunnerDied { status },
                Err(_) if !status.success() => Error::RunnerDied { status },
                Err(error) => Error::system("talk to the sandbox runner", None, error),
            })
        }
    }
}

fn start(runner: &Runner, socket: OwnedFd) -> Result<Child, Error> {
    let failed = |source| Error::Start { program: runner.program.clone(), source };
    let program = Protected::new(&runner.program).map_err(failed)?;
    Command::new(program.path())
        .arg0("lapstrake-sandbox-runner")
        .arg(runner::ARGUMENT)
        .env_clear()
        .stdin(socket)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .map_err(failed)
}

/// Sends everything, and hears how it went.
fn converse(
    socket: &OwnedFd,
    hello: &Hello,
    text: &OwnedFd,
    inside: &[OwnedFd; 3],
    keep: &[BorrowedFd<'_>],
) -> io::Result<Option<(Reply, Vec<OwnedFd>)>> {
    let [stdin, stdout, stderr] = inside;
    let first = [text.as_fd(), stdin.as_fd(), stdout.as_fd(), stderr.as_fd()];
    wire::send(socket, hello, &first)?;
    for part in keep.chunks(wire::DESCRIPTORS) {
        wire::send(socket, &Keep, part)?;
    }
    wire::receive(socket)
}

/// The descriptors for inside, and those for the caller.
fn connect(stdio: Stdio) -> io::Result<([OwnedFd; 3], Streams)> {
    let mut streams = Streams::default();
    let stdin = match stdio.stdin {
        Input::Null => null(OFlags::RDONLY)?,
        Input::Inherit => rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?,
        Input::Descriptor(descriptor) => descriptor,
        Input::Pipe => {
            let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
            streams.stdin = Some(writer.into());
            reader
        }
    };
    let stdout = output(stdio.stdout, rustix::stdio::stdout(), &mut streams.stdout)?;
    let stderr = output(stdio.stderr, rustix::stdio::stderr(), &mut streams.stderr)?;
    Ok(([stdin, stdout, stderr], streams))
}

fn output(output: Output, own: BorrowedFd<'_>, taken: &mut Option<File>) -> io::Result<OwnedFd> {
    match output {
        Output::Null => null(OFlags::WRONLY),
        Output::Inherit => Ok(rustix::io::fcntl_dupfd_cloexec(own, 3)?),
        Output::Descriptor(descriptor) => Ok(descriptor),
        Output::Pipe => {
            let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
            *taken = Some(reader.into());
            Ok(writer)
        }
    }
}

fn null(flags: OFlags) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open("/dev/null", flags | OFlags::CLOEXEC, Mode::empty())?)
}
