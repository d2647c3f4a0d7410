//! Copying: an image, or all images of an index, from one place to another, byte for byte if nothing else is wished.
//!
//! ```text
//!          ┌ registry                                                           ┌ registry: tag last
//! source ──┼ layout, archive ──▶ documents (all of them, small) ──▶ blobs ──▶ ──┼ layout: name last
//!          └ the store                    └▶ what refers to them    (streamed)  ├ archive: one stream
//!                                                                               └ the store: as a pull
//! ```
//!
//! Nothing is written on the way: a blob goes from the source's connection or file straight to where it is wanted, and what is there is not sent.

mod chosen;
mod files;
mod graph;
pub(crate) mod pipe;
mod remote;
mod rewrite;

use std::cmp::Reverse;
use std::io::Write;

use archive::layout::{Directory, Layout};
use archive::save::plan::{self, Nowhere};
use archive::save::{Item, Options};
use base::{Cancel, Events};
use image::{Descriptor, Digest, MediaType, Platform, Reference};
use store::{Lease, Store};

use self::chosen::Chosen;
use self::files::Work;
use self::graph::Graph;
use self::remote::ToRegistry;
use crate::client::Client;
use crate::foreign;
use crate::local::{InLayout, InStore};
use crate::manifests::Fetched;
use crate::parallel::{BLOBS_AT_A_TIME, in_parallel};
use crate::pull::pull_as;
use crate::push::push;
use crate::source::Source;
use crate::{DistributionError, Result};

/// What is copied of an image.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// The image for this platform alone; an index of those for several; without any, everything that the name means.
    pub platforms: Vec<Platform>,
    /// In which format the documents are written, whatever they are at the source.
    pub format: Option<Format>,
    /// What is noted in manifests and indexes.
    pub annotations: Vec<Annotation>,
    /// Labels of the configs of images, and their values; an empty one takes the label away.
    pub labels: Vec<(String, String)>,
    /// Also what refers to it: signatures, attestations, lists of parts.
    pub referrers: bool,
    /// Also layers that are not to be distributed. (Docker's archives have them in any case: without them nothing can be made of an image.)
    pub foreign_layers: bool,
}

impl Wish {
    /// Whether what is copied may be another document than anything at the source.
    fn changes_documents(&self) -> bool {
        self.platforms.len() > 1 || self.rewrites()
    }

    /// Whether documents may get another content.
    fn rewrites(&self) -> bool {
        self.format.is_some() || !self.annotations.is_empty() || !self.labels.is_empty()
    }
}

/// A note in documents (RC-099).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    /// Where it stands.
    pub place: AnnotationPlace,
    /// Its name.
    pub key: String,
    /// What it says; when this is empty, there is no such note any more.
    pub value: String,
}

/// Where annotations stand, in the words of `docker buildx build --annotation`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnnotationPlace {
    /// In the manifest of each image.
    Manifest,
    /// In the index.
    Index,
    /// In the index, at each image.
    Descriptor,
}

/// A format of manifests, indexes, and the types that they name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// OCI's.
    Oci,
    /// Docker's: schema 2. It has images alone, and neither notes nor layers in zstd.
    Docker,
}

impl Format {
    fn manifest(self) -> MediaType {
        match self {
            Format::Oci => MediaType::OCI_MANIFEST,
            Format::Docker => MediaType::DOCKER_MANIFEST,
        }
    }

    fn index(self) -> MediaType {
        match self {
            Format::Oci => MediaType::OCI_INDEX,
            Format::Docker => MediaType::DOCKER_LIST,
        }
    }
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
    /// How many bytes of blobs were there, also by an upload that was interrupted, or taken over from another repository.
    pub spared: u64,
    /// Whether the name meant it already, and nothing was looked at further.
    pub was_there: bool,
    /// Layers that stay where they are, since they are not to be distributed.
    pub left_out: Vec<Digest>,
    /// What was copied of at the source, when what was copied is another document: a part of an index, or in another format.
    pub instead_of: Option<Digest>,
    /// Attestations that stay where they are, since docker's format has no place for them.
    pub attestations_left: usize,
}

