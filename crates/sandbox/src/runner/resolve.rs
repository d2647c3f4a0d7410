//! Finding a path inside the root, whatever symlinks the image has on the way.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, openat2, readlinkat};
use rustix::io::Errno;

use crate::error::{Doing, Error};

/// How many symlinks are followed, as in the kernel.
const SYMLINKS: usize = 40;

/// How often a path is looked at again when mounts were made meanwhile. Each look takes microseconds, and mounts come in bursts.
const ATTEMPTS: u32 = 10_000;

/// Where a path of the root leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The path without symlinks, from the root, without the leading slash.
    pub(super) path: PathBuf,
    /// How many of its components exist.
    pub(super) existing: usize,
}

impl Place {
    /// Whether all of it exists.
    pub(super) fn exists(&self) -> bool {
        self.existing == self.path.components().count()
    }
}

/// Opens a path inside the root as a place; `None` when it does not exist.
pub(super) fn open(root: impl AsFd, path: &Path) -> Result<Option<OwnedFd>, Error> {
    open_with(root, path, OFlags::PATH | OFlags::CLOEXEC)
}

/// Opens a path inside the root; `None` when it does not exist.
pub(super) fn open_with(root: impl AsFd, path: &Path, flags: OFlags) -> Result<Option<OwnedFd>, Error> {
    let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let mut attempts = 0;
    loop {
        match openat2(&root, inner(path), flags, Mode::empty(), inside) {
            Ok(found) => return Ok(Some(found)),
            Err(Errno::NOENT) => return Ok(None),
            // Something was mounted or renamed, anywhere on the machine, while `..` was followed: nothing is wrong with the path.
            Err(Errno::AGAIN) if attempts < ATTEMPTS => attempts += 1,
            Err(errno) => return Err(errno).doing_to("open, in the root,", Path::new("/").join(path)),
        }
    }
}

/// Follows a path component by component, also beyond where it stops existing: a dangling symlink leads to
/// the place that it names.
pub(super) fn place(root: impl AsFd, path: &Path) -> Result<Place, Error> {
    let mut todo = names(path);
    let mut found = PathBuf::new();
    let mut missing = 0_usize;
    let mut symlinks = 0;
    while let Some(name) = todo.pop_front() {
        if name == ".." {
            found.pop();
            missing = missing.saturating_sub(1);
            continue;
        }
        let candidate = found.join(&name);
        match if missing == 0 { target_of(&root, &candidate)? } else { Target::Missing } {
            Target::Missing => {
                missing += 1;
                found = candidate;
            }
            Target::Other => found = candidate,
            Target::Symlink(target) => {
                symlinks += 1;
                if symlinks > SYMLINKS {
                    return Err(Errno::LOOP).doing_to("open, in the root,", path);
                }
                if target.is_absolute() {
                    found = PathBuf::new();
                }
                for name in names(&target).into_iter().rev() {
                    todo.push_front(name);
                }
            }
        }
    }
    let existing = found.components().count() - missing;
    Ok(Place { path: found, existing })
}

enum Target {
    Missing,
    Symlink(PathBuf),
    Other,
}

/// What is at a path whose parents are no symlinks.
fn target_of(root: impl AsFd, path: &Path) -> Result<Target, Error> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let Some(found) = open_with(root, path, flags)? else { return Ok(Target::Missing) };
    let stat = fstat(&found).doing_to("examine, in the root,", path)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
        return Ok(Target::Other);
    }
    let target = readlinkat(&found, "", Vec::new()).doing_to("read the symlink", path)?;
    Ok(Target::Symlink(PathBuf::from(OsString::from_vec(target.into_bytes()))))
}

/// The names in a path, with `..`, without the rest.
fn names(path: &Path) -> VecDeque<OsString> {
    let name = |component: Component<'_>| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsStr::new("..").to_owned()),
        _ => None,
    };
    path.components().filter_map(name).collect()
}

/// A path for the kernel, relative to the root: never empty.
fn inner(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn symlinks_stay_inside_and_dangling_ones_name_a_place() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |path: &str| directory.path().join(path);
        std::fs::create_dir_all(at("etc/real")).expect("made");
        std::fs::create_dir(at("run")).expect("made");
        symlink("../run/systemd/resolv.conf", at("etc/dangling")).expect("made");
        symlink("/etc/real", at("absolute")).expect("made");
        symlink("../../../../etc", at("run/up")).expect("made");
        symlink("loop", at("loop")).expect("made");
        std::fs::write(at("file"), "").expect("made");
        let root = std::fs::File::open(directory.path()).expect("opened");
        let cases = [
            ("/etc/real", "etc/real", 2),
            ("/etc/./real/../real", "etc/real", 2),
            ("/etc/dangling", "run/systemd/resolv.conf", 1),
            ("/absolute/x", "etc/real/x", 2),
            ("/run/up/real", "etc/real", 2),
            ("/new/deep/../other", "new/other", 0),
            ("/../../etc", "etc", 1),
        ];
        for (path, expected, existing) in cases {
            let place = place(&root, Path::new(path)).expect("a place");
            assert_eq!(place, Place { path: expected.into(), existing }, "{path}");
        }
        for path in ["/loop", "/file/x"] {
            let error = place(&root, Path::new(path)).expect_err("no place");
            assert!(error.to_string().contains(path), "{error}");
        }
        assert!(open(&root, Path::new("/etc/dangling")).expect("looked").is_none());
        assert!(open(&root, Path::new("/run/up/real")).expect("looked").is_some());
    }
}
