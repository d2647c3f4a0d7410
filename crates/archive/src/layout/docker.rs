//! Docker's archives as layouts: an image of `manifest.json`, with the manifest that it has, or one that is made.

use std::sync::Arc;

use base::Cancel;
use image::{Algorithm, Descriptor, DiffId, Digest, Digester, Document, Manifest, MediaType, Raw};
use layer::decompress::Compression;

use super::files::Part;
use super::find::{Choice, Which, find};
use super::{Layout, Listed};
use crate::ArchiveError;
use crate::documents::{DockerEntry, Documents, check_count, config, named_path, not_there};
use crate::entries::{read_error, read_full};
use crate::format::{INDEX, digest_of_path};

impl Layout {
    /// Takes the image that is meant; gives its manifest.
    pub(super) fn take_docker(&mut self, which: &Which, cancel: &Cancel) -> Result<Descriptor, ArchiveError> {
        let images = self.files.docker_images()?;
        if images.is_empty() {
            return Err(ArchiveError::Refused(
                "it has no manifest.json, so it is not one of docker's; oci-archive: reads OCI layouts"
                    .to_owned(),
            ));
        }
        let choices: Vec<Choice> = images.iter().map(choice).collect();
        let place = find(&self.called, &choices, which)?;
        let Some(image) = images.into_iter().nth(place) else {
            return Err(ArchiveError::Refused("there is no image in it".to_owned()));
        };
        let root = match self.manifest_of(&image)? {
            Some(descriptor) => descriptor,
            None => self.make_manifest(&image, cancel)?,
        };
        self.entries = vec![root.clone()];
        Ok(root)
    }

    /// The manifest that the archive has of an image, where it is an OCI layout too, with all of its layers.
    fn manifest_of(&mut self, image: &DockerEntry) -> Result<Option<Descriptor>, ArchiveError> {
        if self.files.part(INDEX.as_bytes())?.is_none() {
            return Ok(None);
        }
        self.entries.clone_from(&self.files.index()?.value().manifests);
        for Listed { descriptor, document } in self.documents()? {
            let Document::Manifest(manifest) = document else { continue };
            if manifest.value().config.digest != image.digest {
                continue;
            }
            let mut whole = true;
            for layer in &manifest.value().layers {
                whole &= self.has(&layer.digest)?;
            }
            if whole {
                return Ok(Some(descriptor));
            }
        }
        Ok(None)
    }

    fn make_manifest(&mut self, image: &DockerEntry, cancel: &Cancel) -> Result<Descriptor, ArchiveError> {
        let config = config(&image.config)?;
        let diff_ids = &config.value().rootfs.diff_ids;
        check_count("manifest.json", image.layers.len(), &image.config.path, diff_ids.len())?;
        let mut layers = Vec::new();
        for (name, diff_id) in image.layers.iter().zip(diff_ids) {
            let path = named_path(name)?;
            let part = self.files.part(&path)?.ok_or_else(|| not_there(name))?;
            let layer = layer(&path, &part, *diff_id, cancel)?;
            self.beside.insert(layer.digest, part);
            layers.push(layer);
        }
        let described = config.descriptor(MediaType::OCI_CONFIG);
        self.beside.insert(described.digest, Part::Bytes(Arc::clone(&image.config.bytes)));
        let manifest = Raw::write(Manifest::oci(described, layers))
            .map_err(|source| ArchiveError::Document { entry: b"manifest.json".to_vec(), source })?;
        let root = manifest.descriptor(MediaType::OCI_MANIFEST);
        self.beside.insert(root.digest, Part::Bytes(manifest.bytes().into()));
        Ok(root)
    }
}

fn choice(image: &DockerEntry) -> Choice {
    Choice {
        names: image.names.iter().map(image::Reference::familiar).collect(),
        references: image.names.clone(),
        digest: image.digest,
        is_image: true,
    }
}

/// What describes a layer. A plain tar's digest is its DiffID; a compressed one says its digest by its path, or is read.
fn layer(path: &[u8], part: &Part, diff_id: DiffId, cancel: &Cancel) -> Result<Descriptor, ArchiveError> {
    let mut beginning = [0; 8];
    let count = read_full(&mut part.contents(0), &mut beginning).map_err(read_error)?;
    let media_type = match Compression::sniff(beginning.get(..count).unwrap_or_default()) {
        Compression::Plain => return Ok(Descriptor::new(MediaType::OCI_LAYER, diff_id.0, part.size())),
        Compression::Gzip => MediaType::OCI_LAYER_GZIP,
        Compression::Zstd => MediaType::OCI_LAYER_ZSTD,
        Compression::Bzip2 | Compression::Xz => {
            return Err(ArchiveError::Refused(format!(
                "{} is compressed in a way that no registry takes; `lap load` reads it",
                base::text::bytes(path)
            )));
        }
    };
    let digest = match digest_of_path(path) {
        Some(digest) => digest,
        None => digest_of(part, cancel)?,
    };
    Ok(Descriptor::new(media_type, digest, part.size()))
}

fn digest_of(part: &Part, cancel: &Cancel) -> Result<Digest, ArchiveError> {
    let mut digester = Digester::new(Algorithm::Sha256);
    let mut contents = part.contents(0);
    let mut buffer = vec![0; 256 << 10];
    loop {
        cancel.check()?;
        let count = read_full(&mut contents, &mut buffer).map_err(read_error)?;
        match buffer.get(..count) {
            Some([]) | None => return Ok(digester.finish()),
            Some(bytes) => digester.update(bytes),
        }
    }
}
