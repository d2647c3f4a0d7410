//! The images of an OCI image layout (ST-013, ST-030 … ST-035).

use std::collections::HashSet;

use image::config::MAX_CONFIG_SIZE;
use image::manifest::MAX_MANIFEST_SIZE;
use image::{Algorithm, Descriptor, Digest, Document, Index, Manifest, Platform, Raw, Reference, choice};

use super::candidate::{Candidate, OfIndex};
use super::contents::Contents;
use crate::ArchiveError;
use crate::documents::{DockerEntry, Documents, Found, invalid};
use crate::names::{Annotated, is_attached};

/// How deep indexes lie in indexes: tools write one level.
const MAX_DEPTH: usize = 4;
/// How many manifests are looked at.
const MAX_MANIFESTS: usize = 10_000;
/// How many images of one index are loaded together; the largest ones that there are have some thirty.
const MAX_VARIANTS: usize = 100;

impl Contents<'_> {
    /// The images of `index.json`, and those that only `manifest.json` knows (ST-002: docker leaves out images without a name).
    pub(super) fn images_of_index(&self) -> Result<Vec<Candidate>, ArchiveError> {
        let index = self.index()?;
        let docker = self.docker_images()?;
        let mut candidates = Vec::new();
        for descriptor in self.chosen(&index) {
            if let Some(candidate) = self.image_of_entry(descriptor)? {
                let tags = tags_of(&docker, &candidate.image.0);
                let names = Annotated::new(descriptor).names(&tags, self.intake.events);
                candidates.push(candidate.named(names));
            }
        }
        candidates.extend(self.images_beside(&index, docker)?);
        Ok(candidates)
    }

    /// The entries that are loaded: where several of the same name are for different platforms, the one for this machine.
    /// What is not an image is left out, and told when it is of an unknown type (ST-032).
    fn chosen<'a>(&self, index: &'a Raw<Index>) -> Vec<&'a Descriptor> {
        let mut images: Vec<&Descriptor> = Vec::new();
        for descriptor in &index.value().manifests {
            let is_known = descriptor.media_type.is_document();
            if !is_known {
                self.intake.events.warn(format!(
                    "{} is not an image ({}), and is left out",
                    descriptor.digest, descriptor.media_type
                ));
            } else if !is_attached(descriptor) {
                images.push(descriptor);
            }
        }
        let is_chosen = |descriptor: &&&Descriptor| {
            let group = Annotated::new(descriptor).group();
            let variants: Vec<&Descriptor> = images
                .iter()
                .copied()
                .filter(|other| group.is_some() && Annotated::new(other).group() == group)
                .collect();
            is_variant_for(&self.platform(), descriptor, &variants)
        };
        images.iter().filter(is_chosen).copied().collect()
    }

    fn image_of_entry(&self, descriptor: &Descriptor) -> Result<Option<Candidate>, ArchiveError> {
        if self.wanted.is_none()
            && let Some(whole) = self.images_of_whole_index(descriptor)?
        {
            return Ok(Some(whole));
        }
        let (descriptor, manifest) = self.manifest(descriptor, 0)?;
        let config = &manifest.value().config;
        if !config.media_type.is_image_config() {
            let (digest, kind) = (descriptor.digest, &config.media_type);
            self.intake.events.warn(format!(
                "{digest} is an artifact, not an image (its config is {kind}), and is left out"
            ));
            return Ok(None);
        }
        if config.digest.algorithm() != Algorithm::Sha256 {
            let digest = config.digest;
            return Err(ArchiveError::Refused(format!(
                "the ID of an image in it would be {digest}, and IDs are SHA-256"
            )));
        }
        let found =
            self.described(config, MAX_CONFIG_SIZE)?.ok_or_else(|| missing("config", &config.digest))?;
        self.image_of(&descriptor, &manifest, &found).map(Some)
    }

    /// All images of an index, if it has several, all are there, and nothing else is in it.
    fn images_of_whole_index(&self, descriptor: &Descriptor) -> Result<Option<Candidate>, ArchiveError> {
        if !descriptor.media_type.is_index() {
            return Ok(None);
        }
        let Some(found) = self.described(descriptor, MAX_MANIFEST_SIZE)? else { return Ok(None) };
        let Document::Index(index) = self.parsed(&found, descriptor)? else { return Ok(None) };
        let entries = &index.value().manifests;
        let are_images = choice::images(index.value()).count() == entries.len();
        if !are_images || !(2..=MAX_VARIANTS).contains(&entries.len()) {
            return Ok(None);
        }
        let whole: Option<Vec<_>> =
            entries.iter().map(|entry| self.whole_manifest(entry)).collect::<Result<_, _>>()?;
        let Some(whole) = whole else { return Ok(None) };
        let mut images = Vec::new();
        for (entry, (manifest, config)) in entries.iter().zip(&whole) {
            let image = self.image_of(
                &Descriptor::new(entry.media_type.clone(), entry.digest, entry.size),
                manifest,
                config,
            )?;
            // One that could not be kept as it is does not belong to this index.
            if image.manifest.digest != entry.digest {
                return Ok(None);
            }
            images.push(image);
        }
        let chosen = image::choose(index.value(), &self.platform()).map(|chosen| chosen.digest);
        let place = entries.iter().position(|entry| Some(entry.digest) == chosen).unwrap_or_default();
        let mut image = images.remove(place);
        let index = Descriptor::new(descriptor.media_type.clone(), descriptor.digest, descriptor.size);
        image.of = Some(OfIndex { index, bytes: found.bytes, others: images });
        Ok(Some(image))
    }

    /// The manifest and the config of an image of which everything is there.
    fn whole_manifest(&self, entry: &Descriptor) -> Result<Option<(Raw<Manifest>, Found)>, ArchiveError> {
        if !entry.media_type.is_manifest() {
            return Ok(None);
        }
        let Some(found) = self.described(entry, MAX_MANIFEST_SIZE)? else { return Ok(None) };
        let Document::Manifest(manifest) = self.parsed(&found, entry)? else { return Ok(None) };
        let config = &manifest.value().config;
        if !config.media_type.is_image_config() || config.digest.algorithm() != Algorithm::Sha256 {
            return Ok(None);
        }
        for layer in &manifest.value().layers {
            if !self.has_blob(&layer.digest)? {
                return Ok(None);
            }
        }
        let config = self.described(config, MAX_CONFIG_SIZE)?;
        Ok(config.map(|config| (manifest, config)))
    }

    /// The manifest that a descriptor means: of an index, that of the variant for the platform. (The index and its other variants are not kept.)
    fn manifest(
        &self,
        descriptor: &Descriptor,
        depth: usize,
    ) -> Result<(Descriptor, Raw<Manifest>), ArchiveError> {
        let found = self
            .described(descriptor, MAX_MANIFEST_SIZE)?
            .ok_or_else(|| missing("manifest", &descriptor.digest))?;
        match self.parsed(&found, descriptor)? {
            Document::Manifest(manifest) => {
                let media_type = manifest.value().media_type.clone().unwrap_or(descriptor.media_type.clone());
                Ok((Descriptor::new(media_type, descriptor.digest, descriptor.size), manifest))
            }
            Document::Index(_) if depth >= MAX_DEPTH => {
                Err(ArchiveError::Refused("indexes in it lie in indexes too deep".to_owned()))
            }
            Document::Index(index) => self.manifest(self.variant(index.value(), &found)?, depth + 1),
        }
    }

    /// The variant of an index for the platform; of an index of one image that image, whatever it is for, if no platform was asked for.
    fn variant<'i>(&self, index: &'i Index, found: &Found) -> Result<&'i Descriptor, ArchiveError> {
        let chosen = choice::require(index, &self.platform());
        match (chosen, choice::platforms(index).as_slice()) {
            (Ok(chosen), _) => Ok(chosen),
            (Err(source), [only]) if self.wanted.is_none() => image::choose(index, only)
                .ok_or_else(|| ArchiveError::Platform { entry: found.path.clone(), source }),
            (Err(source), _) => Err(ArchiveError::Platform { entry: found.path.clone(), source }),
        }
    }

    /// Reads a manifest or an index, which has to be what its descriptor says.
    fn parsed(&self, found: &Found, descriptor: &Descriptor) -> Result<Document, ArchiveError> {
        let parsed = Document::parse(&found.bytes).map_err(|source| invalid(&found.path, source))?;
        let is_index = matches!(parsed, Document::Index(_));
        if is_index != descriptor.media_type.is_index() {
            let path = base::text::bytes(&found.path).into_owned();
            let is = if is_index { "an index" } else { "the manifest of one image" };
            let says = &descriptor.media_type;
            return Err(ArchiveError::Refused(format!("{path} is {is}, and is described as {says}")));
        }
        Ok(parsed)
    }

    /// The images of `manifest.json` that no manifest of the layout is about.
    fn images_beside(
        &self,
        index: &Raw<Index>,
        docker: Vec<DockerEntry>,
    ) -> Result<Vec<Candidate>, ArchiveError> {
        let mut known = Known::default();
        self.look(index.value(), 0, &mut known);
        docker
            .into_iter()
            .filter(|image| !known.configs.contains(&image.digest))
            .map(|image| self.image_of_docker(image))
            .collect()
    }

    /// Collects the configs of all manifests that are there. What cannot be read is left alone here: it was refused where it is needed.
    fn look(&self, index: &Index, depth: usize, known: &mut Known) {
        for descriptor in &index.manifests {
            known.count += 1;
            if known.count > MAX_MANIFESTS || depth > MAX_DEPTH {
                return;
            }
            let Ok(Some(found)) = self.described(descriptor, MAX_MANIFEST_SIZE) else { continue };
            match Document::parse(&found.bytes) {
                Ok(Document::Manifest(manifest)) => {
                    known.configs.insert(manifest.value().config.digest);
                }
                Ok(Document::Index(index)) => self.look(index.value(), depth + 1, known),
                Err(_) => {}
            }
        }
    }
}

/// The names that `manifest.json` gives the image with this config.
fn tags_of(docker: &[DockerEntry], config: &Digest) -> Vec<Reference> {
    let same = docker.iter().filter(|image| image.digest == *config);
    same.flat_map(|image| image.names.iter().cloned()).collect()
}

/// What the manifests of a layout are about.
#[derive(Default)]
struct Known {
    configs: HashSet<Digest>,
    count: usize,
}

/// Whether a descriptor is the one to take among those of the same name. Without platforms all are taken, and one name for two images is refused later.
fn is_variant_for(platform: &Platform, descriptor: &Descriptor, variants: &[&Descriptor]) -> bool {
    let are_variants = variants.iter().any(|other| other.digest != descriptor.digest)
        && variants.iter().all(|other| other.platform.is_some());
    if !are_variants {
        return true;
    }
    let index = Index::oci(variants.iter().map(|other| (*other).clone()).collect());
    image::choose(&index, platform).is_none_or(|chosen| chosen.digest == descriptor.digest)
}

fn missing(what: &str, digest: &Digest) -> ArchiveError {
    ArchiveError::Damaged(format!("the {what} {digest} is not in it"))
}
