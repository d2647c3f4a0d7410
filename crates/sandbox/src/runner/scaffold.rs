//! The runner's own memory while it builds a root, gone with the mount namespace.
//!
//! A tmpfs is mounted on top of the host's `/`, in the private mount namespace only. Paths go on naming what
//! is below it (a process's root does not move when something is mounted there); the tmpfs is reached through
//! its descriptor. So no directory of the host has to be given up as a mount point, and nothing is ever
//! written to a disk.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, Gid, Mode, OFlags, Timespec, Timestamps, Uid, fchmod, fchown, mkdirat, openat, utimensat,
};
use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, MoveMountFlags, move_mount};

use super::mounts::{self, Filesystem};
use crate::error::{Doing, Error};

/// The time of everything that is made here and can be seen inside: no clock enters a layer.
pub(super) const EPOCH: Timestamps = Timestamps {
    last_access: Timespec { tv_sec: 0, tv_nsec: 0 },
    last_modification: Timespec { tv_sec: 0, tv_nsec: 0 },
};

/// Directories in memory.
pub(super) struct Scaffold {
    memory: OwnedFd,
}

impl Scaffold {
    /// Mounts the memory.
    pub(super) fn new() -> Result<Self, Error> {
        let attributes = MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOSUID;
        let memory = Filesystem::new("tmpfs")?.with("mode", "755")?.mount(attributes)?;
        move_mount(&memory, "", CWD, "/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
            .doing("mount tmpfs in the new mount namespace")?;
        Ok(Self { memory })
    }

    /// Moves it, and all that is mounted in it, to a directory of the host.
    pub(super) fn move_to(&self, directory: &Path) -> Result<(), Error> {
        move_mount(&self.memory, "", CWD, directory, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
            .doing_to("mount tmpfs, in the new mount namespace, on", directory)
    }

    /// Makes a directory and opens it.
    pub(super) fn directory(&self, name: &str) -> Result<OwnedFd, Error> {
        mkdirat(&self.memory, name, Mode::from(0o755)).doing_to("create, in memory,", name)?;
        self.place(name)
    }

    /// A directory that can be mounted on for a moment; what is mounted there by now.
    pub(super) fn scratch(&self) -> Result<OwnedFd, Error> {
        match mkdirat(&self.memory, "scratch", Mode::from(0o755)) {
            Ok(()) | Err(Errno::EXIST) => self.place("scratch"),
            Err(errno) => Err(errno).doing("create a directory in memory"),
        }
    }

    /// Opens a directory again: what is mounted on it by now.
    pub(super) fn place(&self, name: &str) -> Result<OwnedFd, Error> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat(&self.memory, name, flags, Mode::empty()).doing_to("open, in memory,", name)
    }

    /// Makes a file with these contents, and a detached mount of it. Without an owner it is root's.
    pub(super) fn file(
        &self,
        name: &str,
        contents: &[u8],
        mode: u32,
        owner: Option<(u32, u32)>,
    ) -> Result<OwnedFd, Error> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        let file = openat(&self.memory, name, flags, Mode::from_raw_mode(mode));
        let file = file.doing_to("create, in memory,", name)?;
        if let Some((uid, gid)) = owner {
            fchown(&file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
                .doing_to("set the owner of, in memory,", name)?;
            fchmod(&file, Mode::from_raw_mode(mode)).doing_to("set the mode of, in memory,", name)?;
        }
        std::fs::File::from(file).write_all(contents).doing_to("write, in memory,", name)?;
        utimensat(&self.memory, name, &EPOCH, AtFlags::empty()).doing_to("set the time of", name)?;
        let mount = mounts::clone_at(&self.memory, name, false).doing_to("bind-mount, in memory,", name)?;
        Ok(mount)
    }
}
