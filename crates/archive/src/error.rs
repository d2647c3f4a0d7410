//! What can go wrong with archives.

use std::path::PathBuf;

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
    /// The same of an archive, or of a layout, that has a name.
    #[error("{text}")]
    Within {
        /// What is wrong, with the name.
        text: String,
        /// Of which kind it is.
        kind: Kind,
        /// Why.
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// A directory is not a layout.
    #[error("{} is not an OCI image layout: {reason}", base::text::path(.path))]
    NoLayout {
        /// The directory.
        path: PathBuf,
        /// Why not.
        reason: &'static str,
    },
    /// What has to be a file is not one.
    #[error("{} is not a file, and cannot be read here and there", base::text::path(.0))]
    NoFile(PathBuf),
    /// An archive is compressed as a whole, where it has to be read here and there.
    #[error("the archive {} is compressed as a whole, and cannot be read here and there", base::text::path(.0))]
    Compressed(PathBuf),
    /// A layout, or an archive, does not have the image that is wanted.
    #[error("there is {what} in {place}{}", listed(.there))]
    NoImage {
        /// What it is called.
        place: String,
        /// What was looked for: "no image with the name 1.2".
        what: String,
        /// What there is.
        there: Vec<String>,
    },
    /// Several images may be meant.
    #[error("several images of {place} may be meant{}", listed(.there))]
    SeveralImages {
        /// What it is called.
        place: String,
        /// Which.
        there: Vec<String>,
    },
    /// The store does not have all of an image.
    #[error("the image {} is not complete: {what}", .image.0.short())]
    Incomplete {
        /// Which.
        image: ImageId,
        /// What is missing, or wrong.
        what: String,
    },
}

/// How many names an error lists.
const MAX_LISTED: usize = 20;

/// What there is, behind a colon.
fn listed(there: &[String]) -> String {
    let more = there.len().saturating_sub(MAX_LISTED);
    let names = there.iter().take(MAX_LISTED).map(String::as_str).collect::<Vec<_>>().join(", ");
    match (there.is_empty(), more) {
        (true, _) => ", which is empty".to_owned(),
        (false, 0) => format!("; it has {names}"),
        (false, more) => format!("; it has {names} and {more} more"),
    }
}

impl ArchiveError {
    /// The same, of an archive or a layout that is called so.
    pub(crate) fn within(self, place: &str) -> Self {
        let kind = self.kind();
        let within = |text: String| ArchiveError::Within { text, kind, source: None };
        match self {
            ArchiveError::Document { entry, source } => ArchiveError::Within {
                text: format!("in {place}, {}", base::text::bytes(&entry)),
                kind,
                source: Some(source.into()),
            },
            ArchiveError::Stream { action, source } => ArchiveError::Within {
                text: format!("cannot {action} {place}"),
                kind,
                source: Some(source.into()),
            },
            ArchiveError::TooLarge { entry, limit } => {
                let entry = base::text::bytes(&entry);
                within(format!("in {place}, {entry} is larger than the limit of {limit} bytes"))
            }
            ArchiveError::Damaged(reason) => within(format!("{place} is damaged: {reason}")),
            ArchiveError::Refused(reason) => within(format!("{place} is refused: {reason}")),
            ArchiveError::Store(error @ StoreError::Mismatch { .. }) => {
                within(format!("{place} is damaged: {error}"))
            }
            other => other,
        }
    }
}

impl Classified for ArchiveError {
    fn kind(&self) -> Kind {
        match self {
            ArchiveError::Within { kind, .. } => *kind,
            ArchiveError::NoLayout { .. } | ArchiveError::SeveralImages { .. } => Kind::Invalid,
            ArchiveError::NoFile(_) | ArchiveError::Compressed(_) => Kind::Unsupported,
            ArchiveError::NoImage { .. } => Kind::NotFound,
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
            ArchiveError::Within { kind: Kind::Corrupt, .. } => Some(
                "copy the image there again from where it is whole, after removing what is damaged".to_owned(),
            ),
            ArchiveError::NoFile(_) => Some(
                "write it to a file first, or use `lap load`, which reads from pipes into the store".to_owned(),
            ),
            ArchiveError::Compressed(_) => Some(
                "decompress it first (gunzip, unzstd, unxz), or use `lap load`, which decompresses on the way"
                    .to_owned(),
            ),
            ArchiveError::NoLayout { .. } => Some(
                "a layout is a directory with oci-layout, index.json and blobs; `lap copy` knows archives as oci-archive: and docker-archive:".to_owned(),
            ),
            ArchiveError::NoImage { .. } => Some("name one of those that are there".to_owned()),
            ArchiveError::SeveralImages { .. } => Some(
                "name one behind a colon, by its tag, as @N (its place in the index) or as @DIGEST".to_owned(),
            ),
            ArchiveError::Damaged(_) => Some("transfer the archive again, or save it again".to_owned()),
            ArchiveError::Incomplete { .. } => {
                Some("`lap system check` names every damage, and what to do about it".to_owned())
            }
            // What a layer's own error proposes is about the store, and here the archive is at fault.
            _ => self.kind().hint().map(str::to_owned),
        }
    }
}
