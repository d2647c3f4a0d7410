//! The memory of a process that waits for an answer, and the files that it means.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;

use rustix::fs::{Mode, OFlags, fstat, openat};
use rustix::process::{chroot, fchdir};

use super::calls::Target;

/// How long a path may be (`PATH_MAX`).
const PATH: usize = 4096;

/// The memory of a process.
pub(super) struct Memory(File);

impl Memory {
    pub(super) fn open(proc: &OwnedFd, process: u32) -> io::Result<Self> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        Ok(Self(File::from(openat(proc, format!("{process}/mem"), flags, Mode::empty())?)))
    }

    /// Reads exactly this much.
    pub(super) fn read(&self, place: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.0.read_exact_at(&mut bytes, place).map_err(fault)?;
        Ok(bytes)
    }

    pub(super) fn write(&self, place: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, place).map_err(fault)
    }

    /// Reads a path, which ends with a NUL.
    fn path(&self, place: u64) -> io::Result<CString> {
        let mut bytes = Vec::new();
        let mut part = [0; 256];
        while bytes.len() < PATH {
            let count = self.0.read_at(&mut part, place + bytes.len() as u64).map_err(fault)?;
            let read = part.get(..count).unwrap_or_default();
            if let Some(end) = read.iter().position(|byte| *byte == 0) {
                bytes.extend_from_slice(read.get(..end).unwrap_or_default());
                return CString::new(bytes).map_err(fault_of);
            }
            if count == 0 {
                return Err(io::Error::from_raw_os_error(libc::EFAULT));
            }
            bytes.extend_from_slice(read);
        }
        Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG))
    }

    /// Opens, as a place, the file that the process means.
    pub(super) fn open_target(&self, proc: &OwnedFd, process: u32, target: &Target) -> io::Result<OwnedFd> {
        let place = OFlags::PATH | OFlags::CLOEXEC;
        let of_process = |name: &str| openat(proc, format!("{process}/{name}"), place, Mode::empty());
        match *target {
            Target::Open(descriptor) => {
                of_process(&format!("fd/{descriptor}")).map_err(|_| io::Error::from_raw_os_error(libc::EBADF))
            }
            Target::Path { directory, path, follow, may_be_empty } => {
                // Newer kernels take no path at all for an empty one.
                let path = if path == 0 && may_be_empty { CString::default() } else { self.path(path)? };
                if let Some(descriptor) = descriptor_named(path.as_bytes()).filter(|_| follow) {
                    return of_process(&format!("fd/{descriptor}")).map_err(Into::into);
                }
                let start = match directory {
                    libc::AT_FDCWD => of_process("cwd")?,
                    descriptor => of_process(&format!("fd/{descriptor}"))
                        .map_err(|_| io::Error::from_raw_os_error(libc::EBADF))?,
                };
                if path.is_empty() {
                    return if may_be_empty {
                        Ok(start)
                    } else {
                        Err(io::Error::from_raw_os_error(libc::ENOENT))
                    };
                }
                let flags = if follow { place } else { place | OFlags::NOFOLLOW };
                within(&of_process("root")?, || Ok(openat(&start, path.as_c_str(), flags, Mode::empty())?))
            }
        }
    }
}

/// The process's own descriptor that a path names, which would be another one for us.
fn descriptor_named(path: &[u8]) -> Option<u32> {
    let number = match path {
        b"/dev/stdin" => b"0",
        b"/dev/stdout" => b"1",
        b"/dev/stderr" => b"2",
        path => path.strip_prefix(b"/proc/self/fd/").or_else(|| path.strip_prefix(b"/dev/fd/"))?,
    };
    std::str::from_utf8(number).ok()?.parse().ok()
}

/// Does something with another root, if it is another one: a process may have changed its own.
fn within<T>(root: &OwnedFd, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let own = openat(rustix::fs::CWD, "/", flags, Mode::empty())?;
    let identity = |fd: &OwnedFd| fstat(fd.as_fd()).map(|stat| (stat.st_dev, stat.st_ino));
    if identity(root)? == identity(&own)? {
        return act();
    }
    fchdir(root)?;
    chroot(".")?;
    let done = act();
    fchdir(&own)?;
    chroot(".")?;
    done
}

fn fault(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::WriteZero => io::Error::from_raw_os_error(libc::EFAULT),
        _ if error.raw_os_error() == Some(libc::EIO) => io::Error::from_raw_os_error(libc::EFAULT),
        _ => error,
    }
}

fn fault_of(_: std::ffi::NulError) -> io::Error {
    io::Error::from_raw_os_error(libc::EFAULT)
}
