//! Archives of files → a directory to work with, in one pass: a build context, say.
//!
//! Contents come before it is known what they are called, and whether they count at all (a later entry may replace them). So each file is written under a name of
//! ours, by the place that its contents have in the archive; it is moved to its own when everything was read, and what all entries together
//! make is known. Every byte is written once, and no name of the archive leads anywhere before all of them were checked (ST-070 … ST-075).

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use base::{Cancel, IoContext};
use rustix::fs::{AtFlags, CWD, Mode};
use rustix::io::Errno;
use store::table::{Entry, EntryKind};
use store::{Ownership, TempDir};

use crate::decompress::{self, Compression};
use crate::rooted::{self, Rooted};
use crate::scan::{self, Collector};
use crate::tar_writer::header::BLOCK;
use crate::{LayerError, Result, apply, output, view};

/// How many bytes [`begins_archive`] wants to see.
pub const BEGINNING: usize = 2 * BLOCK;

/// A directory that was unpacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpacked {
    /// Where it is: inside of the temporary directory.
    pub root: PathBuf,
    /// What was left out or deserves a word, a line each.
    pub warnings: Vec<String>,
}

/// Whether a file is a tar, perhaps compressed. One that is damaged before its first entry is none.
pub fn is_archive(file: Box<dyn Read + Send + '_>) -> bool {
    let Ok((_, reader)) = decompress::reader(file) else { return false };
    let mut header = Vec::with_capacity(BLOCK);
    let read = reader.take(BLOCK as u64).read_to_end(&mut header);
    read.is_ok() && scan::begins_with_header(&header)
}

/// Whether a stream that begins so is meant to be an archive: it is compressed, or begins as a tar does. No text does.
pub fn begins_archive(beginning: &[u8]) -> bool {
    let is_empty_tar = beginning.len() == BEGINNING && beginning.iter().all(|byte| *byte == 0);
    is_empty_tar || Compression::sniff(beginning) != Compression::Plain || scan::begins_with_header(beginning)
}

/// Unpacks a tar, compressed or not, into an empty temporary directory. Owners are the caller's, modes and times are kept, extended attributes
/// are not; devices are left out.
///
/// Names that begin with `.wh.` are refused: in a layer they would be removals. So are hardlinks to what the archive does not have.
pub fn unpack(archive: Box<dyn Read + Send + '_>, directory: &TempDir, cancel: &Cancel) -> Result<Unpacked> {
    let (_, mut tar) = decompress::reader(archive).map_err(|source| LayerError::Stream {
        action: "read",
        what: "the archive".to_owned(),
        source,
    })?;
    let (waiting, root) = (directory.subdirectory("waiting")?, directory.subdirectory("files")?);
    let unpacking = Unpacking {
        rooted: Rooted::open(&root, Ownership::InTables)?,
        waiting,
        file: None,
        above: Vec::new(),
        links: Vec::new(),
        directories: Vec::new(),
        devices: 0,
        failed: None,
        cancel,
    };
    let (mut unpacking, mut warnings) = scan::read_files(&mut tar, unpacking, cancel)?;
    if let Some(error) = unpacking.failed.take() {
        return Err(error);
    }
    unpacking.make_links()?;
    unpacking.finish_directories()?;
    warnings.extend(output::devices_left_out(unpacking.devices));
    Ok(Unpacked { root, warnings })
}

/// A directory that is being filled.
struct Unpacking<'a> {
    rooted: Rooted,
    /// Where contents wait for their names.
    waiting: PathBuf,
    /// The file whose contents are being read.
    file: Option<(File, PathBuf)>,
    /// The directory that the last entry is in.
    above: Vec<u8>,
    /// Hardlinks, with what they are links to: made when everything else is there.
    links: Vec<(Vec<u8>, Vec<u8>)>,
    /// Modes and times of directories, to be set when all is in them.
    directories: Vec<(Vec<u8>, u32, i64)>,
    devices: usize,
    failed: Option<LayerError>,
    cancel: &'a Cancel,
}

impl Collector for Unpacking<'_> {
    fn framing(&mut self, _: &[u8]) -> Result<()> {
        Ok(())
    }

    fn entry(&mut self, entry: &Entry<'_>) {
        if self.failed.is_none() {
            self.failed = self.make(entry).err();
        }
    }

    fn file(&mut self, offset: u64, size: u64) -> Result<()> {
        let path = self.waits_at(offset);
        let file = File::create_new(&path).context("create", &path)?;
        file.set_len(size).context("extend", &path)?;
        self.file = Some((file, path));
        Ok(())
    }

    fn contents(&mut self, place: u64, bytes: &[u8]) -> Result<()> {
        match &self.file {
            Some((file, path)) => Ok(file.write_all_at(bytes, place).context("write", path)?),
            None => Ok(()),
        }
    }
}

