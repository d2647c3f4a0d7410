//! References: the names of images (RC-001 … RC-013).

use std::fmt;
use std::str::FromStr;

use base::{Classified, Kind};

use crate::Digest;

/// The name of an image: a registry's host, a repository's path, a tag, a digest.
///
/// Always canonical: Docker Hub is `docker.io`, its official images are below `library/`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    host: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// A text that is not a reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} is not the name of an image: {reason}", base::text::bytes(.text.as_bytes()))]
pub struct ReferenceError {
    /// What was given.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
    /// What would be right.
    pub hint: Option<String>,
}

impl Classified for ReferenceError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }

    fn hint(&self) -> Option<String> {
        self.hint.clone()
    }
}

impl Reference {
    /// Reads a reference as docker users type it; neither tag nor digest is added.
    pub fn parse(_text: &str) -> Result<Self, ReferenceError> {
        todo!()
    }

    /// The registry: `docker.io`, `localhost:5000`.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The repository's path: `library/debian`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The tag, if there is one.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if there is one.
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// With the tag `latest` when it has neither a tag nor a digest (RC-011).
    pub fn or_latest(self) -> Self {
        todo!()
    }

    /// With this tag instead of its own, and without a digest.
    pub fn with_tag(&self, _tag: &str) -> Result<Self, ReferenceError> {
        todo!()
    }

    /// The repository as people write it: `debian`, `user/app`, `localhost:5000/app` (RC-003).
    pub fn familiar_repository(&self) -> String {
        todo!()
    }

    /// The whole as people write it: `debian:bookworm`.
    pub fn familiar(&self) -> String {
        todo!()
    }
}

/// The canonical form: `docker.io/library/debian:bookworm`.
impl fmt::Display for Reference {
    fn fmt(&self, _formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        Self::parse(text)
    }
}
