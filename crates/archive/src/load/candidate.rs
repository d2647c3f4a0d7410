//! An image that is whole and verified, and not in the store yet; or an index with all of its images.

use std::collections::BTreeMap;
use std::io::Write;
use std::iter::once;
use std::sync::Arc;

use image::{Config, Descriptor, Digest, ImageId, Manifest, MediaType, Raw, Reference};
use store::{Layer, Origin};

use super::Loaded;
use super::contents::Contents;
use super::intake::Held;
use crate::ArchiveError;
use crate::documents::{DockerEntry, Documents, Found, check_count, config};

/// An image of the archive.
pub(super) struct Candidate {
    pub(super) image: ImageId,
    config: Raw<Config>,
    pub(super) manifest: Descriptor,
    manifest_bytes: Vec<u8>,
    pub(super) names: Vec<Reference>,
    /// Where it is one of several, all of which are loaded.
    pub(super) of: Option<OfIndex>,
    /// Held until all is done.
    _layers: Vec<Layer>,
}

/// An index, which its names get to mean, and its images but for the one that a name means on this machine.
pub(super) struct OfIndex {
    pub(super) index: Descriptor,
    pub(super) bytes: Arc<[u8]>,
    pub(super) others: Vec<Candidate>,
}

impl Candidate {
    /// The same with these names.
    pub(super) fn named(self, names: Vec<Reference>) -> Self {
        Self { names, ..self }
    }

    /// This image, and those for other platforms.
    fn images(&self) -> impl Iterator<Item = &Candidate> {
        once(self).chain(self.of.iter().flat_map(|of| &of.others))
    }

    /// What its names get to mean.
    fn target(&self) -> &Descriptor {
        self.of.as_ref().map_or(&self.manifest, |of| &of.index)
    }
}

impl Contents<'_> {
    /// The image of a manifest: its digest is kept when the store has all blobs as they came.
    pub(super) fn image_of(
        &self,
        descriptor: &Descriptor,
        manifest: &Raw<Manifest>,
        found: &Found,
    ) -> Result<Candidate, ArchiveError> {
        let config = config(found)?;
        let layers = &manifest.value().layers;
        let diff_ids = &config.value().rootfs.diff_ids;
        let manifest_name = format!("the manifest {}", descriptor.digest);
        check_count(&manifest_name, layers.len(), &found.path, diff_ids.len())?;
        let mut held = Vec::new();
        for (layer, diff_id) in layers.iter().zip(diff_ids) {
            held.push(self.described_layer(layer, *diff_id)?.1);
        }
        let image = ImageId(manifest.value().config.digest);
        if layers.iter().zip(&held).all(|(layer, held)| layer.digest == held.blob.digest) {
            return Ok(Candidate {
                image,
                config,
                manifest: descriptor.clone(),
                manifest_bytes: manifest.bytes().to_vec(),
                names: Vec::new(),
                of: None,
                _layers: held.into_iter().map(|held| held.layer).collect(),
            });
        }
        self.intake.events.warn(format!(
            "{manifest_name} gets another digest: layers in bzip2 or xz are stored as plain tars, since no registry takes them"
        ));
        remade(image, config, held)
    }

    /// The images of an archive that has `manifest.json` alone.
    pub(super) fn images_of_docker(&self) -> Result<Vec<Candidate>, ArchiveError> {
        self.docker_images()?.into_iter().map(|image| self.image_of_docker(image)).collect()
    }

    /// One image of `manifest.json`.
    pub(super) fn image_of_docker(&self, image: DockerEntry) -> Result<Candidate, ArchiveError> {
        let config = config(&image.config)?;
        let diff_ids = &config.value().rootfs.diff_ids;
        check_count("manifest.json", image.layers.len(), &image.config.path, diff_ids.len())?;
        let mut held = Vec::new();
        for (name, diff_id) in image.layers.iter().zip(diff_ids) {
            let (path, file) = self.named_file(name)?;
            held.push(self.layer(&path, file, *diff_id)?);
        }
        Ok(remade(ImageId(config.digest()), config, held)?.named(image.names))
    }

    /// Puts images into the store and gives them their names.
    pub(super) fn publish(&self, candidates: Vec<Candidate>) -> Result<Vec<Loaded>, ArchiveError> {
        let (store, lease) = (self.intake.store, self.intake.lease);
        for image in candidates.iter().flat_map(Candidate::images) {
            self.put(&image.image.0, image.config.bytes())?;
            self.put(&image.manifest.digest, &image.manifest_bytes)?;
        }
        for of in candidates.iter().filter_map(|candidate| candidate.of.as_ref()) {
            self.put(&of.index.digest, &of.bytes)?;
        }
        store.sync()?;
        self.intake.cancel.check()?;
        for image in candidates.iter().flat_map(Candidate::images) {
            store.images().add(lease, image.image, image.manifest.clone(), Origin::Loaded)?;
        }
        let mut loaded = Vec::new();
        for candidate in candidates {
            let mut moved = Vec::new();
            for name in &candidate.names {
                let (images, image) = (store.images(), (candidate.image, &candidate.manifest));
                let before = match &candidate.of {
                    Some(of) => images.name_index(lease, name, &of.index, image, Origin::Loaded)?,
                    None => images.name(lease, name, image, Origin::Loaded)?,
                };
                moved.extend(
                    before
                        .filter(|before| before.image != candidate.image)
                        .map(|before| (name.clone(), before.image)),
                );
            }
            let Candidate { image, manifest, names, of, .. } = candidate;
            loaded.push(Loaded { image, manifest, index: of.map(|of| of.index), names, moved });
        }
        Ok(loaded)
    }

    fn put(&self, digest: &Digest, bytes: &[u8]) -> Result<(), ArchiveError> {
        let mut writer = self.intake.store.blobs().writer(self.intake.lease)?;
        writer
            .write_all(bytes)
            .map_err(|source| ArchiveError::Stream { action: "store a part of", source })?;
        writer.commit(Some((*digest, bytes.len() as u64)))?;
        Ok(())
    }
}

