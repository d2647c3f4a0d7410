//! Paths below a directory: whatever is opened or made here lies inside of it, whatever links somebody has put there (ST-070).

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::{IoContext, IoError};
use rustix::fs::{AtFlags, Gid, Mode, OFlags, RawDir, ResolveFlags, Stat, Uid};
use store::Ownership;
use store::table::Entry;

use crate::Result;

/// How many directories are kept open: those that lead to the one in use.
const OPEN_DIRECTORIES: usize = 32;

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// To name something, whatever it is.
const PLACE: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Never through a symbolic link, never out of the directory.
const INSIDE: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// A directory, and the open directories on the way to the last path that was asked for. Paths are as in a table.
///
/// Nothing that is a directory may be replaced by something else while this exists.
pub(crate) struct Rooted {
    root: Arc<OwnedFd>,
    base: PathBuf,
    ownership: Ownership,
    /// Each is above the next.
    open: Vec<(Vec<u8>, OwnedFd)>,
}

impl Rooted {
    /// Opens the directory; `ownership` says whose what is made in it is to be.
    pub fn open(path: &Path, ownership: Ownership) -> Result<Self, IoError> {
        let root = rustix::fs::open(path, DIRECTORY, Mode::empty()).context("open", path)?;
        Ok(Self { root: Arc::new(root), base: path.to_owned(), ownership, open: Vec::new() })
    }

    /// The same directory, for another thread or a second place at the same time.
    pub fn again(&self) -> Self {
        let ownership = self.ownership;
        Self { root: self.root.clone(), base: self.base.clone(), ownership, open: Vec::new() }
    }

    /// Closes what is open on the way to other paths: one of them is removed.
    pub fn forget(&mut self) {
        self.open.clear();
    }

    /// Whose what is made here is to be.
    pub fn ownership(&self) -> Ownership {
        self.ownership
    }

    /// A path for a message.
    pub fn name(&self, path: &[u8]) -> PathBuf {
        self.base.join(OsStr::from_bytes(path))
    }

    /// The directory at a path.
    pub fn directory(&mut self, path: &[u8]) -> Result<BorrowedFd<'_>, IoError> {
        if path.is_empty() {
            return Ok(self.root.as_fd());
        }
        self.open.truncate(
            self.open.iter().take_while(|(above, _)| above == path || is_below(path, above)).count(),
        );
        if self.open.last().is_none_or(|(last, _)| last != path) {
            let (above, start) = match self.open.last() {
                Some((above, fd)) => (above.len() + 1, fd.as_fd()),
                None => (0, self.root.as_fd()),
            };
            let rest = path.get(above..).unwrap_or_default();
            let fd = rustix::fs::openat2(start, rest, DIRECTORY, Mode::empty(), INSIDE)
                .context("open", self.name(path))?;
            if self.open.len() >= OPEN_DIRECTORIES {
                self.open.pop();
            }
            self.open.push((path.to_vec(), fd));
        }
        Ok(self.open.last().map_or(self.root.as_fd(), |(_, fd)| fd.as_fd()))
    }

    /// The directory that holds a path, and the name in it.
    pub fn parent<'p>(&mut self, path: &'p [u8]) -> Result<(BorrowedFd<'_>, &'p OsStr), IoError> {
        let (parent, name) = match path.iter().rposition(|byte| *byte == b'/') {
            Some(slash) => (path.get(..slash), path.get(slash + 1..)),
            None => (None, Some(path)),
        };
        Ok((self.directory(parent.unwrap_or_default())?, OsStr::from_bytes(name.unwrap_or_default())))
    }

    /// Opens a regular file to read it; neither a link nor anything else is opened.
    pub fn read(&mut self, path: &[u8]) -> Result<File, IoError> {
        let full = self.name(path);
        let (parent, name) = self.parent(path)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(parent, name, flags, Mode::empty()).context("open", &full)?;
        let stat = rustix::fs::fstat(&file).context("examine", &full)?;
        if rustix::fs::FileType::from_raw_mode(stat.st_mode) != rustix::fs::FileType::RegularFile {
            return Err(std::io::Error::from(std::io::ErrorKind::InvalidInput)).context("read", &full);
        }
        Ok(File::from(file))
    }

    /// Makes a regular file; what is there already is an error.
    pub fn create(&mut self, path: &[u8]) -> Result<File, IoError> {
        let full = self.name(path);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let (parent, name) = self.parent(path)?;
        rustix::fs::openat(parent, name, flags, mode).map(File::from).context("create", full)
    }

    /// What is at a path, links not followed; `None` when there is nothing.
    pub fn examine(&mut self, path: &[u8]) -> Result<Option<Stat>, IoError> {
        let full = self.name(path);
        let (parent, name) = self.parent(path)?;
        match rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(rustix::io::Errno::NOENT) => Ok(None),
            result => result.map(Some).context("examine", full),
        }
    }
}

