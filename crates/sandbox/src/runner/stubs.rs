//! Mount points that the image lacks, shown by one more layer instead of being created.
//!
//! What is mounted over `/proc`, `/etc/hosts` and the like needs something to be mounted on. Creating it
//! would leave a trace in the upper directory, which becomes a layer. So a directory in memory that holds
//! just these names is put on top of the lower directories. The directories that lead to them exist in the
//! image and are copied there with their attributes, since the top-most layer decides how a merged directory
//! looks.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags, chmodat, chownat, fgetxattr,
    flistxattr, fsetxattr, fstat, mkdirat, openat, utimensat,
};
use rustix::io::Errno;

use super::resolve::{self, Place};
use super::scaffold::EPOCH;
use crate::error::{Doing, Error};

/// What a mount point has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PointKind {
    Directory,
    File,
}

/// A tree of mount points in memory.
pub(super) struct Stubs {
    top: OwnedFd,
    /// Directories, parents first, with the times that they get when everything is there.
    times: Vec<(PathBuf, Timestamps)>,
    empty: bool,
}

impl Stubs {
    /// An empty tree in this directory.
    pub(super) fn new(top: OwnedFd) -> Self {
        Self { top, times: Vec::new(), empty: true }
    }

    /// Whether there is nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        self.empty
    }

    /// The directory that becomes a layer.
    pub(super) fn layer(&self) -> BorrowedFd<'_> {
        self.top.as_fd()
    }

    /// Adds a place that is missing in the image, which `view` shows.
    pub(super) fn add(&mut self, view: BorrowedFd<'_>, place: &Place, kind: PointKind) -> Result<(), Error> {
        let components: Vec<_> = place.path.components().collect();
        let mut path = PathBuf::new();
        self.empty = false;
        for (index, component) in components.iter().enumerate() {
            path.push(component);
            let last = index + 1 == components.len();
            match kind {
                PointKind::File if last => self.file(&path)?,
                _ if index < place.existing => self.copy_directory(view, &path)?,
                _ => self.new_directory(&path)?,
            }
        }
        Ok(())
    }

    /// Sets the times of the directories, after which nothing is added.
    pub(super) fn finish(&self) -> Result<(), Error> {
        for (path, times) in &self.times {
            utimensat(&self.top, path, times, AtFlags::empty()).doing_to("set the time of the stub", path)?;
        }
        Ok(())
    }

    fn file(&self, path: &Path) -> Result<(), Error> {
        let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
        openat(&self.top, path, flags, Mode::from(0o644)).doing_to("create the stub", path)?;
        utimensat(&self.top, path, &EPOCH, AtFlags::empty()).doing_to("set the time of the stub", path)
    }

    fn new_directory(&mut self, path: &Path) -> Result<(), Error> {
        if self.made(path, 0o755)? {
            self.times.push((path.to_owned(), EPOCH));
        }
        Ok(())
    }

    fn copy_directory(&mut self, view: BorrowedFd<'_>, path: &Path) -> Result<(), Error> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let missing = || Error::system("open, in the root,", Some(path), Errno::NOENT);
        let original = resolve::open_with(view, path, flags)?.ok_or_else(missing)?;
        let stat = fstat(&original).doing_to("examine, in the root,", path)?;
        if !self.made(path, 0o700)? {
            return Ok(());
        }
        let (owner, group) = (Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)));
        chownat(&self.top, path, owner, group, AtFlags::empty())
            .doing_to("set the owner of the stub", path)?;
        let mode = Mode::from_raw_mode(stat.st_mode);
        chmodat(&self.top, path, mode, AtFlags::empty()).doing_to("set the mode of the stub", path)?;
        self.copy_xattrs(&original, path)?;
        let time = |seconds, nanoseconds: u64| Timespec { tv_sec: seconds, tv_nsec: nanoseconds as _ };
        let times = Timestamps {
            last_access: time(stat.st_atime as _, stat.st_atime_nsec as _),
            last_modification: time(stat.st_mtime as _, stat.st_mtime_nsec as _),
        };
        self.times.push((path.to_owned(), times));
        Ok(())
    }

    /// What memory cannot hold (`user.*` before Linux 6.6) is not shown while the process runs. Labels of
    /// SELinux are not copied: its policy gives what is mounted its own.
    fn copy_xattrs(&self, original: &OwnedFd, path: &Path) -> Result<(), Error> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let copy = openat(&self.top, path, flags, Mode::empty()).doing_to("open the stub", path)?;
        let mut names = vec![0_u8; 64 << 10];
        let length = match flistxattr(original, &mut names[..]) {
            Err(Errno::OPNOTSUPP) => 0,
            result => result.doing_to("list the extended attributes of", path)?,
        };
        let is_copied = |name: &&[u8]| !name.is_empty() && *name != b"security.selinux";
        for name in names[..length].split(|byte| *byte == 0).filter(is_copied) {
            let mut value = vec![0_u8; 64 << 10];
            let length = fgetxattr(original, name, &mut value[..])
                .doing_to("read the extended attributes of", path)?;
            match fsetxattr(&copy, name, &value[..length], XattrFlags::empty()) {
                Ok(()) | Err(Errno::OPNOTSUPP) => {}
                Err(errno) => return Err(errno).doing_to("set the extended attributes of the stub", path),
            }
        }
        Ok(())
    }

    /// Makes a directory; `false` when it was there.
    fn made(&self, path: &Path, mode: u32) -> Result<bool, Error> {
        match mkdirat(&self.top, path, Mode::from_raw_mode(mode)) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(false),
            Err(errno) => Err(errno).doing_to("create the stub", path),
        }
    }
}

/// Checks that what exists can be mounted on.
pub(super) fn check(found: &OwnedFd, path: &Path, kind: PointKind) -> Result<(), Error> {
    let stat = fstat(found).doing_to("examine, in the root,", path)?;
    let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
    let path = base::text::path(path);
    match (kind, is_directory) {
        (PointKind::Directory, true) | (PointKind::File, false) => Ok(()),
        (PointKind::Directory, false) => {
            Err(Error::Invalid(format!("cannot mount a directory on {path}, which is a file in the root")))
        }
        (PointKind::File, true) => {
            Err(Error::Invalid(format!("cannot mount a file on {path}, which is a directory in the root")))
        }
    }
}
