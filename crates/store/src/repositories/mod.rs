//! Repositories: what a registry serves out of the store.
//!
//! A repository shows two things as one: the images that have a name in the store ([`crate::Names`]), and what was pushed: manifests of any
//! kind, each with the blobs that it was pushed with. What was pushed is kept in files of its own:
//!
//! ```text
//! repositories/<path>/
//!   _manifests/<algorithm>-<hex>          a manifest that was pushed: media type, size, subject, when
//!   _tags/<tag>                           what a pushed tag means, and since when
//!   _blobs/<algorithm>-<hex>              empty: the blob can be seen in this repository; its time says when somebody last asked for it
//!   _referrers/<subject>/<manifest>       empty: the manifest names the subject; counts only beside its record in _manifests
//! repositories/_uploads/<id>/             a blob that is being pushed; it survives the process that began it
//! ```
//!
//! No component of a repository's path begins with an underscore. The directory `repositories` itself is locked while something in it is
//! changed; what stands in it is written so that whatever is cut off leaves nothing that refers to something that is not there.

mod blobs;
mod manifests;
mod name;
mod needed;
mod tags;
mod uploads;

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use base::IoError;
use image::{Algorithm, Digest};

pub use blobs::RepositoryBlob;
pub use manifests::{Condition, ManifestRecord, NewManifest};
pub use name::{RepositoryName, is_tag};
pub(crate) use needed::Chosen;
pub use tags::Tag;
pub use uploads::{Upload, Uploads};

use crate::images::change;
use crate::{Result, Store, files};

const RECORD_VERSION: u32 = 1;
const MANIFESTS: &str = "_manifests";
const TAGS: &str = "_tags";
const BLOBS: &str = "_blobs";
const REFERRERS: &str = "_referrers";
const UPLOADS: &str = "_uploads";

/// The repositories of a store.
#[derive(Clone)]
pub struct Repositories {
    store: Store,
}

/// One repository; it need not have anything yet.
#[derive(Clone)]
pub struct Repository {
    store: Store,
    name: RepositoryName,
}

impl Store {
    /// What a registry serves.
    pub fn repositories(&self) -> Repositories {
        Repositories { store: self.clone() }
    }
}

impl Repositories {
    /// A repository, whether or not there is something in it.
    pub fn get(&self, name: &RepositoryName) -> Repository {
        Repository { store: self.store.clone(), name: name.clone() }
    }

    /// The names of all repositories that have something to show, in order.
    pub fn list(&self) -> Result<Vec<RepositoryName>> {
        let named = self.store.names().list()?;
        let mut names: Vec<_> = named.iter().filter_map(|name| RepositoryName::of(&name.reference)).collect();
        for repository in self.pushed()? {
            if !files::names_in(&repository.at(MANIFESTS))?.is_empty() {
                names.push(repository.name);
            }
        }
        names.sort();
        names.dedup();
        Ok(names)
    }

    /// Unfinished uploads.
    pub fn uploads(&self) -> Uploads {
        Uploads::new(self.store.clone())
    }

    /// All repositories that something was pushed to.
    pub(crate) fn pushed(&self) -> Result<Vec<Repository>> {
        let root = self.store.at("repositories");
        let mut repositories = Vec::new();
        let mut directories = vec![root.clone()];
        while let Some(directory) = directories.pop() {
            let mut has_own = false;
            for name in files::names_in(&directory)? {
                if name.as_encoded_bytes().starts_with(b"_") {
                    has_own = true;
                } else if directory.join(&name).is_dir() {
                    directories.push(directory.join(name));
                }
            }
            let path = directory.strip_prefix(&root).ok().and_then(Path::to_str).unwrap_or_default();
            if has_own && let Some(name) = RepositoryName::parse(path) {
                repositories.push(self.get(&name));
            }
        }
        Ok(repositories)
    }

    /// What does not belong among the repositories.
    pub(crate) fn strays(&self) -> Result<Vec<PathBuf>> {
        let root = self.store.at("repositories");
        let mut strays = Vec::new();
        let mut directories = vec![root.clone()];
        while let Some(directory) = directories.pop() {
            for name in files::names_in(&directory)? {
                let path = directory.join(&name);
                let is_own = if directory == root {
                    name == UPLOADS
                } else {
                    [MANIFESTS, TAGS, BLOBS, REFERRERS].iter().any(|known| name == *known)
                };
                let is_part = name.to_str().is_some_and(|name| RepositoryName::parse(name).is_some());
                match (is_own, is_part && path.is_dir()) {
                    (true, _) => {}
                    (false, true) => directories.push(path),
                    (false, false) => strays.push(path),
                }
            }
        }
        Ok(strays)
    }
}

impl Repository {
    /// Its name.
    pub fn name(&self) -> &RepositoryName {
        &self.name
    }

    /// Whether there is anything in it.
    pub fn exists(&self) -> Result<bool> {
        Ok(files::exists(&self.at(MANIFESTS))? || !self.named()?.is_empty())
    }

    fn root(&self) -> PathBuf {
        self.store.at("repositories")
    }

    fn at(&self, part: &str) -> PathBuf {
        let mut path = self.root();
        path.extend(self.name.as_str().split('/'));
        path.push(part);
        path
    }

    /// The right to change something here. Whoever publishes takes that right afterwards.
    fn change(&self) -> Result<OwnedFd, IoError> {
        change(&self.root())
    }
}

/// How a file is called that is about a digest.
fn file_name(digest: &Digest) -> String {
    format!("{}-{}", digest.algorithm().name(), digest.hex())
}

/// The digest that a file is about.
fn digest_of_name(name: &std::ffi::OsStr) -> Option<Digest> {
    let (algorithm, hex) = name.to_str()?.split_once('-')?;
    let algorithm = Algorithm::ALL.into_iter().find(|known| known.name() == algorithm)?;
    Digest::from_hex(algorithm, hex).ok()
}

/// The digests that the files in a directory are about, in order.
fn digests_in(directory: &Path) -> Result<Vec<Digest>> {
    Ok(files::names_in(directory)?.iter().filter_map(|name| digest_of_name(name)).collect())
}
