//! Whose the files in the store's trees are.
//!
//! An ordinary user works inside of a user namespace, where root is that user and all others are ids that the
//! machine's administrator has set aside for that user. What a file's owner means depends on these ids, so a
//! store that was made in a namespace keeps them in its file `ids`, and is opened with the same ones or not at
//! all. A store without the file is one of the machine's own root.
//!
//! With a single id there are no others: every file of every tree is the user's, and whose it is in the
//! image stands in the tables alone.

use std::path::Path;

use base::{IdMap, IoContext};

use crate::{Result, StoreError, TempDir, files};

/// The name of the record.
pub(crate) const FILE: &str = "ids";
const TITLE: &str = "lapstrake ids 1";
/// A kernel takes 340 ranges, of at most 33 characters each.
const LONGEST: u64 = 64 << 10;

/// How the files of trees belong to somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ownership {
    /// As the layer says; by the machine's root.
    Host,
    /// As the layer says, by the ids of a user namespace. Devices cannot be made there.
    Mapped,
    /// All to one user: whose they are in the image is said by the tables only.
    InTables,
}

impl Ownership {
    /// How overlayfs' own attributes begin: in a user namespace it cannot use `trusted.`.
    pub fn overlay_attributes(self) -> &'static [u8] {
        match self {
            Ownership::Host => b"trusted.overlay.",
            Ownership::Mapped | Ownership::InTables => b"user.overlay.",
        }
    }

    /// The sign of an opaque directory.
    pub fn opaque_attribute(self) -> &'static std::ffi::CStr {
        match self {
            Ownership::Host => c"trusted.overlay.opaque",
            Ownership::Mapped | Ownership::InTables => c"user.overlay.opaque",
        }
    }

    /// Whether trees hold the devices of their layers. Where they do not, a whiteout stands for a device.
    pub fn has_devices(self) -> bool {
        self == Ownership::Host
    }

    /// Whether the files of trees have the owners that the tables say.
    pub fn is_in_trees(self) -> bool {
        self != Ownership::InTables
    }

    fn of(ids: &IdMap) -> Self {
        match ids {
            ids if ids.is_identity() => Ownership::Host,
            ids if ids.is_single() => Ownership::InTables,
            _ => Ownership::Mapped,
        }
    }
}

/// The ids that the store at `root` was made with; `None` when it is one of the machine's root, or is not there.
pub fn recorded(root: &Path) -> Result<Option<IdMap>> {
    let path = root.join(FILE);
    let Some(bytes) = files::read_limited(&path, LONGEST)? else { return Ok(None) };
    let damaged = || StoreError::Damaged { path: path.clone(), reason: "it names no ids".to_owned() };
    let text = std::str::from_utf8(&bytes).map_err(|_| damaged())?;
    let rest = text.strip_prefix(TITLE).and_then(|rest| rest.strip_prefix('\n')).ok_or_else(damaged)?;
    let (users, groups) = rest.split_once("\n\n").ok_or_else(damaged)?;
    IdMap::parse(users, groups).map(Some).ok_or_else(damaged)
}

/// The ids of this process's user namespace.
fn own() -> Result<IdMap> {
    let read = |path: &str| std::fs::read_to_string(path).context("read", path);
    let map = IdMap::parse(&read("/proc/self/uid_map")?, &read("/proc/self/gid_map")?);
    // A namespace without ids yet has an empty map, in which nobody is anybody.
    Ok(map.unwrap_or_default())
}

/// How files belong to somebody in the store at `root`, for this process, and the ids that this process has. A store that has no record gets
/// these ids, written beside its place in `temporary`; without that directory, the store cannot be written.
pub(crate) fn settle(root: &Path, temporary: Option<&Path>) -> Result<(Ownership, IdMap)> {
    let own = own()?;
    let is_root = rustix::process::geteuid().is_root();
    let ownership = match recorded(root)? {
        Some(ids) if ids == own => Ownership::of(&own),
        // Who is not in a namespace can read, and make what needs no owners.
        Some(_) if !is_root => Ownership::InTables,
        Some(recorded) => {
            let (recorded, own) = (Box::new(recorded), Box::new(own));
            return Err(StoreError::OtherIds { root: root.to_owned(), recorded, own });
        }
        None if own.is_identity() && is_root => Ownership::Host,
        None if own.is_identity() => Ownership::InTables,
        None => {
            if let Some(temporary) = temporary {
                let directory = TempDir::create(temporary, "ids")?;
                files::replace(&directory.path().join(FILE), &root.join(FILE), text(&own).as_bytes())?;
            }
            Ownership::of(&own)
        }
    };
    Ok((ownership, own))
}

fn text(ids: &IdMap) -> String {
    let lines = |ranges: &[base::IdRange]| {
        let line = |range: &base::IdRange| format!("{} {} {}", range.inside, range.outside, range.count);
        ranges.iter().map(line).collect::<Vec<_>>().join("\n")
    };
    format!("{TITLE}\n{}\n\n{}\n", lines(&ids.users), lines(&ids.groups))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_says_what_was_written() {
        let directory = tempfile::tempdir().expect("a directory");
        assert_eq!(recorded(directory.path()).expect("read"), None);
        let ids = IdMap::parse("0 1000 1\n1 100000 65536", "0 100 1").expect("a map");
        std::fs::write(directory.path().join(FILE), text(&ids)).expect("written");
        assert_eq!(recorded(directory.path()).expect("read"), Some(ids));
        for wrong in
            ["", "lapstrake ids 2\n0 0 1\n\n0 0 1", "lapstrake ids 1\n0 0 1", "lapstrake ids 1\nx\n\n0 0 1"]
        {
            std::fs::write(directory.path().join(FILE), wrong).expect("written");
            assert!(matches!(recorded(directory.path()), Err(StoreError::Damaged { .. })), "{wrong:?}");
        }
    }

    #[test]
    fn ids_decide_about_ownership() {
        let map = |text: &str| IdMap::parse(text, text).expect("a map");
        assert_eq!(Ownership::of(&map("0 0 4294967295")), Ownership::Host);
        assert_eq!(Ownership::of(&map("0 1000 1\n1 100000 65536")), Ownership::Mapped);
        assert_eq!(Ownership::of(&map("0 1000 1")), Ownership::InTables);
    }
}
