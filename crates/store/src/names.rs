//! Names: which image a reference means.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use base::IoContext;
use image::{Descriptor, ImageId, Reference};
use serde::{Deserialize, Serialize};

use crate::images::change;
use crate::lease::Note;
use crate::{Lease, RepositoryName, Result, Store, StoreError, files};

const RECORD_VERSION: u32 = 1;
/// The directory of a repository's tags. No component of a repository's path begins with an underscore.
const TAGS: &str = "_tags";
/// The directory of what was named by digest alone (pulled so): `<algorithm>-<hex>`.
const DIGESTS: &str = "_digests";

/// What a name means.
#[derive(Debug, Clone, PartialEq)]
pub struct NameRecord {
    /// The name, with a tag; or with a digest alone, when it was given so.
    pub reference: Reference,
    /// The image.
    pub image: ImageId,
    /// The manifest (or index) that the name was given for.
    pub target: Descriptor,
    /// Since when.
    pub since: SystemTime,
}

/// A record as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    version: u32,
    reference: String,
    image: ImageId,
    target: Descriptor,
    /// Nanoseconds since 1970.
    since: u64,
}

/// The names of a store.
#[derive(Clone)]
pub struct Names {
    store: Store,
}

impl Names {
    pub(crate) fn new(store: Store) -> Self {
        Self { store }
    }

    /// Gives a name to an image; gives what the name meant before. One that means the same already stays as it is.
    pub fn set(
        &self,
        lease: &Lease,
        reference: &Reference,
        image: ImageId,
        target: &Descriptor,
    ) -> Result<Option<NameRecord>> {
        let path = self.path(reference)?;
        let kept = Kept {
            version: RECORD_VERSION,
            reference: reference.to_string(),
            image,
            target: target.clone(),
            since: files::to_nanoseconds(SystemTime::now()),
        };
        let bytes = files::record_bytes(&path, &kept)?;
        let root = self.store.at("names");
        // An image is not forgotten while it gets a name.
        let _images = change(&self.store.at("images"))?;
        let _changing = change(&root)?;
        // One that cannot be read is replaced.
        let before = self.get(reference).unwrap_or_default();
        let _publishing = self.store.publishing()?;
        if !files::exists(&self.store.images().path(&image))? {
            return Err(StoreError::NoImage(image.to_string()));
        }
        lease.note(Note::Image(image))?;
        if before.as_ref().is_some_and(|before| before.image == image && before.target == *target) {
            return Ok(before);
        }
        make_parents(&root, &path)?;
        self.store.replace(&path, &bytes)?;
        Ok(before)
    }

    /// What a name means. `latest` is not added here.
    pub fn get(&self, reference: &Reference) -> Result<Option<NameRecord>> {
        if reference.tag().is_none() && reference.digest().is_none() {
            return Ok(None);
        }
        self.read(&self.path(reference)?)
    }

    fn read(&self, path: &Path) -> Result<Option<NameRecord>> {
        let Some(kept) = files::read_record::<Kept>(self.store.root(), path, RECORD_VERSION)? else {
            return Ok(None);
        };
        let damaged = |reason: String| StoreError::Damaged { path: path.to_owned(), reason };
        let reference = Reference::parse(&kept.reference).map_err(|error| damaged(error.to_string()))?;
        if self.path(&reference)? != path {
            return Err(damaged(format!("it is the record of {reference}")));
        }
        Ok(Some(NameRecord {
            reference,
            image: kept.image,
            target: kept.target,
            since: files::from_nanoseconds(kept.since),
        }))
    }

    /// Forgets a name.
    pub fn remove(&self, reference: &Reference) -> Result<Option<NameRecord>> {
        let path = self.path(reference)?;
        let root = self.store.at("names");
        let _changing = change(&root)?;
        // One that cannot be read can be removed, too.
        let before = self.get(reference).unwrap_or_default();
        let _publishing = self.store.publishing()?;
        forget(&root, &path)?;
        Ok(before)
    }

