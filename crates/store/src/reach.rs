//! What is needed, and why: names → images → manifests, configs and layers → blobs.
//!
//! A record that cannot be read, or a manifest or config that is not what it should be, stops the search: a collection does not guess
//! what it would have named.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use image::manifest::MAX_MANIFEST_SIZE;
use image::{Descriptor, DiffId, Digest, Document, ImageId, Manifest, Raw};

use crate::cache::StepKey;
use crate::layers::recorded_blobs;
use crate::lease::{Note, Noted};
use crate::names::NameRecord;
use crate::repositories::Chosen;
use crate::{Result, Store, StoreError};

/// Why something is needed: the way from a root.
#[derive(Clone)]
pub(crate) struct Reason(Arc<Link>);

struct Link {
    what: String,
    because: Option<Reason>,
}

impl Reason {
    pub fn root(what: String) -> Self {
        Self(Arc::new(Link { what, because: None }))
    }

    fn then(&self, what: impl FnOnce() -> String) -> Self {
        Self(Arc::new(Link { what: what(), because: Some(self.clone()) }))
    }
}

/// `name debian:bookworm → image 0123… → layer 4567…`.
impl std::fmt::Display for Reason {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(because) = &self.0.because {
            write!(formatter, "{because} → ")?;
        }
        formatter.write_str(&self.0.what)
    }
}

/// What was found to be needed so far.
pub(crate) struct Reach<'a> {
    store: &'a Store,
    pub images: HashMap<ImageId, Reason>,
    pub layers: HashMap<DiffId, Reason>,
    /// Blobs that something names by their digest.
    pub blobs: HashMap<Digest, Reason>,
    /// Blobs that hold a layer that is needed.
    pub forms: HashMap<Digest, Reason>,
    /// Blobs that a running process keeps.
    pub kept_blobs: HashSet<Digest>,
    pub steps: HashSet<(StepKey, StepKey)>,
    /// Manifests and indexes whose parts were followed.
    documents: HashSet<Digest>,
}

impl<'a> Reach<'a> {
    pub fn new(store: &'a Store) -> Self {
        Self {
            store,
            images: HashMap::new(),
            layers: HashMap::new(),
            blobs: HashMap::new(),
            forms: HashMap::new(),
            kept_blobs: HashSet::new(),
            steps: HashSet::new(),
            documents: HashSet::new(),
        }
    }

    pub fn needs_blob(&self, digest: &Digest) -> bool {
        self.blobs.contains_key(digest) || self.forms.contains_key(digest)
    }

    /// What a running process keeps.
    pub fn lease(&mut self, lease: &Noted) -> Result<()> {
        let reason = Reason::root(format!("running: {}", base::text::line(&lease.purpose)));
        for note in &lease.notes {
            match note {
                Note::Blob(digest) => {
                    self.kept_blobs.insert(*digest);
                    self.blob(digest, &reason);
                }
                Note::Layer(diff_id) => self.layer(diff_id, &reason)?,
                // One that was removed meanwhile needs nothing.
                Note::Image(id) if self.store.images().get(id)?.is_some() => self.image(id, &reason)?,
                Note::Image(_) => {}
                Note::Step(definition, key) => self.step(definition, key, &reason)?,
            }
        }
        Ok(())
    }

    pub fn name(&mut self, name: &NameRecord) -> Result<()> {
        let reason = Reason::root(format!("name {}", name.reference.familiar()));
        self.image(&name.image, &reason)?;
        self.document(&name.target, &reason)
    }

    /// What was pushed.
    pub fn repositories(&mut self, chosen: &Chosen) -> Result<()> {
        for (repository, manifest) in &chosen.manifests {
            let reason = Reason::root(format!("repository {repository}"));
            self.document(manifest, &reason)?;
        }
        for (repository, digest) in &chosen.fresh {
            self.blob(digest, &Reason::root(format!("pushed to repository {repository} a moment ago")));
        }
        Ok(())
    }

    pub fn image(&mut self, id: &ImageId, because: &Reason) -> Result<()> {
        if self.images.contains_key(id) {
            return Ok(());
        }
        let images = self.store.images();
        let reason = because.then(|| format!("image {}", id.0.short()));
        self.images.insert(*id, reason.clone());
        let record = images.get(id)?.ok_or_else(|| StoreError::NoImage(id.to_string()))?;
        self.blob(&id.0, &reason.then(|| "config".to_owned()));
        for manifest in &record.manifests {
            self.manifest(&images.manifest(manifest)?, &reason);
        }
        for diff_id in &images.config(id)?.value().rootfs.diff_ids {
            self.layer(diff_id, &reason)?;
        }
        Ok(())
    }

