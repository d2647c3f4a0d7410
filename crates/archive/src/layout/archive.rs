//! An archive that is written in one stream: the documents that say what is in it, then the blobs (ST-021). The same contents give the same bytes.

use std::io::{Read, Write};

use base::Cancel;
use base::task::Count;
use image::{Descriptor, Digest, Manifest, Reference};

use super::documents;
use crate::ArchiveError;
use crate::format::{FULL_NAME, INDEX, LAYOUT, MANIFEST, REF_NAME, blob_path, tagged};
use crate::writer::Writer;

/// An image as docker before 25 finds it: with a config and layers, under names.
pub struct Docker<'a> {
    /// Its manifest.
    pub manifest: &'a Manifest,
    /// Its names.
    pub names: &'a [Reference],
}

/// The entries of an index for an image: one for each name (ST-020c: in its canonical form), one without annotations for an image without a name.
pub fn named(descriptor: &Descriptor, names: &[Reference]) -> Vec<Descriptor> {
    if names.is_empty() {
        return vec![descriptor.clone()];
    }
    let entry = |name: Reference| {
        let mut entry = descriptor.clone();
        entry.annotations.insert(FULL_NAME.to_owned(), name.to_string());
        entry.annotations.insert(REF_NAME.to_owned(), name.tag().unwrap_or_default().to_owned());
        entry
    };
    names.iter().filter_map(tagged).map(entry).collect()
}

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
        let mut directories = vec!["blobs".to_owned()];
        directories.extend(blobs.map(|digest| format!("blobs/{}", digest.algorithm().name())));
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
