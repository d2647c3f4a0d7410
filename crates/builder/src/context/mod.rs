//! Build contexts: a directory, read in place, seen through an ignore file.
//!
//! Nothing is uploaded and nothing is copied beforehand. What a cache lookup needs is one `stat` of each file: digests are remembered by
//! what `stat` said when the file was last read ([`store::contexts::FileDigests`]).
//!
//! Nothing in a context can lead out of it: links are followed in userland, inside of the root (`resolve`), and whatever is opened is opened by a path without links, with
//! `openat2(RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS)`.

mod filter;
mod open;
mod resolve;
mod status;
#[cfg(test)]
mod tests;
mod walk;
mod xattrs;

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use base::{Cancel, IoContext};
use dockerfile::ignore::IgnoreFile;
use rustix::fs::{Mode, OFlags};
use store::Store;
use store::contexts::FileDigests;
use store::table::ContentDigest;

use crate::copy::CopyError;

pub(crate) use filter::{Below, Exclusion, Fate, Filter};
pub(crate) use open::{FileReader, Opener};
pub(crate) use resolve::{Named, components};
pub(crate) use status::{Kind, Stamp, Status};
pub(crate) use walk::{Walked, join};
pub(crate) use xattrs::Xattrs;

/// A local directory that a build copies from. Cheap to clone; safe to use from several threads.
#[derive(Clone)]
pub struct Context(Arc<Inner>);

struct Inner {
    root: PathBuf,
    directory: OwnedFd,
    filter: Filter,
    digests: FileDigests,
}

impl Context {
    /// A context at `root`; `ignore` is its ignore file, already parsed, with the name it has in messages.
    pub fn new(store: &Store, root: &Path, ignore: Option<(String, IgnoreFile)>) -> Result<Self, CopyError> {
        let root = root.canonicalize().context("open", root)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(&root, flags, Mode::empty()).context("open", &root)?;
        let filter = ignore.map(|(name, patterns)| Filter::new(name, patterns)).unwrap_or_default();
        let digests = FileDigests::open(store, &root)?;
        Ok(Self(Arc::new(Inner { root, directory, filter, digests })))
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.0.root
    }

    /// Writes down the digests that were learned.
    pub fn save(&self) -> Result<(), CopyError> {
        Ok(self.0.digests.save()?)
    }

    /// The newest time of what is seen of it, in seconds since 1970; none when nothing is. Those of directories say when it was put there, not when it was made.
    pub(crate) fn newest(&self, cancel: &Cancel) -> Result<Option<i64>, CopyError> {
        let everything = Filter::default();
        let mut newest = None;
        self.walk(b"", Below { filter: &everything, prefix: b"" }, cancel, |walked| {
            if walked.status.kind != Kind::Directory {
                newest = newest.max(Some(walked.status.stamp.mtime.0));
            }
        })?;
        Ok(newest)
    }

    /// What of it is seen.
    pub(crate) fn filter(&self) -> &Filter {
        &self.0.filter
    }

    /// The digest of a file that is what it was when it was last read.
    pub(crate) fn remembered(&self, stamp: &Stamp) -> Option<ContentDigest> {
        self.0.digests.get(&stamp.file_stamp())
    }

    /// Remembers the digest of a file that was read at `read_at`, and whether it was seen, with this stamp, to have no attributes.
    pub(crate) fn remember(&self, stamp: &Stamp, digest: ContentDigest, is_plain: bool, read_at: SystemTime) {
        self.0.digests.put(stamp.file_stamp(), digest, is_plain, read_at);
    }

    /// Whether a file is known to have no attributes: setting one changes its stamp.
    fn is_plain(&self, stamp: &Stamp) -> bool {
        self.0.digests.is_plain(&stamp.file_stamp())
    }

    /// The name of a path of the context in messages of the system.
    fn full_path(&self, path: &[u8]) -> PathBuf {
        use std::os::unix::ffi::OsStrExt;
        self.0.root.join(std::ffi::OsStr::from_bytes(path))
    }
}
