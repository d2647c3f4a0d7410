//! What is saved of each image: the manifest that it came with, or one that is made for the journey.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use base::{Cancel, Events};
use image::manifest::MAX_MANIFEST_SIZE;
use image::{Config, Descriptor, DiffId, Digest, ImageId, Index, Manifest, MediaType, Raw};
use layer::{Encoding, forms};
use store::{GrowingBlob, Layer, Lease, Origin, Store, Variants};

pub use super::planned::{Plan, Planned, PlannedIndex};
use super::{Item, Options};
use crate::ArchiveError;
use base::task::Task;

/// Layers from this size on are compressed one after the other, each by all threads; smaller ones side by side.
const LARGE: u64 = 16 << 20;

/// Where the blobs of a plan go while it is made. Several threads call.
pub trait Outlet: Sync {
    /// A blob of the store belongs to the image. One that is, or was, made here has a recipe, which stays the same when it has to be made again ([`layer::forms::recipe`]).
    fn ready(&self, blob: &Descriptor, recipe: Option<Digest>);

    /// A blob of a layer is being made. It is complete when the plan is; `ready` is not called for it.
    fn growing(&self, layer: DiffId, blob: GrowingBlob, recipe: Digest);

    /// Whether a blob that the store lacks is there already: then nothing has to be made of its layer.
    fn has(&self, _blob: &Descriptor) -> bool {
        false
    }

    /// A blob of a layer that can be had elsewhere, though not from the store, and that fits. It is seen to that it gets there.
    fn elsewhere(&self, _layer: DiffId, _fits: &dyn Fn(&Descriptor) -> bool) -> Option<Descriptor> {
        None
    }
}

/// Nobody takes blobs before all of them are there.
pub struct Nowhere;

impl Outlet for Nowhere {
    fn ready(&self, _: &Descriptor, _: Option<Digest>) {}
    fn growing(&self, _: DiffId, _: GrowingBlob, _: Digest) {}
}

/// Plans one image, or index, and makes the blobs that are missing. They can be sent meanwhile.
pub fn plan(
    store: &Store,
    lease: &Lease,
    item: &Item,
    options: Options,
    outlet: &dyn Outlet,
    events: &Events,
    cancel: &Cancel,
) -> Result<Plan, ArchiveError> {
    let incomplete =
        || ArchiveError::Incomplete { image: item.image, what: "nothing of it is there".to_owned() };
    let planned =
        Planner { store, lease, options, outlet, events, cancel }.plan(std::slice::from_ref(item))?;
    planned.into_iter().next().ok_or_else(incomplete)
}

/// An image whose manifest is known, and which of its layers need a blob made.
struct Draft<'a> {
    image: ImageId,
    descriptor: &'a Descriptor,
    config: Raw<Config>,
    manifest: Raw<Manifest>,
    /// For each layer the descriptor that stays, or none.
    stays: Vec<Option<Descriptor>>,
}

pub(super) struct Planner<'a> {
    pub(super) store: &'a Store,
    pub(super) lease: &'a Lease,
    pub(super) options: Options,
    pub(super) outlet: &'a dyn Outlet,
    pub(super) events: &'a Events,
    pub(super) cancel: &'a Cancel,
}

