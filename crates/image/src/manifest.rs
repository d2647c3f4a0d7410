//! Manifests and indexes (OCI image-spec, manifest.md and image-index.md; Docker schema 2).

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::json::{self, Refusal, null_is_default};
use crate::{Descriptor, Digest, MediaType, ParseError, Raw};

/// The largest manifest or index that is read: registries refuse larger ones (4 MiB), and so do we.
pub const MAX_MANIFEST_SIZE: u64 = 4 << 20;

/// One image: a config and layers, lowest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// What this document is; Docker demands it, OCI recommends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<MediaType>,
    /// What kind of artifact it is, when it is not an image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<MediaType>,
    /// The config.
    pub config: Descriptor,
    /// The layers, lowest first.
    #[serde(default, deserialize_with = "null_is_default")]
    pub layers: Vec<Descriptor>,
    /// What this document is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Notes.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// Several manifests under one name, usually one for each platform.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// What this document is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<MediaType>,
    /// What kind of artifact it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<MediaType>,
    /// The manifests.
    #[serde(default, deserialize_with = "null_is_default")]
    pub manifests: Vec<Descriptor>,
    /// What this document is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Notes.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl Manifest {
    /// An OCI manifest of an image.
    pub fn oci(config: Descriptor, layers: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: Some(MediaType::OCI_MANIFEST),
            artifact_type: None,
            config,
            layers,
            subject: None,
            annotations: BTreeMap::new(),
        }
    }

    /// The blobs that it consists of: the config, and the layers.
    pub fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        std::iter::once(&self.config).chain(&self.layers)
    }
}

impl Index {
    /// An OCI index.
    pub fn oci(manifests: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: Some(MediaType::OCI_INDEX),
            artifact_type: None,
            manifests,
            subject: None,
            annotations: BTreeMap::new(),
        }
    }
}

/// A manifest or an index, told apart by what it holds, never by what it was called (CVE-2021-41190).
#[derive(Debug, Clone)]
pub enum Document {
    /// One image.
    Manifest(Raw<Manifest>),
    /// Several.
    Index(Raw<Index>),
}

impl Document {
    /// Reads a manifest or an index. A document that is both, or that says it is another, is refused.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        const WHAT: &str = "manifest";
        let refused = |refusal: Refusal| ParseError { what: WHAT, source: refusal.into() };
        let invalid = |error: serde_json::Error| ParseError { what: WHAT, source: error.into() };
        json::check_size(bytes, MAX_MANIFEST_SIZE).map_err(refused)?;
        let keys = json::check(bytes).map_err(invalid)?.ok_or_else(|| refused(Refusal::NotAnObject))?;
        json::check_spelling(&keys, &KNOWN).map_err(refused)?;
        let outline: Outline = serde_json::from_slice(bytes).map_err(invalid)?;
        if outline.is_index(keys.contains("manifests")).map_err(refused)? {
            Raw::parse("index", bytes).map(Document::Index)
        } else {
            Raw::parse(WHAT, bytes).map(Document::Manifest)
        }
    }

    /// Whether it is an index.
    pub fn is_index(&self) -> bool {
        matches!(self, Document::Index(_))
    }

    /// The bytes that it was read from.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Document::Manifest(raw) => raw.bytes(),
            Document::Index(raw) => raw.bytes(),
        }
    }

    /// The SHA-256 of the bytes.
    pub fn digest(&self) -> Digest {
        match self {
            Document::Manifest(raw) => raw.digest(),
            Document::Index(raw) => raw.digest(),
        }
    }

    /// What it says that it is.
    pub fn said_type(&self) -> Option<&MediaType> {
        match self {
            Document::Manifest(raw) => raw.value().media_type.as_ref(),
            Document::Index(raw) => raw.value().media_type.as_ref(),
        }
    }

    /// What it says that it is, else what such a document is as a rule.
    pub fn media_type(&self) -> MediaType {
        let usual = if self.is_index() { MediaType::OCI_INDEX } else { MediaType::OCI_MANIFEST };
        self.said_type().cloned().unwrap_or(usual)
    }

    /// What it is about.
    pub fn subject(&self) -> Option<&Descriptor> {
        match self {
            Document::Manifest(raw) => raw.value().subject.as_ref(),
            Document::Index(raw) => raw.value().subject.as_ref(),
        }
    }

    /// Its descriptor as lists of referrers have it: with its annotations, and what kind of artifact it is (of an image: what its config is).
    pub fn as_referrer(&self, descriptor: Descriptor) -> Descriptor {
        let (artifact_type, annotations) = match self {
            Document::Manifest(raw) => {
                let manifest = raw.value();
                let kind = manifest.artifact_type.as_ref().unwrap_or(&manifest.config.media_type);
                (Some(kind.clone()), &manifest.annotations)
            }
            Document::Index(raw) => (raw.value().artifact_type.clone(), &raw.value().annotations),
        };
        Descriptor { artifact_type, annotations: annotations.clone(), ..descriptor }
    }
}

/// The keys by which documents are told apart, and the other ones of manifests and indexes.
const KNOWN: [&str; 10] = [
    "schemaVersion",
    "mediaType",
    "fsLayers",
    "manifests",
    "layers",
    "config",
    "subject",
    "annotations",
    "artifactType",
    "signatures",
];

/// Just enough of a document to see what it is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outline {
    schema_version: Option<u64>,
    media_type: Option<String>,
    fs_layers: Option<IgnoredAny>,
    manifests: Option<IgnoredAny>,
    layers: Option<IgnoredAny>,
    config: Option<IgnoredAny>,
}

impl Outline {
    /// Whether it is an index (otherwise a manifest). Go writes an index of nothing with `null` for its manifests.
    fn is_index(&self, has_key: bool) -> Result<bool, Refusal> {
        match self.schema_version {
            Some(1) => return Err(Refusal::Schema1),
            _ if self.fs_layers.is_some() => return Err(Refusal::Schema1),
            Some(other) if other != 2 => return Err(Refusal::Schema(other)),
            // A document without it is refused with its place when its fields are read.
            _ => {}
        }
        let is_manifest = self.layers.is_some() || self.config.is_some();
        let is_index = self.manifests.is_some() || (has_key && !is_manifest);
        if is_index && is_manifest {
            return Err(Refusal::Both(if self.layers.is_some() { "layers" } else { "a config" }));
        }
        if !is_index && !is_manifest {
            return Err(Refusal::Neither);
        }
        let says = self.media_type.clone().map(MediaType::new);
        let says_other =
            says.as_ref().is_some_and(if is_index { MediaType::is_manifest } else { MediaType::is_index });
        match says {
            Some(says) if says_other => Err(Refusal::Mismatch {
                holds: if is_index { "manifests" } else { "layers" },
                says: says.as_str().to_owned(),
            }),
            _ => Ok(is_index),
        }
    }
}

#[cfg(test)]
mod tests;
