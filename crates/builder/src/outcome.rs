//! What a build gave.

use dockerfile::Span;
use image::{Descriptor, ImageId, Reference};

/// A build that succeeded.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The image: the digest of its config.
    pub image: ImageId,
    /// Its manifest; its layers are plain packs.
    pub manifest: Descriptor,
    /// The names that it got, and what they meant before.
    pub names: Vec<Named>,
    /// What deserves a word. Each was sent as an event too.
    pub warnings: Vec<BuildWarning>,
    /// How many steps there were, and how many of them were found in the cache.
    pub steps: StepCount,
}

/// A name that was given.
#[derive(Debug, Clone, PartialEq)]
pub struct Named {
    /// The name.
    pub reference: Reference,
    /// The image that had it before, when it was another one.
    pub before: Option<ImageId>,
}

/// How the steps of a build went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StepCount {
    /// Steps that were executed.
    pub executed: usize,
    /// Steps whose layer was there already.
    pub cached: usize,
}

/// Something that looks like a mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildWarning {
    /// What, in one line.
    pub text: String,
    /// Where in the Dockerfile.
    pub span: Option<Span>,
}
