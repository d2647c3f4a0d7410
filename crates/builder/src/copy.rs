//! COPY and ADD: files of a context, of an image or of a heredoc → a layer, without a mount, a container or an unpacked base (DF-110 … DF-145).

use base::Cancel;
use dockerfile::Span;
use layer::View;
use layer::packer::PackOptions;
use store::table::ContentDigest;
use store::{Layer, Lease, Store};

use crate::context::Context;

/// What is copied, every word expanded.
#[derive(Debug, Clone, PartialEq)]
pub struct CopyStep {
    /// What from, in order.
    pub sources: Vec<CopySource>,
    /// Where to: absolute or relative to `working_directory`; a trailing slash means a directory.
    pub destination: String,
    /// The stage's WORKDIR.
    pub working_directory: String,
    /// `--chown`, expanded.
    pub chown: Option<(String, Span)>,
    /// `--chmod`, parsed.
    pub chmod: Option<dockerfile::mode::Mode>,
    /// `--parents`.
    pub parents: bool,
    /// `--exclude`, patterns.
    pub exclude: Vec<String>,
    /// Whether it is ADD (archives are unpacked) and not COPY.
    pub add: bool,
    /// The instruction.
    pub span: Span,
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
    /// A file that stands in the Dockerfile.
    Heredoc {
        /// Its name: the delimiter.
        name: String,
        /// Its contents, expanded.
        content: Vec<u8>,
    },
}

/// Where paths are looked up.
pub enum Input<'a> {
    /// A context: owners are 0:0 (DF-122).
    Context(&'a Context),
    /// The filesystem of another stage or image: owners are kept.
    View(&'a View),
}

/// The sources of a step, found: what the content key is made of, and what is executed. Wildcards are resolved, directories are walked (through the
/// ignore file), nothing is read yet.
pub struct Selection {}

impl Selection {
    /// Finds the sources. A missing literal source is an error that says whether it is absent or excluded, and by which line of which ignore file.
    pub fn find(
        store: &Store,
        input: &Input<'_>,
        step: &CopyStep,
        cancel: &Cancel,
    ) -> Result<Self, CopyError> {
        let _ = (store, input, step, cancel);
        todo!()
    }

    /// The identity of what is copied (DF-174): per path type, mode, owner, size, link target, xattrs and content, never times. Reads only files whose digest is not remembered.
    pub fn content_key(
        &self,
        store: &Store,
        lease: &Lease,
        cancel: &Cancel,
    ) -> Result<ContentDigest, CopyError> {
        let _ = (store, lease, cancel);
        todo!()
    }
}

/// Makes the layer. Gives it with the content key, learned while the files were read (the same that [`Selection::content_key`] gives).
pub fn execute(
    store: &Store,
    lease: &Lease,
    step: &CopyStep,
    selection: &Selection,
    base: &View,
    options: PackOptions,
    cancel: &Cancel,
) -> Result<(Layer, ContentDigest), CopyError> {
    let _ = (store, lease, step, selection, base, options, cancel);
    todo!()
}

/// What can go wrong while copying.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CopyError {
    /// A layer, or the store.
    #[error(transparent)]
    Layer(#[from] layer::LayerError),
}
