//! `oci-layout`, `index.json`, `manifest.json`, as they are written.

use image::{Index, Raw};
use serde::Serialize;
use serde_json::Map;

use super::archive::Docker;
use crate::ArchiveError;
use crate::format::{DockerImage, LAYOUT_VERSION, Version, blob_path, tagged};

pub(super) fn version() -> Result<Vec<u8>, ArchiveError> {
    write("oci-layout", Version { image_layout_version: LAYOUT_VERSION.to_owned() })
}

pub(super) fn index(entries: &[image::Descriptor]) -> Result<Vec<u8>, ArchiveError> {
    write("index.json", Index::oci(entries.to_vec()))
}

/// The same for docker before 25, and for tools that read docker archives.
pub(super) fn docker_manifest(images: &[Docker<'_>]) -> Result<Vec<u8>, ArchiveError> {
    let familiar = |name: &image::Reference| tagged(name).map(|name| name.familiar());
    let image = |image: &Docker<'_>| DockerImage {
        config: blob_path(&image.manifest.config.digest),
        repo_tags: (!image.names.is_empty()).then(|| image.names.iter().filter_map(familiar).collect()),
        layers: Some(image.manifest.layers.iter().map(|layer| blob_path(&layer.digest)).collect()),
        others: Map::new(),
    };
    write("manifest.json", images.iter().map(image).collect::<Vec<_>>())
}

fn write(name: &str, document: impl Serialize) -> Result<Vec<u8>, ArchiveError> {
    let written = Raw::write(document)
        .map_err(|source| ArchiveError::Document { entry: name.as_bytes().to_vec(), source })?;
    Ok(written.bytes().to_vec())
}
