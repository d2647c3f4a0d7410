//! Pushing: an image of the store → a registry.
//!
//! ```text
//! layers ─▶ compressed, where they were made here and that was not done before ─┬▶ uploads, several at a time ─▶ manifest ─▶ tags
//!                                                                       config ─┘
//! ```
//!
//! A layer is on its way while the next one is compressed. What the registry has is not sent.

use std::collections::{BTreeMap, HashSet};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, PoisonError};

use archive::save::{Item, Options, plan};
use base::task::Task;
use base::{Cancel, Events};
use image::{Descriptor, Digest, Document, Reference};
use store::{Lease, Origin, Store};

use crate::client::Client;
use crate::manifests::{self, Fetched};
use crate::registry::Registry;
use crate::upload::{Arrival, Upload, stored};
use crate::{DistributionError, Result};

/// How many blobs are sent at a time (RC-067).
const BLOBS_AT_A_TIME: usize = 3;

/// An image that was pushed.
#[derive(Debug, Clone, PartialEq)]
pub struct Pushed {
    /// Its manifest: what its tags mean on the registry.
    pub manifest: Descriptor,
    /// How many bytes were sent, of the blobs that the registry did not have.
    pub sent: u64,
    /// How many bytes of blobs were there, or taken over from another repository.
    pub spared: u64,
}

/// Pushes an image under the names of `item`, which are of one repository.
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
    let push = Push { registry: &registry, store, lease, origins: origins(store, name)?, events };
    let done = Mutex::new(Done::default());
    let (to, blobs) = channel::<Descriptor>();
    let blobs = Mutex::new(blobs);
    let planned = std::thread::scope(|scope| {
        for _ in 0..BLOBS_AT_A_TIME {
            scope.spawn(|| push.blobs(&blobs, &done, &stop));
        }
        // The channel stays open while this lives.
        let to = Mutex::new(to);
        let ready = |blob: &Descriptor| {
            // Nobody listens when all uploads have failed.
            let _ = to.lock().unwrap_or_else(PoisonError::into_inner).send(blob.clone());
        };
        let planned = plan::plan(store, lease, item, options, &ready, events, &stop);
        if let Ok(planned) = &planned {
            ready(&planned.manifest.value().config);
        }
        planned
    });
    let done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    cancel.check()?;
    if let Some(error) = done.failure {
        return Err(error);
    }
    let planned = planned?;
    for name in &item.names {
        let by = name.tag().map_or_else(|| planned.manifest_descriptor.digest.to_string(), str::to_owned);
        let document = Document::Manifest(planned.manifest.clone());
        let fetched = Fetched { document, descriptor: planned.manifest_descriptor.clone() };
        manifests::publish(&registry, &by, &fetched)?;
    }
    Ok(Pushed { manifest: planned.manifest_descriptor, sent: done.sent, spared: done.spared })
}

/// What has become of the blobs so far.
#[derive(Default)]
struct Done {
    begun: HashSet<Digest>,
    sent: u64,
    spared: u64,
    failure: Option<DistributionError>,
}

struct Push<'a> {
    registry: &'a Registry<'a>,
    store: &'a Store,
    lease: &'a Lease,
    /// In which other repositories of the registry blobs may be.
    origins: BTreeMap<Digest, String>,
    events: &'a Events,
}

impl Push<'_> {
    /// Uploads what comes, until nothing comes any more.
    fn blobs(&self, blobs: &Mutex<Receiver<Descriptor>>, done: &Mutex<Done>, stop: &Cancel) {
        let done = || done.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let next = blobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(blob) = next else { return };
            if stop.is_cancelled() || !done().begun.insert(blob.digest) {
                continue;
            }
            match self.blob(&blob) {
                Ok(Arrival::Sent) => done().sent += blob.size,
                Ok(Arrival::There | Arrival::Mounted) => done().spared += blob.size,
                Err(error) => {
                    done().failure.get_or_insert(error);
                    stop.cancel();
                }
            }
        }
    }

    fn blob(&self, blob: &Descriptor) -> Result<Arrival> {
        Task::run(self.events, format!("push {}", blob.digest.short()), |task| {
            let from = self.origins.get(&blob.digest).map(String::as_str);
            let (registry, store) = (self.registry, self.store);
            let content = stored(store, self.lease, blob.digest);
            let arrival = Upload { registry, store, content, descriptor: blob, from, task }.run()?;
            match (arrival, from) {
                (Arrival::There, _) => task.say("is there already"),
                (Arrival::Mounted, Some(from)) => task.say(&format!("taken over from {from}")),
                _ => {}
            }
            Ok(arrival)
        })
    }
}

/// In which other repositories of a name's registry blobs may be: those from which their images were pulled come before others (RC-074).
fn origins(store: &Store, name: &Reference) -> Result<BTreeMap<Digest, String>> {
    let mut origins = BTreeMap::new();
    for pulled in [true, false] {
        for record in store.names().list()? {
            let other = &record.reference;
            if other.host() != name.host() || other.path() == name.path() {
                continue;
            }
            let Some(image) = store.images().get(&record.image)? else { continue };
            if (image.origin == Origin::Pulled) != pulled {
                continue;
            }
            for manifest in &image.manifests {
                let Ok(manifest) = store.images().manifest(manifest) else { continue };
                let value = manifest.value();
                for blob in value.layers.iter().chain([&value.config]) {
                    origins.entry(blob.digest).or_insert_with(|| other.path().to_owned());
                }
            }
        }
    }
    Ok(origins)
}
