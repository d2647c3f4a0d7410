//! What was planned: the documents that travel.

use image::{Config, Descriptor, Document, ImageId, Index, Manifest, Raw, Reference};

/// What travels: an image, or an index with its images.
pub struct Plan {
    /// The image; of an index the one that is meant where only one can be.
    pub image: Planned,
    /// The index, and what it describes.
    pub variants: Option<PlannedIndex>,
    /// The names it has where it goes.
    pub names: Vec<Reference>,
}

/// An index as it travels.
pub struct PlannedIndex {
    /// The index: the one that is in the store, when all of its images travel as it describes them; else one that describes them as they do.
    pub index: Raw<Index>,
    /// Its descriptor.
    pub descriptor: Descriptor,
    /// Its images, in its order.
    pub images: Vec<Planned>,
}

impl Plan {
    /// All images.
    pub fn images(&self) -> impl Iterator<Item = &Planned> {
        let alone = self.variants.is_none().then_some(&self.image);
        alone.into_iter().chain(self.variants.iter().flat_map(|variants| &variants.images))
    }

    /// What its names mean.
    pub fn root(&self) -> &Descriptor {
        self.variants.as_ref().map_or(&self.image.manifest_descriptor, |variants| &variants.descriptor)
    }

    /// The document that its names mean.
    pub fn document(&self) -> Document {
        match &self.variants {
            Some(variants) => Document::Index(variants.index.clone()),
            None => Document::Manifest(self.image.manifest.clone()),
        }
    }
}

/// An image as it travels: every blob that it needs is in the store, and kept, or where the outlet says that it can be had.
#[derive(Clone)]
pub struct Planned {
    /// Which.
    pub image: ImageId,
    /// Its config.
    pub config: Raw<Config>,
    /// The manifest: the one it came with, when its layers are here as they came; else one with the blobs that were made.
    pub manifest: Raw<Manifest>,
    /// The manifest's descriptor.
    pub manifest_descriptor: Descriptor,
}
