//! Writing an archive: deterministic headers, contents streamed (ST-021).

use std::io::{Read, Write};

use base::Cancel;
use image::Digest;
use tar_core::builder::EntryBuilder;
use tar_core::{EntryType, HEADER_SIZE};

use crate::{ArchiveError, verified};
use base::task::Count;

/// A tar that is being written.
pub(crate) struct Writer<'a> {
    out: &'a mut dyn Write,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(out: &'a mut dyn Write) -> Self {
        Self { out }
    }

    pub(crate) fn directory(&mut self, path: &str) -> Result<(), ArchiveError> {
        self.header(&format!("{path}/"), EntryType::Directory, 0o755, 0)
    }

    /// A file of bytes that are at hand.
    pub(crate) fn file(&mut self, path: &str, bytes: &[u8]) -> Result<(), ArchiveError> {
        self.header(path, EntryType::Regular, 0o644, bytes.len() as u64)?;
        self.write(bytes)?;
        self.pad(bytes.len() as u64)
    }

    /// A blob, which is verified on its way: what was damaged in the store does not leave it unnoticed.
    pub(crate) fn blob(
        &mut self,
        path: &str,
        (digest, size): (&Digest, u64),
        contents: &mut dyn Read,
        count: &mut Count,
        cancel: &Cancel,
    ) -> Result<(), ArchiveError> {
        self.header(path, EntryType::Regular, 0o644, size)?;
        verified::copy((digest, size), contents, self.out, count, cancel)?;
        self.pad(size)
    }

    /// Ends the tar.
    pub(crate) fn finish(mut self) -> Result<(), ArchiveError> {
        self.write(&[0; 2 * HEADER_SIZE])?;
        self.out.flush().map_err(write_error)
    }

    /// No time, no owner, no name of one: the same contents give the same bytes.
    fn header(&mut self, path: &str, kind: EntryType, mode: u32, size: u64) -> Result<(), ArchiveError> {
        let mut header = EntryBuilder::new_ustar();
        header.path(path).entry_type(kind);
        header
            .mode(mode)
            .and_then(|header| header.uid(0))
            .and_then(|header| header.gid(0))
            .and_then(|header| header.mtime(0))
            .and_then(|header| header.size(size))
            .map_err(|error| write_error(std::io::Error::other(error)))?;
        let bytes = header.finish_bytes();
        self.write(&bytes)
    }

    fn pad(&mut self, size: u64) -> Result<(), ArchiveError> {
        let used = usize::try_from(size % HEADER_SIZE as u64).unwrap_or_default();
        let padding = [0; HEADER_SIZE];
        if used > 0 { self.write(padding.get(used..).unwrap_or_default()) } else { Ok(()) }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        self.out.write_all(bytes).map_err(write_error)
    }
}

fn write_error(source: std::io::Error) -> ArchiveError {
    ArchiveError::Stream { action: "write", source }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use base::Events;

    use image::Digester;

    use super::*;
    use base::task::Task;

    fn blob(digest: &Digest, size: u64, contents: &[u8]) -> Result<Vec<u8>, ArchiveError> {
        let mut bytes = Vec::new();
        Task::run(&Events::none(), "write".to_owned(), |task| {
            let mut writer = Writer::new(&mut bytes);
            writer.directory("blobs")?;
            let path = crate::format::blob_path(digest);
            let mut contents = contents;
            writer.blob(&path, (digest, size), &mut contents, &mut task.count(None), &Cancel::new())?;
            writer.finish()
        })?;
        Ok(bytes)
    }

    #[test]
    fn st_021_entries_have_no_times_and_no_owners() {
        let mut digester = Digester::new(image::Algorithm::Sha512);
        digester.update(b"contents");
        // A path that is too long for a plain header.
        for digest in [Digest::sha256(b"contents"), digester.finish()] {
            let bytes = blob(&digest, 8, b"contents").expect("a tar");
            let mut archive = tar::Archive::new(&bytes[..]);
            let mut found = Vec::new();
            for entry in archive.entries().expect("entries") {
                let mut entry = entry.expect("an entry");
                let header = entry.header();
                assert_eq!(
                    (header.mtime().ok(), header.uid().ok(), header.gid().ok()),
                    (Some(0), Some(0), Some(0))
                );
                assert_eq!((header.username(), header.groupname()), (Ok(Some("")), Ok(Some(""))));
                let mode = header.mode().expect("a mode");
                let path = entry.path().expect("a path").to_string_lossy().into_owned();
                let mut contents = String::new();
                entry.read_to_string(&mut contents).expect("contents");
                found.push((path, mode, contents));
            }
            let expected = [
                ("blobs/".to_owned(), 0o755, String::new()),
                (crate::format::blob_path(&digest), 0o644, "contents".to_owned()),
            ];
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_damaged_blob_is_not_written_unnoticed() {
        let digest = Digest::sha256(b"contents");
        for contents in [&b"content"[..], b"contents and more", b"Contents"] {
            let error = blob(&digest, 8, contents).expect_err("damage");
            assert!(error.to_string().contains(&digest.hex()), "{error}");
            assert_eq!(base::Classified::kind(&error), base::Kind::Corrupt);
        }
    }
}