impl Planner<'_> {
    /// Plans all images, and makes the blobs that are missing.
    pub(super) fn plan(&self, items: &[Item]) -> Result<Vec<Plan>, ArchiveError> {
        let drafts: Vec<Vec<Draft<'_>>> =
            items.iter().map(|item| self.drafts(item)).collect::<Result<_, _>>()?;
        let mut wanted = BTreeMap::new();
        for draft in drafts.iter().flatten() {
            for (diff_id, _) in draft.layers().filter(|(_, stays)| stays.is_none()) {
                wanted.insert(diff_id, self.layer(&draft.image, diff_id)?);
            }
        }
        let made = self.compress(wanted)?;
        items.iter().zip(drafts).map(|(item, drafts)| self.planned(item, drafts, &made)).collect()
    }

    /// Of an index, one for each image.
    fn drafts<'a>(&self, item: &'a Item) -> Result<Vec<Draft<'a>>, ArchiveError> {
        match &item.variants {
            None => Ok(vec![self.draft(item.image, &item.manifest)?]),
            Some(variants) => {
                let images = variants.images.iter();
                images.map(|variant| self.draft(variant.image, &variant.manifest)).collect()
            }
        }
    }

    fn planned(
        &self,
        item: &Item,
        drafts: Vec<Draft<'_>>,
        made: &BTreeMap<DiffId, Descriptor>,
    ) -> Result<Plan, ArchiveError> {
        let finished = drafts.into_iter().map(|draft| self.finish(draft, made));
        let images: Vec<Planned> = finished.collect::<Result<_, _>>()?;
        let image = images.iter().find(|image| image.image == item.image).cloned();
        let what = || "it is not in the index that was to be saved".to_owned();
        let image = image.ok_or_else(|| ArchiveError::Incomplete { image: item.image, what: what() })?;
        let variants = match &item.variants {
            Some(variants) => Some(self.index(variants, images)?),
            None => None,
        };
        Ok(Plan { image, variants, names: item.names.clone() })
    }

    /// The index with the manifests that its images travel with.
    fn index(&self, variants: &Variants, images: Vec<Planned>) -> Result<PlannedIndex, ArchiveError> {
        let blobs = self.store.blobs();
        let bytes = blobs.read(&variants.index.digest, MAX_MANIFEST_SIZE)?;
        let invalid = |source| ArchiveError::Document { entry: b"index".to_vec(), source };
        let index = Raw::<Index>::parse("index", bytes).map_err(invalid)?;
        let mut remade = index.value().clone();
        let mut is_same = true;
        for (entry, image) in remade.manifests.iter_mut().zip(&images) {
            let Descriptor { media_type, digest, size, .. } = image.manifest_descriptor.clone();
            is_same &= entry.digest == digest;
            (entry.media_type, entry.digest, entry.size) = (media_type, digest, size);
        }
        if is_same {
            if !blobs.keep(self.lease, &variants.index.digest)? {
                return Err(store::StoreError::NoBlob(variants.index.digest).into());
            }
            return Ok(PlannedIndex { index, descriptor: variants.index.clone(), images });
        }
        // Docker's own list takes docker's own manifests only.
        remade.media_type = Some(MediaType::OCI_INDEX);
        let index = Raw::write(remade).map_err(invalid)?;
        blobs.put(self.lease, index.bytes())?;
        let descriptor = index.descriptor(MediaType::OCI_INDEX);
        Ok(PlannedIndex { index, descriptor, images })
    }

    fn draft<'a>(&self, image: ImageId, descriptor: &'a Descriptor) -> Result<Draft<'a>, ArchiveError> {
        let incomplete = |what: String| ArchiveError::Incomplete { image, what };
        let images = self.store.images();
        let config = images.config(&image)?;
        let manifest = images.manifest(descriptor)?;
        let (layers, diff_ids) = (&manifest.value().layers, &config.value().rootfs.diff_ids);
        if manifest.value().config.digest != image.0 || layers.len() != diff_ids.len() {
            return Err(incomplete(format!("the manifest {} is not one of it", descriptor.digest)));
        }
        // Layers that were made here lie in the store as plain tars; what came plain from outside stays so.
        let origin = images.get(&image)?.map(|record| record.origin);
        let came = matches!(origin, Some(Origin::Loaded | Origin::Pulled));
        let mut stays = Vec::new();
        for (layer, diff_id) in layers.iter().zip(diff_ids) {
            let is_pack = layer.digest == diff_id.0 && layer.media_type == MediaType::OCI_LAYER;
            let is_there = (came || !is_pack) && self.is_there(layer)?;
            if is_there {
                self.outlet.ready(layer, None);
                stays.push(Some(layer.clone()));
                continue;
            }
            let as_it_came =
                came.then(|| self.outlet.elsewhere(*diff_id, &|blob| blob.digest == layer.digest));
            stays.push(match as_it_came.flatten() {
                Some(blob) => Some(blob),
                None => self.elsewhere(&image, *diff_id)?,
            });
        }
        Ok(Draft { image, descriptor, config, manifest, stays })
    }

    /// A blob that can be had elsewhere, when there is none of the layer here that is as it came: so what others have of a layer stays one blob.
    fn elsewhere(&self, image: &ImageId, diff_id: DiffId) -> Result<Option<Descriptor>, ArchiveError> {
        let layer = self.layer(image, diff_id)?;
        let encoding = self.options.encoding;
        if encoding == Encoding::Plain
            || layer.blobs()?.iter().any(|blob| blob.is_as_came() && is_compressed(&blob.descriptor))
        {
            return Ok(None);
        }
        if let Some(blob) = self.outlet.elsewhere(diff_id, &is_compressed) {
            return Ok(Some(blob));
        }
        // The same recipe gives the same blob: what was made once need not be made again to be compared.
        let made = layer.recorded()?.into_iter().find(|blob| blob.encoding == encoding.name());
        Ok(match made {
            Some(made) if !self.is_there(&made.descriptor)? && self.outlet.has(&made.descriptor) => {
                Some(made.descriptor)
            }
            _ => None,
        })
    }

    fn is_there(&self, blob: &Descriptor) -> Result<bool, ArchiveError> {
        let blobs = self.store.blobs();
        Ok(blobs.keep(self.lease, &blob.digest)? && blobs.size(&blob.digest)? == Some(blob.size))
    }

    fn layer(&self, image: &ImageId, diff_id: DiffId) -> Result<Layer, ArchiveError> {
        let what = || format!("the layer {diff_id} is not in the store");
        let layer = self.store.layers().get(&diff_id)?;
        layer.ok_or_else(|| ArchiveError::Incomplete { image: *image, what: what() })
    }

    /// Makes blobs of layers. Their bytes do not depend on how the work is divided.
    fn compress(
        &self,
        layers: BTreeMap<DiffId, Layer>,
    ) -> Result<BTreeMap<DiffId, Descriptor>, ArchiveError> {
        let is_large = |layer: &Layer| layer.table().tar_size() >= LARGE;
        let (large, small): (Vec<_>, Vec<_>) = layers.into_values().partition(is_large);
        let threads = self.options.threads.max(1);
        let mut made = BTreeMap::new();
        for layer in large {
            made.insert(layer.diff_id(), self.blob(&layer, threads)?);
        }
        made.extend(self.side_by_side(&small, threads)?);
        Ok(made)
    }

    fn side_by_side(
        &self,
        layers: &[Layer],
        threads: usize,
    ) -> Result<Vec<(DiffId, Descriptor)>, ArchiveError> {
        let next = AtomicUsize::new(0);
        let results = Mutex::new(Vec::new());
        let work = || {
            while let Some(layer) = layers.get(next.fetch_add(1, Ordering::Relaxed)) {
                let result = self.blob(layer, 1).map(|blob| (layer.diff_id(), blob));
                let is_bad = result.is_err();
                results.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(result);
                if is_bad {
                    // The others need not begin.
                    next.store(layers.len(), Ordering::Relaxed);
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..threads.min(layers.len()) {
                scope.spawn(work);
            }
            work();
        });
        results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).into_iter().collect()
    }

    fn blob(&self, layer: &Layer, threads: usize) -> Result<Descriptor, ArchiveError> {
        self.cancel.check()?;
        Task::run(self.events, format!("compress layer {}", layer.diff_id().0.short()), |task| {
            let count = task.count(Some(layer.table().tar_size()));
            let (store, lease, encoding) = (self.store, self.lease, self.options.encoding);
            let recipe = forms::recipe(layer, encoding);
            let is_watched = AtomicBool::new(false);
            let watch = |growing| {
                is_watched.store(true, Ordering::Relaxed);
                self.outlet.growing(layer.diff_id(), growing, recipe);
            };
            let blob = forms::blob_watched(store, lease, layer, encoding, threads, &watch, self.cancel)?;
            count.end();
            if !is_watched.into_inner() {
                self.outlet.ready(&blob, Some(recipe));
            }
            Ok(blob)
        })
    }

    /// The manifest as it came if all of its layers stay; else a new one, with the blobs that were made, or are had elsewhere.
    fn finish(&self, draft: Draft<'_>, made: &BTreeMap<DiffId, Descriptor>) -> Result<Planned, ArchiveError> {
        let (image, descriptor) = (draft.image, draft.descriptor);
        let (manifest, manifest_descriptor) = if draft.is_as_it_came() {
            let media_type = draft.manifest.value().media_type.clone();
            let descriptor = Descriptor::new(
                media_type.unwrap_or_else(|| descriptor.media_type.clone()),
                descriptor.digest,
                draft.manifest.bytes().len() as u64,
            );
            (draft.manifest, descriptor)
        } else {
            let manifest = draft.remade(made)?;
            self.store.blobs().put(self.lease, manifest.bytes())?;
            let descriptor = manifest.descriptor(MediaType::OCI_MANIFEST);
            (manifest, descriptor)
        };
        for digest in [&image.0, &manifest_descriptor.digest] {
            if !self.store.blobs().keep(self.lease, digest)? {
                return Err(store::StoreError::NoBlob(*digest).into());
            }
        }
        Ok(Planned { image, config: draft.config, manifest, manifest_descriptor })
    }
}

