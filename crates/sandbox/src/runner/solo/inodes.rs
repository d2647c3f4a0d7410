//! Whom files were given to.
//!
//! A file is known by what the overlay shows as its inode and time of birth: names change, and numbers of inodes
//! are used again.

use std::collections::HashMap;
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, ResolveFlags, StatxFlags, Uid, chownat, openat, openat2, statx,
};

use crate::error::{Doing, Error};
use crate::running::OwnerClaim;

/// "As it is", in calls that take an id.
const SAME: u32 = u32::MAX;
const NO_PATH: &CStr = c"";

/// Device (both halves) and inode.
type Inode = ((u32, u32), u64);
/// With the time of birth (seconds and nanoseconds; zeros where the filesystem does not know).
type Key = (Inode, (i64, u32));

/// The files that may be claimed.
pub(in crate::runner) struct Upper<'a> {
    /// Where they lie.
    pub directory: BorrowedFd<'a>,
    /// Where the same paths are seen as the processes saw them.
    pub root: BorrowedFd<'a>,
}

/// Owners of files.
pub(super) struct Inodes {
    given: HashMap<Key, (Option<u32>, Option<u32>)>,
    /// Whose the files of the layers below are. They keep their inodes for as long as they are shown, also when they are copied up (which gives
    /// them another time of birth).
    below: HashMap<Inode, (u32, u32)>,
}

impl Inodes {
    /// Looks up the files that belong to somebody else than root from the beginning.
    pub(super) fn new(owners: &[OwnerClaim], root: BorrowedFd<'_>) -> Self {
        let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let inode = |path: &Path| {
            let file = openat2(root, path, flags, Mode::empty(), inside).ok()?;
            Some(key(file.as_fd(), NO_PATH, AtFlags::EMPTY_PATH).ok()?.0)
        };
        // What is hidden, by a mount or by something in the upper directory, nobody will ask for.
        let below = owners.iter().filter_map(|claim| {
            Some((inode(&claim.path)?, (claim.user.unwrap_or(0), claim.group.unwrap_or(0))))
        });
        Self { given: HashMap::new(), below: below.collect() }
    }

    /// Whose a file is, when it is not root's.
    pub(super) fn owner(&self, file: &OwnedFd) -> io::Result<Option<(u32, u32)>> {
        let key = key(file.as_fd(), NO_PATH, AtFlags::EMPTY_PATH)?;
        let (below, given) = (self.below.get(&key.0), self.given.get(&key));
        if below.is_none() && given.is_none() {
            return Ok(None);
        }
        let (user, group) = below.copied().unwrap_or_default();
        let (given_user, given_group) = given.copied().unwrap_or_default();
        Ok(Some((given_user.unwrap_or(user), given_group.unwrap_or(group))))
    }

    /// Gives a file to somebody. The kernel's own part of it (a file of a layer below is copied up, set-user-ID bits are cleared, a read-only
    /// filesystem refuses) is had by giving it to root.
    pub(super) fn give(&mut self, file: &OwnedFd, user: u32, group: u32) -> io::Result<()> {
        let root = |id: u32| if id == SAME { None } else { Some(0) };
        let (uid, gid) = (root(user).map(Uid::from_raw), root(group).map(Gid::from_raw));
        chownat(file, NO_PATH, uid, gid, AtFlags::EMPTY_PATH)?;
        let key = key(file.as_fd(), NO_PATH, AtFlags::EMPTY_PATH)?;
        let given = self.given.entry(key).or_default();
        let change = |id: u32, known: &mut Option<u32>| {
            if id != SAME {
                *known = Some(id);
            }
        };
        change(user, &mut given.0);
        change(group, &mut given.1);
        Ok(())
    }

    /// What of the upper directory belongs to somebody else than root, or was given to root.
    pub(super) fn claims(&self, upper: Upper<'_>) -> Result<Vec<OwnerClaim>, Error> {
        let mut claims = Vec::new();
        if self.given.is_empty() && self.below.is_empty() {
            return Ok(claims);
        }
        let mut directories = vec![PathBuf::new()];
        while let Some(directory) = directories.pop() {
            let action = "look through, in what the command changed,";
            let listed = open(upper.directory, &directory).doing_to(action, &directory)?;
            let shown = open(upper.root, &directory).doing_to(action, &directory)?;
            if directory.as_os_str().is_empty() {
                self.claim(&shown, c".", PathBuf::new(), &mut claims);
            }
            for entry in Dir::read_from(&listed).doing_to(action, &directory)? {
                let entry = entry.doing_to(action, &directory)?;
                let name = entry.file_name();
                if name == c"." || name == c".." {
                    continue;
                }
                let path = directory
                    .join(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(name.to_bytes()));
                if entry.file_type() == FileType::Directory {
                    directories.push(path.clone());
                }
                self.claim(&shown, name, path, &mut claims);
            }
        }
        Ok(claims)
    }

    /// Adds the claim on a name in a directory, if there is one. What is not seen there is a whiteout.
    fn claim(&self, directory: &OwnedFd, name: &CStr, path: PathBuf, claims: &mut Vec<OwnerClaim>) {
        let Ok(key) = key(directory.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW) else { return };
        let (user, group) = match (self.below.get(&key.0), self.given.get(&key)) {
            (None, None) => return,
            (None, Some(given)) => *given,
            // It may have another name by now.
            (Some(below), given) => {
                let (user, group) = given.copied().unwrap_or_default();
                (user.or(Some(below.0)), group.or(Some(below.1)))
            }
        };
        claims.push(OwnerClaim { path, user, group });
    }
}

fn key(directory: BorrowedFd<'_>, name: &CStr, flags: AtFlags) -> rustix::io::Result<Key> {
    let found = statx(directory, name, flags, StatxFlags::INO | StatxFlags::BTIME)?;
    let birth = (found.stx_btime.tv_sec, found.stx_btime.tv_nsec);
    Ok((((found.stx_dev_major, found.stx_dev_minor), found.stx_ino), birth))
}

/// Opens a directory to read it, through no symbolic link.
fn open(top: BorrowedFd<'_>, path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    if path.as_os_str().is_empty() {
        return openat(top, c".", flags, Mode::empty());
    }
    let inside = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    openat2(top, path, flags, Mode::empty(), inside)
}
