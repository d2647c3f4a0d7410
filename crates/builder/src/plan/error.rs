//! What is valid in a Dockerfile and can still not be built.

use base::{Classified, Kind};
use dockerfile::Located;
use image::Platform;

use crate::entitlement::Entitlement;
use crate::session::NotBrought;

/// A Dockerfile can not be built: what is wrong, where, and what to do.
pub type PlanError = Located<PlanProblem>;

/// What is wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanProblem {
    /// `--target` names no stage.
    #[error("there is no stage {0:?} to build")]
    NoTarget(String),
    /// FROM expanded to nothing (DF-070).
    #[error("the name of the base image is empty after expansion")]
    EmptyBase,
    /// A name that can't be an image's.
    #[error(transparent)]
    Reference(#[from] image::reference::ReferenceError),
    /// A platform that can't be one.
    #[error(transparent)]
    Platform(#[from] image::platform::PlatformError),
    /// An image that is not in the store.
    #[error("there is no image {0} in the store")]
    NoImage(String),
    /// A stage that uses itself, or one that comes later (DF-071).
    #[error("stage {0:?} must be defined before it is used")]
    LaterStage(String),
    /// A stage number that does not exist.
    #[error("there is no stage number {0}: there are {1} stages, counted from 0")]
    NoStageNumber(usize, usize),
    /// COPY or ADD from a context that was not given.
    #[error("there is no build context to copy from")]
    NoContext,
    /// A named context that cannot be brought here.
    #[error("cannot get the build context {name}")]
    Context {
        /// Its name.
        name: String,
        /// Why.
        #[source]
        source: NotBrought,
    },
    /// First contents of a cache, and nothing that they are in.
    #[error("the source of a cache needs a from")]
    NoFrom,
    /// `# syntax=` names a frontend that is not docker's own.
    #[error("the frontend {} is not supported", base::text::bytes(.0.as_bytes()))]
    Frontend(String),
    /// Something that has to be allowed, and is not.
    #[error("{what} is not allowed: it takes the entitlement {entitlement}")]
    NotAllowed {
        /// What.
        what: &'static str,
        /// What would allow it.
        entitlement: Entitlement,
    },
    /// An index would have an image for a platform that it is not for.
    #[error("the image for {wanted} is one for {is_for}: that is what its base is for")]
    OtherPlatform {
        /// What was asked for.
        wanted: Box<Platform>,
        /// What it is for.
        is_for: Box<Platform>,
    },
    /// A value that is not what it should be.
    #[error("invalid {what} {value:?}: {reason}")]
    Value {
        /// What it is for.
        what: &'static str,
        /// The value, expanded.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A trigger of the base that is no instruction.
    #[error("an ONBUILD trigger of the base is not valid: {0}")]
    Trigger(dockerfile::Error),
    /// The base image cannot be brought here, or its documents can not be read.
    #[error("cannot get the base image")]
    Base(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Classified for PlanProblem {
    fn kind(&self) -> Kind {
        match self {
            PlanProblem::NoTarget(_)
            | PlanProblem::NoImage(_)
            | PlanProblem::NoContext
            | PlanProblem::NoStageNumber(..) => Kind::NotFound,
            PlanProblem::Frontend(_) => Kind::Unsupported,
            PlanProblem::Context { source, .. } => source.kind,
            PlanProblem::Base(error) => {
                error.downcast_ref::<NotBrought>().map_or(Kind::Corrupt, |error| error.kind)
            }
            _ => Kind::Invalid,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            PlanProblem::Reference(error) => error.hint(),
            PlanProblem::Platform(error) => error.hint(),
            PlanProblem::Trigger(error) => error.hint(),
            PlanProblem::Context { source, .. } => source.hint.clone(),
            PlanProblem::Base(error) => {
                error.downcast_ref::<NotBrought>().and_then(|error| error.hint.clone())
            }
            _ => None,
        }
    }
}
