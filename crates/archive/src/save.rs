//! Saving: images → one tar that every tool reads (ST-020 … ST-022).

pub mod plan;

mod planned;

use std::collections::BTreeMap;
use std::io::Write;

use base::{Cancel, Events};
use image::{Descriptor, Digest, ImageId, Reference};
use layer::Encoding;
use store::{Lease, Store, StoreError, Variants};

use self::plan::{Nowhere, Plan, Planner};
use crate::ArchiveError;
use crate::layout::{Archive, Docker, named};
use base::task::Task;

/// One image to be saved, or the images of one index.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// Which. Of an index it is the one that is meant where only one can be.
    pub image: ImageId,
    /// The manifest that is saved when its layers travel as they are (an image that came from outside).
    pub manifest: Descriptor,
    /// The index, all images of which are here and are saved with it.
    pub variants: Option<Variants>,
    /// The names it gets in the archive; none for an image that will be known by its ID.
    pub names: Vec<Reference>,
}

impl Item {
    /// One image.
    pub fn of_image(image: ImageId, manifest: Descriptor, names: Vec<Reference>) -> Self {
        Self { image, manifest, variants: None, names }
    }

    /// An image, and what it was named for: an index when all of it is here, else the image alone.
    pub fn of_target(
        store: &Store,
        image: ImageId,
        target: &Descriptor,
        names: Vec<Reference>,
    ) -> Result<Self, StoreError> {
        let Some(variants) = store.images().variants(target)? else {
            return Ok(Self::of_image(image, target.clone(), names));
        };
        let described = variants.images.iter().find(|variant| variant.image == image);
        let manifest = match described {
            Some(variant) => variant.manifest.clone(),
            None => {
                let record = store.images().get(&image)?;
                let first = record.and_then(|record| record.manifests.into_iter().next());
                first.ok_or_else(|| StoreError::NoImage(image.to_string()))?
            }
        };
        let variants = (described.is_some() && variants.is_whole).then_some(variants);
        Ok(Self { image, manifest, variants, names })
    }

    /// What it means as a whole: the index, or the manifest.
    pub fn root(&self) -> &Descriptor {
        self.variants.as_ref().map_or(&self.manifest, |variants| &variants.index)
    }
}

/// How images are saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// How layers are compressed that were made here. Those that came from outside stay as they came.
    pub encoding: Encoding,
    /// How many threads compress.
    pub threads: usize,
    /// Whether `manifest.json` is written too, for docker before 25 and its like.
    pub docker: bool,
}

/// Writes an archive: `oci-layout`, `index.json`, `manifest.json`, then manifests, configs, layers. The same images give the same bytes. Gives the manifests, in order of the items.
pub fn save(
    store: &Store,
    lease: &Lease,
    items: &[Item],
    options: Options,
    out: &mut dyn Write,
    events: &Events,
    cancel: &Cancel,
) -> Result<Vec<Descriptor>, ArchiveError> {
    let merged = merged(items);
    let plans = Planner { store, lease, options, outlet: &Nowhere, events, cancel }.plan(&merged)?;
    let blobs = blobs(&plans);
    let entries: Vec<Descriptor> = plans.iter().flat_map(entries).collect();
    // Which holds no index: of several images one has the names there.
    let docker: Vec<_> = plans
        .iter()
        .map(|plan| Docker { manifest: plan.image.manifest.value(), names: &plan.names })
        .collect();
    let digests = blobs.iter().map(|(digest, ..)| digest);
    let mut archive = Archive::begin(out, &entries, options.docker.then_some(&docker[..]), digests)?;
    for (digest, size, is_layer) in blobs {
        write_blob(store, lease, &mut archive, (&digest, size, is_layer), events, cancel)?;
    }
    archive.finish()?;
    let manifest_of = |item: &Item| {
        let plan = merged.iter().zip(&plans).find(|(other, _)| is_same(item, other));
        plan.map(|(_, plan)| plan.root().clone())
    };
    Ok(items.iter().filter_map(manifest_of).collect())
}

fn is_same(one: &Item, other: &Item) -> bool {
    one.image == other.image && one.root().digest == other.root().digest
}

/// Each image once, with all its names (ST-015).
fn merged(items: &[Item]) -> Vec<Item> {
    let mut merged: Vec<Item> = Vec::new();
    for item in items {
        let Some(other) = merged.iter_mut().find(|other| is_same(item, other)) else {
            merged.push(item.clone());
            continue;
        };
        for name in &item.names {
            if !other.names.contains(name) {
                other.names.push(name.clone());
            }
        }
    }
    merged
}

/// What `index.json` says of an image: its platform, and its names; of an index, its names.
fn entries(plan: &Plan) -> Vec<Descriptor> {
    let platform = plan.image.config.value().platform();
    let is_known = !platform.os.is_empty() && !platform.architecture.is_empty();
    let platform = Some(platform).filter(|_| is_known && plan.variants.is_none());
    named(&Descriptor { platform, ..plan.root().clone() }, &plan.names)
}

fn write_blob(
    store: &Store,
    lease: &Lease,
    archive: &mut Archive<'_>,
    (digest, size, is_layer): (&Digest, u64, bool),
    events: &Events,
    cancel: &Cancel,
) -> Result<(), ArchiveError> {
    let mut blob = store.blobs().open(lease, digest)?;
    // Documents are too small to be told of.
    let events = if is_layer { events.clone() } else { Events::none() };
    Task::run(&events, format!("save layer {}", digest.short()), |task| {
        let mut count = task.count(Some(size));
        archive.blob((digest, size), &mut blob.file, &mut count, cancel)?;
        count.end();
        Ok(())
    })
}

/// All blobs, each once: indexes, manifests, then configs, then layers, each sort in order of digests.
fn blobs(plans: &[Plan]) -> Vec<(Digest, u64, bool)> {
    let indexes = plans.iter().filter_map(|plan| Some(&plan.variants.as_ref()?.descriptor));
    let images = || plans.iter().flat_map(Plan::images);
    let manifests = images().map(|image| &image.manifest_descriptor);
    let configs = images().map(|image| &image.manifest.value().config);
    let layers = images().flat_map(|image| &image.manifest.value().layers);
    let mut seen = BTreeMap::new();
    let mut blobs = Vec::new();
    let sorts: [(Vec<&Descriptor>, bool); 4] = [
        (indexes.collect(), false),
        (manifests.collect(), false),
        (configs.collect(), false),
        (layers.collect(), true),
    ];
    for (mut descriptors, is_layer) in sorts {
        descriptors.sort_by_key(|descriptor| descriptor.digest);
        for descriptor in descriptors {
            if seen.insert(descriptor.digest, ()).is_none() {
                blobs.push((descriptor.digest, descriptor.size, is_layer));
            }
        }
    }
    blobs
}
