//! Mounts as values: made detached, given attributes, then attached where they belong.
//!
//! Everything works on descriptors, so that nothing that the image holds can redirect it.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};

use super::remount;
use crate::error::{Doing, Error};
use crate::sys;

/// No device nodes, no set-user-ID, nothing executable: for everything that holds no programs.
pub(super) const INERT: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NODEV
    .union(MountAttrFlags::MOUNT_ATTR_NOSUID)
    .union(MountAttrFlags::MOUNT_ATTR_NOEXEC);

/// Read-only.
pub(super) const READ_ONLY: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_RDONLY;

/// A filesystem that is being configured.
pub(super) struct Filesystem {
    context: OwnedFd,
    kind: &'static str,
}

impl Filesystem {
    /// Begins a filesystem of this kind.
    pub(super) fn new(kind: &'static str) -> Result<Self, Error> {
        let context =
            fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC).doing(&format!("use the filesystem {kind}"))?;
        let filesystem = Self { context, kind };
        filesystem.set("source", kind).map_err(|errno| filesystem.failure(errno))?;
        Ok(filesystem)
    }

    /// Sets an option; the error is bare, for whoever wants to try another one.
    pub(super) fn set(&self, key: &str, value: &str) -> Result<(), Errno> {
        fsconfig_set_string(&self.context, key, value)
    }

    /// Sets an option.
    pub(super) fn with(self, key: &str, value: &str) -> Result<Self, Error> {
        self.set(key, value).map_err(|errno| self.failure(errno))?;
        Ok(self)
    }

    /// Sets an option that has no value.
    pub(super) fn with_flag(self, key: &str) -> Result<Self, Error> {
        fsconfig_set_flag(&self.context, key).map_err(|errno| self.failure(errno))?;
        Ok(self)
    }

    /// Makes the filesystem and a detached mount of it.
    pub(super) fn mount(self, attributes: MountAttrFlags) -> Result<OwnedFd, Error> {
        fsconfig_create(&self.context)
            .and_then(|()| fsmount(&self.context, FsMountFlags::FSMOUNT_CLOEXEC, attributes))
            .map_err(|errno| self.failure(errno))
    }

    /// The error, with what the kernel left in the context's log.
    pub(super) fn failure(&self, errno: Errno) -> Error {
        let mut said = Vec::new();
        let mut line = [0; 1024];
        while let Ok(length) = rustix::io::read(&self.context, &mut line) {
            let text = String::from_utf8_lossy(line.get(..length).unwrap_or_default());
            if text.is_empty() {
                break;
            }
            // Each message begins with its severity: "e " or "w ".
            said.push(text.trim_end().get(2..).unwrap_or_default().to_owned());
        }
        let detail = (!said.is_empty()).then(|| said.join("; "));
        Error::System { action: format!("mount {}", self.kind), path: None, detail, source: errno.into() }
    }
}

/// A detached copy of what is mounted at a path of the host (symlinks are followed).
pub(super) fn clone_path(path: &Path, recursive: bool) -> Result<OwnedFd, Errno> {
    open_tree(CWD, path, clone_flags(recursive))
}

/// A detached copy of what is mounted at an open path.
pub(super) fn clone_at(
    place: impl AsFd,
    path: impl rustix::path::Arg,
    recursive: bool,
) -> Result<OwnedFd, Errno> {
    open_tree(place, path, clone_flags(recursive) | OpenTreeFlags::AT_EMPTY_PATH)
}

fn clone_flags(recursive: bool) -> OpenTreeFlags {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if recursive { flags | OpenTreeFlags::AT_RECURSIVE } else { flags }
}

/// Adds attributes to a mount, which is attached by now: before Linux 5.12 no other can be changed.
pub(super) fn restrict(
    mount: impl AsFd,
    recursive: bool,
    attributes: MountAttrFlags,
) -> Result<(), std::io::Error> {
    match sys::mount_setattr(&mount, recursive, attributes.bits().into(), 0) {
        Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => {
            remount::restrict(mount.as_fd(), recursive, attributes)
        }
        result => result,
    }
}

/// Adds attributes to the mount that is the root directory. `/proc` may be another process's view, or none.
pub(super) fn restrict_root(attributes: MountAttrFlags) -> Result<(), std::io::Error> {
    let root = rustix::fs::open("/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    match sys::mount_setattr(&root, false, attributes.bits().into(), 0) {
        Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => remount::restrict_at("/", attributes),
        result => result,
    }
}

/// Attaches a detached mount on top of an open path.
pub(super) fn attach(mount: impl AsFd, target: impl AsFd) -> Result<(), Errno> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, "", target, "", flags)
}
