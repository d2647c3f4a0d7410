//! Copies into layouts and archives: blobs, documents from below, the name last; in an archive, which is one stream, the name first.

use std::io::{Read, Write};

use archive::ArchiveError;
use archive::layout::{Archive, Directory, Docker, called, named};
use base::task::{Count, Task};
use base::{Cancel, Events};
use image::{Descriptor, Document, Reference};

use super::graph::Graph;
use super::{Copied, each_blob};
use crate::local::transfer_error;
use crate::manifests::Fetched;
use crate::source::Source;
use crate::{DistributionError, Result};

/// What a copy shares with others.
pub(super) struct Work<'a> {
    pub source: &'a dyn Source,
    pub stop: &'a Cancel,
    pub events: &'a Events,
}

/// The entries of `index.json`: the image under its name; what refers to it, which is found by its subject; and what has a tag made of a digest.
fn entries(graph: &Graph, root: Vec<Descriptor>) -> Vec<Descriptor> {
    let referrers = graph.referrers.iter().filter(|fetched| fetched.document.subject().is_some());
    let referrers = referrers.map(|fetched| fetched.document.as_referrer(fetched.descriptor.clone()));
    let tagged = graph.digest_tags.iter().map(|(tag, fetched)| called(&fetched.descriptor, Some(tag)));
    root.into_iter().chain(referrers).chain(tagged).collect()
}

impl Work<'_> {
    /// Adds all of it to a layout. What is there is not written again.
    pub(super) fn to_directory(
        &self,
        to: &Directory,
        name: Option<&str>,
        graph: &Graph,
        root: &Descriptor,
    ) -> Result<Copied> {
        let copied = each_blob(graph, root, self.stop, |blob| {
            if to.has(blob) {
                return Ok(0);
            }
            self.blob(blob, |incoming, count| to.add(blob, incoming, count, self.stop))?;
            Ok(blob.size)
        })?;
        let mut is_new = false;
        for document in graph.all_documents() {
            is_new |= to.put(&document.descriptor, document.bytes())?;
        }
        self.stop.check()?;
        is_new |= to.name(&entries(graph, vec![called(root, name)]))?;
        let was_there = !is_new && copied.sent == 0;
        Ok(Copied { was_there, ..copied })
    }

    /// Writes all of it as an archive.
    pub(super) fn to_archive(
        &self,
        out: &mut dyn Write,
        name: Option<&str>,
        graph: &Graph,
        root: &Descriptor,
    ) -> Result<Copied> {
        self.stream(out, &entries(graph, vec![called(root, name)]), None, graph, root)
    }

    /// Writes an image for one platform as an archive that docker reads, too.
    pub(super) fn to_docker_archive(
        &self,
        out: &mut dyn Write,
        names: &[Reference],
        graph: &Graph,
        root: &Fetched,
    ) -> Result<Copied> {
        let manifest = match &root.document {
            Document::Manifest(manifest) if manifest.value().config.media_type.is_image_config() => {
                manifest.value()
            }
            _ => {
                return Err(DistributionError::Unsupported {
                    what: self.source.called(),
                    action: "put into a docker archive",
                    reason: "it is no image".to_owned(),
                });
            }
        };
        let entries = entries(graph, named(&root.descriptor, names));
        self.stream(out, &entries, Some(&[Docker { manifest, names }]), graph, &root.descriptor)
    }

    /// Documents, configs, layers: whoever reads it in one pass knows what comes (ST-021).
    fn stream(
        &self,
        out: &mut dyn Write,
        entries: &[Descriptor],
        docker: Option<&[Docker<'_>]>,
        graph: &Graph,
        root: &Descriptor,
    ) -> Result<Copied> {
        let mut documents: Vec<&Fetched> = graph.all_documents().collect();
        documents.sort_by_key(|document| document.descriptor.digest);
        documents.dedup_by_key(|document| document.descriptor.digest);
        let mut blobs: Vec<&Descriptor> = graph.blobs.iter().collect();
        blobs.sort_by_key(|blob| (!blob.media_type.is_image_config(), blob.digest));
        let digests = documents.iter().map(|document| &document.descriptor.digest);
        let digests = digests.chain(blobs.iter().map(|blob| &blob.digest));
        let mut archive = Archive::begin(out, entries, docker, digests)?;
        for document in &documents {
            archive.bytes(&document.descriptor.digest, document.bytes())?;
        }
        let mut copied = Copied::new(root.clone());
        for blob in blobs {
            self.blob(blob, |incoming, count| {
                archive.blob((&blob.digest, blob.size), incoming, count, self.stop)
            })?;
            copied.sent += blob.size;
        }
        archive.finish()?;
        Ok(copied.with(graph))
    }

    fn blob(
        &self,
        blob: &Descriptor,
        write: impl FnOnce(&mut dyn Read, &mut Count) -> Result<(), ArchiveError>,
    ) -> Result<()> {
        Task::run(self.events, format!("copy {}", blob.digest.short()), |task| {
            let (mut incoming, mut count) = (self.source.blob(blob, 0)?, task.count(Some(blob.size)));
            write(&mut incoming, &mut count)
                .map_err(|error| transfer_error(self.source, incoming.as_mut(), blob, error))?;
            count.end();
            Ok(())
        })
    }
}
