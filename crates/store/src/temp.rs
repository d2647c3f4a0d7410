//! Unfinished things.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use base::{IoContext, IoError};
use rustix::fs::FlockOperation;

use crate::measure::Measure;
use crate::{Result, files, lock, remove};

/// A private directory on the store's filesystem, removed when dropped (trees with any permissions, also large ones) or, after a crash, by
/// the next process.
pub struct TempDir {
    path: PathBuf,
    /// The descriptor whose exclusive lock says that somebody needs the directory; gone when it was given away.
    lock: Option<OwnedFd>,
}

impl TempDir {
    /// Makes a directory in `parent`, which is swept by [`sweep`].
    pub(crate) fn create(parent: &Path, purpose: &str) -> Result<Self, IoError> {
        loop {
            let path = parent.join(name_for(purpose));
            files::make_new_directory(&path)?;
            // Between these two, another process may take the directory for a dead one's, and remove it.
            if let Some(lock) = lock::open_if_there(&path)?
                && lock::take_linked(&lock, &path)?
            {
                return Ok(Self { path, lock: Some(lock) });
            }
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A directory inside of it, made with mode 0755.
    pub fn subdirectory(&self, name: &str) -> Result<PathBuf> {
        let path = self.path.join(name);
        fs::create_dir(&path).context("create the directory", &path)?;
        // Whatever the umask was.
        fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).context("change the mode of", &path)?;
        Ok(path)
    }

    /// Makes one of its directories a temporary directory of its own, and removes the rest: the upper directory of an overlay, say, which is
    /// to be a layer's tree.
    pub fn detach(self, name: &str) -> Result<TempDir> {
        let inner = self.path.join(name);
        let lock = lock::open(&inner)?;
        // Locked before it gets a name that is swept.
        lock::wait(&lock, FlockOperation::LockExclusive).context("lock", &inner)?;
        let path = self.path.with_file_name(name_for("detached"));
        fs::rename(&inner, &path).context("rename", &inner)?;
        Ok(TempDir { path, lock: Some(lock) })
    }

    /// Renames it to its place, and gives its lock. When something is there already, that stays: `None`, and this is removed.
    pub(crate) fn publish(mut self, place: &Path) -> Result<Option<OwnedFd>, IoError> {
        match rustix::fs::rename(&self.path, place) {
            Ok(()) => Ok(self.lock.take()),
            Err(rustix::io::Errno::NOTEMPTY | rustix::io::Errno::EXIST) => Ok(None),
            Err(error) => Err(error).context("rename to", place),
        }
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        if self.lock.is_some() {
            // What cannot be removed now is removed by the next process that opens the store.
            let _ = remove::tree(&self.path);
        }
    }
}

fn name_for(purpose: &str) -> String {
    let purpose: String = purpose.chars().filter(char::is_ascii_alphanumeric).take(24).collect();
    format!("{}-{purpose}", files::unique())
}

/// What processes left behind that ended before they could clear it away themselves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Leftovers {
    /// How many files and directories were removed.
    pub entries: u64,
    /// How much room they took, in bytes.
    pub bytes: u64,
    /// How many cgroups were removed.
    pub cgroups: u64,
}

impl std::ops::AddAssign for Leftovers {
    fn add_assign(&mut self, other: Self) {
        self.entries += other.entries;
        self.bytes += other.bytes;
        self.cgroups += other.cgroups;
    }
}

/// Removes what dead processes left in a directory, whatever nobody has locked, and adds it to `cleared`. What
/// cannot be removed does not keep the rest from going: the first such error is given at the end.
pub(crate) fn sweep(directory: &Path, cleared: &mut Leftovers) -> Result<(), IoError> {
    let mut swept = Ok(());
    for name in files::names_in(directory)? {
        match sweep_one(&directory.join(name)) {
            Ok(one) => *cleared += one,
            Err(error) => swept = swept.and(Err(error)),
        }
    }
    swept
}

fn sweep_one(path: &Path) -> Result<Leftovers, IoError> {
    match lock::take_unused(path) {
        Ok(Some(_dead)) => remove_measured(path),
        Ok(None) => Ok(Leftovers::default()),
        // A symbolic link or a socket: nothing that can be locked, so nobody has it.
        Err(error) if is_not_lockable(&error) => remove_measured(path),
        // It may be somebody's.
        Err(error) => Err(error),
    }
}

/// Removes something, and says what it was. What is empty is not worth a word: somebody may just have made it, and not
/// have locked it yet.
fn remove_measured(path: &Path) -> Result<Leftovers, IoError> {
    let mut measure = Measure::default();
    // What cannot be measured can be removed nevertheless.
    let bytes = measure.room(path).unwrap_or_default();
    let is_empty = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => measure.entries < 2,
        Ok(metadata) => metadata.len() == 0,
        Err(_) => true,
    };
    remove::tree(path)?;
    let left = Leftovers { entries: measure.entries, bytes, ..Leftovers::default() };
    Ok(if is_empty { Leftovers::default() } else { left })
}

fn is_not_lockable(error: &IoError) -> bool {
    use rustix::io::Errno;
    [Errno::LOOP, Errno::NXIO].iter().any(|errno| error.source.raw_os_error() == Some(errno.raw_os_error()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_not_swept_and_what_is_left_is() {
        let root = tempfile::tempdir().expect("a directory");
        let held = TempDir::create(root.path(), "x/../y").expect("a temporary directory");
        assert_eq!(held.path().parent(), Some(root.path()));
        held.subdirectory("sub").expect("a subdirectory");
        let left = TempDir::create(root.path(), "").expect("a temporary directory");
        let left_path = left.path().to_owned();
        fs::create_dir_all(left_path.join("a/b")).expect("mkdir");
        // As if the process had died: the descriptor is closed, nothing is removed.
        let mut left = std::mem::ManuallyDrop::new(left);
        drop(left.lock.take());
        let link = root.path().join("link");
        std::os::unix::fs::symlink(held.path(), &link).expect("symlink");
        let _socket = std::os::unix::net::UnixListener::bind(root.path().join("socket")).expect("a socket");
        fs::write(root.path().join("file"), [7; 5000]).expect("write");
        fs::write(root.path().join("just-made"), "").expect("write");
        fs::create_dir(root.path().join("just-made-too")).expect("mkdir");
        let mut cleared = Leftovers::default();
        sweep(root.path(), &mut cleared).expect("a sweep");
        // The directory, the two in it, the link and the file.
        assert_eq!(cleared.entries, 5);
        assert!((5000..100_000).contains(&cleared.bytes), "{}", cleared.bytes);
        assert_eq!(files::names_in(root.path()).expect("names").len(), 1);
        assert!(!link.is_symlink() && !root.path().join("socket").exists());
        assert!(held.path().join("sub").exists());
        assert!(!left_path.exists());
        let path = held.path().to_owned();
        drop(held);
        assert!(!path.exists());
    }

    #[test]
    fn a_subdirectory_can_be_kept_alone() {
        let root = tempfile::tempdir().expect("a directory");
        let outer = TempDir::create(root.path(), "run").expect("a temporary directory");
        fs::write(outer.subdirectory("upper").expect("a subdirectory").join("file"), "x").expect("write");
        outer.subdirectory("work").expect("a subdirectory");
        let outer_path = outer.path().to_owned();
        let upper = outer.detach("upper").expect("detach");
        assert!(!outer_path.exists());
        let mut cleared = Leftovers::default();
        sweep(root.path(), &mut cleared).expect("a sweep");
        assert_eq!(cleared, Leftovers::default());
        assert!(upper.path().join("file").exists());
    }
}