    fn manifest(&mut self, manifest: &Raw<Manifest>, because: &Reason) {
        self.blob(&manifest.digest(), &because.then(|| "manifest".to_owned()));
        let reason = because.then(|| format!("manifest {}", manifest.digest().short()));
        for part in manifest.value().blobs() {
            self.blob(&part.digest, &reason);
        }
    }

    /// What a name was given for: a manifest or an index. What of an index is not in the store is not needed either.
    fn document(&mut self, target: &Descriptor, because: &Reason) -> Result<()> {
        // (A lease may need the bytes alone: that the blob is known says nothing.)
        if self.documents.contains(&target.digest) || self.store.blobs().size(&target.digest)?.is_none() {
            return Ok(());
        }
        self.documents.insert(target.digest);
        let reason = because.then(|| "target".to_owned());
        self.blob(&target.digest, &reason);
        match Document::parse(&self.store.blobs().read(&target.digest, MAX_MANIFEST_SIZE)?)? {
            Document::Manifest(manifest) => {
                self.manifest(&manifest, &reason);
                let id = ImageId(manifest.value().config.digest);
                if self.store.images().get(&id)?.is_some() {
                    self.image(&id, &reason)?;
                }
            }
            Document::Index(index) => {
                for part in index.value().manifests.iter().filter(|part| part.media_type.is_document()) {
                    self.document(part, &reason)?;
                }
            }
        }
        Ok(())
    }

    pub fn layer(&mut self, diff_id: &DiffId, because: &Reason) -> Result<()> {
        if self.layers.contains_key(diff_id) {
            return Ok(());
        }
        let reason = because.then(|| format!("layer {}", diff_id.0.short()));
        self.layers.insert(*diff_id, reason.clone());
        self.forms.entry(diff_id.0).or_insert_with(|| reason.then(|| "pack".to_owned()));
        for blob in recorded_blobs(self.store, &self.store.layers().path(diff_id))? {
            match blob {
                Ok(blob) => {
                    let encoded = || reason.then(|| base::text::line(&blob.encoding).into_owned());
                    self.forms.entry(blob.descriptor.digest).or_insert_with(encoded);
                }
                // Whatever it named can be found in the manifests, or made again.
                Err(StoreError::Damaged { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// A record of the build cache.
    pub fn step(&mut self, definition: &StepKey, key: &StepKey, because: &Reason) -> Result<()> {
        self.steps.insert((*definition, *key));
        let Some((record, _)) = self.store.cache().read(definition, key)? else { return Ok(()) };
        record.layer.map_or(Ok(()), |layer| {
            let reason = because.then(|| "build cache".to_owned());
            self.layer(&layer, if because.0.what == CACHE { because } else { &reason })
        })
    }

    fn blob(&mut self, digest: &Digest, reason: &Reason) {
        self.blobs.entry(*digest).or_insert_with(|| reason.clone());
    }
}

/// The root of what only the build cache needs.
pub(crate) const CACHE: &str = "build cache";

impl Store {
    /// Why something (a blob, a layer, an image) stays: the way from a root to it; `None` when nothing needs it.
    pub fn why(&self, digest: &Digest) -> Result<Option<String>> {
        let _publishing = self.publishing()?;
        let mut reach = Reach::new(self);
        for name in self.names().list()? {
            reach.name(&name)?;
        }
        reach.repositories(&self.repositories().choose(false, std::time::SystemTime::now())?)?;
        for lease in crate::lease::live(self.root(), &self.at("leases"))? {
            reach.lease(&lease)?;
        }
        for id in self.images().ids()? {
            reach.image(&id, &Reason::root("images without a name".to_owned()))?;
        }
        for (definition, key) in self.cache().keys()? {
            reach.step(&definition, &key, &Reason::root(CACHE.to_owned()))?;
        }
        let reason = reach
            .images
            .get(&ImageId(*digest))
            .or_else(|| reach.layers.get(&DiffId(*digest)))
            .or_else(|| reach.blobs.get(digest))
            .or_else(|| reach.forms.get(digest));
        Ok(reason.map(Reason::to_string))
    }
}
