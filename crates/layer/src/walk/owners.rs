//! Whose what a command left is, also where the files cannot say it.
//!
//! With a single user id every file belongs to that one user. What the command believed (its calls of chown
//! are caught, and recorded) is told here by path. For all other files: what was copied up belongs to whom it
//! belonged below; what is new belongs to the user that the command ran as.

use std::collections::HashMap;

use rustix::fs::{FileType, Stat};
use store::table::EntryKind;

use crate::View;

/// A user and a group.
pub type Owner = (u32, u32);

/// Whose the files of an upper directory are.
#[derive(Debug, Clone, Default)]
pub enum Owners {
    /// As they say themselves.
    #[default]
    Real,
    /// As is told.
    Told(Told),
}

/// What is known of owners.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// Whom a file was given to, by its path as in a table; `None` for a part that was not changed.
    pub by_path: HashMap<Vec<u8>, (Option<u32>, Option<u32>)>,
    /// Whose everything else is that is new.
    pub default: Owner,
}

/// Where an entry comes from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin {
    /// It is a directory that hides what lies below.
    pub opaque: bool,
    /// It is a file of the layers below, or a copy of one.
    pub copied: bool,
}

impl Owners {
    /// Whose this entry is. `hidden` says that what lies below does not show through here.
    pub(super) fn of(&self, path: &[u8], stat: &Stat, origin: Origin, below: &View, hidden: bool) -> Owner {
        let told = match self {
            Owners::Real => return (stat.st_uid, stat.st_gid),
            Owners::Told(told) => told,
        };
        let known = below.find(path).filter(|_| !hidden).map(|node| below.entry(node));
        let (uid, gid) = known
            .filter(|known| match (FileType::from_raw_mode(stat.st_mode), &known.kind) {
                (FileType::Directory, EntryKind::Directory { .. }) => !origin.opaque,
                (FileType::RegularFile, EntryKind::File { .. } | EntryKind::Hardlink { .. }) => origin.copied,
                // These cannot bear overlayfs' mark of a copy.
                (FileType::Symlink, EntryKind::Symlink { .. }) | (FileType::Fifo, EntryKind::Fifo) => true,
                _ => false,
            })
            .map(|known| (known.uid, known.gid))
            // A copy under another name: whoever is not root is told by path.
            .unwrap_or(if origin.copied { (0, 0) } else { told.default });
        let (user, group) = told.by_path.get(path).copied().unwrap_or_default();
        (user.unwrap_or(uid), group.unwrap_or(gid))
    }
}
