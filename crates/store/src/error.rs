//! What can go wrong in a store.

use std::path::PathBuf;

use base::{Cancelled, Classified, IdMap, IoError, Kind};
use image::{Digest, ParseError};

/// An error of the store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The system refused something.
    #[error(transparent)]
    Io(#[from] IoError),
    /// The work was cancelled.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// The store was made by a newer version.
    #[error("the store at {} was made by a newer version of lap (its format is {found}, this one knows {known})", base::text::path(.root))]
    TooNew {
        /// Where the store is.
        root: PathBuf,
        /// The format that was found.
        found: u32,
        /// The newest format that is known here.
        known: u32,
    },
    /// The files of the store belong to the ids of another user namespace.
    #[error("the store at {} was made with other user ids: {recorded}, and this process has {own}", base::text::path(.root))]
    OtherIds {
        /// Where the store is.
        root: PathBuf,
        /// The ids that it was made with.
        recorded: Box<IdMap>,
        /// Those of this process.
        own: Box<IdMap>,
    },
    /// The directory is something else.
    #[error("{} is not a store: {reason}", base::text::path(.root))]
    NotAStore {
        /// Where.
        root: PathBuf,
        /// What speaks against it.
        reason: String,
    },
    /// A blob is not there.
    #[error("there is no blob {0} in the store")]
    NoBlob(Digest),
    /// Bytes are not what they were said to be.
    #[error("{what} is damaged: expected {expected}, found {found}")]
    Mismatch {
        /// What was read: `blob sha256:…`, `layer sha256:…`.
        what: String,
        /// Digest or size as it should be.
        expected: String,
        /// Digest or size as it is.
        found: String,
    },
    /// A file of the store cannot be understood.
    #[error("{} is damaged: {reason}", base::text::path(.path))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Something is larger than it may be.
    #[error("{what} is larger than {limit} bytes")]
    TooLarge {
        /// What.
        what: String,
        /// The limit, in bytes.
        limit: u64,
    },
    /// Somebody else writes to an upload.
    #[error("upload {0} is being written to over another connection")]
    UploadBusy(String),
    /// An entry cannot stand in a layer's table.
    #[error("the entry {} cannot be in a layer: {reason}", base::text::bytes(.path))]
    Entry {
        /// Where it would be.
        path: Vec<u8>,
        /// What is wrong with it.
        reason: String,
    },
    /// A layer is not there.
    #[error("there is no layer {0} in the store")]
    NoLayer(image::DiffId),
    /// A name cannot be kept.
    #[error("{} cannot be the name of an image in the store: {reason}", base::text::bytes(.name.as_bytes()))]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An image was to be forgotten that still has a name.
    #[error("image {image} still has the name {name}")]
    HasName {
        /// The image.
        image: image::ImageId,
        /// One of its names.
        name: String,
    },
    /// A layer was to be added of which nothing has the contents.
    #[error("nothing in the store holds the contents of layer {0}")]
    NoForm(image::DiffId),
    /// A document in the store is not valid.
    #[error(transparent)]
    Document(#[from] ParseError),
    /// There is no such image.
    #[error("there is no image {}", base::text::bytes(.0.as_bytes()))]
    NoImage(String),
    /// The beginning of an ID fits several images.
    #[error("{} is the beginning of the IDs of {count} images", base::text::bytes(.prefix.as_bytes()))]
    Ambiguous {
        /// What was given.
        prefix: String,
        /// How many fit.
        count: usize,
    },
}

impl Classified for StoreError {
    fn kind(&self) -> Kind {
        match self {
            StoreError::Io(error) => error.kind(),
            StoreError::Cancelled(error) => error.kind(),
            StoreError::TooNew { .. } => Kind::TooNew,
            StoreError::NotAStore { .. }
            | StoreError::OtherIds { .. }
            | StoreError::Ambiguous { .. }
            | StoreError::Entry { .. }
            | StoreError::Name { .. } => Kind::Invalid,
            StoreError::HasName { .. } => Kind::Conflict,
            StoreError::UploadBusy(_) => Kind::Busy,
            StoreError::NoBlob(_)
            | StoreError::NoLayer(_)
            | StoreError::NoForm(_)
            | StoreError::NoImage(_) => Kind::NotFound,
            StoreError::Mismatch { .. } | StoreError::Damaged { .. } => Kind::Corrupt,
            StoreError::TooLarge { .. } => Kind::TooLarge,
            StoreError::Document(error) => error.kind(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            StoreError::TooNew { .. } => Some("use the newer lap, or another store with --root".to_owned()),
            StoreError::OtherIds { .. } => Some(
                "use it as the user who made it, with the same /etc/subuid and /etc/subgid, or another store with --root".to_owned(),
            ),
            StoreError::Mismatch { .. } | StoreError::Damaged { .. } => {
                Some("`lap system check` names every damage, and what to do about it".to_owned())
            }
            StoreError::NoImage(_) => Some("`lap images` lists what there is".to_owned()),
            StoreError::HasName { .. } => Some("remove its names first".to_owned()),
            StoreError::Ambiguous { .. } => Some("give more of the ID's digits".to_owned()),
            _ => self.kind().hint().map(str::to_owned),
        }
    }
}
