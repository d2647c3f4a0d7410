//! An OCI image layout, to be served as it is (RS-205): everything in it, artifacts and indexes too, is pushed into a store, verified on the way.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};

use base::{Cancel, IoContext};
use image::manifest::MAX_MANIFEST_SIZE;
use image::{Descriptor, Digest, Document, Reference};
use serde::Deserialize;
use store::repositories::{Condition, NewManifest};
use store::{Lease, Repository, RepositoryName, Store};

use crate::ServeError;

/// The names that entries of an index have: the full one that containerd writes, and the specification's.
const NAMES: [&str; 2] = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];
/// Indexes in indexes are followed so deep.
const MAX_DEPTH: usize = 8;
/// How much is copied at a time.
const PIECE: usize = 256 << 10;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Marker {
    image_layout_version: String,
}

/// Takes all of a layout into a store.
///
/// An entry with a name is found under it (a bare word is a repository, as when it is loaded); one without is in every repository of
/// the layout, or, when no entry has a name, in one that is called as the directory is.
pub fn take_layout(store: &Store, layout: &Path, cancel: &Cancel) -> Result<(), ServeError> {
    let wrong = |reason: String| ServeError::File { path: layout.to_owned(), reason };
    let lease = store.lease("take in a layout")?;
    let marker = layout.join("oci-layout");
    let bytes = read_small(&marker)
        .map_err(|_| wrong("it is not an OCI image layout: it has no file oci-layout".to_owned()))?;
    let version = serde_json::from_slice(&bytes).map(|marker: Marker| marker.image_layout_version);
    if version.as_deref().ok() != Some("1.0.0") {
        return Err(wrong("it is an OCI image layout of a version that is not known".to_owned()));
    }
    let index = layout.join("index.json");
    let index = match Document::parse(&read_small(&index)?) {
        Ok(Document::Index(index)) => index,
        Ok(Document::Manifest(_)) => return Err(wrong("its index.json is no index".to_owned())),
        Err(error) => return Err(wrong(format!("its index.json is not valid: {}", error.source))),
    };
    let mut taking = Taking { store, lease, layout, cancel, blobs: HashMap::new() };
    let mut named: BTreeMap<RepositoryName, Vec<(&Descriptor, Option<String>)>> = BTreeMap::new();
    let mut unnamed = Vec::new();
    for descriptor in &index.value().manifests {
        match name_of(descriptor) {
            Some((name, tag)) => named.entry(name).or_default().push((descriptor, Some(tag))),
            None => unnamed.push(descriptor),
        }
    }
    if named.is_empty() && !unnamed.is_empty() {
        let name = name_of_directory(layout).ok_or_else(|| {
            wrong("nothing in it has a name, and neither the directory's is one of a repository".to_owned())
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
    let text = NAMES.iter().find_map(|name| descriptor.annotations.get(*name))?;
    let reference = Reference::parse(text).ok()?.or_latest();
    Some((RepositoryName::of(&reference)?, reference.tag()?.to_owned()))
}

fn name_of_directory(layout: &Path) -> Option<RepositoryName> {
    let path = fs::canonicalize(layout).unwrap_or_else(|_| layout.to_owned());
    let text =
        path.file_name().and_then(|name| name.to_str()).map(str::to_ascii_lowercase).unwrap_or_default();
    RepositoryName::parse(&text)
}

struct Taking<'a> {
    store: &'a Store,
    lease: Lease,
    layout: &'a Path,
    cancel: &'a Cancel,
    /// Where blobs are already.
    blobs: HashMap<Digest, Repository>,
}

impl Taking<'_> {
    fn place(&self, digest: &Digest) -> PathBuf {
        self.layout.join("blobs").join(digest.algorithm().name()).join(digest.hex())
    }

    /// Takes a manifest, after what it refers to. What of an index is not in the layout is left out.
    fn document(
        &mut self,
        repository: &Repository,
        descriptor: &Descriptor,
        tag: Option<String>,
        depth: usize,
    ) -> Result<(), ServeError> {
        self.cancel.check().map_err(store::StoreError::from)?;
        let path = self.place(&descriptor.digest);
        let wrong = |reason: String| ServeError::File { path: path.clone(), reason };
        if depth > MAX_DEPTH {
            return Err(wrong("indexes lie in indexes too deep".to_owned()));
        }
        let bytes = read_small(&path)?;
        let document =
            Document::parse(&bytes).map_err(|error| wrong(format!("it is not valid: {}", error.source)))?;
        let subject = match &document {
            Document::Index(index) => {
                for part in &index.value().manifests {
                    let is_document = part.media_type.is_index() || part.media_type.is_manifest();
                    if is_document && self.place(&part.digest).exists() {
                        self.document(repository, part, None, depth + 1)?;
                    }
                }
                &index.value().subject
            }
            Document::Manifest(manifest) => {
                let manifest = manifest.value();
                for part in std::iter::once(&manifest.config).chain(&manifest.layers) {
                    if !part.media_type.is_foreign() || self.place(&part.digest).exists() {
                        self.blob(repository, &part.digest)?;
                    }
                }
                &manifest.subject
            }
        };
        let size = bytes.len() as u64;
        let mut writer = self.store.blobs().writer(&self.lease)?;
        writer.write_all(&bytes).context("copy", &path)?;
        writer.commit(Some((descriptor.digest, size)))?;
        let new = NewManifest {
            descriptor: Descriptor::new(descriptor.media_type.clone(), descriptor.digest, size),
            subject: subject.as_ref().map(|subject| subject.digest),
            blobs: &[],
            manifests: &[],
            tags: tag.as_slice(),
            condition: Condition::Any,
        };
        // Without a condition nothing is left undone.
        let _ = repository.add_manifest(&new)?;
        Ok(())
    }

    fn blob(&mut self, repository: &Repository, digest: &Digest) -> Result<(), ServeError> {
        if let Some(known) = self.blobs.get(digest)
            && repository.mount_blob(known, digest)?
        {
            return Ok(());
        }
        let path = self.place(digest);
        let mut file = File::open(&path).context("open", &path)?;
        let mut upload = self.store.repositories().uploads().begin(repository, digest.algorithm())?;
        let mut buffer = vec![0; PIECE];
        loop {
            self.cancel.check().map_err(store::StoreError::from)?;
            let count = file.read(&mut buffer).context("read", &path)?;
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

fn read_small(path: &Path) -> Result<Vec<u8>, ServeError> {
    let mut bytes = Vec::new();
    let file = File::open(path).context("open", path)?;
    file.take(MAX_MANIFEST_SIZE + 1).read_to_end(&mut bytes).context("read", path)?;
    if bytes.len() as u64 > MAX_MANIFEST_SIZE {
        let source = io::Error::from(io::ErrorKind::FileTooLarge);
        return Err(base::IoError { action: "read", path: path.to_owned(), source }.into());
    }
    Ok(bytes)
}
