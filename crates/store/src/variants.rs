//! Variants: the images of an index, one for each platform, under one name.

use image::choice::NoSuchPlatform;
use image::manifest::MAX_MANIFEST_SIZE;
use image::{Descriptor, Document, ImageId, Index, Platform, Reference};

use crate::images::Images;
use crate::{ImageRecord, Lease, NameRecord, Origin, Result, StoreError};

/// An index, and those of its images that are here.
#[derive(Debug, Clone, PartialEq)]
pub struct Variants {
    /// The index.
    pub index: Descriptor,
    /// The images, in its order.
    pub images: Vec<Variant>,
    /// Whether everything that it describes is among them.
    pub is_whole: bool,
}

/// An image of an index.
#[derive(Debug, Clone, PartialEq)]
pub struct Variant {
    /// Which.
    pub image: ImageId,
    /// Its manifest, as the index describes it: with the platform.
    pub manifest: Descriptor,
}

impl Variants {
    /// The image that fits a platform best, if one does.
    pub fn for_platform(&self, platform: &Platform) -> Option<&Variant> {
        self.require(platform).ok()
    }

    /// The same, with an error that says what there is.
    pub fn require(&self, platform: &Platform) -> Result<&Variant, NoSuchPlatform> {
        let index = Index::oci(self.images.iter().map(|variant| variant.manifest.clone()).collect());
        let chosen = image::choice::require(&index, platform)?.digest;
        let found = self.images.iter().find(|variant| variant.manifest.digest == chosen);
        found.ok_or_else(|| NoSuchPlatform { wanted: Box::new(platform.clone()), available: Vec::new() })
    }

    /// Whether an image is one of them.
    pub fn has(&self, image: &ImageId) -> bool {
        self.images.iter().any(|variant| variant.image == *image)
    }
}

impl Images {
    /// The images of an index; none for what is no index, or is not here.
    pub fn variants(&self, target: &Descriptor) -> Result<Option<Variants>> {
        let blobs = self.store().blobs();
        if !target.media_type.is_index() || blobs.size(&target.digest)?.is_none() {
            return Ok(None);
        }
        let Document::Index(index) = Document::parse(&blobs.read(&target.digest, MAX_MANIFEST_SIZE)?)? else {
            return Ok(None);
        };
        let described = &index.value().manifests;
        let mut images = Vec::new();
        for manifest in described {
            images.extend(self.variant(manifest)?);
        }
        let is_whole = images.len() == described.len();
        Ok(Some(Variants { index: target.clone(), images, is_whole }))
    }

    fn variant(&self, manifest: &Descriptor) -> Result<Option<Variant>> {
        if !manifest.media_type.is_manifest() || self.store().blobs().size(&manifest.digest)?.is_none() {
            return Ok(None);
        }
        let image = ImageId(self.manifest(manifest)?.value().config.digest);
        Ok(self.get(&image)?.map(|_| Variant { image, manifest: manifest.clone() }))
    }

    /// The image that a user means on a platform: the one that fits best of an index that the name means, else what [`Images::resolve`] gives.
    pub fn resolve_for(&self, text: &str, platform: &Platform) -> Result<ImageRecord> {
        let image = self.resolve(text)?;
        let Some(name) = self.name_of(text, &image)? else { return Ok(image) };
        let variants = self.variants(&name.target)?;
        let Some(variant) = variants.as_ref().and_then(|variants| variants.for_platform(platform)) else {
            return Ok(image);
        };
        self.get(&variant.image)?.ok_or_else(|| StoreError::NoImage(text.to_owned()))
    }

    /// The name that a user has written for an image; none for an ID.
    fn name_of(&self, text: &str, image: &ImageRecord) -> Result<Option<NameRecord>> {
        let Ok(reference) = Reference::parse(text) else { return Ok(None) };
        let names = self.store().names();
        let Some(digest) = reference.digest() else {
            return Ok(names.get(&reference.or_latest())?.filter(|name| name.image == image.id));
        };
        let is_it = |name: &NameRecord| {
            let own = &name.reference;
            (own.host(), own.path()) == (reference.host(), reference.path())
                && name.image == image.id
                && (own.digest() == Some(digest) || name.target.digest == digest)
        };
        Ok(names.list()?.into_iter().find(is_it))
    }

    /// Names an index: the name means one of its images where one image is wanted. The image is added again when somebody removes it in between.
    pub fn name_index(
        &self,
        lease: &Lease,
        reference: &Reference,
        index: &Descriptor,
        (id, manifest): (ImageId, &Descriptor),
        origin: Origin,
    ) -> Result<Option<NameRecord>> {
        loop {
            match self.store().names().set(lease, reference, id, index) {
                Err(StoreError::NoImage(_)) => self.add(lease, id, manifest.clone(), origin)?,
                other => return other,
            };
        }
    }

    /// Whether a name means an index that an image belongs to. An index that cannot be read has none.
    pub(crate) fn is_variant_of(&self, id: &ImageId, name: &NameRecord) -> bool {
        self.variants(&name.target).ok().flatten().is_some_and(|variants| variants.has(id))
    }
}
