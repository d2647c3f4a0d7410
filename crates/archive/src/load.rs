//! Loading: an archive of images, of any shape → the store, in one pass (ST-001 … ST-023, ST-035).

use std::io::Read;

use base::{Cancel, Events};
use image::{Descriptor, ImageId, Reference};
use store::{Lease, Store};

use crate::ArchiveError;

/// An image that was loaded.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// Which.
    pub image: ImageId,
    /// Its manifest.
    pub manifest: Descriptor,
    /// The names that it got.
    pub names: Vec<Reference>,
    /// Names that meant another image before (ST-016).
    pub moved: Vec<(Reference, ImageId)>,
}

/// Loads every image of an archive, and gives them their names. All layers are verified. When anything is wrong nothing is loaded.
pub fn load(
    store: &Store,
    lease: &Lease,
    archive: Box<dyn Read + Send + '_>,
    events: &Events,
    cancel: &Cancel,
) -> Result<Vec<Loaded>, ArchiveError> {
    let _ = (store, lease, archive, events, cancel);
    todo!()
}
