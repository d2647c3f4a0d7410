//! Images: configs that the store has the layers of.

use std::time::SystemTime;

use image::{Config, Descriptor, ImageId, Manifest, Raw};

use crate::{Lease, Result};

/// How an image came to this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It was built here.
    Built,
    /// It came in an archive.
    Loaded,
    /// It was made from a root filesystem.
    Imported,
    /// It came from a registry.
    Pulled,
}

/// What the store knows of an image.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageRecord {
    /// Its identity: the digest of its config.
    pub id: ImageId,
    /// The manifests that describe it, the first one first: one whose layers are plain packs for an image that was built
    /// here, the original one for an image that came from elsewhere. (The same image can have several: its layers in different encodings.)
    pub manifests: Vec<Descriptor>,
    /// When it came to this machine.
    pub arrived: SystemTime,
    /// How.
    pub origin: Origin,
}

/// The images of a store.
#[derive(Clone)]
pub struct Images {}

impl Images {
    /// Adds an image, or a further manifest of it. Config, manifest and layers must be in the store already.
    pub fn add(
        &self,
        lease: &Lease,
        id: ImageId,
        manifest: Descriptor,
        origin: Origin,
    ) -> Result<ImageRecord> {
        let _ = (lease, id, manifest, origin);
        todo!()
    }

    /// An image by its ID.
    pub fn get(&self, id: &ImageId) -> Result<Option<ImageRecord>> {
        let _ = id;
        todo!()
    }

    /// All images.
    pub fn list(&self) -> Result<Vec<ImageRecord>> {
        todo!()
    }

    /// Forgets an image; what it needed stays until a collection. Names that mean it must be removed first.
    pub fn remove(&self, id: &ImageId) -> Result<bool> {
        let _ = id;
        todo!()
    }

    /// Its config.
    pub fn config(&self, id: &ImageId) -> Result<Raw<Config>> {
        let _ = id;
        todo!()
    }

    /// One of its manifests.
    pub fn manifest(&self, descriptor: &Descriptor) -> Result<Raw<Manifest>> {
        let _ = descriptor;
        todo!()
    }

    /// The image that a user means: a name (with `latest` when there is no tag), `name@digest`, an ID, or the beginning of one.
    pub fn resolve(&self, text: &str) -> Result<ImageRecord> {
        let _ = text;
        todo!()
    }
}
