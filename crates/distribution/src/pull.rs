//! Pulling: an image of a registry → the store.
//!
//! ```text
//! manifest (an index leads to the one for the platform) ─▶ config ─▶ layers that the store lacks, several at a time ─▶ image ─▶ name
//! ```

mod beside;

use std::collections::HashSet;
use std::io::Write;

use archive::layout::Layout;
use base::task::{Counted, Task};
use base::{Cancel, Classified, Events, IoContext, Kind, sizes};
use image::config::MAX_CONFIG_SIZE;
use image::{Config, Descriptor, DiffId, Digest, ImageId, Manifest, Platform, Raw, Reference};
use layer::LayerError;
use layer::ingest::{ExpectedBlob, continue_ingest, ingest_blob};
use store::{Layer, Lease, NameRecord, Origin, Store, StoreError};

pub use self::beside::pull_beside;
use crate::client::Client;
use crate::local::InLayout;
use crate::manifests::Fetched;
use crate::parallel::{BLOBS_AT_A_TIME, in_parallel};
use crate::source::{self, Source, strange};
use crate::{DistributionError, Result};

/// Wrong bytes are asked for once more, in case they were wrong on the way (RC-060).
const ATTEMPTS_AT_BYTES: usize = 2;

/// An image that was pulled.
#[derive(Debug, Clone, PartialEq)]
pub struct Pulled {
    /// The name that it got.
    pub reference: Reference,
    /// Which.
    pub image: ImageId,
    /// Its manifest.
    pub manifest: Descriptor,
    /// What the name means on the registry: the manifest, or the index that it is in.
    pub target: Descriptor,
    /// What the name meant here before.
    pub before: Option<NameRecord>,
}

impl Pulled {
    /// Whether the name means what it meant before.
    pub fn was_there(&self) -> bool {
        self.before
            .as_ref()
            .is_some_and(|before| before.image == self.image && before.target == self.manifest)
    }
}

/// Pulls the image that a name means on its registry, for a platform. What the store has is not transferred; what has come of an interrupted pull is continued.
pub fn pull(
    client: &Client,
    store: &Store,
    lease: &Lease,
    reference: &Reference,
    platform: &Platform,
    events: &Events,
    cancel: &Cancel,
) -> Result<Pulled> {
    let reference = reference.clone().or_latest();
    let source = client.source(&reference, cancel)?;
    pull_as(&source, store, lease, &reference, platform, events, cancel)
}

/// A tag beside a digest is a remark: it does not get to mean this image here (RC-007).
fn name_of(reference: &Reference) -> Reference {
    let Some(digest) = reference.digest() else { return reference.clone() };
    Reference::parse(&format!("{}@{digest}", reference.repository())).unwrap_or(reference.clone())
}

/// Takes the image that a source has into the store, under a name.
pub(crate) fn pull_as(
    source: &dyn Source,
    store: &Store,
    lease: &Lease,
    reference: &Reference,
    platform: &Platform,
    events: &Events,
    cancel: &Cancel,
) -> Result<Pulled> {
    let first = source.first()?;
    let target = first.descriptor.clone();
    let (image, descriptor) = Pull { source, store, lease, events, cancel }.chosen(first, platform)?;
    let name = name_of(reference);
    let before = store.images().name(lease, &name, (image, &descriptor), Origin::Pulled)?;
    Ok(Pulled { reference: name, image, manifest: descriptor, target, before })
}

/// Takes what this describes in a layout into the store, for a platform, and gives it no name.
pub fn from_layout(
    layout: &Layout,
    root: &Descriptor,
    (store, lease): (&Store, &Lease),
    platform: &Platform,
    events: &Events,
    cancel: &Cancel,
) -> Result<ImageId> {
    let source = &InLayout::new(layout, root);
    let pull = Pull { source, store, lease, events, cancel };
    pull.chosen(source.first()?, platform).map(|(image, _)| image)
}

struct Pull<'a> {
    source: &'a dyn Source,
    store: &'a Store,
    lease: &'a Lease,
    events: &'a Events,
    cancel: &'a Cancel,
}

