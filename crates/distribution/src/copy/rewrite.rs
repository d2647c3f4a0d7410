//! Documents written anew: in the other format, with other annotations, with other labels in the configs (RC-098, RC-099).
//!
//! What is changed gets another digest, and so does whatever names it. Layers never change. What comes out as it was keeps its bytes.

use std::collections::BTreeMap;

use image::{Config, Descriptor, Digest, Document, Index, Manifest, MediaType, ParseError, Raw};

use super::{Annotation, AnnotationPlace, Format, Wish};
use crate::manifests::{self, Fetched};
use crate::source::{self, Source};
use crate::{DistributionError, Result};

/// Why docker's format cannot have something.
const IN_DOCKERS_FORMAT: &str = "copied in docker's format";

/// What a wish makes of the documents of a source.
pub(super) struct Rewrite<'a> {
    source: &'a dyn Source,
    wish: &'a Wish,
    /// Documents that were read on the way, and those that the source does not have in this form, by their digests.
    pub documents: BTreeMap<Digest, Fetched>,
    /// Configs that the source does not have in this form.
    pub configs: BTreeMap<Digest, Raw<Config>>,
    /// Attestations that docker's format has no place for.
    pub attestations_left: usize,
}

impl<'a> Rewrite<'a> {
    pub fn new(source: &'a dyn Source, wish: &'a Wish) -> Self {
        Self { source, wish, documents: BTreeMap::new(), configs: BTreeMap::new(), attestations_left: 0 }
    }

    /// A document, and all that it names.
    pub fn all(&mut self, root: &Fetched) -> Result<Fetched> {
        if !self.wish.rewrites() {
            return Ok(root.clone());
        }
        let is_of_index = |annotation: &Annotation| annotation.place != AnnotationPlace::Manifest;
        if !root.document.is_index() && self.wish.annotations.iter().any(is_of_index) {
            return Err(self.unsupported("annotated as an index", "it is one image, for one platform"));
        }
        self.document(root, true, 0)
    }

    /// A document in the form that is wished; what it names is changed first. Attestations belong to images, and are not annotated themselves.
    fn document(&mut self, fetched: &Fetched, is_image: bool, depth: usize) -> Result<Fetched> {
        if depth > source::MAX_DEPTH {
            return Err(source::endless(self.source));
        }
        let changed = match &fetched.document {
            Document::Manifest(manifest) => {
                let changed = self.manifest(manifest.value(), is_image)?;
                let is_changed = changed != *manifest.value();
                is_changed.then(|| Raw::write(changed).map(Document::Manifest))
            }
            Document::Index(index) => {
                let changed = self.index(index.value(), depth)?;
                let is_changed = changed != *index.value();
                is_changed.then(|| Raw::write(changed).map(Document::Index))
            }
        };
        let written = match changed {
            Some(changed) => self::written(self.source, changed)?,
            None => fetched.clone(),
        };
        self.documents.insert(written.descriptor.digest, written.clone());
        Ok(written)
    }

    fn manifest(&mut self, manifest: &Manifest, is_image: bool) -> Result<Manifest> {
        let mut changed = manifest.clone();
        if is_image && !self.wish.labels.is_empty() {
            changed.config = self.labelled(&manifest.config)?;
        }
        if let Some(format) = self.wish.format {
            self.manifest_in(&mut changed, format)?;
        }
        if is_image {
            let is_dockers = changed.media_type == Some(MediaType::DOCKER_MANIFEST);
            self.annotate(AnnotationPlace::Manifest, is_dockers, &mut changed.annotations)?;
        }
        Ok(changed)
    }

    fn manifest_in(&self, manifest: &mut Manifest, format: Format) -> Result<()> {
        manifest.media_type = Some(format.manifest());
        let config = &mut manifest.config.media_type;
        *config = match format {
            Format::Oci => config.as_oci(),
            Format::Docker => config.as_docker().ok_or_else(|| {
                self.unsupported(IN_DOCKERS_FORMAT, "it is not an image, and that format has nothing else")
            })?,
        };
        for layer in &mut manifest.layers {
            layer.media_type = match format {
                Format::Oci => layer.media_type.as_oci(),
                Format::Docker => layer.media_type.as_docker().ok_or_else(|| {
                    let reason = format!("that format has no layers of the type {}", layer.media_type);
                    self.unsupported(IN_DOCKERS_FORMAT, &reason)
                })?,
            };
        }
        if format == Format::Docker {
            if manifest.subject.is_some() {
                let reason = "it says what it is about, and that format has no place for this";
                return Err(self.unsupported(IN_DOCKERS_FORMAT, reason));
            }
            manifest.artifact_type = None;
            manifest.annotations.clear();
            let blobs = manifest.layers.iter_mut().chain([&mut manifest.config]);
            blobs.for_each(leave_plain);
        }
        Ok(())
    }

