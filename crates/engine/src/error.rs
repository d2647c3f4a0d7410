//! What can go wrong with containers.

use base::{Cancelled, Classified, IoError, Kind};
use layer::LayerError;
use store::StoreError;

use crate::devices::DeviceError;
use crate::merge::MergeError;
use crate::users::UserError;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The system refused something.
    #[error(transparent)]
    Io(#[from] IoError),
    /// The store refused something.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A layer cannot be used.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// The image and the wishes make no container.
    #[error(transparent)]
    Merge(#[from] MergeError),
    /// The user cannot be found.
    #[error(transparent)]
    User(#[from] UserError),
    /// The process cannot be isolated or executed.
    #[error(transparent)]
    Sandbox(#[from] sandbox::Error),
    /// A device cannot be had.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The work was cancelled.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// A layer of the image is not in the store.
    #[error("the image {} cannot be run: its layer {} is not in the store", .0.image, .0.layer)]
    MissingLayer(Box<MissingLayer>),
    /// Overlays were asked for.
    #[error("overlays cannot be had here: {}", base::text::line(.reason))]
    NoOverlay {
        /// Why.
        reason: String,
    },
    /// The image is for something else.
    #[error("the image is for {of_image}, and this machine is {of_machine}")]
    Platform {
        /// What the image is for.
        of_image: String,
        /// What this machine is.
        of_machine: String,
    },
}

/// An image without one of its layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MissingLayer {
    /// The image.
    pub image: image::ImageId,
    /// The layer.
    pub layer: image::DiffId,
}

impl EngineError {
    /// The exit code of `run` for this error: 127, 126, or 125 (CT-1), and 130 when it was cancelled.
    pub fn exit_code(&self) -> u8 {
        match self {
            EngineError::Sandbox(error) => error.exit_code(),
            error if error.kind() == Kind::Cancelled => Kind::Cancelled.exit_code(),
            _ => 125,
        }
    }
}

impl Classified for EngineError {
    fn kind(&self) -> Kind {
        match self {
            EngineError::Io(error) => error.kind(),
            EngineError::Store(error) => error.kind(),
            EngineError::Layer(error) => error.kind(),
            EngineError::Merge(error) => error.kind(),
            EngineError::User(error) => error.kind(),
            EngineError::Sandbox(error) => error.kind(),
            EngineError::Device(error) => error.kind(),
            EngineError::Cancelled(error) => error.kind(),
            EngineError::MissingLayer(_) => Kind::Corrupt,
            EngineError::Platform { .. } | EngineError::NoOverlay { .. } => Kind::Unsupported,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            EngineError::Store(error) => error.hint(),
            EngineError::Layer(error) => error.hint(),
            EngineError::Merge(error) => error.hint(),
            EngineError::User(error) => error.hint(),
            EngineError::Sandbox(error) => error.hint(),
            EngineError::Device(error) => error.hint(),
            EngineError::NoOverlay { .. } => {
                Some("copies always work: LAPSTRAKE_SNAPSHOT=copy, or do not ask for anything".to_owned())
            }
            EngineError::MissingLayer(_) => Some("`lap system check` names every damage".to_owned()),
            _ => self.kind().hint().map(str::to_owned),
        }
    }
}
