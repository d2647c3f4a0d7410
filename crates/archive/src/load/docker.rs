//! The images of a docker archive: `manifest.json` (ST-001 … ST-013).

use std::sync::Arc;

use image::config::MAX_CONFIG_SIZE;
use image::{Digest, Raw, Reference};

use super::candidate::Candidate;
use super::contents::{Contents, Found, check_hex_name, document};
use super::names::repo_tags;
use crate::ArchiveError;
use crate::format::{DockerImage, MANIFEST, MAX_DOCKER_MANIFEST};

/// The images of `manifest.json`; none when there is no such file.
pub(super) struct DockerImages(pub(super) Vec<DockerEntry>);

/// One of them: its config read, its names checked.
pub(super) struct DockerEntry {
    pub(super) digest: Digest,
    config_path: Vec<u8>,
    config: Arc<[u8]>,
    names: Vec<Reference>,
    layers: Vec<String>,
}

impl DockerImages {
    /// The names of the image with this config.
    pub(super) fn tags_of(&self, config: &Digest) -> Vec<Reference> {
        let same = self.0.iter().filter(|image| image.digest == *config);
        same.flat_map(|image| image.names.iter().cloned()).collect()
    }
}

impl Contents<'_> {
    /// Reads `manifest.json`.
    pub(super) fn docker_images(&self) -> Result<DockerImages, ArchiveError> {
        let Some(found) = self.document(MANIFEST, MAX_DOCKER_MANIFEST)? else {
            return Ok(DockerImages(Vec::new()));
        };
        let images = Raw::<Vec<DockerImage>>::parse(MANIFEST, found.bytes.clone())
            .map_err(|source| document(&found.path, source))?;
        let images = images.value().iter().map(|image| self.docker_entry(image));
        images.collect::<Result<_, _>>().map(DockerImages)
    }

    fn docker_entry(&self, image: &DockerImage) -> Result<DockerEntry, ArchiveError> {
        if let Some(key) = image.misspelt() {
            let key = base::text::bytes(key.as_bytes());
            return Err(ArchiveError::Refused(format!(
                "manifest.json has the key {key}, which tools read differently"
            )));
        }
        let (config_path, file) = self.named_file(&image.config)?;
        let config = self.bytes(&config_path, file, MAX_CONFIG_SIZE)?;
        check_hex_name(&config_path, &config)?;
        Ok(DockerEntry {
            digest: Digest::sha256(&config),
            config_path,
            config,
            names: repo_tags(image.repo_tags.as_deref().unwrap_or_default())?,
            layers: image.layers.clone().unwrap_or_default(),
        })
    }

    /// The images of an archive that has `manifest.json` alone.
    pub(super) fn images_of_docker(&self) -> Result<Vec<Candidate>, ArchiveError> {
        self.docker_images()?.0.into_iter().map(|image| self.image_of_docker(image)).collect()
    }

    /// One image of `manifest.json`.
    pub(super) fn image_of_docker(&self, image: DockerEntry) -> Result<Candidate, ArchiveError> {
        let found = Found { path: image.config_path, bytes: image.config };
        let candidate = self.image_of_paths(&found, &image.layers)?;
        Ok(candidate.named(image.names))
    }
}
