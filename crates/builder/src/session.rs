//! What whoever asked for a build supplies while it runs.

use std::io::{self, Write};
use std::path::PathBuf;

use base::{Cancel, Events, Kind};
use image::{ImageId, Platform};
use store::downloads::{Incoming, Version};

use crate::outcome::BuildWarning;

/// The largest file of the web that is brought, also as a context: far more than belongs into an image, and less than fills most disks.
pub const MAX_DOWNLOAD: u64 = 64 << 30;
/// The largest secret, as BuildKit has it: it is a key or a password, no data.
pub const MAX_SECRET: usize = 500 << 10;

/// The caller of a build: where files come from and where results go.
///
/// It is asked from several threads.
pub trait Session: Send + Sync {
    /// A build context: the main one has the empty name; named ones are those of [`crate::Request::contexts`]. `None` when there is no such context.
    ///
    /// A named one is asked for when something refers to it, and may have to be downloaded then. Whoever brings a context keeps it until the build has ended.
    fn context(&self, request: &ContextRequest<'_>) -> Result<Option<BuildContext>, NotBrought>;

    /// An image that the build stands on or copies from: whoever asked for the build may bring it into the store, or a newer one when it is there, and says
    /// which it was. What is not in the store afterwards does not exist.
    fn image(&self, request: &ImageRequest<'_>) -> Result<Option<ImageId>, NotBrought> {
        let _ = request;
        Ok(None)
    }

    /// A file of the web, into a file of the disk that has nothing in it yet. Whoever asked for the build knows how to get it, if anybody does.
    fn download(&self, request: &DownloadRequest<'_>, into: &mut Incoming) -> Result<Download, NotBrought> {
        let _ = (request, into);
        Err(NotBrought {
            kind: Kind::Unsupported,
            reason: "this build downloads nothing".to_owned(),
            hint: Some("put the file into the build context".to_owned()),
        })
    }

    /// What `git` is given when a repository is fetched, but for the agent; `None` when this build fetches none.
    fn git(&self) -> Option<git::Outside> {
        None
    }

    /// Hears what looks like a mistake, once, before anything is executed; also when planning fails.
    fn warned(&self, warnings: &[BuildWarning]) {
        let _ = warnings;
    }

    /// A secret (`--secret`), read when a step needs it; `None` when there is none of this name.
    fn secret(&self, id: &str) -> io::Result<Option<Vec<u8>>> {
        let _ = id;
        Ok(None)
    }

    /// Where an SSH agent (`--ssh`) listens, asked when a step, or a repository, needs it; `None` when there is none of this name.
    fn ssh(&self, id: &str) -> io::Result<Option<PathBuf>> {
        let _ = id;
        Ok(None)
    }

    /// The stream that the export at this place of the request's list writes to. It is asked for once, when everything else has succeeded.
    fn output(&self, export: usize) -> io::Result<Box<dyn Write + Send>>;
}

/// A context that a build asks for.
pub struct ContextRequest<'a> {
    /// Its name; empty for the main one.
    pub name: &'a str,
    /// For which platform, if it is an image; files are for all.
    pub platform: &'a Platform,
    /// Where to tell of the progress.
    pub events: &'a Events,
    /// Stops it.
    pub cancel: &'a Cancel,
}

/// What a context is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuildContext {
    /// Files. The main context is never anything else.
    Files(LocalContext),
    /// An image: a name as FROM has it, or an ID.
    Image(String),
    /// Nothing, as `FROM scratch` means it.
    Scratch,
}

/// An image that a build asks for.
pub struct ImageRequest<'a> {
    /// As it stands in the Dockerfile.
    pub name: &'a str,
    /// Whether the store has it. An image for another platform counts when no registry is known to have others of its name.
    pub is_there: bool,
    /// For which platform.
    pub platform: &'a Platform,
    /// Where to tell of the progress.
    pub events: &'a Events,
    /// Stops it.
    pub cancel: &'a Cancel,
}

/// A file that ADD downloads.
pub struct DownloadRequest<'a> {
    /// Where it is: an address of HTTP.
    pub url: &'a str,
    /// The version that is known; `None` when the file is wanted in any case.
    pub known: Option<&'a Version>,
    /// More bytes than this are an error.
    pub limit: u64,
    /// Hears how much has come, and how much there is.
    pub progress: &'a dyn Fn(u64, Option<u64>),
    /// Stops it.
    pub cancel: &'a Cancel,
}

/// What came of a download.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Download {
    /// The known version is still the one that the server has; nothing was written.
    Unchanged,
    /// The whole file was written.
    Whole {
        /// What was written.
        version: Version,
        /// When it was made, in seconds since 1970, if the server says so.
        mtime: Option<i64>,
    },
}

/// Why something that a build asks for could not be brought here: a context, an image, a file of the web.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct NotBrought {
    /// What sort of failure it was.
    pub kind: Kind,
    /// What happened, causes included.
    pub reason: String,
    /// What the user can do.
    pub hint: Option<String>,
}

/// A directory of this machine as a build context. It is read in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalContext {
    /// The directory.
    pub root: PathBuf,
    /// What was put into the directory for this build alone: an address, `-` for the standard input. The directory has another place the next time, so
    /// nothing is remembered by it. `None` for a directory of the user.
    pub origin: Option<String>,
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
