//! `flock`, and what it says about files and directories that come and go.
//!
//! Every lock is taken on an open file description of its own, so that it holds between threads of one process as well as
//! between processes.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use base::{IoContext, IoError};
use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::files;

/// Waits for a lock.
pub(crate) fn wait(file: impl AsFd, operation: FlockOperation) -> io::Result<()> {
    loop {
        match rustix::fs::flock(&file, operation) {
            Err(Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
}

/// Takes a lock if nobody is in the way; `operation` is one of the non-blocking ones.
pub(crate) fn attempt(file: impl AsFd, operation: FlockOperation) -> io::Result<bool> {
    match rustix::fs::flock(&file, operation) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Opens something to lock it: a file or a directory, whatever its contents, without following a link.
pub(crate) fn open(path: &Path) -> Result<OwnedFd, IoError> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    rustix::fs::open(path, flags, Mode::empty()).context("open", path)
}

/// Makes a file whose lock says that somebody needs it; `None` when another process has taken it for a dead one's, and removed it, before it was
/// locked.
pub(crate) fn create(path: &Path) -> Result<Option<File>, IoError> {
    let file = files::create(path, 0o600)?;
    Ok(take_linked(&file, path)?.then_some(file))
}

/// Waits for the exclusive lock; `false` when what was opened has been removed meanwhile.
pub(crate) fn take_linked(file: impl AsFd, path: &Path) -> Result<bool, IoError> {
    wait(&file, FlockOperation::LockExclusive).context("lock", path)?;
    is_linked(file, path)
}

/// The exclusive lock of what nobody has locked; `None` when somebody has, or it has gone.
pub(crate) fn take_unused(path: &Path) -> Result<Option<OwnedFd>, IoError> {
    let Some(file) = open_if_there(path)? else { return Ok(None) };
    let is_dead = attempt(&file, FlockOperation::NonBlockingLockExclusive).context("lock", path)?;
    Ok((is_dead && is_linked(&file, path)?).then_some(file))
}

/// Opens something to lock it; `None` when there is nothing.
pub(crate) fn open_if_there(path: &Path) -> Result<Option<OwnedFd>, IoError> {
    match open(path) {
        Err(error) if error.source.kind() == io::ErrorKind::NotFound => Ok(None),
        result => result.map(Some),
    }
}

/// Whether what was opened still is what has this name. Whoever removes something does it with the exclusive lock, so
/// this is asked after a lock was taken.
pub(crate) fn is_linked(file: impl AsFd, path: &Path) -> Result<bool, IoError> {
    let opened = rustix::fs::fstat(file).context("stat", path)?;
    match rustix::fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(named) => Ok((opened.st_dev, opened.st_ino) == (named.st_dev, named.st_ino)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(false),
        Err(error) => Err(IoError { action: "stat", path: path.to_owned(), source: error.into() }),
    }
}
