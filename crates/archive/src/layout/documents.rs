//! `oci-layout`, `index.json`, `manifest.json`, as they are written.

use image::{Descriptor, Index, Manifest, Raw, Reference};
use serde::Serialize;
use serde_json::Map;

use crate::ArchiveError;
use crate::format::{
    DockerImage, FULL_NAME, INDEX, LAYOUT, LAYOUT_VERSION, MANIFEST, REF_NAME, Version, blob_path, tagged,
};
use crate::names::Annotated;

/// An image as docker before 25 finds it: with a config and layers, under names.
pub struct Docker<'a> {
    /// Its manifest.
    pub manifest: &'a Manifest,
    /// Its names.
    pub names: &'a [Reference],
}

/// The entries of an index for an image: one for each name (ST-020c: in its canonical form), one without annotations for an image without a name.
pub fn named(descriptor: &Descriptor, names: &[Reference]) -> Vec<Descriptor> {
    if names.is_empty() {
        return vec![descriptor.clone()];
    }
    let entry = |name: Reference| {
        let mut entry = descriptor.clone();
        entry.annotations.insert(FULL_NAME.to_owned(), name.to_string());
        entry.annotations.insert(REF_NAME.to_owned(), name.tag().unwrap_or_default().to_owned());
        entry
    };
    names.iter().filter_map(tagged).map(entry).collect()
}

/// An entry of an index under a name, which is any text (ST-031).
pub fn called(descriptor: &Descriptor, name: Option<&str>) -> Descriptor {
    let mut entry = descriptor.clone();
    entry.annotations.extend(name.map(|name| (REF_NAME.to_owned(), name.to_owned())));
    entry
}

/// What an entry of an index is called: by the full name that containerd writes, else by the specification's.
pub fn name(entry: &Descriptor) -> Option<&str> {
    Annotated::new(entry).group()
}

pub(super) fn version() -> Result<Vec<u8>, ArchiveError> {
    write(LAYOUT, Version { image_layout_version: LAYOUT_VERSION.to_owned() })
}

pub(super) fn index(entries: &[Descriptor]) -> Result<Vec<u8>, ArchiveError> {
    write(INDEX, Index::oci(entries.to_vec()))
}

/// The same for docker before 25, and for tools that read docker archives.
pub(super) fn docker_manifest(images: &[Docker<'_>]) -> Result<Vec<u8>, ArchiveError> {
    let familiar = |name: &Reference| tagged(name).map(|name| name.familiar());
    let image = |image: &Docker<'_>| DockerImage {
        config: blob_path(&image.manifest.config.digest),
        repo_tags: (!image.names.is_empty()).then(|| image.names.iter().filter_map(familiar).collect()),
        layers: Some(image.manifest.layers.iter().map(|layer| blob_path(&layer.digest)).collect()),
        others: Map::new(),
    };
    write(MANIFEST, images.iter().map(image).collect::<Vec<_>>())
}

fn write(name: &str, document: impl Serialize) -> Result<Vec<u8>, ArchiveError> {
    let written = Raw::write(document)
        .map_err(|source| ArchiveError::Document { entry: name.as_bytes().to_vec(), source })?;
    Ok(written.bytes().to_vec())
}
