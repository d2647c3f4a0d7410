//! Opening what is in a context, and reading files that must not change meanwhile.

use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::SystemTime;

use base::{IoContext, IoError};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::{Context, Kind, Stamp, Status, Xattrs};
use crate::copy::CopyError;

impl Context {
    /// Opens a path that has no links in it.
    pub(super) fn open(&self, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        let path = if path.is_empty() { b".".as_slice() } else { path };
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        loop {
            match rustix::fs::openat2(&self.0.directory, path, flags, Mode::empty(), resolve) {
                // A rename somewhere made the kernel unsure; EAGAIN says "again".
                Err(Errno::AGAIN | Errno::INTR) => {}
                result => return result,
            }
        }
    }

    /// What is at a path that has no links in its parents; the path itself may be one.
    pub(crate) fn status(&self, path: &[u8]) -> Result<Option<Status>, IoError> {
        match self.open(path, OFlags::PATH).and_then(rustix::fs::fstat) {
            Ok(stat) => Ok(Some(Status::new(&stat))),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(error) => Err(error).context("look at", self.full_path(path)),
        }
    }

    /// The extended attributes of a file or a directory (a path without links) that a layer keeps.
    pub(crate) fn xattrs(&self, path: &[u8]) -> Result<Xattrs, IoError> {
        let found = self.open(path, OFlags::PATH).and_then(|file| super::xattrs::of_open(&file));
        found.context("read the attributes of", self.full_path(path))
    }
}

/// Opens many files, one directory after the other: the last directory stays open.
pub(crate) struct Opener {
    context: Context,
    directory: Option<(Vec<u8>, OwnedFd)>,
}

impl Opener {
    pub fn new(context: &Context) -> Self {
        Self { context: context.clone(), directory: None }
    }

    /// Opens a file that was found with a stamp; whatever else is there now is a change.
    pub fn open(&mut self, path: &[u8], expected: &Stamp) -> Result<FileReader, CopyError> {
        let read_at = SystemTime::now();
        let full_path = || self.context.full_path(path);
        let changed = || CopyError::Changed { path: path.to_vec() };
        let (parent, name) = match path.iter().rposition(|byte| *byte == b'/') {
            Some(slash) => (path.get(..slash).unwrap_or_default(), path.get(slash + 1..).unwrap_or_default()),
            None => (b"".as_slice(), path),
        };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let opened = match &self.directory {
            Some((open, directory)) if open == parent => {
                rustix::fs::openat(directory, name, flags, Mode::empty())
            }
            _ => self.context.open(parent, OFlags::PATH | OFlags::DIRECTORY).and_then(|directory| {
                let file = rustix::fs::openat(&directory, name, flags, Mode::empty());
                self.directory = Some((parent.to_vec(), directory));
                file
            }),
        };
        let file = match opened {
            Ok(file) => file,
            Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR | Errno::NXIO) => return Err(changed()),
            Err(error) => return Err(error).context("open", full_path())?,
        };
        let status = Status::new(&rustix::fs::fstat(&file).context("look at", full_path())?);
        if status.kind != Kind::File || !status.stamp.has_contents_of(expected) {
            return Err(changed());
        }
        let reader = FileReader {
            file: file.into(),
            full_path: full_path(),
            path: path.to_vec(),
            stamp: status.stamp,
            read_at,
        };
        Ok(reader)
    }
}

/// A file of a context, being read.
pub(crate) struct FileReader {
    file: std::fs::File,
    full_path: PathBuf,
    path: Vec<u8>,
    stamp: Stamp,
    read_at: SystemTime,
}

impl FileReader {
    /// What it was when it was opened.
    pub fn stamp(&self) -> &Stamp {
        &self.stamp
    }

    /// When reading began.
    pub fn read_at(&self) -> SystemTime {
        self.read_at
    }

    /// After the last byte was read: whether it is still the file that was opened.
    pub fn check(&self) -> Result<(), CopyError> {
        let stat = rustix::fs::fstat(self.file.as_fd()).context("look at", &self.full_path)?;
        if Status::new(&stat).stamp.has_contents_of(&self.stamp) {
            Ok(())
        } else {
            Err(CopyError::Changed { path: self.path.clone() })
        }
    }

    /// Reads all of it (its size is known to be small) into an empty buffer.
    pub fn read_whole(&mut self, buffer: &mut Vec<u8>) -> Result<(), CopyError> {
        let size = usize::try_from(self.stamp.size).unwrap_or(usize::MAX);
        // One byte more than there should be: a file that grew is noticed, and one read is enough for a file that did not.
        buffer.resize(size.saturating_add(1), 0);
        let mut total = 0;
        while total < size {
            let rest = buffer.get_mut(total..).unwrap_or_default();
            match self.file.read(rest) {
                Ok(0) => break,
                Ok(count) => total += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("read", &self.full_path)?,
            }
        }
        buffer.truncate(total);
        self.check()?;
        if total == size { Ok(()) } else { Err(CopyError::Changed { path: self.path.clone() }) }
    }

    /// Reads all of it into a hasher.
    pub fn hash(
        &mut self,
        buffer: &mut [u8],
        mut on_piece: impl FnMut() -> Result<(), CopyError>,
    ) -> Result<blake3::Hash, CopyError> {
        let mut hasher = blake3::Hasher::new();
        let mut total = 0_u64;
        loop {
            on_piece()?;
            let count = match self.file.read(buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error).context("read", &self.full_path)?,
            };
            hasher.update(buffer.get(..count).unwrap_or_default());
            total += count as u64;
        }
        self.check()?;
        if total == self.stamp.size {
            Ok(hasher.finalize())
        } else {
            Err(CopyError::Changed { path: self.path.clone() })
        }
    }
}

impl Read for FileReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer)
    }
}
