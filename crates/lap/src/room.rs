//! How much room is left on a disk, for who is told that it is full.

use std::path::{Path, PathBuf};

use rustix::fs::StatVfs;

use crate::units;

/// A disk with so much room is not one that was just found full.
const LARGE: u64 = 1 << 30;

/// Whether there is much room for a path, and for files.
pub fn is_large(path: &Path) -> bool {
    find(path).is_some_and(|(_, status)| {
        status.f_bavail * status.f_frsize >= LARGE && (status.f_files == 0 || status.f_favail > 0)
    })
}

/// A path, or the nearest directory above it that is there; and its filesystem.
fn find(path: &Path) -> Option<(PathBuf, StatVfs)> {
    let path = std::path::absolute(path).ok()?;
    path.ancestors().find_map(|place| Some((place.to_owned(), rustix::fs::statvfs(place).ok()?)))
}

/// A sentence about the filesystem that a path is on, or would be on.
pub fn at(path: &Path) -> Option<String> {
    let (place, status) = find(path)?;
    let (free, all) = (status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize);
    let place = base::text::path(&place);
    let mut free = format!("{} of {}", units::size(free), units::size(all));
    // Some filesystems do not count their files, and say that there are none at all.
    if status.f_files > 0 {
        free.push_str(&format!(" and {} of {} files", status.f_favail, status.f_files));
    }
    Some(format!("{free} are free on the disk of {place}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_without_room_is_not_large() {
        assert!(!is_large(Path::new("/proc/self/does/not/exist")));
    }

    #[test]
    fn the_room_is_that_of_the_directory_that_is_there() {
        let said = at(Path::new("/proc/self/does/not/exist")).expect("a sentence");
        assert!(said.ends_with("are free on the disk of /proc/self"), "{said}");
    }
}
