//! Manifests and indexes (OCI image-spec, manifest.md and image-index.md; Docker schema 2).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Descriptor, MediaType, ParseError, Raw};

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
    pub layers: Vec<Descriptor>,
    /// What this document is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Notes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
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
    pub manifests: Vec<Descriptor>,
    /// What this document is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Notes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
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
        let wrong = |reason: &str| ParseError { what: "manifest", source: reason.to_owned().into() };
        let value: Value = serde_json::from_slice(bytes)
            .map_err(|source| ParseError { what: "manifest", source: source.into() })?;
        let has = |key: &str| value.get(key).is_some_and(|value| !value.is_null());
        if value.get("schemaVersion").and_then(Value::as_u64) == Some(1) || has("fsLayers") {
            return Err(wrong("it is of schema 1, which nobody should use any more"));
        }
        let said = value.get("mediaType").and_then(Value::as_str).map(MediaType::new);
        let says_manifest = said.as_ref().is_some_and(MediaType::is_manifest);
        let says_index = said.as_ref().is_some_and(MediaType::is_index);
        match (has("manifests"), has("layers") || has("config")) {
            (true, true) => Err(wrong("it holds both manifests and layers")),
            (false, false) => Err(wrong("it holds neither manifests nor layers")),
            (true, false) if says_manifest => Err(wrong("it holds manifests, and says that it is one")),
            (false, true) if says_index => Err(wrong("it holds layers, and says that it is an index")),
            (true, false) => Raw::parse("index", bytes).map(Document::Index),
            (false, true) => Raw::parse("manifest", bytes).map(Document::Manifest),
        }
    }
}
