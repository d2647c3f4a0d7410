//! What is put into a directory for the time of one command, where nothing can be mounted on it: devices, and files whose contents the host decides.
//!
//! What was there before is moved beside the directory, and back afterwards; the times of the directories are what they were, or what the command made them.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, Timestamps, Uid, fchmod, fchown, makedev, mkdirat, mknodat,
    openat, renameat, statat, unlinkat, utimensat,
};
use rustix::io::Errno;

use super::created::{Times, parent_of, times_of};
use super::resolve;
use crate::error::{Doing, Error};

/// The devices that a command finds (CT-36): their numbers are the same on every Linux.
const DEVICES: [(&str, u32, u32); 6] = [
    ("dev/null", 1, 3),
    ("dev/zero", 1, 5),
    ("dev/full", 1, 7),
    ("dev/random", 1, 8),
    ("dev/urandom", 1, 9),
    ("dev/tty", 5, 0),
];

/// What is in memory, or the kernel's, elsewhere: nothing that a command makes there stays, unless the directory is the image's own.
const MEMORY: [&str; 4] = ["dev", "dev/shm", "proc", "sys"];

/// Everything that was placed, in that order.
pub(super) struct Placed {
    /// Where things are put aside: a directory beside the root, on the same filesystem.
    aside: OwnedFd,
    points: Vec<Point>,
}

struct Point {
    path: PathBuf,
    is_directory: bool,
    /// The parent's.
    times: Times,
    /// What was there before has this name beside the root.
    before: Option<String>,
    end: End,
}

/// What becomes of something that was placed.
enum End {
    /// It goes, unless it is a directory with something in it.
    Removed,
    /// It goes, with all that is in it.
    Emptied,
    /// It goes back to where it came from.
    Returned(PathBuf),
}

impl Placed {
    /// Nothing yet, in a root whose parent directory is private to this command.
    pub(super) fn new(root: &Path) -> Result<Self, Error> {
        let parent = root.parent().ok_or_else(|| Error::Invalid("the root has no parent".to_owned()))?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let aside = openat(CWD, parent, flags, Mode::empty()).doing_to("open", parent)?;
        Ok(Self { aside, points: Vec::new() })
    }

    /// Makes the devices that are not there, and the directories that are on every system.
    pub(super) fn devices(&mut self, root: &OwnedFd) -> Result<(), Error> {
        self.directory(root, Path::new("dev"), 0o755)?;
        for (name, major, minor) in DEVICES {
            let path = Path::new(name);
            if resolve::open(root, path)?.is_some() {
                continue;
            }
            let (parent, file, before) = self.parent(root, path)?;
            let device = makedev(major, minor);
            let mode = Mode::from(0o666);
            match mknodat(&parent, file, FileType::CharacterDevice, mode, device) {
                Ok(()) => self.note(path, false, (before, &parent), None, End::Removed)?,
                // Whatever forbids it forbids it to the command as well: it does without, as it would have to anyway.
                Err(Errno::PERM | Errno::ACCESS) => {}
                Err(errno) => return Err(errno).doing_to("create, in the root,", path),
            }
        }
        self.directory(root, Path::new("dev/shm"), 0o1777)?;
        // They stay empty, and are there for whoever lists the root.
        self.directory(root, Path::new("proc"), 0o555)?;
        self.directory(root, Path::new("sys"), 0o555)
    }

