//! What can go wrong with archives.

use base::{Cancelled, Classified, IoError, Kind};
use image::{ImageId, NoSuchPlatform, ParseError};
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
    /// A layer in the archive is not acceptable.
    #[error("cannot load {} of the archive", base::text::bytes(.entry))]
    Entry {
        /// The entry.
        entry: Vec<u8>,
        /// Why.
        #[source]
        source: LayerError,
    },
    /// An entry is larger than what is read of its sort.
    #[error("in the archive, {} is larger than the limit of {limit} bytes", base::text::bytes(.entry))]
    TooLarge {
        /// The entry.
        entry: Vec<u8>,
        /// The limit.
        limit: u64,
    },
    /// None of an image's variants is for this machine.
    #[error("in the archive, {}: {source}", base::text::bytes(.entry))]
    Platform {
        /// The entry: the index of the variants.
        entry: Vec<u8>,
        /// What was wanted, and what there is.
        source: NoSuchPlatform,
    },
    /// The archive is truncated, or its bytes are not what their digests say.
    #[error("the archive is damaged: {0}")]
    Damaged(String),
    /// The archive is not one of images, or not an acceptable one.
    #[error("the archive is refused: {0}")]
    Refused(String),
    /// The store does not have all of an image.
    #[error("the image {} is not complete: {what}", .image.0.short())]
    Incomplete {
        /// Which.
        image: ImageId,
        /// What is missing, or wrong.
        what: String,
    },
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
            ArchiveError::Entry { source, .. } => source.kind(),
            ArchiveError::TooLarge { .. } => Kind::TooLarge,
            ArchiveError::Platform { source, .. } => source.kind(),
            ArchiveError::Damaged(_) | ArchiveError::Incomplete { .. } => Kind::Corrupt,
            ArchiveError::Refused(_) => Kind::Invalid,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            ArchiveError::Store(error) => error.hint(),
            ArchiveError::Layer(error) => error.hint(),
            ArchiveError::Damaged(_) => Some("transfer the archive again, or save it again".to_owned()),
            ArchiveError::Incomplete { .. } => {
                Some("`lap system check` names every damage, and what to do about it".to_owned())
            }
            // What a layer's own error proposes is about the store, and here the archive is at fault.
            _ => self.kind().hint().map(str::to_owned),
        }
    }
}
