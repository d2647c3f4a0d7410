//! The documents that say which images there are: `oci-layout` and `index.json`, or `manifest.json` (ST-010, ST-012, ST-030).

use std::sync::Arc;

use image::config::MAX_CONFIG_SIZE;
use image::manifest::MAX_MANIFEST_SIZE;
use image::{Config, Digest, Document, Index, ParseError, Raw, Reference};

use crate::format::{DockerImage, INDEX, LAYOUT, LAYOUT_VERSION, MANIFEST, MAX_DOCKER_MANIFEST, Version};
use crate::names::repo_tags;
use crate::{ArchiveError, paths};

/// A document, and the path that it was found at.
pub(crate) struct Found {
    pub(crate) path: Vec<u8>,
    pub(crate) bytes: Arc<[u8]>,
}

/// What holds documents under paths: an archive, or a directory.
pub(crate) trait Documents {
    /// The document at a path, which has no more bytes than the limit.
    fn document(&self, path: &[u8], limit: u64) -> Result<Option<Found>, ArchiveError>;

    /// The images of an OCI image layout, of a version that is known.
    fn index(&self) -> Result<Raw<Index>, ArchiveError> {
        if let Some(found) = self.document(LAYOUT.as_bytes(), MAX_MANIFEST_SIZE)? {
            check_version(&found)?;
        }
        let found = self.document(INDEX.as_bytes(), MAX_MANIFEST_SIZE)?.ok_or_else(|| {
            ArchiveError::Damaged("it is an OCI image layout without an index.json".to_owned())
        })?;
        match Document::parse(&found.bytes).map_err(|source| invalid(&found.path, source))? {
            Document::Index(index) => Ok(index),
            Document::Manifest(_) => {
                Err(ArchiveError::Refused("its index.json is the manifest of one image".to_owned()))
            }
        }
    }

    /// The images of `manifest.json`; none when there is no such file.
    fn docker_images(&self) -> Result<Vec<DockerEntry>, ArchiveError> {
        let Some(found) = self.document(MANIFEST.as_bytes(), MAX_DOCKER_MANIFEST)? else {
            return Ok(Vec::new());
        };
        let images = Raw::<Vec<DockerImage>>::parse(MANIFEST, found.bytes.clone())
            .map_err(|source| invalid(&found.path, source))?;
        images.value().iter().map(|image| self.docker_entry(image)).collect()
    }

    /// One of them.
    fn docker_entry(&self, image: &DockerImage) -> Result<DockerEntry, ArchiveError> {
        if let Some(key) = image.misspelt() {
            let key = base::text::bytes(key.as_bytes());
            return Err(ArchiveError::Refused(format!(
                "manifest.json has the key {key}, which tools read differently"
            )));
        }
        let path = named_path(&image.config)?;
        let config = self.document(&path, MAX_CONFIG_SIZE)?.ok_or_else(|| not_there(&image.config))?;
        check_hex_name(&path, &config.bytes)?;
        Ok(DockerEntry {
            digest: Digest::sha256(&config.bytes),
            config,
            names: repo_tags(image.repo_tags.as_deref().unwrap_or_default())?,
            layers: image.layers.clone().unwrap_or_default(),
        })
    }
}

/// One image of `manifest.json`: its config read, its names checked.
pub(crate) struct DockerEntry {
    pub(crate) digest: Digest,
    pub(crate) config: Found,
    pub(crate) names: Vec<Reference>,
    /// The paths of its layers, as they are written there.
    pub(crate) layers: Vec<String>,
}

/// ST-030: which layout it is.
pub(crate) fn check_version(found: &Found) -> Result<(), ArchiveError> {
    let layout = Raw::<Version>::parse("OCI layout", found.bytes.clone())
        .map_err(|source| invalid(&found.path, source))?;
    let version = &layout.value().image_layout_version;
    if version == LAYOUT_VERSION {
        return Ok(());
    }
    let version = base::text::bytes(version.as_bytes()).into_owned();
    Err(ArchiveError::Refused(format!(
        "it is an OCI image layout of version {version}, only {LAYOUT_VERSION} is known"
    )))
}

/// Reads the config that was found.
pub(crate) fn config(found: &Found) -> Result<Raw<Config>, ArchiveError> {
    let config = Config::parse(&found.bytes).map_err(|source| invalid(&found.path, source))?;
    if config.value().rootfs.kind != "layers" {
        let kind = base::text::bytes(config.value().rootfs.kind.as_bytes()).into_owned();
        let path = base::text::bytes(&found.path);
        return Err(ArchiveError::Refused(format!(
            "{path} has a root filesystem of the type {kind}, not layers"
        )));
    }
    Ok(config)
}

/// The manifest has as many layers as the config.
pub(crate) fn check_count(
    what: &str,
    layers: usize,
    config: &[u8],
    diff_ids: usize,
) -> Result<(), ArchiveError> {
    if layers == diff_ids {
        return Ok(());
    }
    let config = base::text::bytes(config);
    Err(ArchiveError::Refused(format!("{what} has {layers} layers, its config {config} has {diff_ids}")))
}

/// A document that is not valid.
pub(crate) fn invalid(path: &[u8], source: ParseError) -> ArchiveError {
    ArchiveError::Document { entry: path.to_vec(), source }
}

/// Where a name of `manifest.json` leads.
pub(crate) fn named_path(name: &str) -> Result<Vec<u8>, ArchiveError> {
    paths::normalize(name.as_bytes()).map_err(|reason| refused(name, reason))
}

/// A file that `manifest.json` names, and that is missing.
pub(crate) fn not_there(name: &str) -> ArchiveError {
    refused(name, "is not in the archive")
}

fn refused(name: &str, reason: &str) -> ArchiveError {
    let name = base::text::bytes(name.as_bytes());
    ArchiveError::Refused(format!("manifest.json names {name}, which {reason}"))
}

/// Checks that a file whose name is a digest has it: `<hex>.json`, and crane's `sha256:<hex>`.
pub(crate) fn check_hex_name(path: &[u8], bytes: &[u8]) -> Result<(), ArchiveError> {
    let Ok(name) = std::str::from_utf8(path) else { return Ok(()) };
    let name = name.rsplit('/').next().unwrap_or(name);
    let hex = name.strip_prefix("sha256:").unwrap_or(name);
    let hex = hex.strip_suffix(".json").unwrap_or(hex);
    let Ok(named) = Digest::from_hex(image::Algorithm::Sha256, hex) else { return Ok(()) };
    let found = Digest::sha256(bytes);
    if found == named {
        return Ok(());
    }
    Err(ArchiveError::Damaged(format!("{} has the digest {found}", base::text::bytes(path))))
}
