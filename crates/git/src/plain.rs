//! A checkout as anybody would have made it: modes and times that no umask and no clock has to do with.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use base::{Cancel, IoContext};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps};

use crate::error::GitError;

/// What may be executed by somebody.
const EXECUTABLE: u32 = 0o111;

/// Gives everything its mode and its time. `.git`, also that of submodules, is taken away unless it is kept.
pub(crate) fn settle(root: &Path, time: i64, keep_git_dir: bool, cancel: &Cancel) -> Result<(), GitError> {
    let mut waiting = vec![root.to_owned()];
    let mut directories = Vec::new();
    while let Some(directory) = waiting.pop() {
        cancel.check()?;
        for entry in fs::read_dir(&directory).context("list", &directory)? {
            let entry = entry.context("list", &directory)?;
            let path = entry.path();
            if !keep_git_dir && entry.file_name() == ".git" {
                remove(&path)?;
                continue;
            }
            let metadata = entry.metadata().context("look at", &path)?;
            if metadata.is_dir() {
                waiting.push(path);
                continue;
            }
            if !metadata.is_symlink() {
                let is_executable = metadata.permissions().mode() & EXECUTABLE != 0;
                set_mode(&path, if is_executable { 0o755 } else { 0o644 })?;
            }
            set_time(&path, time)?;
        }
        directories.push(directory);
    }
    // What is in a directory changes its time: from below.
    for directory in directories.iter().rev() {
        set_mode(directory, 0o755)?;
        set_time(directory, time)?;
    }
    Ok(())
}

fn set_mode(path: &Path, mode: u32) -> Result<(), GitError> {
    Ok(fs::set_permissions(path, Permissions::from_mode(mode)).context("change the mode of", path)?)
}

fn set_time(path: &Path, time: i64) -> Result<(), GitError> {
    let time = Timespec { tv_sec: time, tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    let set = rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW);
    Ok(set.context("set the time of", path)?)
}

/// Removes a file or a directory, if it is there.
pub(crate) fn remove(path: &Path) -> Result<(), GitError> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => Ok(result.context("remove", path)?),
    }
}
