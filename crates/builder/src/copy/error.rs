//! What can go wrong while copying.

use std::fmt;

use base::{Cancelled, Classified, IoError, Kind};
use dockerfile::Span;
use image::Digest;
use layer::LayerError;
use store::StoreError;

use crate::checkout::CheckoutError;
use crate::session::NotBrought;

/// An error of COPY or ADD.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CopyError {
    /// A layer.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The system refused something.
    #[error(transparent)]
    Io(#[from] IoError),
    /// The work was cancelled.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// A source that does not exist.
    #[error("there is no {} in {place}{}", base::text::bytes(.source_path.as_bytes()), did_you_mean(.suggestion))]
    Missing {
        /// As it was written.
        source_path: String,
        /// Where it was looked for: "the build context", "the image".
        place: &'static str,
        /// What was probably meant.
        suggestion: Option<String>,
        /// What else is to be said: a link that leads nowhere, a file where a directory should be.
        detail: Option<String>,
        /// Where it was written.
        span: Span,
    },
    /// A source that exists, and that the ignore file excludes.
    #[error(
        "{} is in the build context, but excluded by {} in line {line} of {}",
        base::text::bytes(.source_path.as_bytes()), base::text::bytes(.pattern.as_bytes()), base::text::bytes(.file.as_bytes())
    )]
    Excluded {
        /// As it was written.
        source_path: String,
        /// The pattern that excludes it.
        pattern: String,
        /// The line of the pattern.
        line: u32,
        /// The ignore file.
        file: String,
        /// Where it was written.
        span: Span,
    },
    /// No file at all.
    #[error("nothing in {place} matches {}", base::text::bytes(.pattern.as_bytes()))]
    NothingMatched {
        /// The wildcard; the first one of several.
        pattern: String,
        /// Where it was looked for.
        place: &'static str,
        /// How many matches the ignore file or `--exclude` took away.
        excluded: usize,
        /// Where it was written.
        span: Span,
    },
    /// A wildcard or an `--exclude` pattern that is not one.
    #[error("the pattern {} is malformed: {reason}", base::text::bytes(.pattern.as_bytes()))]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        reason: String,
        /// Where it was written.
        span: Span,
    },
    /// A source that can't be copied.
    #[error("cannot copy {}: it is {thing}", base::text::bytes(.source_path.as_bytes()))]
    NotCopyable {
        /// As it was written.
        source_path: String,
        /// What it is.
        thing: Thing,
        /// Where it was written.
        span: Span,
    },
    /// An archive that ADD can't unpack (DF-135).
    #[error("cannot unpack {}", base::text::bytes(.archive))]
    Archive {
        /// Its path in the context.
        archive: Vec<u8>,
        /// What is wrong with it.
        #[source]
        source: Box<LayerError>,
        /// Where it was written.
        span: Span,
    },
    /// A file of the web could not be had.
    #[error("cannot download {}: {reason}", base::text::bytes(.url.as_bytes()))]
    Download {
        /// Its address, without what may be secret in it.
        url: String,
        /// Why.
        reason: NotBrought,
        /// Where it was written.
        span: Span,
    },
    /// A repository could not be had.
    #[error("cannot add {}", base::text::bytes(.url.as_bytes()))]
    Repository {
        /// Its address, without what may be secret in it.
        url: String,
        /// Why.
        #[source]
        source: Box<CheckoutError>,
        /// Where it was written.
        span: Span,
    },
    /// A file of the web is not the one that `--checksum` asks for (DF-139).
    #[error("{} is not what --checksum says: expected {expected}, got {found}", base::text::bytes(.url.as_bytes()))]
    Checksum {
        /// Its address, without what may be secret in it.
        url: String,
        /// What was asked for.
        expected: Box<Digest>,
        /// What came.
        found: Box<Digest>,
        /// The checksum.
        span: Span,
    },
    /// A file of the web whose contents were not asked for, and are needed.
    #[error("{} was not downloaded", base::text::bytes(.url.as_bytes()))]
    NotDownloaded {
        /// Its address, without what may be secret in it.
        url: String,
        /// Where it was written.
        span: Span,
    },
    /// A file is not what it was when its place in the layer was decided.
    #[error("{} changed while it was being copied", base::text::bytes(.path))]
    Changed {
        /// Its path in the context.
        path: Vec<u8>,
    },
    /// What is copied, and what is there, do not go together (DF-119).
    #[error("cannot copy {new} to {}: it is {existing}{}", base::text::bytes(.path), where_from(*.from_this_step))]
    Conflict {
        /// The place in the image, with a leading slash.
        path: Vec<u8>,
        /// What would be put there.
        new: Thing,
        /// What is there.
        existing: Thing,
        /// Whether what is there comes from an earlier source of the same instruction.
        from_this_step: bool,
        /// The source, or the destination.
        span: Span,
    },
    /// Several files, and one file to put them into (DF-112).
    #[error("several files are copied to {}, which is not a directory", base::text::bytes(.destination.as_bytes()))]
    SeveralFiles {
        /// The destination as it was written.
        destination: String,
        /// The destination.
        span: Span,
    },
    /// The destination leads nowhere.
    #[error("the destination {} can not be used: {reason}", base::text::bytes(.destination.as_bytes()))]
    Destination {
        /// The destination as it was written.
        destination: String,
        /// Why.
        reason: String,
        /// The destination.
        span: Span,
    },
    /// A user or a group of `--chown` that is not known (DF-124).
    #[error("--chown={}: {reason}", base::text::bytes(.text.as_bytes()))]
    Owner {
        /// The value of the flag.
        text: String,
        /// What is wrong.
        reason: String,
        /// Where it was written.
        span: Span,
    },
}

