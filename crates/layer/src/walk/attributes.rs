//! Extended attributes of what is frozen: those that a layer holds are read, overlayfs' own are understood, and all that the layer will not hold is removed.

use std::os::fd::BorrowedFd;

use rustix::buffer::spare_capacity;
use rustix::io::{Errno, Result};

use crate::tar_writer::keeps_xattr;

/// No attribute begins so: where there is no overlay, none is its.
pub(crate) const NO_OVERLAY: &[u8] = b"/";

/// The sizes with which is asked: nearly always, and at most (Linux has no longer lists or values).
const SIZES: [usize; 2] = [512, 64 << 10];

/// Whose attributes.
pub(crate) enum Target<'a> {
    /// Of an open file or directory.
    Open(BorrowedFd<'a>),
    /// Of what cannot be opened (a symbolic link, a device): its path by way of its open parent. It is not followed.
    Name(Vec<u8>),
}

impl Target<'_> {
    /// A name in an open directory.
    pub fn name(parent: BorrowedFd<'_>, name: &[u8]) -> Self {
        use std::os::fd::AsRawFd;
        let mut path = format!("/proc/self/fd/{}/", parent.as_raw_fd()).into_bytes();
        path.extend_from_slice(name);
        Target::Name(path)
    }

    fn list(&self) -> Result<Vec<u8>> {
        grow(|buffer| match self {
            Target::Open(fd) => rustix::fs::flistxattr(fd, spare_capacity(buffer)),
            Target::Name(path) => rustix::fs::llistxattr(path.as_slice(), spare_capacity(buffer)),
        })
    }

    fn get(&self, name: &[u8]) -> Result<Vec<u8>> {
        grow(|buffer| match self {
            Target::Open(fd) => rustix::fs::fgetxattr(fd, name, spare_capacity(buffer)),
            Target::Name(path) => rustix::fs::lgetxattr(path.as_slice(), name, spare_capacity(buffer)),
        })
    }

    /// Removes one.
    pub fn remove(&self, name: &[u8]) -> Result<()> {
        match self {
            Target::Open(fd) => rustix::fs::fremovexattr(fd, name),
            Target::Name(path) => rustix::fs::lremovexattr(path.as_slice(), name),
        }
    }
}

fn grow(ask: impl Fn(&mut Vec<u8>) -> Result<usize>) -> Result<Vec<u8>> {
    let mut result = Err(Errno::RANGE);
    for size in SIZES {
        let mut buffer = Vec::with_capacity(size);
        result = ask(&mut buffer).map(|_| buffer);
        if !matches!(result, Err(Errno::RANGE)) {
            break;
        }
    }
    result
}

/// What the attributes of an entry say.
#[derive(Default)]
pub(crate) struct Attributes {
    /// Those that a layer holds.
    pub kept: Vec<(Vec<u8>, Vec<u8>)>,
    /// It is an opaque directory. The mark is left where it is.
    pub opaque: bool,
    /// It is a directory in which empty files may be whiteouts.
    pub holds_whiteouts: bool,
    /// It is such a whiteout.
    pub whiteout: bool,
    /// It was copied from a layer below. Only overlays that keep their attributes in `user.` are asked for it.
    pub copied: bool,
    /// Its contents, or those of the directory, lie elsewhere in the layers below.
    pub elsewhere: bool,
}

impl Attributes {
    /// Reads them, and removes those that the layer will not hold.
    ///
    /// `overlay` is how the overlay's own attributes begin.
    pub fn take(target: &Target<'_>, overlay: &[u8]) -> Result<Self> {
        let mut attributes = Self::default();
        let list = match target.list() {
            Err(Errno::OPNOTSUPP) => return Ok(attributes),
            list => list?,
        };
        for name in list.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
            if keeps_xattr(name) {
                attributes.kept.push((name.to_vec(), target.get(name)?));
            } else if let Some(private) = name.strip_prefix(overlay) {
                attributes.understand(private, target.get(name)?);
                if !attributes.opaque || private != b"opaque" {
                    target.remove(name)?;
                }
            } else if is_removed(name) {
                target.remove(name)?;
            }
        }
        Ok(attributes)
    }

    fn understand(&mut self, name: &[u8], value: Vec<u8>) {
        match (name, value.as_slice()) {
            (b"opaque", b"y") => self.opaque = true,
            (b"opaque", b"x") => self.holds_whiteouts = true,
            (b"whiteout", _) => self.whiteout = true,
            (b"origin", _) => self.copied = true,
            (b"redirect" | b"metacopy", _) => self.elsewhere = true,
            _ => {}
        }
    }
}

/// What a tree may not have since the tar has it not. What the host gives every file (labels of SELinux …) cannot be removed.
fn is_removed(name: &[u8]) -> bool {
    [b"trusted.".as_slice(), b"user.", b"system.posix_acl_"].iter().any(|prefix| name.starts_with(prefix))
}
