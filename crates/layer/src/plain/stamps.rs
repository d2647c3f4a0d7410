//! How the files of a directory looked at one moment.

use std::collections::HashMap;
use std::os::fd::BorrowedFd;
use std::path::Path;

use base::{Cancel, IoContext};
use rustix::fs::{AtFlags, FileType, StatxFlags};

use crate::limits::{MAX_DEPTH, MAX_PATH};
use crate::rooted::{self, Rooted};
use crate::{LayerError, Result};

/// What says whether a file is the same, and unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    pub kind: FileType,
    pub inode: u64,
    /// Seconds and nanoseconds; 0 where the filesystem does not know. Numbers of inodes are used again.
    pub birth: (i64, u32),
    pub ctime: (i64, u32),
    pub mtime: (i64, u32),
    pub mode: u32,
    pub owner: (u32, u32),
    pub links: u32,
    pub size: u64,
}

impl Stamp {
    /// Looks at a name in a directory, or (the name being empty) at an open file.
    pub fn of(directory: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<Self> {
        let flags = if name.is_empty() { AtFlags::EMPTY_PATH } else { AtFlags::SYMLINK_NOFOLLOW };
        let stat = rustix::fs::statx(directory, name, flags, StatxFlags::BASIC_STATS | StatxFlags::BTIME)?;
        let time = |time: rustix::fs::StatxTimestamp| (time.tv_sec, time.tv_nsec);
        Ok(Self {
            kind: FileType::from_raw_mode(stat.stx_mode.into()),
            inode: stat.stx_ino,
            birth: time(stat.stx_btime),
            ctime: time(stat.stx_ctime),
            mtime: time(stat.stx_mtime),
            mode: u32::from(stat.stx_mode) & 0o7777,
            owner: (stat.stx_uid, stat.stx_gid),
            links: stat.stx_nlink,
            size: stat.stx_size,
        })
    }

    /// Whether it is the same file, changed or not.
    pub fn is_same_file(&self, other: &Self) -> bool {
        (self.inode, self.birth, self.kind) == (other.inode, other.birth, other.kind)
    }

    /// Whether it is the same file and was not touched. Nothing but the kernel sets ctime.
    pub fn is_untouched(&self, other: &Self) -> bool {
        self.is_same_file(other) && self.ctime == other.ctime
    }
}

/// A look at everything in a directory.
#[derive(Default)]
pub(super) struct Stamps(HashMap<Vec<u8>, Stamp>);

impl Stamps {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn get(&self, path: &[u8]) -> Option<&Stamp> {
        self.0.get(path)
    }

    /// Looks at everything.
    pub fn take(root: &Path, cancel: &Cancel) -> Result<Self> {
        let mut stamps = HashMap::new();
        let mut rooted = Rooted::open(root, store::Ownership::InTables)?;
        let top = Stamp::of(rooted.directory(b"")?, b"").context("examine", root)?;
        stamps.insert(Vec::new(), top);
        let mut directories = vec![Vec::new()];
        while let Some(directory) = directories.pop() {
            cancel.check()?;
            for (path, stamp) in look(&mut rooted, &directory)? {
                if stamp.kind == FileType::Directory {
                    directories.push(path.clone());
                }
                stamps.insert(path, stamp);
            }
        }
        let newest = stamps.values().map(|stamp| stamp.ctime).max();
        await_tick(newest.unwrap_or_default());
        Ok(Self(stamps))
    }
}

/// Waits until whatever is changed from now on gets a later time than `newest`: the clock of filesystems goes in
/// ticks of some milliseconds, and what changes twice within one looks as if it had changed once.
fn await_tick(newest: (i64, u32)) {
    let newest = (newest.0, i64::from(newest.1));
    for _ in 0..TICK {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
        if (now.tv_sec, now.tv_nsec) > newest {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

/// How many milliseconds a tick takes at most (`CONFIG_HZ` is at least 100). A time that is still to come then is
/// one of another clock, and says nothing.
const TICK: u32 = 12;

/// Looks at what is directly in a directory, in order of names.
pub(super) fn look(rooted: &mut Rooted, path: &[u8]) -> Result<Vec<(Vec<u8>, Stamp)>> {
    let full = rooted.name(path);
    if path.len() > MAX_PATH || path.iter().filter(|byte| **byte == b'/').count() > MAX_DEPTH {
        let reason = "its path is longer than a path may be".to_owned();
        return Err(LayerError::Entry { entry: path.to_vec(), reason });
    }
    let directory = rooted.directory(path)?;
    let mut found = Vec::new();
    for name in rooted::names(directory).context("read", &full)? {
        let stamp = Stamp::of(directory, &name).context("examine", full.join(display(&name)))?;
        found.push((join(path, &name), stamp));
    }
    Ok(found)
}

fn display(name: &[u8]) -> &std::ffi::OsStr {
    std::os::unix::ffi::OsStrExt::from_bytes(name)
}

pub(super) fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    if directory.is_empty() {
        return name.to_vec();
    }
    [directory, b"/", name].concat()
}
