//! The layers of an image.

use image::{Config, ImageId};
use store::{Layer, Store};

use crate::error::{EngineError, MissingLayer};

/// The layers of an image, lowest first, held.
pub fn layers(store: &Store, id: &ImageId, config: &Config) -> Result<Vec<Layer>, EngineError> {
    let find = |layer: &image::DiffId| {
        let missing = || EngineError::MissingLayer(Box::new(MissingLayer { image: *id, layer: *layer }));
        store.layers().get(layer)?.ok_or_else(missing)
    };
    config.rootfs.diff_ids.iter().map(find).collect()
}
