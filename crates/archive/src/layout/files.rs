//! Where the files of a layout lie: in a directory, or in an archive that is one file.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::{Cancel, IoContext};

use super::open_file;
use crate::ArchiveError;
use crate::documents::{Documents, Found};
use crate::entries::{Entries, read_error};
use crate::format::{INDEX, LAYOUT};
use crate::members::Members;

/// The files of a layout.
pub(super) enum Files {
    Directory(PathBuf),
    Archive(Members<Part>),
}

impl Files {
    pub(super) fn directory(path: &Path) -> Result<Self, ArchiveError> {
        if !path.metadata().context("open", path)?.is_dir() {
            return Err(ArchiveError::NoLayout { path: path.to_owned(), reason: "it is not a directory" });
        }
        for name in [LAYOUT, INDEX] {
            if !path.join(name).exists() {
                let reason =
                    if name == LAYOUT { "it has no file oci-layout" } else { "it has no index.json" };
                return Err(ArchiveError::NoLayout { path: path.to_owned(), reason });
            }
        }
        Ok(Files::Directory(path.to_owned()))
    }

    /// Looks where everything lies in an archive: headers are read, contents are not.
    pub(super) fn archive(path: &Path, file: File, cancel: &Cancel) -> Result<Self, ArchiveError> {
        if !file.metadata().context("look at", path)?.is_file() {
            return Err(ArchiveError::NoFile(path.to_owned()));
        }
        let mut beginning = [0; 8];
        let count = file.read_at(&mut beginning, 0).map_err(read_error)?;
        let compression = layer::decompress::Compression::sniff(beginning.get(..count).unwrap_or_default());
        if compression != layer::decompress::Compression::Plain {
            return Err(ArchiveError::Compressed(path.to_owned()));
        }
        let entries = Entries::seekable(file.try_clone().map_err(read_error)?).map_err(read_error)?;
        let file = Arc::new(file);
        let members = Members::read(
            entries,
            cancel,
            |_, size, entries| Ok(Part::Section { file: file.clone(), begin: entries.position(), size }),
            Part::is_same,
        )?;
        Ok(Files::Archive(members))
    }

    /// The file at a path.
    pub(super) fn part(&self, path: &[u8]) -> Result<Option<Part>, ArchiveError> {
        match self {
            Files::Archive(members) => Ok(members.file(path)?.cloned()),
            Files::Directory(directory) => {
                let name: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(path);
                let file = match open_file(&directory.join(name)) {
                    Ok(file) => file,
                    Err(ArchiveError::Io(error)) if error.source.kind() == io::ErrorKind::NotFound => {
                        return Ok(None);
                    }
                    Err(error) => return Err(error),
                };
                let size = file.metadata().context("look at", directory.join(name))?.len();
                Ok(Some(Part::Section { file: Arc::new(file), begin: 0, size }))
            }
        }
    }
}

impl Documents for Files {
    fn document(&self, path: &[u8], limit: u64) -> Result<Option<Found>, ArchiveError> {
        let Some(part) = self.part(path)? else { return Ok(None) };
        if part.size() > limit {
            return Err(ArchiveError::TooLarge { entry: path.to_vec(), limit });
        }
        Ok(Some(Found { path: path.to_vec(), bytes: part.bytes(limit)?.into() }))
    }
}

/// Bytes that can be read from any place on.
#[derive(Clone)]
pub(super) enum Part {
    /// So many bytes of a file, from a place on.
    Section { file: Arc<File>, begin: u64, size: u64 },
    /// Bytes at hand.
    Bytes(Arc<[u8]>),
}

impl Part {
    pub(super) fn size(&self) -> u64 {
        match self {
            Part::Section { size, .. } => *size,
            Part::Bytes(bytes) => bytes.len() as u64,
        }
    }

    pub(super) fn contents(&self, position: u64) -> Contents {
        Contents { part: self.clone(), position }
    }

    /// All of it, up to a limit that was compared before: a file may have grown since.
    pub(super) fn bytes(&self, limit: u64) -> Result<Vec<u8>, ArchiveError> {
        let mut bytes = Vec::new();
        self.contents(0).take(limit).read_to_end(&mut bytes).map_err(read_error)?;
        Ok(bytes)
    }

    fn is_same(&self, other: &Part) -> Result<bool, ArchiveError> {
        if self.size() != other.size() {
            return Ok(false);
        }
        let (mut one, mut two) = ([0; 16 << 10], [0; 16 << 10]);
        let (mut left, mut right) = (self.contents(0), other.contents(0));
        loop {
            let count = crate::entries::read_full(&mut left, &mut one).map_err(read_error)?;
            let same = crate::entries::read_full(&mut right, &mut two).map_err(read_error)? == count;
            if !same || one.get(..count) != two.get(..count) {
                return Ok(false);
            }
            if count < one.len() {
                return Ok(true);
            }
        }
    }
}

/// The bytes of a blob, from some place on.
pub struct Contents {
    part: Part,
    position: u64,
}

impl Read for Contents {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.part.size().saturating_sub(self.position);
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let Some(buffer) = buffer.get_mut(..most).filter(|buffer| !buffer.is_empty()) else { return Ok(0) };
        let count = match &self.part {
            Part::Section { file, begin, .. } => file.read_at(buffer, begin + self.position)?,
            Part::Bytes(bytes) => {
                let begin = usize::try_from(self.position).unwrap_or(usize::MAX);
                bytes.get(begin..).unwrap_or_default().read(buffer)?
            }
        };
        if count == 0 {
            let reason = "the file has become shorter, or the archive ends too early";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, reason));
        }
        self.position += count as u64;
        Ok(count)
    }
}