    fn index(&mut self, index: &Index, depth: usize) -> Result<Index> {
        let format = self.wish.format;
        let mut changed = Index { manifests: Vec::new(), ..index.clone() };
        if let Some(format) = format {
            changed.media_type = Some(format.index());
        }
        let is_dockers = changed.media_type == Some(MediaType::DOCKER_LIST);
        let mut new_digests = BTreeMap::new();
        for entry in &index.manifests {
            let is_attestation = image::choice::attested(entry).is_some();
            if format == Some(Format::Docker) && is_attestation {
                self.attestations_left += 1;
                continue;
            }
            let mut entry = entry.clone();
            if entry.media_type.is_document() {
                let child = self.source.document(&entry)?;
                let child = self.document(&child, !is_attestation, depth + 1)?.descriptor;
                new_digests.insert(entry.digest, child.digest);
                entry.data = entry.data.filter(|_| child.digest == entry.digest);
                (entry.media_type, entry.digest, entry.size) = (child.media_type, child.digest, child.size);
            }
            if format == Some(Format::Docker) {
                leave_plain(&mut entry);
            }
            if !is_attestation {
                self.annotate(AnnotationPlace::Descriptor, is_dockers, &mut entry.annotations)?;
            }
            changed.manifests.push(entry);
        }
        for entry in &mut changed.manifests {
            let new = image::choice::attested(entry).and_then(|of| new_digests.get(&of).copied());
            if let Some(new) = new {
                image::choice::attests(entry, &new);
            }
        }
        if format == Some(Format::Docker) {
            changed.artifact_type = None;
            changed.subject = None;
            changed.annotations.clear();
        }
        self.annotate(AnnotationPlace::Index, is_dockers, &mut changed.annotations)?;
        Ok(changed)
    }

    /// Notes at a place what is to be noted there.
    fn annotate(
        &self,
        place: AnnotationPlace,
        is_dockers: bool,
        annotations: &mut BTreeMap<String, String>,
    ) -> Result<()> {
        for annotation in self.wish.annotations.iter().filter(|annotation| annotation.place == place) {
            if is_dockers {
                let reason = "it is of docker's format, which has no annotations (--format oci writes OCI's)";
                return Err(self.unsupported("annotated", reason));
            }
            set_or_remove(annotations, &annotation.key, &annotation.value);
        }
        Ok(())
    }

    /// The config of an image with the labels that are wished; gives what describes it now.
    fn labelled(&mut self, described: &Descriptor) -> Result<Descriptor> {
        if !described.media_type.is_image_config() {
            return Err(self.unsupported("labelled", "it is not an image, and only those have labels"));
        }
        let config = source::config(self.source, described)?;
        let mut changed = config.value().clone();
        for (key, value) in &self.wish.labels {
            set_or_remove(&mut changed.config.labels, key, value);
        }
        if changed == *config.value() {
            return Ok(described.clone());
        }
        let config = Raw::write(changed).map_err(|error| unwritable(self.source, "config", error))?;
        let written = config.descriptor(described.media_type.clone());
        self.configs.insert(written.digest, config);
        Ok(Descriptor { digest: written.digest, size: written.size, data: None, ..described.clone() })
    }

    fn unsupported(&self, action: &'static str, reason: &str) -> DistributionError {
        DistributionError::Unsupported { what: self.source.called(), action, reason: reason.to_owned() }
    }
}

/// A document that was not there in this form.
pub(super) fn written(source: &dyn Source, document: Result<Document, ParseError>) -> Result<Fetched> {
    let document = document.map_err(|error| unwritable(source, "manifest", error))?;
    let descriptor = manifests::described(&document, None, None);
    Ok(Fetched { document, descriptor })
}

fn unwritable(source: &dyn Source, what: &str, error: ParseError) -> DistributionError {
    let what = format!("the {what} of {} cannot be written", source.called());
    DistributionError::Document { what, source: error }
}

fn set_or_remove(map: &mut BTreeMap<String, String>, key: &str, value: &str) {
    if value.is_empty() {
        map.remove(key);
    } else {
        map.insert(key.to_owned(), value.to_owned());
    }
}

/// Docker's descriptors have neither notes nor kinds of artifacts.
fn leave_plain(descriptor: &mut Descriptor) {
    descriptor.annotations.clear();
    descriptor.artifact_type = None;
    descriptor.data = None;
}
