//! COPY and ADD: files of a context, of an image or of a heredoc → a layer, without a mount, a container or an unpacked base (DF-110 … DF-145).
//!
//! ```text
//! CopyStep ─▶ Selection::find ─▶ Selection ─▶ Selection::content_key     stat and tables only: what a cache lookup needs
//!             (wildcards, ignore      │
//!              file, links)           └─────▶ execute ─▶ layer, content key
//!                                             (destination in the base, read once, straight into a pack)
//! ```
//!
//! The files of a commit are, to the key, the commit: they are fetched when the step is executed ([`CheckedOut`]).
//!
//! An archive that ADD unpacks is one file to the key, and becomes what is in it when the step is executed (`unpack`).
//!
//! The layer holds what is new and, once each, the directories above it: those that exist in the base with the base's metadata, the others
//! as they are made. It never needs what lies below to be unpacked.
//!
//! With `--link` the base is an empty one (DF-127): the layer, and its key, are the same whatever lies below. Directories above what is copied are
//! new ones, links at the destination are replaced by them, and owners are numbers.
//!
//! Where this differs from BuildKit on purpose:
//!
//! - A wildcard that matches nothing, with no other source, is an error, as in classic docker and buildah (DF-114): BuildKit makes an empty layer.
//! - A name in `--chown` that the base does not have is an error, as the documentation says (DF-124): BuildKit takes 0.
//! - Several files onto one file are an error, as the documentation says (DF-112): BuildKit keeps the last.
//! - `--exclude` counts for sources that are files too, as the documentation says (DF-129): BuildKit never excludes those.
//! - Created parents have the mode 0755 whatever `--chmod` says (DF-120): BuildKit makes directories of mode 0644 that nobody can enter.
//! - `--link` counts with `--chmod` too (DF-127): BuildKit ignores it then.
//! - A URL without a name in its path needs a destination that is a file, as the documentation says (DF-138): BuildKit calls the file `__unnamed__`.
//! - What is checked out of a repository has the time of its commit (DF-083): BuildKit gives it that of the checkout.
//! - An archive's directory onto a symbolic link or a file of the base, and the other way around, is an error, as in COPY (DF-119, DF-135): BuildKit
//!   replaces what is there, `/lib` with all that it leads to. So is a truncated archive whose first entry is whole: BuildKit keeps what it has unpacked.

mod checkout;
mod collect;
mod destination;
pub(crate) mod download;
mod error;
mod execute;
mod find;
mod item;
mod key;
mod order;
mod owner;
mod pattern;
mod plan;
mod read_ahead;
mod selection;
mod sieve;
#[cfg(test)]
mod tests;
mod tree;
mod unpack;

use dockerfile::Span;
use dockerfile::value::Mode;
use image::Digest;
use layer::View;

use crate::context::Context;

pub use checkout::CheckedOut;
pub use download::{Downloaded, shown};
pub use error::{CopyError, Thing};
pub use execute::execute;
pub use selection::Selection;

/// What is copied, every word expanded.
#[derive(Debug, Clone, PartialEq)]
pub struct CopyStep {
    /// What from, in order.
    pub sources: Vec<CopySource>,
    /// Where to: absolute or relative to `working_directory`; a trailing slash means a directory.
    pub destination: String,
    /// Where the destination was written.
    pub destination_span: Span,
    /// The stage's WORKDIR.
    pub working_directory: String,
    /// `--chown`, expanded.
    pub chown: Option<(String, Span)>,
    /// `--chmod`, parsed.
    pub chmod: Option<Mode>,
    /// `--parents`.
    pub parents: bool,
    /// `--exclude`, patterns.
    pub exclude: Vec<String>,
    /// `--link`: the layer is made without a look at what lies below it (DF-127).
    pub link: bool,
    /// Whether it is ADD and not COPY.
    pub add: bool,
    /// Whether archives are unpacked: ADD without `--unpack=false` (DF-135, DF-137).
    pub unpack: bool,
    /// The instruction.
    pub span: Span,
}

impl CopyStep {
    /// A path of the input as it is written, and all that is below it, at its own place: what a mount shows of something.
    pub(crate) fn of_path(path: &str, span: Span) -> Self {
        Self {
            sources: vec![CopySource::Path { pattern: pattern::escape(path), span }],
            destination: "/".to_owned(),
            destination_span: span,
            working_directory: "/".to_owned(),
            chown: None,
            chmod: None,
            parents: true,
            exclude: Vec::new(),
            link: false,
            add: false,
            unpack: false,
            span,
        }
    }
}

/// One source.
#[derive(Debug, Clone, PartialEq)]
pub enum CopySource {
    /// A path or wildcard in the input.
    Path {
        /// As it was written, expanded.
        pattern: String,
        /// Where it was written.
        span: Span,
    },
    /// A file of the web (ADD only).
    Url {
        /// Its address.
        url: String,
        /// `--checksum`.
        checksum: Option<(Digest, Span)>,
        /// Whether an archive is unpacked: `--unpack` (DF-137).
        unpack: bool,
        /// Where it was written.
        span: Span,
    },
    /// The files of a commit (ADD only).
    Git(Box<Repository>),
    /// A file that stands in the Dockerfile.
    Heredoc {
        /// Its name: the delimiter.
        name: String,
        /// Its contents, expanded.
        content: Vec<u8>,
    },
}

/// A repository that is copied from.
#[derive(Debug, Clone, PartialEq)]
pub struct Repository {
    /// As it was written, but for credentials.
    pub text: String,
    /// Which it is, and what of it.
    pub source: git::Source,
    /// Whether `.git` is copied, too.
    pub keep_git_dir: bool,
    /// Where it was written.
    pub span: Span,
}

/// Where paths are looked up.
#[derive(Clone, Copy)]
pub enum Input<'a> {
    /// A context: owners are 0:0 (DF-122).
    Context(&'a Context),
    /// The filesystem of another stage or image: owners are kept. An empty one is enough for a step that has heredocs only.
    View(&'a View),
}
