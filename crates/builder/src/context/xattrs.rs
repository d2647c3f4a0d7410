//! Extended attributes of what is in a context: those that a layer keeps (DF-131).

use std::ffi::{CStr, CString};
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use rustix::io::Errno;

/// Extended attributes, in order of their names. Most things have none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Xattrs(Box<[Xattr]>);

/// A name and a value.
type Xattr = (Vec<u8>, Vec<u8>);

impl Xattrs {
    /// All of them.
    pub fn as_slice(&self) -> &[Xattr] {
        &self.0
    }
}

impl FromIterator<Xattr> for Xattrs {
    fn from_iter<I: IntoIterator<Item = Xattr>>(all: I) -> Self {
        let mut all: Vec<Xattr> = all.into_iter().collect();
        all.sort_unstable();
        Self(all.into_boxed_slice())
    }
}

/// Most lists fit in here, and most files have none.
const SMALL: usize = 256;
/// What the kernel allows for a list, and for a value.
const LARGE: usize = 64 << 10;

/// The attributes of a name in an open directory, in order of their names.
pub(super) fn of_child(directory: RawFd, name: &CStr) -> Result<Xattrs, Errno> {
    // There are no calls that take a directory and a name before Linux 6.13; this path is as good.
    let mut path = Vec::with_capacity(24 + name.to_bytes().len());
    let _ = write!(path, "/proc/self/fd/{directory}/");
    path.extend_from_slice(name.to_bytes_with_nul());
    read(CStr::from_bytes_with_nul(&path).map_err(|_| Errno::INVAL)?, Follow::No)
}

/// The attributes of a file or directory that is open (as a path, perhaps). A filesystem that has none gives none.
pub(super) fn of_open(file: &OwnedFd) -> Result<Xattrs, Errno> {
    let directory = CString::new(format!("/proc/self/fd/{}", file.as_raw_fd())).map_err(|_| Errno::INVAL)?;
    match read(&directory, Follow::Yes) {
        Err(Errno::NOTSUP) => Ok(Xattrs::default()),
        result => result,
    }
}

#[derive(Clone, Copy)]
enum Follow {
    Yes,
    No,
}

fn list(path: &CStr, follow: Follow, buffer: &mut [u8]) -> Result<usize, Errno> {
    match follow {
        Follow::Yes => rustix::fs::listxattr(path, buffer),
        Follow::No => rustix::fs::llistxattr(path, buffer),
    }
}

fn read(path: &CStr, follow: Follow) -> Result<Xattrs, Errno> {
    let mut small = [0_u8; SMALL];
    let mut large = Vec::new();
    let names = match list(path, follow, &mut small) {
        // Nothing, which is usual, or a file that was removed since its directory was read.
        Ok(0) | Err(Errno::NOENT) => return Ok(Xattrs::default()),
        Ok(length) => small.get(..length).unwrap_or_default(),
        Err(Errno::RANGE) => {
            large.resize(LARGE, 0);
            let length = list(path, follow, &mut large)?;
            large.get(..length).unwrap_or_default()
        }
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for name in names.split(|byte| *byte == 0).filter(|name| is_kept(name)) {
        let mut value = vec![0; LARGE];
        let result = match follow {
            Follow::Yes => rustix::fs::getxattr(path, name, value.as_mut_slice()),
            Follow::No => rustix::fs::lgetxattr(path, name, value.as_mut_slice()),
        };
        match result {
            Ok(length) => {
                value.truncate(length);
                found.push((name.to_vec(), value));
            }
            // Removed, or not for us to read.
            Err(Errno::NODATA) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found.into_iter().collect())
}

/// Those with a meaning in an image: not what belongs to this machine (labels, ACLs, signatures) or to an overlay.
fn is_kept(name: &[u8]) -> bool {
    name == b"security.capability" || (name.starts_with(b"user.") && !name.starts_with(b"user.overlay."))
}