impl Unpacking<'_> {
    fn waits_at(&self, offset: u64) -> PathBuf {
        self.waiting.join(offset.to_string())
    }

    fn make(&mut self, entry: &Entry<'_>) -> Result<()> {
        self.cancel.check()?;
        let entry = &Entry { xattrs: Vec::new(), ..entry.clone() };
        if !entry.path.is_empty() {
            self.make_parents(entry.path)?;
        }
        match entry.kind {
            EntryKind::Directory { .. } => {
                self.make_directory(entry.path)?;
                self.directories.push((entry.path.to_vec(), entry.mode, entry.mtime));
                Ok(())
            }
            EntryKind::File { offset, .. } => self.place_file(entry, offset),
            EntryKind::Hardlink { target } => {
                self.links.push((entry.path.to_vec(), target.to_vec()));
                Ok(())
            }
            EntryKind::Symlink { .. } | EntryKind::Fifo => apply::make_other(&mut self.rooted, entry),
            EntryKind::CharacterDevice { .. } | EntryKind::BlockDevice { .. } => {
                self.devices += 1;
                Ok(())
            }
            // An archive of files has none.
            EntryKind::Whiteout => Ok(()),
        }
    }

    /// Moves a file to its place.
    fn place_file(&mut self, entry: &Entry<'_>, offset: u64) -> Result<()> {
        let (waiting, full) = (self.waits_at(offset), self.rooted.name(entry.path));
        let ownership = self.rooted.ownership();
        let (parent, name) = self.rooted.parent(entry.path)?;
        rustix::fs::renameat(CWD, &waiting, parent, name).context("rename to", &full)?;
        Ok(rooted::finish_closed(parent, name, entry, false, ownership)
            .context("set the metadata of", full)?)
    }

    /// Makes the directories above an entry that are not there: the archive does not have them itself. Entries come in the order of a table.
    fn make_parents(&mut self, path: &[u8]) -> Result<()> {
        let parent = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        let parent = path.get(..parent).unwrap_or_default();
        if parent == self.above {
            return Ok(());
        }
        let slashes = parent.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(place, _)| place);
        let ends: Vec<usize> = slashes.chain([parent.len()]).filter(|end| *end > 0).collect();
        for end in ends {
            let directory = parent.get(..end).unwrap_or_default();
            if self.make_directory(directory)? {
                let Entry { mode, mtime, .. } = view::implied_directory();
                self.directories.push((directory.to_vec(), mode, mtime));
            }
        }
        self.above = parent.to_vec();
        Ok(())
    }

    /// Makes a directory; `false` when it was there. Its mode and time come later.
    fn make_directory(&mut self, path: &[u8]) -> Result<bool> {
        if path.is_empty() {
            return Ok(false);
        }
        let full = self.rooted.name(path);
        let (parent, name) = self.rooted.parent(path)?;
        match rustix::fs::mkdirat(parent, name, Mode::RWXU) {
            Err(Errno::EXIST) => Ok(false),
            result => Ok(result.context("create the directory", full).map(|()| true)?),
        }
    }

    fn make_links(&mut self) -> Result<()> {
        let mut other = self.rooted.again();
        for (path, target) in std::mem::take(&mut self.links) {
            self.cancel.check()?;
            let missing = || LayerError::Entry {
                entry: path.clone(),
                reason: format!(
                    "it is a hardlink to {}, which the archive does not have",
                    base::text::bytes(&target)
                ),
            };
            let full = self.rooted.name(&path);
            let (old_parent, old_name) = other.parent(&target).map_err(|_| missing())?;
            let (new_parent, new_name) = self.rooted.parent(&path)?;
            match rustix::fs::linkat(old_parent, old_name, new_parent, new_name, AtFlags::empty()) {
                Err(Errno::NOENT) => return Err(missing()),
                result => result.context("link", full)?,
            }
        }
        Ok(())
    }

    /// The last first, so that none is closed to us before what is in it is done.
    fn finish_directories(&mut self) -> Result<()> {
        for (path, mode, mtime) in std::mem::take(&mut self.directories).into_iter().rev() {
            let entry = Entry { path: &path, mode, mtime, ..view::implied_directory() };
            apply::finish_directory(&mut self.rooted, &entry)?;
        }
        Ok(())
    }
}
