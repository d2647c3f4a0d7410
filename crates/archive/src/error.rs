//! What can go wrong with archives.

use base::{Cancelled, Classified, IoError, Kind};
use image::ParseError;
use layer::LayerError;
use store::StoreError;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// The system refused something.
    #[error(transparent)]
    Io(#[from] IoError),
    /// The store refused something.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A layer cannot be read or written.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// The work was cancelled.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// A document in the archive is not valid.
    #[error("in the archive, {}", base::text::bytes(.entry))]
    Document {
        /// The entry.
        entry: Vec<u8>,
        /// Why.
        #[source]
        source: ParseError,
    },
    /// The archive cannot be read, or cannot be written.
    #[error("cannot {action} the archive")]
    Stream {
        /// A verb: "read", "write".
        action: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The archive is not one of images, or is damaged.
    #[error("the archive is refused: {0}")]
    Refused(String),
}

impl Classified for ArchiveError {
    fn kind(&self) -> Kind {
        match self {
            ArchiveError::Io(error) => error.kind(),
            ArchiveError::Store(error) => error.kind(),
            ArchiveError::Layer(error) => error.kind(),
            ArchiveError::Cancelled(error) => error.kind(),
            ArchiveError::Document { source, .. } => source.kind(),
            ArchiveError::Stream { source, .. } => Kind::of_io(source),
            ArchiveError::Refused(_) => Kind::Invalid,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            ArchiveError::Store(error) => error.hint(),
            ArchiveError::Layer(error) => error.hint(),
            _ => self.kind().hint().map(str::to_owned),
        }
    }
}