/// What a path is, in messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Thing {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A device.
    Device,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

impl fmt::Display for Thing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Thing::File => "a file",
            Thing::Directory => "a directory",
            Thing::Symlink => "a symbolic link",
            Thing::Device => "a device",
            Thing::Fifo => "a named pipe",
            Thing::Socket => "a socket",
        })
    }
}

fn did_you_mean(suggestion: &Option<String>) -> String {
    match suggestion {
        Some(name) => format!(" (did you mean {}?)", base::text::bytes(name.as_bytes())),
        None => String::new(),
    }
}

fn where_from(from_this_step: bool) -> &'static str {
    if from_this_step { " from an earlier source of this instruction" } else { " in the image" }
}

impl CopyError {
    /// The place in the Dockerfile, when it is a smaller one than the instruction.
    pub fn span(&self) -> Option<Span> {
        match self {
            CopyError::Missing { span, .. }
            | CopyError::Excluded { span, .. }
            | CopyError::NothingMatched { span, .. }
            | CopyError::Pattern { span, .. }
            | CopyError::NotCopyable { span, .. }
            | CopyError::Archive { span, .. }
            | CopyError::Download { span, .. }
            | CopyError::Repository { span, .. }
            | CopyError::Checksum { span, .. }
            | CopyError::NotDownloaded { span, .. }
            | CopyError::Conflict { span, .. }
            | CopyError::SeveralFiles { span, .. }
            | CopyError::Destination { span, .. }
            | CopyError::Owner { span, .. } => Some(*span),
            CopyError::Layer(_)
            | CopyError::Store(_)
            | CopyError::Io(_)
            | CopyError::Cancelled(_)
            | CopyError::Changed { .. } => None,
        }
    }
}

impl Classified for CopyError {
    fn kind(&self) -> Kind {
        match self {
            CopyError::Layer(error) => error.kind(),
            CopyError::Store(error) => error.kind(),
            CopyError::Io(error) => error.kind(),
            CopyError::Cancelled(error) => error.kind(),
            CopyError::Missing { .. } | CopyError::Excluded { .. } | CopyError::NothingMatched { .. } => {
                Kind::NotFound
            }
            CopyError::Download { reason, .. } => reason.kind,
            CopyError::Repository { source, .. } => source.kind(),
            CopyError::Checksum { .. } => Kind::Corrupt,
            CopyError::NotDownloaded { .. } => Kind::Internal,
            CopyError::Archive { source, .. } => source.kind(),
            CopyError::Changed { .. } | CopyError::Conflict { .. } => Kind::Conflict,
            CopyError::Pattern { .. }
            | CopyError::NotCopyable { .. }
            | CopyError::SeveralFiles { .. }
            | CopyError::Destination { .. }
            | CopyError::Owner { .. } => Kind::Invalid,
        }
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            CopyError::Layer(error) => return error.hint(),
            CopyError::Store(error) => return error.hint(),
            CopyError::Missing { detail, .. } => return detail.clone(),
            CopyError::Excluded { source_path, file, .. } => {
                return Some(format!(
                    "add the line `!{}` at the end of {}, or remove the pattern",
                    base::text::line(source_path),
                    base::text::line(file)
                ));
            }
            CopyError::NothingMatched { excluded: 0, .. } => {
                "`*` and `?` do not cross a `/`, and `**` works with --parents only"
            }
            CopyError::NothingMatched { excluded, .. } => {
                return Some(format!(
                    "{excluded} of its matches are excluded by the ignore file or by --exclude"
                ));
            }
            CopyError::Download { reason, .. } => return reason.hint.clone(),
            CopyError::Repository { source, .. } => return source.hint(),
            CopyError::Checksum { .. } => {
                "the file has changed on the server, or was damaged on its way: find out which, before you change the checksum"
            }
            CopyError::Archive { source, .. }
                if matches!(**source, LayerError::Entry { .. } | LayerError::Stream { .. }) =>
            {
                "COPY, and ADD --unpack=false, copy an archive as it is"
            }
            CopyError::Archive { source, .. } => return source.hint(),
            CopyError::Changed { .. } => "repeat the build when nothing writes to the context",
            CopyError::Conflict { existing: Thing::Symlink, new: Thing::Directory, .. } => {
                "a directory does not replace a symbolic link: copy its contents to where the link leads"
            }
            CopyError::SeveralFiles { .. } => "end the destination with a `/` to make it a directory",
            CopyError::Owner { .. } => "numbers always work: --chown=1000:1000",
            _ => return self.kind().hint().map(str::to_owned),
        };
        Some(text.to_owned())
    }
}
