//! What `stat` says.

use rustix::fs::{FileType, Stat};
use store::contexts::FileStamp;

/// What a path in a context is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory,
    File,
    Symlink,
    CharacterDevice { major: u32, minor: u32 },
    BlockDevice { major: u32, minor: u32 },
    Fifo,
    Socket,
}

/// What matters of a `stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Status {
    pub kind: Kind,
    /// The twelve permission bits.
    pub mode: u32,
    /// Whether it has other names too.
    pub is_shared: bool,
    pub stamp: Stamp,
}

/// If none of this changed, the contents of a file did not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub device: u64,
    pub inode: u64,
    pub size: u64,
    /// Seconds since 1970, rounded down, and nanoseconds.
    pub mtime: (i64, u32),
    pub ctime: (i64, u32),
}

impl Stamp {
    /// As the store remembers it.
    pub fn file_stamp(&self) -> FileStamp {
        let nanoseconds =
            |(seconds, rest): (i64, u32)| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
        FileStamp {
            device: self.device,
            inode: self.inode,
            size: self.size,
            mtime: nanoseconds(self.mtime),
            ctime: nanoseconds(self.ctime),
        }
    }

    /// Whether it is the same file with the same contents. A mere change of the inode (another link, another mode) is none.
    pub fn has_contents_of(&self, other: &Stamp) -> bool {
        (self.device, self.inode, self.size, self.mtime)
            == (other.device, other.inode, other.size, other.mtime)
    }
}

impl Status {
    /// From the system's own.
    pub fn new(stat: &Stat) -> Self {
        let (major, minor) = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Kind::Directory,
            FileType::Symlink => Kind::Symlink,
            FileType::CharacterDevice => Kind::CharacterDevice { major, minor },
            FileType::BlockDevice => Kind::BlockDevice { major, minor },
            FileType::Fifo => Kind::Fifo,
            FileType::Socket => Kind::Socket,
            FileType::RegularFile | FileType::Unknown => Kind::File,
        };
        let stamp = Stamp {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            mtime: (stat.st_mtime, u32::try_from(stat.st_mtime_nsec).unwrap_or(0)),
            ctime: (stat.st_ctime, u32::try_from(stat.st_ctime_nsec).unwrap_or(0)),
        };
        Self { kind, mode: stat.st_mode & 0o7777, is_shared: stat.st_nlink > 1, stamp }
    }
}