/// The names in a directory, in order.
pub(crate) fn names(directory: BorrowedFd<'_>) -> rustix::io::Result<Vec<Vec<u8>>> {
    // A descriptor of its own: the place in a directory belongs to the open file.
    let directory = rustix::fs::openat(directory, c".", DIRECTORY, Mode::empty())?;
    let mut buffer = Vec::with_capacity(32 << 10);
    let mut entries = RawDir::new(directory, buffer.spare_capacity_mut());
    let mut names = Vec::new();
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Gives an open file or directory the owner (where trees have any), attributes, mode and time of an entry, in the order in which they do not
/// undo each other (ST-053).
pub(crate) fn finish_open(fd: impl AsFd, entry: &Entry<'_>, ownership: Ownership) -> rustix::io::Result<()> {
    if ownership.is_in_trees() {
        rustix::fs::fchown(&fd, Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid)))?;
    }
    for (name, value) in attributes(entry) {
        rustix::fs::fsetxattr(&fd, name, value, rustix::fs::XattrFlags::empty())?;
    }
    rustix::fs::fchmod(&fd, Mode::from_raw_mode(entry.mode & 0o7777))?;
    rustix::fs::futimens(&fd, &times(entry.mtime))
}

/// The same for a symbolic link, a device or a pipe, which cannot be opened. Linux gives these no attributes of the user.
pub(crate) fn finish_closed(
    parent: BorrowedFd<'_>,
    name: &OsStr,
    entry: &Entry<'_>,
    link: bool,
    ownership: Ownership,
) -> rustix::io::Result<()> {
    if ownership.is_in_trees() {
        let (uid, gid) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
        rustix::fs::chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    }
    for (attribute, value) in attributes(entry).filter(|(attribute, _)| !attribute.starts_with(b"user.")) {
        set_attribute(parent, name, attribute, value)?;
    }
    if !link {
        // chmod follows links, and one may have taken the place: what is there is opened first, without following it.
        let place = rustix::fs::openat(parent, name, PLACE, Mode::empty())?;
        let path = format!("/proc/self/fd/{}", place.as_raw_fd());
        rustix::fs::chmod(path, Mode::from_raw_mode(entry.mode & 0o7777))?;
    }
    rustix::fs::utimensat(parent, name, &times(entry.mtime), AtFlags::SYMLINK_NOFOLLOW)
}

/// The extended attributes of an entry that are given to what is made of it.
pub(crate) fn attributes<'e>(entry: &'e Entry<'_>) -> impl Iterator<Item = (&'e [u8], &'e [u8])> {
    entry.xattrs.iter().copied().filter(|(name, _)| !is_private(name))
}

/// Sets an attribute of what cannot be opened; a link is not followed.
pub(crate) fn set_attribute(
    parent: BorrowedFd<'_>,
    name: &OsStr,
    attribute: &[u8],
    value: &[u8],
) -> rustix::io::Result<()> {
    let mut path = format!("/proc/self/fd/{}/", parent.as_raw_fd()).into_bytes();
    path.extend_from_slice(name.as_bytes());
    rustix::fs::lsetxattr(path, attribute, value, rustix::fs::XattrFlags::empty())
}

/// A time of modification, also as that of the last access: it is not kept, and must not differ.
pub(crate) fn times(mtime: i64) -> rustix::fs::Timestamps {
    let time = rustix::fs::Timespec { tv_sec: mtime, tv_nsec: 0 };
    rustix::fs::Timestamps { last_access: time, last_modification: time }
}

/// Attributes that would speak to overlayfs or to the host, and are never taken from a layer (ST-073).
pub(crate) fn is_private(name: &[u8]) -> bool {
    [b"trusted.overlay.".as_slice(), b"user.overlay.", b"security.selinux", b"security.ima", b"security.evm"]
        .iter()
        .any(|private| name.starts_with(private))
}

/// Whether `path` is below `directory`, which is not the root.
fn is_below(path: &[u8], directory: &[u8]) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.starts_with(b"/"))
}
