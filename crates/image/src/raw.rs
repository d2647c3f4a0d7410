//! A document and the bytes that it was read from.

use std::sync::Arc;

use base::{Classified, Kind};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Descriptor, Digest, MediaType};

/// A parsed view, and the bytes it was parsed from (or written to): only the bytes have a digest.
///
/// Cheap to clone.
#[derive(Debug)]
pub struct Raw<T> {
    bytes: Arc<[u8]>,
    digest: Digest,
    value: Arc<T>,
}

/// Bytes that are not the document that they should be.
#[derive(Debug, thiserror::Error)]
#[error("the {what} is not valid")]
pub struct ParseError {
    /// What it should be: "manifest", "config", "index".
    pub what: &'static str,
    /// Why it is not.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

impl Classified for ParseError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }
}

impl<T> Clone for Raw<T> {
    fn clone(&self) -> Self {
        Self { bytes: self.bytes.clone(), digest: self.digest, value: self.value.clone() }
    }
}

impl<T> Raw<T> {
    /// The parsed view.
    pub fn value(&self) -> &T {
        &self.value
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The SHA-256 of the bytes.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// A descriptor of the bytes.
    pub fn descriptor(&self, media_type: MediaType) -> Descriptor {
        Descriptor::new(media_type, self.digest, self.bytes.len() as u64)
    }
}

impl<T: DeserializeOwned> Raw<T> {
    /// Reads a JSON document; `what` names it in the error.
    pub fn parse(what: &'static str, bytes: impl Into<Arc<[u8]>>) -> Result<Self, ParseError> {
        let bytes = bytes.into();
        let value =
            serde_json::from_slice(&bytes).map_err(|source| ParseError { what, source: source.into() })?;
        Ok(Self { digest: Digest::sha256(&bytes), bytes, value: Arc::new(value) })
    }
}

impl<T: Serialize> Raw<T> {
    /// Writes a JSON document, compactly, as Go's encoder would: the bytes are what is digested and stored.
    pub fn write(value: T) -> Result<Self, ParseError> {
        let bytes: Arc<[u8]> = serde_json::to_vec(&value)
            .map_err(|source| ParseError { what: "document", source: source.into() })?
            .into();
        Ok(Self { digest: Digest::sha256(&bytes), bytes, value: Arc::new(value) })
    }
}