impl Draft<'_> {
    /// The layers: DiffIDs, and the descriptors that stay.
    fn layers(&self) -> impl Iterator<Item = (DiffId, Option<&Descriptor>)> {
        self.config.value().rootfs.diff_ids.iter().copied().zip(self.stays.iter().map(Option::as_ref))
    }

    /// Whether all layers travel as its manifest describes them.
    fn is_as_it_came(&self) -> bool {
        let layers = &self.manifest.value().layers;
        let same = |(stays, layer): (&Option<Descriptor>, &Descriptor)| {
            stays.as_ref().is_some_and(|stays| stays.digest == layer.digest)
        };
        self.stays.iter().zip(layers).all(same)
    }

    /// An OCI manifest with the notes of the one there is. (Docker's own media types do not go with those of layers made here.)
    fn remade(&self, made: &BTreeMap<DiffId, Descriptor>) -> Result<Raw<Manifest>, ArchiveError> {
        let image = self.image;
        let mut layers = Vec::new();
        for (diff_id, stays) in self.layers() {
            let what = || format!("the layer {diff_id} has no blob");
            let layer = stays.or_else(|| made.get(&diff_id));
            let mut layer = layer.cloned().ok_or_else(|| ArchiveError::Incomplete { image, what: what() })?;
            layer.media_type = layer.media_type.as_oci();
            layers.push(layer);
        }
        let size = self.config.bytes().len() as u64;
        let mut manifest = Manifest::oci(Descriptor::new(MediaType::OCI_CONFIG, image.0, size), layers);
        manifest.annotations = self.manifest.value().annotations.clone();
        Raw::write(manifest).map_err(|source| ArchiveError::Document { entry: b"manifest".to_vec(), source })
    }
}

fn is_compressed(blob: &Descriptor) -> bool {
    [MediaType::OCI_LAYER_GZIP, MediaType::OCI_LAYER_ZSTD, MediaType::DOCKER_LAYER_GZIP]
        .contains(&blob.media_type)
}
