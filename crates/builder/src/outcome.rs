//! What a build gave.

use dockerfile::Span;
use dockerfile::lint::{Finding, Rule};
use image::{Descriptor, ImageId, Reference};
use store::Variants;

/// A build that succeeded.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The image: the digest of its config. Of several platforms it is the image for this machine, or else the first one.
    pub image: ImageId,
    /// Its manifest; its layers are plain packs.
    pub manifest: Descriptor,
    /// The index of several images.
    pub variants: Option<Variants>,
    /// The names that it got, and what they meant before.
    pub names: Vec<Named>,
    /// What deserves a word. It was given to the session too, before anything was executed.
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
    /// The rule that is broken, if there is one for it.
    pub rule: Option<Rule>,
    /// What, in one line.
    pub text: String,
    /// Where in the Dockerfile.
    pub span: Option<Span>,
}

impl From<Finding> for BuildWarning {
    fn from(finding: Finding) -> Self {
        Self { rule: Some(finding.rule), text: finding.message, span: Some(finding.span) }
    }
}
