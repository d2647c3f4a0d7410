//! Pushing: an image of the store, or an index with all of its images → a registry.
//!
//! ```text
//! layers ─▶ compressed, where they were made here and that was not done before ─┬▶ uploads, several at a time ─▶ manifest ─▶ tags
//!                       └▶ blobs of the store                            config ─┘
//! ```
//!
//! Compressing, hashing and sending a layer is one stream: what of its blob is written into the store is read from there again at once (it is in memory still), and is on its way
//! while the rest is compressed. What the registry has is not sent.
//!
//! A layer of a base whose blob is not here, though a manifest that was pulled names it, is taken over from there: mounted, or streamed through. So it stays one blob, whoever pushes it.

mod origins;

use std::collections::{BTreeMap, HashSet};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use archive::save::plan::{self, Outlet, Plan};
use archive::save::{Item, Options};
use base::task::Task;
use base::{Cancel, Classified, Events, Kind};
use image::{Descriptor, DiffId, Digest, Reference};
use store::{GrowingBlob, Lease, Store};

use self::origins::Described;
use crate::client::Client;
use crate::copy::pipe;
use crate::manifests::{self, Fetched};
use crate::parallel::BLOBS_AT_A_TIME;
use crate::registry::Registry;
use crate::source::Source;
use crate::upload::{Blob, Content, Upload, grown, is_there, stored};
use crate::{DistributionError, Result};

/// An image, or an index, that was pushed.
#[derive(Debug, Clone, PartialEq)]
pub struct Pushed {
    /// Its manifest, or the index: what its tags mean on the registry.
    pub manifest: Descriptor,
    /// How many bytes were sent, of the blobs that the registry did not have.
    pub sent: u64,
    /// How many bytes of blobs were there, also by an upload that was interrupted, or taken over from another repository.
    pub spared: u64,
}

/// Pushes an image, or an index with its images, under the names of `item`, which are of one repository.
pub fn push(
    client: &Client,
    store: &Store,
    lease: &Lease,
    item: &Item,
    options: Options,
    events: &Events,
    cancel: &Cancel,
) -> Result<Pushed> {
    let Some(name) = item.names.first() else {
        return Err(DistributionError::NoHost(String::new()));
    };
    // Where one upload fails, the other work ends.
    let stop = Cancel::new();
    let stopper = stop.clone();
    let _forward = cancel.on_cancel(move || stopper.cancel());
    let registry = client.repository(name, &stop)?;
    let push = Push {
        client,
        registry: &registry,
        name,
        store,
        lease,
        repositories: origins::repositories(store, name)?,
        layers: OnceLock::new(),
        done: Mutex::new(Done::default()),
        events,
        stop: &stop,
    };
    let (to, blobs) = channel();
    let blobs = Mutex::new(blobs);
    let planned = std::thread::scope(|scope| {
        for _ in 0..BLOBS_AT_A_TIME {
            scope.spawn(|| push.blobs(&blobs));
        }
        // The channel stays open while this lives.
        let to_uploads = ToUploads { push: &push, to: Mutex::new(to) };
        let planned = plan::plan(store, lease, item, options, &to_uploads, events, &stop);
        match &planned {
            Ok(planned) => {
                planned.images().for_each(|image| to_uploads.ready(&image.manifest.value().config, None));
            }
            Err(_) => stop.cancel(),
        }
        planned
    });
    let done = push.done.into_inner().unwrap_or_else(PoisonError::into_inner);
    cancel.check()?;
    // Whichever failed has cancelled the other.
    let planned = match (planned, done.failure) {
        (Err(error), _) if error.kind() != Kind::Cancelled => return Err(error.into()),
        (_, Some(error)) => return Err(error),
        (planned, None) => planned?,
    };
    publish(&registry, &planned)?;
    Ok(Pushed { manifest: planned.root().clone(), sent: done.sent, spared: done.spared })
}

/// Puts the manifests of an index under their digests, then what the names mean under the names.
fn publish(registry: &Registry<'_>, planned: &Plan) -> Result<()> {
    for image in planned.variants.iter().flat_map(|variants| &variants.images) {
        let by = image.manifest_descriptor.digest.to_string();
        let fetched = Fetched::from((image.manifest.clone(), image.manifest_descriptor.clone()));
        manifests::publish(registry, &by, &fetched)?;
    }
    let fetched = Fetched { document: planned.document(), descriptor: planned.root().clone() };
    for name in &planned.names {
        let by = name.tag().map_or_else(|| fetched.descriptor.digest.to_string(), str::to_owned);
        manifests::publish(registry, &by, &fetched)?;
    }
    Ok(())
}

/// A blob to be uploaded.
enum Work {
    /// One of the store; made by this recipe, if it was made here.
    Blob(Descriptor, Option<Digest>),
    /// One of this layer, which is being made by this recipe.
    Growing(DiffId, GrowingBlob, Digest),
    /// One that the image of another name has.
    Through(Descriptor, Reference),
}

/// From the plan to the uploads.
struct ToUploads<'a> {
    push: &'a Push<'a>,
    to: Mutex<Sender<Work>>,
}

impl ToUploads<'_> {
    fn send(&self, work: Work) {
        // Nobody listens when all uploads have failed.
        let _ = self.to.lock().unwrap_or_else(PoisonError::into_inner).send(work);
    }
}

