//! The runner's program, in a form that nothing inside can write to.
//!
//! Process 1 is this program until it executes the command, and a command `/proc/self/exe` would be this
//! program again. Whoever opens it for writing from inside would change the host's file (CVE-2019-5736). So
//! it is executed from a read-only mount of that one file, which is attached nowhere and which nobody can
//! make writable; where the kernel does not permit that, from a sealed copy in memory.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::mount::{MountAttrFlags, OpenTreeFlags, open_tree};

use crate::sys;

/// A program that can be executed and not be changed.
pub(crate) struct Protected(OwnedFd);

impl Protected {
    /// Protects a program.
    pub(crate) fn new(program: &Path) -> io::Result<Self> {
        match read_only_mount(program) {
            Ok(mount) => Ok(Self(mount)),
            Err(_) => sealed_copy(program).map(Self),
        }
    }

    /// Where it can be executed from, by this process and one that inherits its descriptors.
    pub(crate) fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.0.as_raw_fd()).into()
    }
}

fn read_only_mount(program: &Path) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let mount = open_tree(CWD, program, flags)?;
    sys::mount_setattr(&mount, false, MountAttrFlags::MOUNT_ATTR_RDONLY.bits().into(), 0)?;
    Ok(mount)
}

fn sealed_copy(program: &Path) -> io::Result<OwnedFd> {
    let mut original = File::open(program)?;
    let mut copy = File::from(memfd_create(
        "lapstrake-sandbox-runner",
        MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING,
    )?);
    io::copy(&mut original, &mut copy)?;
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    fcntl_add_seals(copy.as_fd(), seals)?;
    Ok(copy.into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    use super::*;

    /// CVE-2019-5736: a container opened `/proc/self/exe` for writing and replaced runc on the host.
    #[test]
    fn neither_form_can_be_written_to() {
        let directory = tempfile::tempdir().expect("a directory");
        let program = directory.path().join("program");
        std::fs::copy("/bin/busybox", &program).expect("install busybox-static");
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).expect("changed");
        let mut forms = vec![sealed_copy(&program).expect("copied")];
        match read_only_mount(&program) {
            Ok(mount) => forms.push(mount),
            // Before Linux 5.12 there is the other one only.
            Err(error) => assert_eq!(error.raw_os_error(), Some(libc::ENOSYS), "this test needs root"),
        }
        for protected in forms.into_iter().map(Protected) {
            let refused = File::options().write(true).open(protected.path()).map(|mut file| {
                use std::io::Write;
                file.write_all(b"changed").expect_err("written")
            });
            let error = refused.unwrap_or_else(|error| error);
            assert!(matches!(error.raw_os_error(), Some(libc::EROFS | libc::EPERM)), "{error}");
            let output = Command::new(protected.path()).arg0("busybox").args(["echo", "ok"]).output();
            assert!(output.expect("run").status.success());
        }
    }
}
