//! An OCI image layout, a directory or an archive, to be served as it is (RS-205): everything in it, artifacts and indexes too, is pushed into a store, verified on the way.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{Read, Write as _};
use std::path::Path;

use archive::layout::{self, Layout};
use base::{Cancel, IoContext};
use image::{Descriptor, Digest, Document, Reference};
use store::repositories::{Condition, NewManifest};
use store::{Lease, Repository, RepositoryName, Store};

use crate::ServeError;

/// Indexes in indexes are followed so deep.
const MAX_DEPTH: usize = 8;
/// How much is copied at a time.
const PIECE: usize = 256 << 10;

/// Takes all of a layout, which lies at `path`, into a store.
///
/// An entry with a name is found under it (a bare word is a repository, as when it is loaded); one without is in every repository of
/// the layout, or, when no entry has a name, in one that is called as the directory or the archive is.
pub fn take_layout(store: &Store, layout: &Layout, path: &Path, cancel: &Cancel) -> Result<(), ServeError> {
    let wrong = |reason: String| ServeError::File { path: path.to_owned(), reason };
    let lease = store.lease("take in a layout")?;
    let mut taking = Taking { store, lease, layout, path, cancel, blobs: HashMap::new() };
    let mut named: BTreeMap<RepositoryName, Vec<(&Descriptor, Option<String>)>> = BTreeMap::new();
    let mut unnamed = Vec::new();
    for descriptor in layout.entries() {
        match name_of(descriptor) {
            Some((name, tag)) => named.entry(name).or_default().push((descriptor, Some(tag))),
            None => unnamed.push(descriptor),
        }
    }
    if named.is_empty() && !unnamed.is_empty() {
        let name = name_of_place(path).ok_or_else(|| {
            wrong("nothing in it has a name, and neither is its own one of a repository".to_owned())
        })?;
        named.insert(name, Vec::new());
    }
    for (name, entries) in named {
        let repository = store.repositories().get(&name);
        let unnamed = unnamed.iter().map(|descriptor| (*descriptor, None));
        for (descriptor, tag) in entries.into_iter().chain(unnamed) {
            taking.document(&repository, descriptor, tag, 0)?;
        }
    }
    Ok(())
}

/// The repository and the tag that an entry's name means.
fn name_of(descriptor: &Descriptor) -> Option<(RepositoryName, String)> {
    let reference = Reference::parse(layout::name(descriptor)?).ok()?.or_latest();
    Some((RepositoryName::of(&reference)?, reference.tag()?.to_owned()))
}

/// What a directory is called, or an archive without its ending.
fn name_of_place(path: &Path) -> Option<RepositoryName> {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let name = if path.is_dir() { path.file_name() } else { path.file_stem() };
    RepositoryName::parse(&name?.to_str()?.to_ascii_lowercase())
}

struct Taking<'a> {
    store: &'a Store,
    lease: Lease,
    layout: &'a Layout,
    path: &'a Path,
    cancel: &'a Cancel,
    /// Where blobs are already.
    blobs: HashMap<Digest, Repository>,
}

impl Taking<'_> {
    /// Takes a manifest, after what it refers to. What of an index is not in the layout is left out.
    fn document(
        &mut self,
        repository: &Repository,
        descriptor: &Descriptor,
        tag: Option<String>,
        depth: usize,
    ) -> Result<(), ServeError> {
        self.cancel.check().map_err(store::StoreError::from)?;
        if depth > MAX_DEPTH {
            let reason = "indexes in it lie in indexes too deep".to_owned();
            return Err(ServeError::File { path: self.path.to_owned(), reason });
        }
        let document = self.layout.document(descriptor)?;
        match &document {
            Document::Index(index) => {
                for part in &index.value().manifests {
                    if part.media_type.is_document() && self.layout.has(&part.digest)? {
                        self.document(repository, part, None, depth + 1)?;
                    }
                }
            }
            Document::Manifest(manifest) => {
                for part in manifest.value().blobs() {
                    if !part.media_type.is_foreign() || self.layout.has(&part.digest)? {
                        self.blob(repository, part)?;
                    }
                }
            }
        }
        let size = document.bytes().len() as u64;
        let mut writer = self.store.blobs().writer(&self.lease)?;
        writer.write_all(document.bytes()).context("copy", self.path)?;
        writer.commit(Some((descriptor.digest, size)))?;
        let new = NewManifest {
            descriptor: Descriptor::new(descriptor.media_type.clone(), descriptor.digest, size),
            subject: document.subject().map(|subject| subject.digest),
            blobs: &[],
            manifests: &[],
            tags: tag.as_slice(),
            condition: Condition::Any,
        };
        // Without a condition nothing is left undone.
        let _ = repository.add_manifest(&new)?;
        Ok(())
    }

    fn blob(&mut self, repository: &Repository, described: &Descriptor) -> Result<(), ServeError> {
        let digest = &described.digest;
        if let Some(known) = self.blobs.get(digest)
            && repository.mount_blob(known, digest)?
        {
            return Ok(());
        }
        let mut contents = self.layout.blob(described, 0)?;
        let mut upload = self.store.repositories().uploads().begin(repository, digest.algorithm())?;
        let mut buffer = vec![0; PIECE];
        loop {
            self.cancel.check().map_err(store::StoreError::from)?;
            let count = contents.read(&mut buffer).context("read", self.path)?;
            match buffer.get(..count) {
                Some([]) | None => break,
                Some(bytes) => upload.append(bytes)?,
            }
        }
        upload.commit(digest)?;
        self.blobs.insert(*digest, repository.clone());
        Ok(())
    }
}
