//! How much room things take on the disk.

use std::collections::HashSet;
use std::ffi::{CStr, OsStr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use base::{IoContext, IoError};
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::path::Arg;

/// What is deeper is reached from an open directory: the kernel takes paths of 4095 bytes, and what a command has made may be deeper than any path.
const LONG: usize = 1024;

/// Sums up allocated blocks; a file with several names counts once.
#[derive(Default)]
pub(crate) struct Measure {
    /// How many files and directories were looked at.
    pub entries: u64,
    linked: HashSet<(u64, u64)>,
}

/// A directory to be looked into: its path from an open one, or from nowhere in particular.
struct Pending {
    above: Option<Rc<OwnedFd>>,
    path: PathBuf,
}

impl Pending {
    /// Where its path begins.
    fn at(&self) -> BorrowedFd<'_> {
        self.above.as_deref().map_or(CWD, AsFd::as_fd)
    }

    fn below(&self, name: &CStr) -> Self {
        Self { above: self.above.clone(), path: self.path.join(OsStr::from_bytes(name.to_bytes())) }
    }
}

impl Measure {
    /// What a file, or a directory with all that is in it, takes, in bytes. What goes meanwhile takes nothing.
    pub fn room(&mut self, path: &Path) -> Result<u64, IoError> {
        let Some((mut room, is_directory)) = self.look(CWD, path).context("stat", path)? else {
            return Ok(0);
        };
        let mut pending = Vec::new();
        if is_directory {
            pending.push(Pending { above: None, path: path.to_owned() });
        }
        while let Some(directory) = pending.pop() {
            room += self.look_into(directory, &mut pending).context("measure", path)?;
        }
        Ok(room)
    }

    /// What everything in a directory takes; the directories in it are left for later.
    fn look_into(&mut self, directory: Pending, pending: &mut Vec<Pending>) -> Result<u64, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = match rustix::fs::openat(directory.at(), &directory.path, flags, Mode::empty()) {
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(0),
            result => Rc::new(result?),
        };
        let directory = if directory.path.as_os_str().len() < LONG {
            directory
        } else {
            Pending { above: Some(open.clone()), path: PathBuf::new() }
        };
        let mut room = 0;
        for entry in Dir::read_from(&open)? {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let Some((takes, is_directory)) = self.look(open.as_fd(), name)? else { continue };
            room += takes;
            if is_directory {
                pending.push(directory.below(name));
            }
        }
        Ok(room)
    }

    /// What something itself takes, and whether it is a directory; `None` when it is not there.
    fn look(&mut self, at: BorrowedFd<'_>, name: impl Arg) -> Result<Option<(u64, bool)>, Errno> {
        let stat = match rustix::fs::statat(at, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(None),
            result => result?,
        };
        self.entries += 1;
        let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        let counts = stat.st_nlink < 2 || is_directory || self.linked.insert((stat.st_dev, stat.st_ino));
        let room = if counts { u64::try_from(stat.st_blocks).unwrap_or_default() * 512 } else { 0 };
        Ok(Some((room, is_directory)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_deeper_than_any_path_counts_and_names_of_one_file_count_once() {
        let root = tempfile::tempdir().expect("a directory");
        let mut directory: OwnedFd = std::fs::File::open(root.path()).expect("open").into();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        for _ in 0..5000 {
            rustix::fs::mkdirat(&directory, "d", Mode::RWXU).expect("mkdir");
            directory = rustix::fs::openat(&directory, "d", flags, Mode::empty()).expect("open");
        }
        let before = Measure::default().room(root.path()).expect("a size");
        let file = rustix::fs::openat(&directory, "file", OFlags::CREATE | OFlags::WRONLY, Mode::RUSR);
        rustix::io::write(file.expect("a file"), &[7; 100_000]).expect("written");
        rustix::fs::linkat(&directory, "file", &directory, "again", AtFlags::empty()).expect("a link");
        drop(directory);
        let mut measure = Measure::default();
        let room = measure.room(root.path()).expect("a size") - before;
        assert_eq!(measure.entries, 5003);
        assert!((100_000..200_000).contains(&room), "{room}");
        assert_eq!(measure.room(&root.path().join("nothing")).expect("a size"), 0);
        // The usual way would recurse.
        crate::remove::tree(&root.path().join("d")).expect("removed");
    }
}
