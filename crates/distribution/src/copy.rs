//! Copying: an image, or all images of an index, from one place to another, byte for byte.
//!
//! ```text
//!          ┌ registry                                                           ┌ registry: tag last
//! source ──┼ layout, archive ──▶ documents (all of them, small) ──▶ blobs ──▶ ──┼ layout: name last
//!          └ the store                    └▶ what refers to them    (streamed)  ├ archive: one stream
//!                                                                               └ the store: as a pull
//! ```
//!
//! Nothing is written on the way: a blob goes from the source's connection or file straight to where it is wanted, and what is there is not sent.

mod graph;
pub(crate) mod pipe;
mod remote;

use archive::save::{Item, Options};
use base::{Cancel, Events};
use image::{Descriptor, Digest, Platform, Reference};
use store::{Lease, Store};

use self::graph::Graph;
use self::remote::ToRegistry;
use crate::client::Client;
use crate::foreign;
use crate::manifests::Fetched;
use crate::pull::pull_as;
use crate::push::push;
use crate::source::{self, Source};
use crate::{DistributionError, Result};

/// What is copied of an image.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// The image for this platform alone; without one everything that the name means.
    pub platform: Option<Platform>,
    /// Also what refers to it: signatures, attestations, lists of parts.
    pub referrers: bool,
    /// Also layers that are not to be distributed, to registries.
    pub foreign_layers: bool,
}

/// What was copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// What the name means now.
    pub root: Descriptor,
    /// How many manifests and indexes there are in it.
    pub documents: usize,
    /// How many manifests refer to them.
    pub referrers: usize,
    /// How many bytes of blobs were sent.
    pub sent: u64,
    /// How many bytes of blobs were there, or taken over from another repository.
    pub spared: u64,
    /// Whether the name meant it already, and nothing was looked at further.
    pub was_there: bool,
    /// Layers that stay where they are, since they are not to be distributed.
    pub left_out: Vec<Digest>,
}

impl Copied {
    fn new(root: Descriptor) -> Self {
        let left_out = Vec::new();
        Self { root, documents: 0, referrers: 0, sent: 0, spared: 0, was_there: false, left_out }
    }

    fn with(self, graph: &Graph) -> Self {
        let referrers = graph.referrers.len() + graph.digest_tags.len();
        Self { documents: graph.documents.len(), referrers, ..self }
    }
}

/// What copies have in common.
pub struct Copier<'a> {
    /// Connections to registries.
    pub client: &'a Client,
    /// Where interrupted uploads are noted.
    pub store: &'a Store,
    /// What keeps in the store what is used of it.
    pub lease: &'a Lease,
    /// Where progress is told.
    pub events: &'a Events,
    /// Ends the work.
    pub cancel: &'a Cancel,
}

/// Where a copy comes from.
#[derive(Debug, Clone)]
pub enum From {
    /// A registry.
    Registry(Reference),
    /// An image of the store, and how its layers travel that were made here.
    Store(Box<Item>, Options),
}

/// Where a copy goes to.
pub enum To {
    /// A registry.
    Registry(Reference),
    /// The store, under this name; it keeps an image for one platform.
    Store(Reference),
}

impl Copier<'_> {
    /// Copies what is at one place to another one.
    pub fn copy(&self, from: &From, to: To, wish: &Wish) -> Result<Copied> {
        let stop = Cancel::new();
        let stopper = stop.clone();
        let _forward = self.cancel.on_cancel(move || stopper.cancel());
        let copied = match from {
            From::Registry(name) => {
                let reference = name.clone().or_latest();
                let source = self.client.source(&reference, &stop)?;
                self.copy_source(&source, to, wish, &stop)
            }
            From::Store(item, options) => self.copy_stored(item, *options, to),
        };
        self.cancel.check()?;
        copied
    }

    fn copy_source(&self, source: &dyn Source, to: To, wish: &Wish, stop: &Cancel) -> Result<Copied> {
        match to {
            To::Registry(name) => self.to_registry(source, &name.or_latest(), wish, stop),
            To::Store(name) => self.to_store(source, &name.or_latest(), wish),
        }
    }

    fn copy_stored(&self, item: &Item, options: Options, to: To) -> Result<Copied> {
        let to = match to {
            To::Registry(name) => name.or_latest(),
            To::Store(_) => {
                return Err(DistributionError::Unsupported {
                    what: format!("the image {}", item.image.0.short()),
                    action: "copied",
                    reason: "it is in the store already".to_owned(),
                });
            }
        };
        let item = Item { names: vec![to], ..item.clone() };
        let pushed = push(self.client, self.store, self.lease, &item, options, self.events, self.cancel)?;
        let (sent, spared) = (pushed.sent, pushed.spared);
        Ok(Copied { documents: 1, sent, spared, ..Copied::new(pushed.manifest) })
    }

    /// The store keeps images for one platform: for this machine, if nothing else is wished.
    fn to_store(&self, source: &dyn Source, to: &Reference, wish: &Wish) -> Result<Copied> {
        let platform = wish.platform.clone().unwrap_or_else(Platform::host);
        let (store, lease) = (self.store, self.lease);
        let pulled = pull_as(source, store, lease, to, &platform, self.events, self.cancel)?;
        let was_there = pulled.was_there();
        Ok(Copied { documents: 1, was_there, ..Copied::new(pulled.manifest) })
    }

    fn to_registry(&self, source: &dyn Source, to: &Reference, wish: &Wish, stop: &Cancel) -> Result<Copied> {
        let root = root(source, wish)?;
        if let Some(expected) = to.digest().filter(|digest| *digest != root.descriptor.digest) {
            return Err(DistributionError::OtherDigest {
                what: source.called(),
                is: Box::new(root.descriptor.digest),
                wanted: Box::new(expected),
            });
        }
        let registry = self.client.repository(to, stop)?;
        let sink = ToRegistry { registry, reference: to, store: self.store, stop, events: self.events };
        if !wish.referrers && sink.has(&root.descriptor)? {
            return Ok(Copied { was_there: true, ..Copied::new(root.descriptor) });
        }
        let mut graph = graph(source, &root, wish)?;
        let mut left_out = Vec::new();
        if !wish.foreign_layers {
            graph.blobs.retain(|blob| {
                let stays = foreign::is_elsewhere(blob);
                left_out.extend(stays.then_some(blob.digest));
                !stays
            });
        }
        let copied = sink.put(source, &graph, &root.descriptor)?;
        Ok(Copied { left_out, ..copied })
    }
}

/// What is copied: what the name means, or what it means for a platform.
fn root(source: &dyn Source, wish: &Wish) -> Result<Fetched> {
    let first = source.first()?;
    let Some(platform) = &wish.platform else { return Ok(first) };
    let way = source::choose(source, first, platform)?;
    let chosen = way.into_iter().last();
    chosen.ok_or_else(|| source::strange(source, "give the image", "its indexes end without a manifest"))
}

fn graph(source: &dyn Source, root: &Fetched, wish: &Wish) -> Result<Graph> {
    let mut graph = Graph::of(source, root)?;
    if wish.referrers {
        graph.add_referrers(source)?;
    }
    Ok(graph)
}
