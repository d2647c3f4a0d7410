//! Names: which image a reference means.

use std::time::SystemTime;

use image::{Descriptor, ImageId, Reference};

use crate::{Lease, Result};

/// What a name means.
#[derive(Debug, Clone, PartialEq)]
pub struct NameRecord {
    /// The name, with a tag.
    pub reference: Reference,
    /// The image.
    pub image: ImageId,
    /// The manifest (or index) that the name was given for.
    pub target: Descriptor,
    /// Since when.
    pub since: SystemTime,
}

/// The names of a store.
#[derive(Clone)]
pub struct Names {}

impl Names {
    /// Gives a name to an image; gives what the name meant before.
    pub fn set(
        &self,
        lease: &Lease,
        reference: &Reference,
        image: ImageId,
        target: &Descriptor,
    ) -> Result<Option<NameRecord>> {
        let _ = (lease, reference, image, target);
        todo!()
    }

    /// What a name means. `latest` is not added here.
    pub fn get(&self, reference: &Reference) -> Result<Option<NameRecord>> {
        let _ = reference;
        todo!()
    }

    /// Forgets a name.
    pub fn remove(&self, reference: &Reference) -> Result<Option<NameRecord>> {
        let _ = reference;
        todo!()
    }

    /// All names, in order.
    pub fn list(&self) -> Result<Vec<NameRecord>> {
        todo!()
    }
}