impl Copied {
    fn new(root: Descriptor) -> Self {
        Self {
            root,
            documents: 0,
            referrers: 0,
            sent: 0,
            spared: 0,
            was_there: false,
            left_out: Vec::new(),
            instead_of: None,
            attestations_left: 0,
        }
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
pub enum From {
    /// A registry.
    Registry(Reference),
    /// An image of the store, and how its layers travel that were made here.
    Store(Box<Item>, Options),
    /// What this describes in a layout or in an archive.
    Layout(Box<Layout>, Box<Descriptor>),
}

/// Where a copy goes to.
pub enum To<'a> {
    /// A registry.
    Registry(Reference),
    /// The store, under this name; it keeps an image for one platform.
    Store(Reference),
    /// Files.
    Files(ToFiles<'a>),
}

/// Files that a copy goes to.
pub enum ToFiles<'a> {
    /// A layout, under this name, and only if it is what the digest says.
    Layout(Directory, Option<String>, Option<Digest>),
    /// An archive, in the same way.
    Archive(&'a mut dyn Write, Option<String>, Option<Digest>),
    /// An archive that docker reads, under these names; it holds an image for one platform.
    DockerArchive(&'a mut dyn Write, Vec<Reference>),
}

impl Copier<'_> {
    /// Copies what is at one place to another one.
    pub fn copy(&self, from: &From, to: To<'_>, wish: &Wish) -> Result<Copied> {
        let stop = Cancel::new();
        let stopper = stop.clone();
        let _forward = self.cancel.on_cancel(move || stopper.cancel());
        let copied = match from {
            From::Registry(name) => {
                let reference = name.clone().or_latest();
                let source = self.client.source(&reference, &stop)?;
                self.copy_source(&source, to, wish, &stop)
            }
            From::Layout(layout, root) => self.copy_source(&InLayout::new(layout, root), to, wish, &stop),
            From::Store(item, options) => self.copy_stored(item, *options, to, wish, &stop),
        };
        self.cancel.check()?;
        copied
    }

    fn copy_source(&self, source: &dyn Source, to: To<'_>, wish: &Wish, stop: &Cancel) -> Result<Copied> {
        match to {
            To::Registry(name) => self.to_registry(source, &name.or_latest(), wish, stop),
            To::Store(name) => self.to_store(source, &name.or_latest(), wish),
            To::Files(to) => self.to_files(source, to, wish, stop),
        }
    }

    fn copy_stored(
        &self,
        item: &Item,
        options: Options,
        to: To<'_>,
        wish: &Wish,
        stop: &Cancel,
    ) -> Result<Copied> {
        match to {
            // What is pushed is what the store has: another document has to be made of it first.
            To::Registry(name) if !wish.changes_documents() => {
                let mut item = Item { names: vec![name.or_latest()], ..item.clone() };
                if let (Some(platform), Some(variants)) = (wish.platforms.first(), &item.variants) {
                    let chosen = variants.require(platform).map_err(|source| {
                        DistributionError::Platform { what: "the index in the store".to_owned(), source }
                    })?;
                    item = Item::of_image(chosen.image, chosen.manifest.clone(), item.names);
                }
                let pushed =
                    push(self.client, self.store, self.lease, &item, options, self.events, self.cancel)?;
                let (sent, spared) = (pushed.sent, pushed.spared);
                let documents = 1 + item.variants.map_or(0, |variants| variants.images.len());
                Ok(Copied { documents, sent, spared, ..Copied::new(pushed.manifest) })
            }
            To::Store(_) => Err(DistributionError::Unsupported {
                what: format!("the image {}", item.image.0.short()),
                action: "copied",
                reason: "it is in the store already".to_owned(),
            }),
            to => {
                let (store, lease) = (self.store, self.lease);
                let plan = plan::plan(store, lease, item, options, &Nowhere, self.events, stop)?;
                self.copy_source(&InStore { plan, store, lease }, to, wish, stop)
            }
        }
    }

    /// Into a layout or an archive.
    fn to_files(&self, source: &dyn Source, to: ToFiles<'_>, wish: &Wish, stop: &Cancel) -> Result<Copied> {
        let mut wish = wish.clone();
        if matches!(to, ToFiles::DockerArchive(..)) {
            if wish.platforms.is_empty() {
                wish.platforms.push(Platform::host());
            }
            wish.foreign_layers = true;
        }
        let chosen = Chosen::of(source, &wish)?;
        let (source, root): (&dyn Source, _) = (&chosen, chosen.first()?);
        let (mut graph, work) = (graph(source, &root, &wish)?, Work { source, stop, events: self.events });
        let left_out = leave_out(&mut graph, &wish);
        let described = &root.descriptor;
        let copied = match to {
            ToFiles::Layout(directory, name, digest) => {
                expect(source, described, digest)?;
                work.to_directory(&directory, name.as_deref(), &graph, described)?
            }
            ToFiles::Archive(out, name, digest) => {
                expect(source, described, digest)?;
                work.to_archive(out, name.as_deref(), &graph, described)?
            }
            ToFiles::DockerArchive(out, names) => work.to_docker_archive(out, &names, &graph, &root)?,
        };
        Ok(chosen.told(Copied { left_out, ..copied }))
    }

    /// The store keeps images for one platform: for this machine, if nothing else is wished.
    fn to_store(&self, source: &dyn Source, to: &Reference, wish: &Wish) -> Result<Copied> {
        let platform = wish.platforms.first().cloned().unwrap_or_else(Platform::host);
        let (store, lease) = (self.store, self.lease);
        let pulled = pull_as(source, store, lease, to, &platform, self.events, self.cancel)?;
        let was_there = pulled.was_there();
        Ok(Copied { documents: 1, was_there, ..Copied::new(pulled.manifest) })
    }

    fn to_registry(&self, source: &dyn Source, to: &Reference, wish: &Wish, stop: &Cancel) -> Result<Copied> {
        let chosen = Chosen::of(source, wish)?;
        let (source, root): (&dyn Source, _) = (&chosen, chosen.first()?);
        expect(source, &root.descriptor, to.digest())?;
        let registry = self.client.repository(to, stop)?;
        let sink = ToRegistry { registry, reference: to, store: self.store, stop, events: self.events };
        if !wish.referrers && sink.has(&root.descriptor)? {
            return Ok(chosen.told(Copied { was_there: true, ..Copied::new(root.descriptor) }));
        }
        let mut graph = graph(source, &root, wish)?;
        let left_out = leave_out(&mut graph, wish);
        let copied = sink.put(source, &graph, &root.descriptor)?;
        Ok(chosen.told(Copied { left_out, ..copied }))
    }
}

/// The name of a destination may say which digest it wants.
fn expect(source: &dyn Source, root: &Descriptor, wanted: Option<Digest>) -> Result<()> {
    let Some(wanted) = wanted.filter(|wanted| *wanted != root.digest) else { return Ok(()) };
    let is = Box::new(root.digest);
    Err(DistributionError::OtherDigest { what: source.called(), is, wanted: Box::new(wanted) })
}

/// Takes out layers that stay where they are, and gives them.
fn leave_out(graph: &mut Graph, wish: &Wish) -> Vec<Digest> {
    let mut left_out = Vec::new();
    graph.blobs.retain(|blob| {
        let stays = !wish.foreign_layers && foreign::is_elsewhere(blob);
        left_out.extend(stays.then_some(blob.digest));
        !stays
    });
    left_out
}

/// Copies the blobs of a graph, several at a time: the largest ones begin, since they take longest. Where one fails, the others end. `copy` says how much of a blob was sent.
fn each_blob(
    graph: &Graph,
    root: &Descriptor,
    stop: &Cancel,
    copy: impl Fn(&Descriptor) -> Result<u64> + Sync,
) -> Result<Copied> {
    let mut blobs: Vec<&Descriptor> = graph.blobs.iter().collect();
    blobs.sort_by_key(|blob| Reverse(blob.size));
    let sent = in_parallel(&blobs, BLOBS_AT_A_TIME, |blob| copy(blob).inspect_err(|_| stop.cancel()))?;
    let mut copied = Copied::new(root.clone()).with(graph);
    for (blob, sent) in blobs.iter().zip(sent) {
        copied.sent += sent;
        copied.spared += blob.size - sent;
    }
    Ok(copied)
}

fn graph(source: &dyn Source, root: &Fetched, wish: &Wish) -> Result<Graph> {
    let mut graph = Graph::of(source, root)?;
    if wish.referrers {
        graph.add_referrers(source)?;
    }
    Ok(graph)
}
