//! What can go wrong with layers.

use base::{Cancelled, Classified, IoError, Kind};
use image::DiffId;
use store::StoreError;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LayerError {
    /// The system refused something.
    #[error(transparent)]
    Io(#[from] IoError),
    /// The store refused something.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The work was cancelled.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// The stream could not be read or written.
    #[error("cannot {action} {what}")]
    Stream {
        /// A verb: "read", "decompress", "write".
        action: &'static str,
        /// Of what: `layer sha256:…`, `the archive`.
        what: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// An archive is not a valid tar, or not an acceptable one.
    #[error("the archive is refused at entry {}: {reason}", base::text::bytes(.entry))]
    Entry {
        /// The name of the entry, as it stands in the archive.
        entry: Vec<u8>,
        /// What is wrong with it.
        reason: String,
    },
    /// A file belongs to an id that the user namespace does not have.
    #[error("{} belongs to {}:{}, and there are only {known} ids here", base::text::bytes(.path), .owner.0, .owner.1)]
    Owner {
        /// The path.
        path: Vec<u8>,
        /// The user and the group.
        owner: (u32, u32),
        /// How many users there are.
        known: u64,
    },
    /// Something cannot be held by a layer's tar.
    #[error("cannot write {} into a layer: {reason}", base::text::bytes(.path))]
    Unwritable {
        /// The path.
        path: Vec<u8>,
        /// Why.
        reason: &'static str,
    },
    /// A file became shorter or longer while it was read.
    #[error("{} changed while it was read: it had {size} bytes", base::text::bytes(.path))]
    Changed {
        /// The path.
        path: Vec<u8>,
        /// How many bytes it had when its reading began.
        size: u64,
    },
    /// Entries were written in a wrong order: a fault of this program.
    #[error("{} was written into a layer out of order", base::text::bytes(.path))]
    Order {
        /// The path that came too late, or twice.
        path: Vec<u8>,
    },
    /// Compression was asked for at a level that there is not.
    #[error("{format} has no level {level}: they go from {lowest} to {highest}")]
    Level {
        /// The format.
        format: &'static str,
        /// What was asked for.
        level: u8,
        /// The fastest.
        lowest: u8,
        /// The smallest.
        highest: u8,
    },
    /// A limit was reached.
    #[error("{what} is larger than the limit of {limit}")]
    TooLarge {
        /// What.
        what: String,
        /// The limit.
        limit: u64,
    },
    /// A derived form does not have the layer's DiffID.
    #[error("the layer is damaged: its tar should have the digest {expected}, and has {found}")]
    Mismatch {
        /// As it should be.
        expected: Box<DiffId>,
        /// As it is.
        found: Box<DiffId>,
    },
    /// Something in the way where a filesystem is written to.
    #[error("cannot write {}: {reason}", base::text::path(.path))]
    Destination {
        /// Where.
        path: std::path::PathBuf,
        /// What is in the way.
        reason: &'static str,
    },
    /// A path cannot be resolved in a view.
    #[error("cannot resolve {} in the image: {reason}", base::text::bytes(.path))]
    Resolve {
        /// The path.
        path: Vec<u8>,
        /// Why: too many symbolic links, not a directory.
        reason: &'static str,
    },
}

impl Classified for LayerError {
    fn kind(&self) -> Kind {
        match self {
            LayerError::Io(error) => error.kind(),
            LayerError::Store(error) => error.kind(),
            LayerError::Cancelled(error) => error.kind(),
            LayerError::Stream { source, .. } => Kind::of_io(source),
            LayerError::Entry { .. } | LayerError::Resolve { .. } | LayerError::Level { .. } => Kind::Invalid,
            LayerError::Unwritable { .. } | LayerError::Owner { .. } => Kind::Unsupported,
            LayerError::Changed { .. } | LayerError::Destination { .. } => Kind::Conflict,
            LayerError::Order { .. } => Kind::Internal,
            LayerError::TooLarge { .. } => Kind::TooLarge,
            LayerError::Mismatch { .. } => Kind::Corrupt,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            LayerError::Store(error) => error.hint(),
            LayerError::Owner { .. } => {
                Some("a larger range for this user in /etc/subuid and /etc/subgid, and a new store, or root, can have it".to_owned())
            }
            _ => self.kind().hint().map(str::to_owned),
        }
    }
}