    /// The names of images in a repository.
    pub(crate) fn of_repository(&self, repository: &RepositoryName) -> Result<Vec<NameRecord>> {
        let Some(reference) = repository.reference("latest") else { return Ok(Vec::new()) };
        let path = self.path(&reference)?;
        let Some(directory) = path.parent() else { return Ok(Vec::new()) };
        let names = files::names_in(directory)?;
        names.iter().filter_map(|name| self.read(&directory.join(name)).transpose()).collect()
    }

    /// All names, in order.
    pub fn list(&self) -> Result<Vec<NameRecord>> {
        let mut names = Vec::new();
        for path in self.records()? {
            // One that was removed meanwhile is none.
            names.extend(self.read(&path)?);
        }
        names.sort_by(|left, right| left.reference.cmp(&right.reference));
        Ok(names)
    }

    /// All names, and what cannot be read, by path.
    pub(crate) fn list_all(&self) -> Result<Vec<(PathBuf, Result<NameRecord>)>> {
        let mut names = Vec::new();
        for path in self.records()? {
            if let Some(name) = self.read(&path).transpose() {
                names.push((path, name));
            }
        }
        Ok(names)
    }

    /// The files of all records.
    fn records(&self) -> Result<Vec<PathBuf>> {
        Ok(self.walk()?.0)
    }

    /// What does not belong among the names.
    pub(crate) fn strays(&self) -> Result<Vec<PathBuf>> {
        Ok(self.walk()?.1)
    }

    /// The files in directories of tags, and all others.
    fn walk(&self) -> Result<(Vec<PathBuf>, Vec<PathBuf>)> {
        let (mut records, mut strays) = (Vec::new(), Vec::new());
        let mut directories = vec![self.store.at("names")];
        while let Some(directory) = directories.pop() {
            let in_tags = directory.file_name().is_some_and(|name| name == TAGS || name == DIGESTS);
            for name in files::names_in(&directory)? {
                let path = directory.join(name);
                let is_directory = fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_dir());
                match (in_tags, is_directory) {
                    (true, false) => records.push(path),
                    (false, true) => directories.push(path),
                    (true, true) | (false, false) => strays.push(path),
                }
            }
        }
        Ok((records, strays))
    }

    /// Where the record of a name is. Host, path and tag come from a parsed reference; what could leave the directory is refused all the same.
    pub(crate) fn path(&self, reference: &Reference) -> Result<PathBuf> {
        let wrong =
            |reason: &str| StoreError::Name { name: reference.to_string(), reason: reason.to_owned() };
        let (directory, name) = match (reference.tag(), reference.digest()) {
            (Some(tag), _) => (TAGS, tag.to_owned()),
            (None, Some(digest)) => (DIGESTS, format!("{}-{}", digest.algorithm().name(), digest.hex())),
            (None, None) => return Err(wrong("it has neither a tag nor a digest")),
        };
        let mut path = self.store.at("names");
        let repository = std::iter::once(reference.host()).chain(reference.path().split('/'));
        for component in repository.chain([name.as_str()]) {
            if matches!(component, "" | "." | ".." | TAGS | DIGESTS) || component.contains('/') {
                return Err(wrong("one of its parts cannot be the name of a directory"));
            }
            path.push(component);
        }
        path.pop();
        path.push(directory);
        path.push(name);
        Ok(path)
    }
}

/// Makes the directories between `root` and `path`.
pub(crate) fn make_parents(root: &Path, path: &Path) -> Result<()> {
    let parents: Vec<_> = path.ancestors().skip(1).take_while(|parent| *parent != root).collect();
    for parent in parents.into_iter().rev() {
        if !files::exists(parent)? {
            files::make_directory(parent)?;
            parent.parent().map_or(Ok(()), files::sync_directory)?;
        }
    }
    Ok(())
}

/// Removes the record of a name, and the directories that it leaves empty. The caller may change names.
pub(crate) fn forget(root: &Path, path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        result => result.context("remove", path)?,
    }
    let mut last = root;
    for parent in path.ancestors().skip(1).take_while(|parent| *parent != root) {
        last = parent;
        if fs::remove_dir(parent).is_err() {
            // Something else is in it.
            break;
        }
        last = root;
    }
    Ok(files::sync_directory(last)?)
}
