//! How much room is left on a disk, for who is told that it is full.

use std::path::Path;

use crate::units;

/// A sentence about the filesystem that a path is on, or would be on.
pub fn at(path: &Path) -> Option<String> {
    let path = std::path::absolute(path).ok()?;
    let (place, status) =
        path.ancestors().find_map(|place| Some((place, rustix::fs::statvfs(place).ok()?)))?;
    let (free, all) = (status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize);
    let place = base::text::path(place);
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
    fn the_room_is_that_of_the_directory_that_is_there() {
        let said = at(Path::new("/proc/self/does/not/exist")).expect("a sentence");
        assert!(said.ends_with("are free on the disk of /proc/self"), "{said}");
    }
}
