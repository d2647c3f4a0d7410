//! What can go wrong in a build, and where in the Dockerfile.

use base::{Cancelled, Classified, Kind};
use dockerfile::{Located, Note, Span};
use image::{DiffId, ImageId, ParseError};
use layer::LayerError;
use store::StoreError;

use crate::copy::CopyError;
use crate::plan::PlanError;
use crate::run::RunError;
use crate::session::NotBrought;

/// Why a build gave no image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The Dockerfile is not valid.
    #[error(transparent)]
    Dockerfile(#[from] dockerfile::Error),
    /// The Dockerfile is valid, and can not be built.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A step failed.
    #[error("{} failed", base::text::line(&.0.step))]
    Step(#[source] Box<StepError>),
    /// The layers of an image could not be found.
    #[error(transparent)]
    Image(Box<StepFailure>),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The image's documents could not be written.
    #[error(transparent)]
    Document(#[from] ParseError),
    /// A result could not be written.
    #[error("cannot write the {export} export")]
    Export {
        /// Which: `oci`, `tar`.
        export: &'static str,
        /// Why.
        #[source]
        source: Box<ExportError>,
    },
    /// A context could not be opened.
    #[error("cannot open {context}")]
    Context {
        /// Which.
        context: String,
        /// Why.
        #[source]
        source: NotBrought,
    },
    /// A context could not be prepared.
    #[error("cannot prepare {context}")]
    ContextFiles {
        /// Which.
        context: String,
        /// Why.
        #[source]
        source: Box<CopyError>,
    },
    /// An ignore file is not valid.
    #[error("{} is not valid", base::text::bytes(.file.as_bytes()))]
    Ignore {
        /// Which.
        file: String,
        /// What is wrong with it, and where.
        #[source]
        source: dockerfile::ignore::IgnoreError,
    },
    /// Rules are broken, and that is an error (`check=error=true`).
    #[error("lint violation found for rules: {}", .0.join(", "))]
    Checks(Vec<&'static str>),
    /// The build argument that says which rules apply.
    #[error("the build argument {argument} is not valid: {reason}")]
    CheckArgument {
        /// Its name.
        argument: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// A device of all steps cannot be had.
    #[error(transparent)]
    Device(#[from] engine::devices::DeviceError),
    /// Limits were asked for that cannot be had.
    #[error(transparent)]
    Limits(#[from] sandbox::Error),
    /// The build was cancelled.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// A fault of this program.
    #[error("{0}")]
    Internal(String),
}

/// A step that failed.
#[derive(Debug)]
pub struct StepError {
    /// The step, as progress names it: `[build 2/3] RUN make`.
    pub step: String,
    /// Its instruction.
    pub span: Span,
    /// Why.
    pub cause: StepFailure,
}

impl std::fmt::Display for StepError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.cause.fmt(formatter)
    }
}

impl std::error::Error for StepError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.source()
    }
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StepFailure {
    /// A command failed, or could not be run.
    #[error(transparent)]
    Run(#[from] RunError),
    /// Files could not be copied.
    #[error(transparent)]
    Copy(#[from] Box<CopyError>),
    /// Layers.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A layer of an image is not in the store.
    #[error("the image {image} cannot be built on: its layer {layer} is not in the store")]
    MissingLayer {
        /// The image.
        image: Box<ImageId>,
        /// The layer.
        layer: Box<DiffId>,
    },
    /// The step was cancelled.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// A fault of this program.
    #[error("{0}")]
    Internal(String),
}

impl From<CopyError> for StepFailure {
    fn from(error: CopyError) -> Self {
        StepFailure::Copy(Box::new(error))
    }
}

/// Why a result could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// Its stream could not be opened or written.
    #[error(transparent)]
    Stream(#[from] std::io::Error),
    /// Layers.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// The archive.
    #[error(transparent)]
    Archive(#[from] archive::ArchiveError),
}

/// A place in the Dockerfile that an error is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Where.
    pub span: Span,
    /// A few words to put beside it.
    pub label: Option<String>,
    /// Other places that have to do with it.
    pub notes: Vec<Note>,
}

impl Place {
    fn of<P>(error: &Located<P>) -> Self {
        Self { span: error.span(), label: error.label().map(str::to_owned), notes: error.notes().to_vec() }
    }
}

impl BuildError {
    /// Where in the Dockerfile the error is, when it is somewhere there.
    pub fn place(&self) -> Option<Place> {
        match self {
            BuildError::Dockerfile(error) => Some(Place::of(error)),
            BuildError::Plan(error) => Some(Place::of(error)),
            BuildError::Step(error) => Some(error.place()),
            _ => None,
        }
    }

    /// Where all is that a failed command wrote, when there is more than its end.
    pub fn whole_log(&self) -> Option<&std::path::Path> {
        match self {
            BuildError::Step(error) => match &error.cause {
                StepFailure::Run(error) => error.whole_log(),
                _ => None,
            },
            _ => None,
        }
    }

    /// The end of what a failed command wrote; empty for all other errors.
    pub fn log_tail(&self) -> &[u8] {
        match self {
            BuildError::Step(error) => match &error.cause {
                StepFailure::Run(error) => error.log_tail(),
                _ => &[],
            },
            _ => &[],
        }
    }
}

impl StepError {
    /// Where in the Dockerfile it is.
    fn place(&self) -> Place {
        let narrower = match &self.cause {
            StepFailure::Copy(error) => error.span(),
            StepFailure::Run(error) => error.span(),
            _ => None,
        };
        Place { span: narrower.unwrap_or(self.span), label: None, notes: Vec::new() }
    }
}

impl Classified for BuildError {
    fn kind(&self) -> Kind {
        match self {
            BuildError::Dockerfile(error) => error.kind(),
            BuildError::Plan(error) => error.kind(),
            BuildError::Step(error) => error.cause.kind(),
            BuildError::Store(error) => error.kind(),
            BuildError::Device(error) => error.kind(),
            BuildError::Limits(error) => error.kind(),
            BuildError::Image(error) => error.kind(),
            BuildError::Document(error) => error.kind(),
            BuildError::Export { source, .. } => source.kind(),
            BuildError::Context { source, .. } => source.kind,
            BuildError::ContextFiles { source, .. } => source.kind(),
            BuildError::Ignore { .. } | BuildError::Checks(_) | BuildError::CheckArgument { .. } => {
                Kind::Invalid
            }
            BuildError::Cancelled(error) => error.kind(),
            BuildError::Internal(_) => Kind::Internal,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            BuildError::Dockerfile(error) => error.hint(),
            BuildError::Plan(error) => error.hint(),
            BuildError::Step(error) => error.cause.hint(),
            BuildError::Store(error) => error.hint(),
            BuildError::Device(error) => error.hint(),
            BuildError::Limits(error) => error.hint(),
            BuildError::Image(error) => error.hint(),
            BuildError::Export { source, .. } => source.hint(),
            BuildError::Context { source, .. } => source.hint.clone(),
            BuildError::Checks(_) => Some(
                "mend what the warnings say, or name the rules in `# check=skip=…;error=true`".to_owned(),
            ),
            BuildError::CheckArgument { .. } => {
                Some("write it like skip=RuleName,OtherRule;error=true".to_owned())
            }
            _ => self.kind().hint().map(str::to_owned),
        }
    }
}

impl Classified for StepFailure {
    fn kind(&self) -> Kind {
        match self {
            StepFailure::Run(error) => error.kind(),
            StepFailure::Copy(error) => error.kind(),
            StepFailure::Layer(error) => error.kind(),
            StepFailure::Store(error) => error.kind(),
            StepFailure::MissingLayer { .. } => Kind::Corrupt,
            StepFailure::Cancelled(error) => error.kind(),
            StepFailure::Internal(_) => Kind::Internal,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            StepFailure::Run(error) => error.hint(),
            StepFailure::Copy(error) => error.hint(),
            StepFailure::Layer(error) => error.hint(),
            StepFailure::Store(error) => error.hint(),
            StepFailure::MissingLayer { .. } => Some("`lap system check` names every damage".to_owned()),
            _ => self.kind().hint().map(str::to_owned),
        }
    }
}

impl Classified for ExportError {
    fn kind(&self) -> Kind {
        match self {
            ExportError::Stream(error) => Kind::of_io(error),
            ExportError::Layer(error) => error.kind(),
            ExportError::Archive(error) => error.kind(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            ExportError::Layer(error) => error.hint(),
            ExportError::Archive(error) => error.hint(),
            ExportError::Stream(_) => self.kind().hint().map(str::to_owned),
        }
    }
}
