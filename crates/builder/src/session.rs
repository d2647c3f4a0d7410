//! What whoever asked for a build supplies while it runs.

use std::io::{self, Write};
use std::path::PathBuf;

/// The caller of a build: where files come from and where results go.
///
/// It is asked from several threads.
pub trait Session: Send + Sync {
    /// A build context: the main one has the empty name; named ones (`--build-context`) stand for stages and images (DF-078).
    /// `None` when there is no such context.
    fn context(&self, name: &str) -> io::Result<Option<LocalContext>>;

    /// The stream that the export at this place of the request's list writes to. It is asked for once, when everything else has succeeded.
    fn output(&self, export: usize) -> io::Result<Box<dyn Write + Send>>;
}

/// A directory of this machine as a build context. It is read in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalContext {
    /// The directory.
    pub root: PathBuf,
    /// The ignore file that counts (DF-184), if there is one.
    pub ignore: Option<IgnoreText>,
}

/// An ignore file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IgnoreText {
    /// What it is called in messages.
    pub name: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}
