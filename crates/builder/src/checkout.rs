//! Repositories of git: which commit is meant, and its files in a directory of the store.
//!
//! A clone is kept for each repository, as a cache mount is kept: locked while it is used, across processes, and removed by a prune. A commit that it has is
//! not fetched again.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use base::{Cancel, Classified, IoContext, Kind};
use git::{Authorization, Git, GitError, Order, Resolved, Source, Transport};
use store::mounts::Sharing;
use store::{StepKey, Store, StoreError, TempDir};

use crate::context::{Context, Named};
use crate::copy::CopyError;

/// The agent (`--ssh`) that signs for repositories over SSH, as in BuildKit.
pub const AGENT: &str = "default";

/// Keeps these digests apart from all others.
const CLONE: &str = "lapstrake 2026 clone of a repository";

/// Why there is no checkout.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckoutError {
    /// Whoever asked for the build does not fetch repositories.
    #[error("this build fetches no repositories")]
    NoGit,
    /// A secret that cannot be read.
    #[error("cannot read the secret {id}: {reason}")]
    Secret {
        /// Its name.
        id: String,
        /// Why.
        reason: std::io::Error,
    },
    /// An SSH agent that cannot be had.
    #[error("there is no SSH agent: {0}")]
    Agent(std::io::Error),
    /// A secret that no server can be told.
    #[error("the secret {0} is not one line of text")]
    NotALine(String),
    /// git.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The files that were checked out.
    #[error(transparent)]
    Files(Box<CopyError>),
}

impl Classified for CheckoutError {
    fn kind(&self) -> Kind {
        match self {
            CheckoutError::NoGit => Kind::Unsupported,
            CheckoutError::Secret { reason, .. } | CheckoutError::Agent(reason) => Kind::of_io(reason),
            CheckoutError::NotALine(_) => Kind::Invalid,
            CheckoutError::Git(error) => error.kind(),
            CheckoutError::Store(error) => error.kind(),
            CheckoutError::Files(error) => error.kind(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            CheckoutError::NoGit => {
                Some("clone it in a RUN, or before the build into the context".to_owned())
            }
            CheckoutError::Agent(_) => {
                Some("unlock a key in an agent (ssh-add), and give that one: --ssh default".to_owned())
            }
            CheckoutError::Git(error) => error.hint(),
            CheckoutError::Store(error) => error.hint(),
            CheckoutError::Files(error) => error.hint(),
            CheckoutError::Secret { .. } | CheckoutError::NotALine(_) => Some(
                "name a file or a variable with a token in it: --secret id=GIT_AUTH_TOKEN,src=FILE"
                    .to_owned(),
            ),
        }
    }
}

/// What fetches repositories.
pub struct Repositories<'a> {
    /// Where clones are, and checkouts.
    pub store: &'a Store,
    /// What `git` is given; `None` when nothing is fetched.
    pub outside: Option<git::Outside>,
    /// Has the secrets, by their names ([`Session::secret`](crate::Session::secret)).
    pub secret: &'a dyn Fn(&str) -> std::io::Result<Option<Vec<u8>>>,
    /// Where the agent listens that signs for repositories over SSH, asked when there is one ([`Session::ssh`](crate::Session::ssh)).
    pub agent: &'a dyn Fn() -> std::io::Result<Option<PathBuf>>,
    /// Hears how many objects have come, and of how many.
    pub progress: &'a dyn Fn(u64, u64),
    /// Hears that another process fetches the same repository.
    pub waiting: &'a dyn Fn(),
    /// Stops it.
    pub cancel: &'a Cancel,
}

/// The files of a commit; they go with this.
pub struct Files {
    /// The directory that is meant.
    pub root: PathBuf,
    /// What is removed with this.
    pub directory: TempDir,
}

impl Repositories<'_> {
    /// Which commit a source means; the server is asked when that is not written out.
    pub fn resolve(&self, source: &Source) -> Result<Resolved, CheckoutError> {
        match Resolved::written(source)? {
            Some(resolved) => Ok(resolved),
            None => self.with_git(source, |git| Ok(git.resolve(source)?)),
        }
    }

    /// Fetches a commit, if need be, and checks it out.
    pub fn check_out(
        &self,
        source: &Source,
        resolved: &Resolved,
        keep_git_dir: bool,
    ) -> Result<Files, CheckoutError> {
        self.with_git(source, |git| {
            let key = StepKey(blake3::derive_key(CLONE, source.remote.url.as_bytes()));
            let mut make = |path: &Path| {
                std::fs::create_dir(path).context("create the directory", path).map_err(StoreError::from)
            };
            let clone = self.store.mounts().acquire::<StoreError>(
                &key,
                Sharing::Locked,
                self.cancel,
                &mut || (self.waiting)(),
                &mut make,
            )?;
            let directory = self.store.temp_dir("checkout")?;
            let into = directory.path().join("files");
            let (place, lock) = (clone.path(), clone.hold());
            git::checkout(git, &Order { source, resolved, keep_git_dir, place, lock, into: &into })?;
            let root = self.root(&into, source, resolved)?;
            Ok(Files { root, directory })
        })
    }

    /// The directory that is meant, without links: they lead to other directories of the checkout only.
    fn root(&self, into: &Path, source: &Source, resolved: &Resolved) -> Result<PathBuf, CheckoutError> {
        let Some(directory) = &source.subdirectory else { return Ok(into.to_owned()) };
        let files = |error: CopyError| CheckoutError::Files(Box::new(error));
        let context = Context::new(self.store, into, None).map_err(files)?;
        match context.resolve(directory.as_bytes()).map_err(|error| files(error.into()))? {
            Named::There { path, status } if status.kind == crate::context::Kind::Directory => {
                Ok(into.join(std::ffi::OsStr::from_bytes(&path)))
            }
            _ => {
                let (directory, commit) = (directory.clone(), resolved.commit.clone());
                Err(GitError::NoDirectory { directory, commit }.into())
            }
        }
    }

    fn with_git<T>(
        &self,
        source: &Source,
        work: impl FnOnce(&Git<'_>) -> Result<T, CheckoutError>,
    ) -> Result<T, CheckoutError> {
        let mut outside = self.outside.clone().ok_or(CheckoutError::NoGit)?;
        if source.remote.transport == Transport::Ssh {
            outside.agent = (self.agent)().map_err(CheckoutError::Agent)?;
        }
        let authorization = self.authorization(source)?;
        let git = Git::new(&source.remote, &outside, authorization, self.progress, self.cancel)?;
        work(&git)
    }

    /// Who asks: the first secret that there is.
    fn authorization(&self, source: &Source) -> Result<Option<Authorization>, CheckoutError> {
        for secret in source.remote.secrets() {
            let value = (self.secret)(&secret.id);
            let value = value.map_err(|reason| CheckoutError::Secret { id: secret.id.clone(), reason })?;
            if let Some(value) = value {
                let authorization = Authorization::of_secret(&secret, &value);
                return Ok(Some(authorization.ok_or(CheckoutError::NotALine(secret.id))?));
            }
        }
        Ok(None)
    }
}