    /// Puts a file with these contents where the path leads, whatever is there.
    pub(super) fn file(
        &mut self,
        root: &OwnedFd,
        path: &Path,
        contents: &[u8],
        mode: u32,
        owner: Option<(u32, u32)>,
    ) -> Result<(), Error> {
        let Cleared { path: inside, parent, times, aside } = self.clear(root, path)?;
        let name = inside.file_name().unwrap_or_default();
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        let file = openat(&parent, name, flags, Mode::from_raw_mode(mode));
        self.note(&inside, false, (times, &parent), aside, End::Removed)?;
        let file = file.doing_to("create, in the root,", path)?;
        if let Some((uid, gid)) = owner {
            fchown(&file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
                .doing_to("set the owner of, in the root,", path)?;
        }
        fchmod(&file, Mode::from_raw_mode(mode)).doing_to("set the mode of, in the root,", path)?;
        std::fs::File::from(file).write_all(contents).doing_to("write, in the root,", path)
    }

    /// Puts something that lies on the same filesystem where the path leads, until the command has ended.
    pub(super) fn moved(&mut self, root: &OwnedFd, path: &Path, source: &Path) -> Result<(), Error> {
        let metadata = std::fs::symlink_metadata(source).doing_to("examine", source)?;
        let place = self.clear(root, path)?;
        let moved = renameat(CWD, source, &place.parent, place.name());
        let end = match moved {
            Ok(()) => End::Returned(source.to_owned()),
            Err(_) => End::Removed,
        };
        self.note(&place.path, metadata.is_dir(), (place.times, &place.parent), place.aside, end)?;
        moved.doing_to("move into the root", source)
    }

    /// Puts an empty directory where the path leads; what the command makes in it goes.
    pub(super) fn scratch(&mut self, root: &OwnedFd, path: &Path, mode: u32) -> Result<(), Error> {
        let place = self.clear(root, path)?;
        let made = mkdirat(&place.parent, place.name(), Mode::from_raw_mode(mode));
        self.note(&place.path, true, (place.times, &place.parent), place.aside, End::Emptied)?;
        made.doing_to("create, in the root,", path)
    }

    /// Makes what leads to a path, and puts aside what is there.
    fn clear(&mut self, root: &OwnedFd, path: &Path) -> Result<Cleared, Error> {
        let path = resolve::place(root, path)?.path;
        let parents: Vec<PathBuf> = path.ancestors().skip(1).map(Path::to_owned).collect();
        for parent in parents.iter().rev().filter(|parent| !parent.as_os_str().is_empty()) {
            self.directory(root, parent, 0o755)?;
        }
        let (parent, name, times) = self.parent(root, &path)?;
        let aside = match renameat(&parent, name, &self.aside, self.name_aside()) {
            Ok(()) => Some(self.name_aside()),
            Err(Errno::NOENT) => None,
            Err(errno) => return Err(errno).doing_to("put aside, in the root,", path),
        };
        Ok(Cleared { parent, times, aside, path })
    }

    fn name_aside(&self) -> String {
        format!("aside-{}", self.points.len())
    }

    fn directory(&mut self, root: &OwnedFd, path: &Path, mode: u32) -> Result<(), Error> {
        let (parent, name, before) = self.parent(root, path)?;
        match mkdirat(&parent, name, Mode::from_raw_mode(mode)) {
            Ok(()) => self.note(path, true, (before, &parent), None, End::Removed),
            Err(Errno::EXIST) => Ok(()),
            Err(errno) => Err(errno).doing_to("create, in the root,", path),
        }
    }

    fn parent<'a>(
        &self,
        root: &OwnedFd,
        path: &'a Path,
    ) -> Result<(OwnedFd, &'a std::ffi::OsStr, Timestamps), Error> {
        let (parent, name) = parent_of(root, path).doing_to("open, in the root, the parent of", path)?;
        let times = times_of(&parent).doing_to("examine, in the root, the parent of", path)?;
        Ok((parent, name, times))
    }

    /// `times` are the parent's before, and the parent.
    fn note(
        &mut self,
        path: &Path,
        is_directory: bool,
        (times, parent): (Timestamps, &OwnedFd),
        before: Option<String>,
        end: End,
    ) -> Result<(), Error> {
        let times = Times::since(times, parent).doing_to("examine, in the root, the parent of", path)?;
        self.points.push(Point { path: path.to_owned(), is_directory, times, before, end });
        Ok(())
    }

    /// Moves something out of the root, with all that is in it, if it is there. It goes with the directory beside the root, however deep it is.
    fn take_out(&self, parent: &OwnedFd, name: &std::ffi::OsStr) -> Result<(), Errno> {
        // Other commands may have left something there before.
        for number in 0_u32.. {
            match renameat(parent, name, &self.aside, format!("taken-out-{number}")) {
                Err(Errno::NOTEMPTY | Errno::EXIST | Errno::ISDIR | Errno::NOTDIR) => {}
                Err(Errno::NOENT) => return Ok(()),
                result => return result,
            }
        }
        Ok(())
    }

    /// Takes everything away again, also what the command has made of it. What cannot be taken away stays.
    pub(super) fn remove(self, root: &OwnedFd) {
        for point in self.points.iter().rev() {
            let _ = self.remove_point(root, point);
        }
    }

    fn remove_point(&self, root: &OwnedFd, point: &Point) -> Result<(), Errno> {
        let (parent, name) = parent_of(root, &point.path)?;
        let times = point.times.to_restore(&parent)?;
        let is_memory = point.is_directory && MEMORY.iter().any(|path| point.path == Path::new(path));
        let flags = if point.is_directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
        match &point.end {
            // A command may remove what was placed, and make something else of that name: a link that leads elsewhere, say.
            End::Returned(source) if is_of_the_kind(&parent, name, point.is_directory)? => {
                renameat(&parent, name, CWD, source)?;
            }
            End::Returned(_) | End::Emptied => self.take_out(&parent, name)?,
            End::Removed if is_memory => self.take_out(&parent, name)?,
            End::Removed => match unlinkat(&parent, name, flags) {
                Err(Errno::NOENT) => {}
                Err(Errno::ISDIR) => self.take_out(&parent, name)?,
                result => result?,
            },
        }
        if let Some(before) = &point.before {
            renameat(&self.aside, before.as_str(), &parent, name)?;
        }
        utimensat(&parent, ".", &times, AtFlags::empty())
    }
}

/// Whether there is a directory, or anything else but a link.
fn is_of_the_kind(parent: &OwnedFd, name: &std::ffi::OsStr, directory: bool) -> Result<bool, Errno> {
    match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok(false),
        stat => Ok(match FileType::from_raw_mode(stat?.st_mode) {
            FileType::Directory => directory,
            FileType::Symlink => false,
            _ => !directory,
        }),
    }
}

/// A place where nothing is any more.
struct Cleared {
    /// Without links.
    path: PathBuf,
    parent: OwnedFd,
    /// The parent's, before.
    times: Timestamps,
    /// What was there has this name beside the root.
    aside: Option<String>,
}

impl Cleared {
    fn name(&self) -> &std::ffi::OsStr {
        self.path.file_name().unwrap_or_default()
    }
}
