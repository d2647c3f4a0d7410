//! Mount points that had to be created in the root itself, and their removal.
//!
//! That happens where a stub cannot help: the root is a plain directory, the upper directory hides what is
//! below it, or the place lies inside of another mount.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ResolveFlags, Timespec, Timestamps, fstat, mkdirat, openat, openat2,
    statat, unlinkat, utimensat,
};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};

use super::resolve;
use super::stubs::{PointKind, check};
use crate::error::{Doing, Error};
use crate::running::CreatedMountPoint;

/// What was created, parents first.
#[derive(Default)]
pub(super) struct Created {
    points: Vec<Point>,
    /// Where something is mounted, in that order, without symlinks; and whether what is made in it has to be removed by nobody.
    mounted: Vec<(PathBuf, bool)>,
}

struct Point {
    /// From the root, without symlinks, without the leading slash.
    path: PathBuf,
    kind: PointKind,
    /// The parent's.
    times: Times,
}

impl Created {
    /// Whether nothing was created.
    pub(super) fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// Something was mounted; whether it `vanishes`, with all that is made in it. What it is shows nothing: a filesystem in memory may be the host's.
    pub(super) fn mounted(&mut self, root: &OwnedFd, path: &Path, vanishes: bool) -> Result<(), Error> {
        self.mounted.push((resolve::place(root, path)?.path, vanishes));
        Ok(())
    }

    /// Whether a path lies in a mount that vanishes; the last one that covers it counts.
    fn is_lost(&self, path: &Path) -> bool {
        let covers = |(mount, _): &&(PathBuf, bool)| path.starts_with(mount);
        self.mounted.iter().rev().find(covers).is_some_and(|(_, vanishes)| *vanishes)
    }

    /// Opens the place that a path leads to, and creates what is missing of it.
    pub(super) fn open(&mut self, root: &OwnedFd, path: &Path, kind: PointKind) -> Result<OwnedFd, Error> {
        if let Some(found) = resolve::open(root, path)? {
            check(&found, path, kind)?;
            return Ok(found);
        }
        let place = resolve::place(root, path)?;
        let components: Vec<_> = place.path.components().collect();
        for end in place.existing + 1..=components.len() {
            let so_far: PathBuf = components.iter().take(end).collect();
            let kind = if end == components.len() { kind } else { PointKind::Directory };
            self.create(root, so_far, kind)?;
        }
        let missing = || Error::system("open, in the root,", Some(path), Errno::NOENT);
        resolve::open(root, &place.path)?.ok_or_else(missing)
    }

    fn create(&mut self, root: &OwnedFd, path: PathBuf, kind: PointKind) -> Result<(), Error> {
        let (parent, name) = parent_of(root, &path).doing_to("open the parent of", &path)?;
        let before = times_of(&parent).doing_to("examine the parent of", &path)?;
        let made = match kind {
            PointKind::Directory => mkdirat(&parent, name, Mode::from(0o755)),
            PointKind::File => {
                let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
                openat(&parent, name, flags, Mode::from(0o644)).map(drop)
            }
        };
        made.doing_to("create the mount point", &path)?;
        if !self.is_lost(&path) {
            let times = Times::since(before, &parent).doing_to("examine the parent of", &path)?;
            self.points.push(Point { path, kind, times });
        }
        Ok(())
    }

    /// Removes again what is still as it was created. The contained processes have ended, and this process's
    /// root is theirs.
    pub(super) fn remove(self, root: &OwnedFd) -> Vec<CreatedMountPoint> {
        let mut report = Vec::new();
        for point in self.points.into_iter().rev() {
            let inside = Path::new("/").join(&point.path);
            // It may have been unmounted by the contained process.
            let _ = unmount(&inside, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW);
            let removed = point.remove(root).is_ok();
            report.push(CreatedMountPoint { path: inside, removed });
        }
        report.reverse();
        report
    }
}

impl Point {
    fn remove(&self, root: &OwnedFd) -> Result<(), Errno> {
        let (parent, name) = parent_of(root, &self.path)?;
        let times = self.times.to_restore(&parent)?;
        match self.kind {
            PointKind::Directory => unlinkat(&parent, name, AtFlags::REMOVEDIR)?,
            PointKind::File => {
                let stat = statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
                if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || stat.st_size != 0 {
                    return Err(Errno::NOTEMPTY);
                }
                unlinkat(&parent, name, AtFlags::empty())?;
            }
        }
        utimensat(&parent, ".", &times, AtFlags::empty())
    }
}

/// The times of a directory in which something is made for a while.
pub(super) struct Times {
    before: Timestamps,
    after: Timestamps,
}

impl Times {
    /// It has just been made.
    pub(super) fn since(before: Timestamps, directory: impl AsFd) -> Result<Self, Errno> {
        Ok(Self { before, after: times_of(directory)? })
    }

    /// What the times have to be once it is removed, asked before it is: those from before it was made, unless
    /// the contained process itself has changed the directory.
    pub(super) fn to_restore(&self, directory: impl AsFd) -> Result<Timestamps, Errno> {
        let now = times_of(directory)?;
        let is_changed = now.last_modification != self.after.last_modification;
        Ok(if is_changed { now } else { self.before.clone() })
    }
}

/// The open parent of a path without symlinks, and the last name.
pub(super) fn parent_of<'a>(root: &OwnedFd, path: &'a Path) -> Result<(OwnedFd, &'a std::ffi::OsStr), Errno> {
    let name = path.file_name().ok_or(Errno::INVAL)?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
    Ok((openat2(root, parent, flags, Mode::empty(), inside)?, name))
}

pub(super) fn times_of(directory: impl AsFd) -> Result<Timestamps, Errno> {
    let stat = fstat(directory)?;
    let time = |seconds: i64, nanoseconds: i64| Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    Ok(Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec as i64),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec as i64),
    })
}
