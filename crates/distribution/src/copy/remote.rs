//! Copies into a registry: blobs, then documents from below, the tag last (RC-076).

use base::task::Task;
use base::{Cancel, Events};
use image::{Descriptor, Reference};
use store::Store;

use super::graph::Graph;
use super::{Copied, each_blob, pipe};
use crate::manifests;
use crate::registry::Registry;
use crate::source::Source;
use crate::upload::{Blob, Upload};
use crate::{DistributionError, Result};

/// A registry that copies go to.
pub(super) struct ToRegistry<'a> {
    pub registry: Registry<'a>,
    pub reference: &'a Reference,
    /// Where the sessions of uploads are noted.
    pub store: &'a Store,
    /// Where one blob fails, the others end.
    pub stop: &'a Cancel,
    pub events: &'a Events,
}

impl ToRegistry<'_> {
    /// Whether the name means this document there already.
    pub(super) fn has(&self, root: &Descriptor) -> Result<bool> {
        match manifests::resolve(&self.registry, self.reference) {
            Ok(there) => Ok(there.digest == root.digest),
            Err(
                DistributionError::NotFound { .. }
                // What is there may be anything, also something that no manifest can be; who may push need not be permitted to pull.
                | DistributionError::Document { .. }
                | DistributionError::Denied { .. },
            ) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Sends everything; what is there is not sent.
    pub(super) fn put(&self, source: &dyn Source, graph: &Graph, root: &Descriptor) -> Result<Copied> {
        let copied = each_blob(graph, root, self.stop, |blob| self.blob(source, blob))?;
        let by_digest = |document: &manifests::Fetched| document.descriptor.digest.to_string();
        let below = graph.documents.iter().filter(|document| document.descriptor.digest != root.digest);
        for document in below.chain(&graph.referrers) {
            manifests::publish(&self.registry, &by_digest(document), document)?;
        }
        for (tag, document) in &graph.digest_tags {
            manifests::publish(&self.registry, tag, document)?;
        }
        for document in graph.documents.iter().filter(|document| document.descriptor.digest == root.digest) {
            let by = self.reference.tag().map_or_else(|| by_digest(document), str::to_owned);
            manifests::publish(&self.registry, &by, document)?;
        }
        Ok(copied)
    }

    fn blob(&self, source: &dyn Source, blob: &Descriptor) -> Result<u64> {
        Task::run(self.events, format!("copy {}", blob.digest.short()), |task| {
            let from = source.repository().filter(|other| {
                other.host == self.registry.host && other.repository != self.registry.repository
            });
            let from = from.map(|other| other.repository.as_str());
            pipe::through(source, blob, |content| {
                let (registry, store) = (&self.registry, self.store);
                let (blob, noted_as) = (Blob::Known(blob), blob.digest);
                Upload { registry, store, content, blob, noted_as, from, task }.run()
            })
        })
    }
}
