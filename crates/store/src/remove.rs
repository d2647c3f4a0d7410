//! Removing trees: of any depth, with any permissions, never through a link, never into another mount.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use base::{IoContext, IoError};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// How many directories are open at a time. A directory that is deeper is moved up first, so that depth costs neither
/// descriptors nor stack.
const MAX_DEPTH: usize = 64;

/// Removes whatever has this name; nothing is success.
pub(crate) fn tree(path: &Path) -> Result<(), IoError> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::from(io::ErrorKind::InvalidInput)).context("remove", path);
    };
    let parent = match File::open(parent) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        result => result.context("open", parent)?,
    };
    let name = CString::new(name.as_bytes()).context("remove", path)?;
    Remover { top: None, moved: 0 }.remove(parent.as_fd(), &name, 0).context("remove", path)
}

struct Remover {
    /// The directory that is removed: deeper ones are moved here.
    top: Option<OwnedFd>,
    moved: u64,
}

impl Remover {
    fn remove(&mut self, parent: BorrowedFd<'_>, name: &CStr, depth: usize) -> io::Result<()> {
        match unlink(parent, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            // A directory; some filesystems say that it is not permitted.
            Err(Errno::ISDIR | Errno::PERM) => {}
            Err(error) => return Err(error.into()),
        }
        let directory = match open_directory(parent, name) {
            Err(Errno::NOENT) => return Ok(()),
            result => result?,
        };
        if depth == 0 {
            self.top = Some(directory.try_clone()?);
        }
        let mut attempts = 0;
        loop {
            attempts += 1;
            let moved = self.moved;
            self.empty(directory.as_fd(), depth)?;
            match unlink(parent, name, AtFlags::REMOVEDIR) {
                Ok(()) | Err(Errno::NOENT) => return Ok(()),
                // What was moved up from deeper down is removed in the next round.
                Err(Errno::NOTEMPTY | Errno::EXIST) if depth == 0 && self.moved > moved => {}
                // Where removing disturbs the order of reading, something may have been passed over.
                Err(Errno::NOTEMPTY | Errno::EXIST) if attempts < 3 => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn empty(&mut self, directory: BorrowedFd<'_>, depth: usize) -> io::Result<()> {
        for entry in Dir::read_from(directory)? {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            match (&self.top, entry.file_type()) {
                (Some(top), FileType::Directory) if depth >= MAX_DEPTH => {
                    let above = format!("{}-removed-{}", crate::files::unique(), self.moved);
                    rustix::fs::renameat(directory, name, top, above.as_str())?;
                    self.moved += 1;
                }
                _ => self.remove(directory, name, depth + 1)?,
            }
        }
        Ok(())
    }
}

/// Unlinks; gives the directory's owner the right to when it has not.
fn unlink(parent: BorrowedFd<'_>, name: &CStr, flags: AtFlags) -> Result<(), Errno> {
    match rustix::fs::unlinkat(parent, name, flags) {
        Err(Errno::ACCESS) => {
            rustix::fs::fchmod(parent, Mode::RWXU)?;
            rustix::fs::unlinkat(parent, name, flags)
        }
        result => result,
    }
}

fn open_directory(parent: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    match open_without_crossing(parent, name) {
        Err(Errno::ACCESS) => {
            rustix::fs::chmodat(parent, name, Mode::RWXU, AtFlags::empty())?;
            open_without_crossing(parent, name)
        }
        result => result,
    }
}

fn open_without_crossing(parent: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat2(
        parent,
        name,
        flags,
        Mode::empty(),
        ResolveFlags::NO_XDEV | ResolveFlags::BENEATH,
    ) {
        // Kernels before 5.6, and filters of old container runtimes, do not know the call.
        Err(Errno::NOSYS | Errno::PERM) => {
            let directory = rustix::fs::openat(parent, name, flags, Mode::empty())?;
            let same_device = rustix::fs::fstat(&directory)?.st_dev == rustix::fs::fstat(parent)?.st_dev;
            if same_device { Ok(directory) } else { Err(Errno::XDEV) }
        }
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn removes_any_modes_and_leaves_what_links_point_to() {
        let root = tempfile::tempdir().expect("a directory");
        let outside = root.path().join("outside");
        std::fs::create_dir(&outside).expect("mkdir");
        std::fs::write(outside.join("file"), "kept").expect("write");
        let tree_path = root.path().join("tree");
        std::fs::create_dir_all(tree_path.join("a/b")).expect("mkdir");
        std::fs::write(tree_path.join("a/b/file"), "x").expect("write");
        symlink(&outside, tree_path.join("a/link")).expect("symlink");
        for (path, mode) in [("a/b/file", 0), ("a/b", 0), ("a", 0o500), ("", 0o100)] {
            std::fs::set_permissions(tree_path.join(path), PermissionsExt::from_mode(mode)).expect("chmod");
        }
        tree(&tree_path).expect("removal");
        assert!(!tree_path.exists());
        assert_eq!(std::fs::read(outside.join("file")).expect("read"), b"kept");
        tree(&tree_path).expect("nothing to remove");
        symlink(&outside, root.path().join("link")).expect("symlink");
        tree(&root.path().join("link")).expect("removal of a link");
        assert!(outside.join("file").exists());
    }

    #[test]
    fn removes_trees_deeper_than_any_path() {
        let root = tempfile::tempdir().expect("a directory");
        let mut directory: OwnedFd = File::open(root.path()).expect("open").into();
        for _ in 0..400 {
            rustix::fs::mkdirat(&directory, "deeper-still", Mode::RWXU).expect("mkdir");
            rustix::fs::openat(&directory, "file", OFlags::CREATE | OFlags::WRONLY, Mode::RUSR)
                .expect("create");
            let flags = OFlags::RDONLY | OFlags::DIRECTORY;
            directory = rustix::fs::openat(&directory, "deeper-still", flags, Mode::empty()).expect("open");
        }
        drop(directory);
        tree(&root.path().join("deeper-still")).expect("removal");
        assert!(!root.path().join("deeper-still").exists());
    }

    #[test]
    fn never_enters_another_mount() {
        let root = tempfile::tempdir().expect("a directory");
        let inside = root.path().join("tree/inside");
        std::fs::create_dir_all(&inside).expect("mkdir");
        std::fs::create_dir(root.path().join("precious")).expect("mkdir");
        std::fs::write(root.path().join("precious/file"), "kept").expect("write");
        rustix::mount::mount_bind(root.path().join("precious"), &inside)
            .expect("a bind mount (this test needs root)");
        let removed = tree(&root.path().join("tree"));
        rustix::mount::unmount(&inside, rustix::mount::UnmountFlags::empty()).expect("unmount");
        assert_eq!(removed.expect_err("an error").path, root.path().join("tree"));
        assert!(root.path().join("precious/file").exists());
    }
}