/// An image with a manifest of our own: the same archive gives the same everywhere.
fn remade(image: ImageId, config: Raw<Config>, held: Vec<Held>) -> Result<Candidate, ArchiveError> {
    let size = config.bytes().len() as u64;
    let blobs = held.iter().map(|held| held.blob.clone()).collect();
    let manifest = Manifest::oci(Descriptor::new(MediaType::OCI_CONFIG, image.0, size), blobs);
    let manifest = Raw::write(manifest)
        .map_err(|source| ArchiveError::Document { entry: b"manifest.json".to_vec(), source })?;
    Ok(Candidate {
        image,
        config,
        manifest: manifest.descriptor(MediaType::OCI_MANIFEST),
        manifest_bytes: manifest.bytes().to_vec(),
        names: Vec::new(),
        of: None,
        _layers: held.into_iter().map(|held| held.layer).collect(),
    })
}

/// One entry for each image, with all its names; an error when a name means two images (ST-031).
pub(super) fn merge(candidates: Vec<Candidate>) -> Result<Vec<Candidate>, ArchiveError> {
    let mut meant: BTreeMap<Reference, ImageId> = BTreeMap::new();
    let mut merged: Vec<Candidate> = Vec::new();
    for candidate in candidates {
        for name in &candidate.names {
            if meant.insert(name.clone(), candidate.image).is_some_and(|before| before != candidate.image) {
                return Err(ArchiveError::Refused(format!(
                    "two images in it have the name {}",
                    name.familiar()
                )));
            }
        }
        let same = |other: &&mut Candidate| {
            other.image == candidate.image && other.target().digest == candidate.target().digest
        };
        let Some(other) = merged.iter_mut().find(same) else {
            merged.push(candidate);
            continue;
        };
        for name in candidate.names {
            if !other.names.contains(&name) {
                other.names.push(name);
            }
        }
    }
    Ok(merged)
}
