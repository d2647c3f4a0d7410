//! An archive that is written in one stream: the documents that say what is in it, then the blobs (ST-021). The same contents give the same bytes.

use std::io::{Read, Write};

use base::Cancel;
use base::task::Count;
use image::{Descriptor, Digest};

use super::documents::{self, Docker};
use crate::ArchiveError;
use crate::format::{BLOBS, INDEX, LAYOUT, MANIFEST, blob_path};
use crate::writer::Writer;

/// An archive that is being written.
pub struct Archive<'a> {
    writer: Writer<'a>,
}

impl<'a> Archive<'a> {
    /// Writes what comes before the blobs: the entries of `index.json`, `manifest.json` where it is wanted, and the directories of the blobs.
    pub fn begin<'d>(
        out: &'a mut dyn Write,
        entries: &[Descriptor],
        docker: Option<&[Docker<'_>]>,
        blobs: impl Iterator<Item = &'d Digest>,
    ) -> Result<Self, ArchiveError> {
        let mut writer = Writer::new(out);
        writer.file(LAYOUT, &documents::version()?)?;
        writer.file(INDEX, &documents::index(entries)?)?;
        if let Some(docker) = docker {
            writer.file(MANIFEST, &documents::docker_manifest(docker)?)?;
        }
        let mut directories = vec![BLOBS.to_owned()];
        directories.extend(blobs.map(|digest| format!("{BLOBS}/{}", digest.algorithm().name())));
        directories.sort();
        directories.dedup();
        directories.iter().try_for_each(|directory| writer.directory(directory))?;
        Ok(Self { writer })
    }

    /// Writes a blob, verified on its way.
    pub fn blob(
        &mut self,
        (digest, size): (&Digest, u64),
        contents: &mut dyn Read,
        count: &mut Count,
        cancel: &Cancel,
    ) -> Result<(), ArchiveError> {
        self.writer.blob(&blob_path(digest), (digest, size), contents, count, cancel)
    }

    /// Writes a blob that is at hand.
    pub fn bytes(&mut self, digest: &Digest, bytes: &[u8]) -> Result<(), ArchiveError> {
        self.writer.file(&blob_path(digest), bytes)
    }

    /// Ends the archive.
    pub fn finish(self) -> Result<(), ArchiveError> {
        self.writer.finish()
    }
}
