//! Cgroups that commands are limited with: remembered, so that those of killed processes go.
//!
//! A record in `cgroups/` says which directories a group consists of; it is written before they are made, and locked as long as somebody needs them.
//! Directories of cgroups cannot be locked themselves, and the kernel keeps them until somebody removes them.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base::{IoContext, IoError};

use crate::temp::Leftovers;
use crate::{Result, Store, files, lock};

const TITLE: &str = "lapstrake cgroup 1";

/// How a group is called: so, and something that nobody else uses.
const PREFIX: &str = "lapstrake-";

/// How often a group is tried to be removed: a process that was killed is in it for another moment.
const ATTEMPTS: usize = 50;
const PAUSE: Duration = Duration::from_millis(10);

/// A group that is in use. It is removed when this is dropped, or by whoever opens the store when this process was killed.
#[derive(Debug)]
pub struct CgroupRecord {
    name: String,
    directories: Vec<PathBuf>,
    /// Not there in a store that cannot be written.
    record: Option<(PathBuf, File)>,
}

impl Store {
    /// Remembers a group that is about to be made; `directories` says of which directories one with a given name consists.
    pub fn cgroup(&self, directories: impl Fn(&str) -> Vec<PathBuf>) -> Result<CgroupRecord> {
        loop {
            let unique = files::unique();
            let name = format!("{PREFIX}{unique}");
            let directories = directories(&name);
            if self.0.read_only {
                return Ok(CgroupRecord { name, directories, record: None });
            }
            let path = self.at("cgroups").join(unique);
            let Some(mut file) = lock::create(&path)? else { continue };
            let paths = directories.iter().map(|path| path.to_string_lossy().into_owned());
            let text: Vec<String> = std::iter::once(TITLE.to_owned()).chain(paths).collect();
            file.write_all((text.join("\n") + "\n").as_bytes()).context("write", &path)?;
            return Ok(CgroupRecord { name, directories, record: Some((path, file)) });
        }
    }
}

impl CgroupRecord {
    /// What the group is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A descriptor that keeps the group from being taken for a dead one's: for the process that runs in it.
    pub fn hold(&self) -> Option<BorrowedFd<'_>> {
        self.record.as_ref().map(|(_, file)| file.as_fd())
    }
}

impl Drop for CgroupRecord {
    fn drop(&mut self) {
        if remove_all(&self.directories, ATTEMPTS).is_ok()
            && let Some((path, _)) = &self.record
        {
            // Unlinked while it is still locked; if that fails, the next process does it.
            let _ = fs::remove_file(path);
        }
    }
}

/// Removes the groups of dead processes, and adds them to `cleared`. What cannot be removed does not keep the rest from going: the first such error
/// is given at the end.
pub(crate) fn sweep(directory: &Path, cleared: &mut Leftovers) -> Result<(), IoError> {
    let mut swept = Ok(());
    for name in files::names_in(directory)? {
        match sweep_one(&directory.join(name)) {
            Ok(count) => cleared.cgroups += count,
            Err(error) => swept = swept.and(Err(error)),
        }
    }
    swept
}

/// Removes a group whose processes are dead; of how many directories it was.
fn sweep_one(path: &Path) -> Result<u64, IoError> {
    let Some(_dead) = lock::take_unused(path)? else { return Ok(0) };
    // What is torn was never relied on: the group is made after the record.
    let text = String::from_utf8(fs::read(path).context("read", path)?).unwrap_or_default();
    let mut lines = text.lines();
    let complete = text.ends_with('\n') && lines.next() == Some(TITLE);
    let directories: Vec<PathBuf> = if complete { lines.map(PathBuf::from).collect() } else { Vec::new() };
    // One in which something lives stays, with its record.
    let Ok(count) = remove_all(&directories, 1) else { return Ok(0) };
    fs::remove_file(path).context("remove", path)?;
    Ok(count)
}

/// Removes a group in all its hierarchies; how many directories were there.
fn remove_all(directories: &[PathBuf], attempts: usize) -> io::Result<u64> {
    let mut removed = 0;
    for directory in directories {
        let mut left = attempts;
        loop {
            match remove(directory) {
                Ok(()) => removed += 1,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(_) if left > 1 => {
                    left -= 1;
                    std::thread::sleep(PAUSE);
                    continue;
                }
                Err(error) => return Err(error),
            }
            break;
        }
    }
    Ok(removed)
}

/// Removes a group with those that a command has made in it. The files are the kernel's, and go with their directories.
fn remove(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove(&entry.path())?;
        }
    }
    fs::remove_dir(directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_use_stays_and_what_is_left_goes() {
        let root = tempfile::tempdir().expect("a directory");
        let groups = root.path().join("groups");
        fs::create_dir(&groups).expect("a directory");
        let store = Store::open(root.path().join("store")).expect("a store");
        let plan = |name: &str| vec![groups.join(name), groups.join("elsewhere").join(name)];
        let record = store.cgroup(plan).expect("a record");
        assert!(record.name().starts_with(PREFIX) && record.hold().is_some());
        let directory = groups.join(record.name());
        fs::create_dir_all(directory.join("of-a-command/inner")).expect("directories");
        let again = Store::open(store.root()).expect("a store");
        assert_eq!(again.cleared(), Leftovers::default());
        assert!(directory.exists());
        // As if the process had died.
        let mut record = std::mem::ManuallyDrop::new(record);
        drop(record.record.take());
        let again = Store::open(store.root()).expect("a store");
        assert_eq!(again.cleared(), Leftovers { cgroups: 1, ..Leftovers::default() });
        assert!(!directory.exists());
        assert_eq!(files::names_in(&store.at("cgroups")).expect("names").len(), 0);
        // At the end of a command.
        let record = store.cgroup(plan).expect("a record");
        let directory = groups.join(record.name());
        fs::create_dir(&directory).expect("a directory");
        drop(record);
        assert!(!directory.exists());
        assert_eq!(files::names_in(&store.at("cgroups")).expect("names").len(), 0);
    }

    #[test]
    fn a_group_that_cannot_be_removed_is_remembered() {
        let root = tempfile::tempdir().expect("a directory");
        let store = Store::open(root.path().join("store")).expect("a store");
        let record = store.cgroup(|name| vec![root.path().join(name)]).expect("a record");
        let directory = root.path().join(record.name());
        fs::create_dir(&directory).expect("a directory");
        // A file that is not the kernel's is in the way, as a process would be.
        fs::write(directory.join("process"), "").expect("a file");
        drop(record);
        assert_eq!(Store::open(store.root()).expect("a store").cleared(), Leftovers::default());
        fs::remove_file(directory.join("process")).expect("removed");
        assert_eq!(Store::open(store.root()).expect("a store").cleared().cgroups, 1);
        assert!(!directory.exists());
    }
}
