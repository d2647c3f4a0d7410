//! How much room things take on the disk.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use base::{IoContext, IoError};

/// Sums up allocated blocks; a file with several names counts once.
#[derive(Default)]
pub(crate) struct Measure {
    /// How many files and directories were looked at.
    pub entries: u64,
    linked: HashSet<(u64, u64)>,
}

impl Measure {
    /// What a file, or a directory with all that is in it, takes, in bytes. What goes meanwhile takes nothing.
    pub fn room(&mut self, path: &Path) -> Result<u64, IoError> {
        let metadata = match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            result => result.context("stat", path)?,
        };
        self.entries += 1;
        let mut room = 0;
        if metadata.nlink() < 2 || metadata.is_dir() || self.linked.insert((metadata.dev(), metadata.ino())) {
            room = metadata.blocks() * 512;
        }
        if metadata.is_dir() {
            for name in crate::files::names_in(path)? {
                room += self.room(&path.join(name))?;
            }
        }
        Ok(room)
    }
}