impl Pull<'_> {
    /// Brings the image for a platform; gives its manifest as well.
    fn chosen(&self, first: Fetched, platform: &Platform) -> Result<(ImageId, Descriptor)> {
        let (manifest, descriptor) = source::choose(self.source, first, platform)?;
        Ok((self.image(&manifest, &descriptor, platform)?, descriptor))
    }

    /// Brings all of an image into the store, and adds it.
    fn image(
        &self,
        manifest: &Raw<Manifest>,
        descriptor: &Descriptor,
        platform: &Platform,
    ) -> Result<ImageId> {
        let described = &manifest.value().config;
        if !described.media_type.is_image_config() {
            return Err(DistributionError::Unsupported {
                what: self.source.called(),
                action: "pulled",
                reason: format!("it is no image, but an artifact ({})", described.media_type),
            });
        }
        let config = self.config(described)?;
        self.compare(config.value(), platform);
        let (layers, diff_ids) = (&manifest.value().layers, &config.value().rootfs.diff_ids);
        if layers.len() != diff_ids.len() {
            let reason = format!("its manifest has {} layers, its config {}", layers.len(), diff_ids.len());
            return Err(strange(self.source, "give the image", &reason));
        }
        // The same layer may be there several times. The largest ones begin: they take longest.
        let mut seen = HashSet::new();
        let mut wanted: Vec<_> = layers
            .iter()
            .zip(diff_ids.iter().copied())
            .filter(|(_, diff_id)| seen.insert(*diff_id))
            .collect();
        wanted.sort_by_key(|(layer, _)| std::cmp::Reverse(layer.size));
        let _held: Vec<Layer> =
            in_parallel(&wanted, BLOBS_AT_A_TIME, |(layer, diff_id)| self.layer(layer, *diff_id))?;
        let image = ImageId(described.digest);
        self.keep(&described.digest, config.bytes())?;
        self.keep(&descriptor.digest, manifest.bytes())?;
        self.store.sync()?;
        self.cancel.check()?;
        self.store.images().add(self.lease, image, descriptor.clone(), Origin::Pulled)?;
        Ok(image)
    }

    fn config(&self, described: &Descriptor) -> Result<Raw<Config>> {
        let is_small = described.size <= MAX_CONFIG_SIZE;
        if is_small && self.store.blobs().size(&described.digest)? == Some(described.size) {
            let bytes = self.store.blobs().read(&described.digest, MAX_CONFIG_SIZE)?;
            return source::parsed_config(self.source, bytes);
        }
        source::config(self.source, described)
    }

    /// Stores a document.
    fn keep(&self, digest: &Digest, bytes: &[u8]) -> Result<()> {
        let mut writer = self.store.blobs().writer(self.lease)?;
        writer.write_all(bytes).context("write", self.store.blobs().path(digest))?;
        writer.commit(Some((*digest, bytes.len() as u64)))?;
        Ok(())
    }

    /// An image that is not in an index may be for another platform than the one that is wanted: that is told, as docker does it.
    fn compare(&self, config: &Config, wanted: &Platform) {
        let is = Platform::new(&config.os, &config.architecture, config.variant.as_deref()).normalized();
        let wanted = wanted.normalized();
        if (&is.os, &is.architecture) != (&wanted.os, &wanted.architecture) {
            self.events.warn(format!("{} is for {is}, not for {wanted}", self.source.called()));
        }
    }

    fn layer(&self, described: &Descriptor, diff_id: DiffId) -> Result<Layer> {
        if let Some(layer) = self.store.layers().get(&diff_id)? {
            return Ok(layer);
        }
        let name = format!("pull layer {}", described.digest.short());
        Task::run(self.events, name, |task| {
            let mut attempt = 1;
            loop {
                let (result, failure) = self.attempt(described, diff_id, task);
                match (result, failure) {
                    (Ok(layer), _) => return Ok(layer),
                    (Err(_), Some(failure)) => return Err(failure),
                    (Err(error), None) if error.kind() == Kind::Corrupt && attempt < ATTEMPTS_AT_BYTES => {
                        task.say("the bytes were wrong: once more, from the beginning");
                        attempt += 1;
                    }
                    (Err(error), None) => return Err(self.broken(described.digest, error)),
                }
            }
        })
    }

    /// The error of a layer that did not arrive. What lies on this machine was not changed by anybody on the way.
    fn broken(&self, digest: Digest, error: LayerError) -> DistributionError {
        match error {
            LayerError::Cancelled(cancelled) => cancelled.into(),
            LayerError::Store(StoreError::Mismatch { expected, found, .. })
                if self.source.repository().is_none() =>
            {
                self.source.mismatch(format!("the layer {digest}"), expected, found)
            }
            source => DistributionError::PulledLayer { digest: Box::new(digest), source: Box::new(source) },
        }
    }

    /// One stream through everything: to the disk, the hash, the decompressor, the table. Gives also why the stream ended, if it was that.
    fn attempt(
        &self,
        described: &Descriptor,
        diff_id: DiffId,
        task: &Task<'_>,
    ) -> (Result<Layer, LayerError>, Option<DistributionError>) {
        let (digest, size) = (described.digest, described.size);
        let partial = match self.store.blobs().resume(self.lease, &digest, size, self.cancel) {
            Ok(Some(partial)) => partial,
            Ok(None) => {
                let ingested = ingest_blob(self.store, self.lease, &digest, Some(diff_id), self.cancel);
                return (ingested.map(|ingested| ingested.layer), None);
            }
            Err(error) => return (Err(error.into()), None),
        };
        let there = partial.length();
        let mut count = task.count(Some(size));
        if there > 0 {
            task.say(&format!("resumed at {}", sizes::share(there, size)));
            count.set(there);
        }
        let download = match self.source.blob(described, there) {
            Ok(download) => download,
            Err(error) => return (Err(LayerError::Cancelled(base::Cancelled)), Some(error)),
        };
        let mut counted = Counted { inner: download, count };
        let expected = ExpectedBlob { digest, size, diff_id: Some(diff_id) };
        let ingested = continue_ingest(self.store, self.lease, partial, &mut counted, expected, self.cancel);
        let Counted { mut inner, count } = counted;
        match ingested {
            Ok(ingested) => {
                count.end();
                for warning in &ingested.warnings {
                    self.events.warn(format!("layer {}: {warning}", digest.short()));
                }
                (Ok(ingested.layer), None)
            }
            Err(error) => (Err(error), inner.failure()),
        }
    }
}