impl Outlet for ToUploads<'_> {
    fn ready(&self, blob: &Descriptor, recipe: Option<Digest>) {
        self.send(Work::Blob(blob.clone(), recipe));
    }

    fn growing(&self, layer: DiffId, blob: GrowingBlob, recipe: Digest) {
        self.send(Work::Growing(layer, blob, recipe));
    }

    fn has(&self, blob: &Descriptor) -> bool {
        self.push.has(blob).unwrap_or_else(|error| {
            self.push.fail(error);
            false
        })
    }

    fn elsewhere(&self, layer: DiffId, fits: &dyn Fn(&Descriptor) -> bool) -> Option<Descriptor> {
        let found = self.push.elsewhere(layer, fits).unwrap_or_else(|error| {
            self.push.fail(error);
            None
        });
        let (blob, from) = found?;
        if let Some(from) = from {
            self.send(Work::Through(blob.clone(), from));
        }
        Some(blob)
    }
}

/// What has become of the blobs so far.
#[derive(Default)]
struct Done {
    begun: HashSet<Digest>,
    sent: u64,
    spared: u64,
    failure: Option<DistributionError>,
    /// Registries of bases that do not answer.
    away: HashSet<String>,
}

struct Push<'a> {
    client: &'a Client,
    registry: &'a Registry<'a>,
    /// Where it goes.
    name: &'a Reference,
    store: &'a Store,
    lease: &'a Lease,
    /// In which other repositories of the registry blobs may be.
    repositories: BTreeMap<Digest, String>,
    /// How pulled images describe their layers, once somebody asks.
    layers: OnceLock<BTreeMap<DiffId, Vec<Described>>>,
    done: Mutex<Done>,
    events: &'a Events,
    stop: &'a Cancel,
}

impl Push<'_> {
    fn done(&self) -> MutexGuard<'_, Done> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The push has failed: nothing more is begun.
    fn fail(&self, error: DistributionError) {
        self.done().failure.get_or_insert(error);
        self.stop.cancel();
    }

    /// Whether the repository has a blob. One that it has counts as spared.
    fn has(&self, blob: &Descriptor) -> Result<bool> {
        let is_there = is_there(self.registry, blob, "pull,push")?;
        let mut done = self.done();
        if is_there && done.begun.insert(blob.digest) {
            done.spared += blob.size;
        }
        Ok(is_there)
    }

    /// A blob of a layer as an image has it that was pulled; and from which name it has to be got, unless it is there already.
    fn elsewhere(
        &self,
        layer: DiffId,
        fits: &dyn Fn(&Descriptor) -> bool,
    ) -> Result<Option<(Descriptor, Option<Reference>)>> {
        let layers = match self.layers.get() {
            Some(layers) => layers,
            None => {
                let found = origins::layers(self.store, self.name)?;
                self.layers.get_or_init(|| found)
            }
        };
        let described = layers.get(&layer).map(Vec::as_slice).unwrap_or_default();
        for Described { blob, name } in described.iter().filter(|described| fits(&described.blob)) {
            if self.has(blob)? {
                return Ok(Some((blob.clone(), None)));
            }
            if self.done().away.contains(name.host()) {
                continue;
            }
            let source = self.client.source(name, self.stop)?;
            let found = source.repository().map_or(Ok(false), |origin| is_there(origin, blob, "pull"));
            match found {
                Ok(true) => return Ok(Some((blob.clone(), Some(name.clone())))),
                Err(DistributionError::Cancelled(cancelled)) => return Err(cancelled.into()),
                found => {
                    if matches!(found, Err(DistributionError::Transport(_))) {
                        // Nobody waits for it a second time.
                        self.done().away.insert(name.host().to_owned());
                    }
                    self.events.warn(format!(
                        "layer {} came with {}, where it cannot be had now",
                        layer.0.short(),
                        name.familiar()
                    ));
                }
            }
        }
        Ok(None)
    }

    /// Uploads what comes, until nothing comes any more.
    fn blobs(&self, work: &Mutex<Receiver<Work>>) {
        loop {
            let next = work.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(work) = next else { return };
            if self.stop.is_cancelled() {
                continue;
            }
            if let Work::Blob(blob, _) | Work::Through(blob, _) = &work
                && !self.done().begun.insert(blob.digest)
            {
                continue;
            }
            match self.blob(&work) {
                Ok((sent, size)) => {
                    let mut done = self.done();
                    done.sent += sent;
                    done.spared += size - sent;
                }
                Err(error) => self.fail(error),
            }
        }
    }

    /// Uploads one. Gives how much of it was sent, and its size.
    fn blob(&self, work: &Work) -> Result<(u64, u64)> {
        match work {
            Work::Blob(blob, recipe) => {
                let from = self.repositories.get(&blob.digest).map(String::as_str);
                let content = stored(self.store, self.lease, blob.digest);
                let called = format!("push {}", blob.digest.short());
                let noted_as = recipe.unwrap_or(blob.digest);
                Ok((self.upload(called, content, Blob::Known(blob), noted_as, from)?, blob.size))
            }
            Work::Growing(layer, blob, recipe) => {
                let called = format!("push layer {}", layer.0.short());
                let sent = self.upload(called, grown(blob), Blob::Growing(blob), *recipe, None)?;
                Ok((sent, blob.complete().map_or(0, |(_, size)| size)))
            }
            Work::Through(blob, name) => {
                let source = self.client.source(name, self.stop)?;
                let is_mountable = name.host() == self.name.host() && name.path() != self.name.path();
                let from = is_mountable.then(|| name.path());
                let called = format!("push {} from {}", blob.digest.short(), name.familiar());
                let sent = pipe::through(&source, blob, |content| {
                    self.upload(called, content, Blob::Known(blob), blob.digest, from)
                })?;
                Ok((sent, blob.size))
            }
        }
    }

    fn upload(
        &self,
        called: String,
        content: Content,
        blob: Blob<'_>,
        noted_as: Digest,
        from: Option<&str>,
    ) -> Result<u64> {
        let (registry, store) = (self.registry, self.store);
        Task::run(self.events, called, |task| {
            Upload { registry, store, content, blob, noted_as, from, task }.run()
        })
    }
}
