//! What was pushed becomes usable for `lap run`, `lap build` and `lap images`: its layers are read, and the image gets the name that its
//! repository and tag stand for. That happens behind the replies, one image after another; whatever is not an image for this machine stays what it
//! is, something to be pulled.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use base::{Cancel, Classified as _};
use image::config::MAX_CONFIG_SIZE;
use image::manifest::MAX_MANIFEST_SIZE;
use image::{Algorithm, Config, Descriptor, DiffId, Document, ImageId, Manifest, Platform, Raw};
use layer::LayerError;
use layer::ingest::ingest_blob;
use store::repositories::Tag;
use store::{Lease, Origin, Repository, RepositoryName, Store, StoreError};

/// Indexes in indexes are followed so deep.
const MAX_DEPTH: usize = 4;

/// Tells the thread that adopts where to look.
pub(crate) struct Adopter(Mutex<Option<Sender<RepositoryName>>>);

/// The thread's end of it.
pub(crate) struct Adoption {
    repositories: Receiver<RepositoryName>,
}

/// Who is told what became of it, or why nothing did.
pub(crate) type Tell = Arc<dyn Fn(&str) + Send + Sync>;

impl Adopter {
    /// Both ends.
    pub fn new() -> (Self, Adoption) {
        let (sender, repositories) = channel();
        (Self(Mutex::new(Some(sender))), Adoption { repositories })
    }

    /// Something was tagged in a repository.
    pub fn look_at(&self, repository: RepositoryName) {
        if let Some(sender) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            // The thread has ended only when the registry is being stopped: the next one begins with looking everywhere.
            let _ = sender.send(repository);
        }
    }

    /// Nothing more comes.
    pub fn stop(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// Why a tag is not adopted.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Layer(#[from] LayerError),
    #[error("the manifest has {layers} layers, its config has {diff_ids}")]
    Count { layers: usize, diff_ids: usize },
    #[error(transparent)]
    Document(#[from] image::ParseError),
}

impl Adoption {
    /// Adopts what is there, and then whatever comes, until the other end is stopped or the work is cancelled.
    pub fn run(self, store: &Store, cancel: &Cancel, tell: &Tell) {
        let all = store.repositories();
        let pushed = all.list().unwrap_or_else(|error| {
            tell(&format!("what was pushed earlier cannot be looked at: {error}"));
            Vec::new()
        });
        for name in pushed.into_iter().chain(self.repositories.iter()) {
            if cancel.is_cancelled() {
                return;
            }
            adopt_tags(store, &all.get(&name), cancel, tell);
        }
    }
}

fn adopt_tags(store: &Store, repository: &Repository, cancel: &Cancel, tell: &Tell) {
    let tags = match repository.pushed_tags() {
        Ok(tags) => tags,
        Err(error) => return tell(&format!("the tags of {} cannot be read: {error}", repository.name())),
    };
    for tag in tags {
        let what = format!("{}:{}", repository.name(), tag.name);
        match adopt(store, repository, &tag, cancel) {
            Ok(true) => tell(&format!("{what} is an image of the store now")),
            // Not an image, not one for this machine, or it has just been pushed over.
            Ok(false) => {}
            Err(Failure::Store(StoreError::Cancelled(_))) => return,
            Err(error) if error_kind(&error) == base::Kind::Cancelled => return,
            Err(error) => tell(&format!("{what} can be pulled, and not run here: {}", chain(&error))),
        }
    }
}

fn error_kind(error: &Failure) -> base::Kind {
    match error {
        Failure::Store(error) => error.kind(),
        Failure::Layer(error) => error.kind(),
        Failure::Count { .. } => base::Kind::Invalid,
        Failure::Document(error) => error.kind(),
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text.push_str(": ");
        text.push_str(&error.to_string());
        next = error.source();
    }
    text
}

fn adopt(store: &Store, repository: &Repository, tag: &Tag, cancel: &Cancel) -> Result<bool, Failure> {
    if repository.name().reference(&tag.name).is_none() {
        return Ok(false);
    }
    let lease = store.lease("take in what was pushed")?;
    let Some((descriptor, manifest)) = manifest_for_host(store, &lease, &tag.target, 0)? else {
        return Ok(false);
    };
    let config = &manifest.value().config;
    let is_image = config.media_type.is_image_config();
    if !is_image || manifest.value().artifact_type.is_some() || config.digest.algorithm() != Algorithm::Sha256
    {
        return Ok(false);
    }
    let id = ImageId(config.digest);
    let config = Config::parse(&store.blobs().read(&id.0, MAX_CONFIG_SIZE)?)?;
    let (layers, diff_ids) = (&manifest.value().layers, &config.value().rootfs.diff_ids);
    if layers.len() != diff_ids.len() {
        return Err(Failure::Count { layers: layers.len(), diff_ids: diff_ids.len() });
    }
    let mut held = Vec::new();
    for (layer, diff_id) in layers.iter().zip(diff_ids) {
        held.push(take_in(store, &lease, layer, diff_id, cancel)?);
    }
    store.sync()?;
    loop {
        store.images().add(&lease, id, descriptor.clone(), Origin::Pulled)?;
        match repository.settle_tag(&lease, tag, id) {
            // Removed again in between.
            Err(StoreError::NoImage(_)) => {}
            settled => return Ok(settled?),
        }
    }
}

fn take_in(
    store: &Store,
    lease: &Lease,
    layer: &Descriptor,
    diff_id: &DiffId,
    cancel: &Cancel,
) -> Result<store::Layer, Failure> {
    if let Some(known) = store.layers().get(diff_id)?
        && (layer.digest == diff_id.0
            || known.blobs()?.iter().any(|blob| blob.descriptor.digest == layer.digest))
    {
        return Ok(known);
    }
    Ok(ingest_blob(store, lease, &layer.digest, Some(*diff_id), cancel)?.layer)
}

/// The manifest that a tag means on this machine, if it means one.
fn manifest_for_host(
    store: &Store,
    lease: &Lease,
    target: &Descriptor,
    depth: usize,
) -> Result<Option<(Descriptor, Raw<Manifest>)>, Failure> {
    if depth > MAX_DEPTH || !store.blobs().keep(lease, &target.digest)? {
        return Ok(None);
    }
    match Document::parse(&store.blobs().read(&target.digest, MAX_MANIFEST_SIZE)?)? {
        Document::Manifest(manifest) => {
            let media_type = manifest.value().media_type.clone().unwrap_or(target.media_type.clone());
            Ok(Some((Descriptor::new(media_type, target.digest, target.size), manifest)))
        }
        Document::Index(index) => match image::choose(index.value(), &Platform::host()) {
            Some(chosen) => manifest_for_host(store, lease, chosen, depth + 1),
            None => Ok(None),
        },
    }
}
