//! Importing: a root filesystem as a tar → an image of one layer (ST-042).

use std::io::{self, BufRead, BufReader, Cursor, Read};

use base::{Cancel, Cancellable, Cancelled, Events};
use image::{
    Config, ContainerConfig, Descriptor, History, ImageId, Manifest, MediaType, Platform, Raw, Reference,
    RootFs, Timestamp,
};
use layer::ingest::{Expected, Ingested, ingest};
use store::{Lease, Origin, Store};

use crate::ArchiveError;
use crate::format::{BLOBS, INDEX, MANIFEST};
use base::task::{Counted, Task};

/// Bytes of zeros that end a tar.
const END_MARK: usize = 1024;

/// What the image will be.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Its name.
    pub name: Option<Reference>,
    /// How containers of it run (`--change`, applied already).
    pub config: ContainerConfig,
    /// `--message`: the comment of its history.
    pub message: String,
    /// Where it runs.
    pub platform: Platform,
}

/// An image that was imported.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    /// Which.
    pub image: ImageId,
    /// Its manifest.
    pub manifest: Descriptor,
    /// What deserves a word.
    pub warnings: Vec<String>,
}

/// Imports a tar in any compression. Its time of creation is that of its newest entry: the same tar gives the same image everywhere.
pub fn import(
    store: &Store,
    lease: &Lease,
    tar: Box<dyn Read + Send + '_>,
    request: &Request,
    events: &Events,
    cancel: &Cancel,
) -> Result<Imported, ArchiveError> {
    let stream = Cancellable { reader: tar, cancel };
    match read(store, lease, stream, events, cancel) {
        Err(_) if cancel.is_cancelled() => Err(Cancelled.into()),
        Err(error) => Err(error),
        Ok(ingested) if !has_end(&ingested)? => Err(ArchiveError::Damaged(
            "it ends without the two blocks of zeros that end a tar, so something may be missing".to_owned(),
        )),
        Ok(ingested) => add(store, lease, ingested, request),
    }
}

/// Whether the tar has an end mark. Layers do without (ST-057), their digests say whether they are whole; of a root filesystem
/// nothing else tells that the command which wrote it did not fail half-way.
fn has_end(ingested: &Ingested) -> Result<bool, ArchiveError> {
    let mut framing = BufReader::new(ingested.layer.table().framing()?);
    // Within headers and padding there are never so many.
    let mut zeros = 0_usize;
    loop {
        let bytes = framing.fill_buf().map_err(crate::entries::read_error)?;
        for byte in bytes {
            zeros = if *byte == 0 { zeros + 1 } else { 0 };
            if zeros == END_MARK {
                return Ok(true);
            }
        }
        let count = bytes.len();
        if count == 0 {
            return Ok(false);
        }
        framing.consume(count);
    }
}

/// The layer: stored as it came when it is a gzip or zstd, else as a plain tar (ST-043).
fn read(
    store: &Store,
    lease: &Lease,
    mut stream: impl Read,
    events: &Events,
    cancel: &Cancel,
) -> Result<Ingested, ArchiveError> {
    let mut first = [0];
    if crate::entries::read_full(&mut stream, &mut first).map_err(crate::entries::read_error)? == 0 {
        // The command in front of a pipe has failed, most likely.
        return Err(ArchiveError::Refused("it is empty".to_owned()));
    }
    Task::run(events, "import".to_owned(), |task| {
        let inner = Cursor::new(first).chain(stream);
        let mut counted = Counted { inner, count: task.count(None) };
        let ingested = ingest(store, lease, &mut counted, Expected::default(), cancel)?;
        // Whoever writes into a pipe wants to be heard out.
        io::copy(&mut counted, &mut io::sink()).map_err(crate::entries::read_error)?;
        counted.count.end();
        Ok(ingested)
    })
}

fn add(
    store: &Store,
    lease: &Lease,
    ingested: Ingested,
    request: &Request,
) -> Result<Imported, ArchiveError> {
    let Ingested { layer, blob, mut warnings } = ingested;
    let table = layer.table();
    if table.find(MANIFEST.as_bytes()).is_some() && table.find(b"etc").is_none()
        || table.find(INDEX.as_bytes()).is_some() && table.find(BLOBS.as_bytes()).is_some()
    {
        warnings.push("this looks like an archive of images, which `lap load` takes".to_owned());
    }
    let created = Timestamp::from_unix(table.newest().unwrap_or(layer::FIXED_TIME));
    let config = written(config(request, created, layer.diff_id()))?;
    store.blobs().put(lease, config.bytes())?;
    let manifest = written(Manifest::oci(config.descriptor(MediaType::OCI_CONFIG), vec![blob]))?;
    store.blobs().put(lease, manifest.bytes())?;
    store.sync()?;
    let image = ImageId(config.digest());
    let manifest = manifest.descriptor(MediaType::OCI_MANIFEST);
    store.images().add(lease, image, manifest.clone(), Origin::Imported)?;
    if let Some(name) = &request.name {
        store.images().name(lease, name, (image, &manifest), Origin::Imported)?;
    }
    Ok(Imported { image, manifest, warnings })
}

fn config(request: &Request, created: Timestamp, diff_id: image::DiffId) -> Config {
    let Platform { architecture, os, os_version, os_features, variant } = request.platform.clone();
    Config {
        architecture,
        os,
        os_version,
        os_features,
        variant,
        config: request.config.clone(),
        created: Some(created),
        history: vec![History {
            created: Some(created),
            comment: request.message.clone(),
            ..History::default()
        }],
        rootfs: RootFs { diff_ids: vec![diff_id], ..RootFs::default() },
        ..Config::default()
    }
}

fn written<T: serde::Serialize>(document: T) -> Result<Raw<T>, ArchiveError> {
    Raw::write(document).map_err(|source| ArchiveError::Document { entry: b"the image".to_vec(), source })
}
