//! `oci-layout`, `index.json`, `manifest.json`.

use image::{Descriptor, Index, Raw, Reference};
use serde::Serialize;
use serde_json::Map;

use super::plan::Plan;
use crate::ArchiveError;
use crate::format::{DockerImage, FULL_NAME, LAYOUT_VERSION, Layout, REF_NAME, blob_path, tagged};

pub(super) fn layout() -> Result<Vec<u8>, ArchiveError> {
    write("oci-layout", Layout { image_layout_version: LAYOUT_VERSION.to_owned() })
}

/// One entry for each name (ST-020c: in its canonical form), one without annotations for an image without a name.
pub(super) fn index(plans: &[Plan]) -> Result<Vec<u8>, ArchiveError> {
    let mut manifests = Vec::new();
    for plan in plans {
        let platform = plan.config.value().platform();
        let is_known = !platform.os.is_empty() && !platform.architecture.is_empty();
        let entry = Descriptor { platform: is_known.then_some(platform), ..plan.manifest_descriptor.clone() };
        if plan.names.is_empty() {
            manifests.push(entry.clone());
        }
        for name in plan.names.iter().filter_map(tagged) {
            let mut entry = entry.clone();
            entry.annotations.insert(FULL_NAME.to_owned(), name.to_string());
            entry.annotations.insert(REF_NAME.to_owned(), name.tag().unwrap_or_default().to_owned());
            manifests.push(entry);
        }
    }
    write("index.json", Index::oci(manifests))
}

/// The same for docker before 25, and for tools that read docker archives.
pub(super) fn docker_manifest(plans: &[Plan]) -> Result<Vec<u8>, ArchiveError> {
    let familiar = |name: &Reference| tagged(name).map(|name| name.familiar());
    let image = |plan: &Plan| DockerImage {
        config: blob_path(&plan.image.0),
        repo_tags: (!plan.names.is_empty()).then(|| plan.names.iter().filter_map(familiar).collect()),
        layers: Some(plan.manifest.value().layers.iter().map(|layer| blob_path(&layer.digest)).collect()),
        others: Map::new(),
    };
    write("manifest.json", plans.iter().map(image).collect::<Vec<_>>())
}

fn write(name: &str, document: impl Serialize) -> Result<Vec<u8>, ArchiveError> {
    let written = Raw::write(document)
        .map_err(|source| ArchiveError::Document { entry: name.as_bytes().to_vec(), source })?;
    Ok(written.bytes().to_vec())
}
