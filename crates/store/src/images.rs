//! Images: configs that the store has the layers of.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use base::{IoContext, IoError};
use image::config::MAX_CONFIG_SIZE;
use image::manifest::MAX_MANIFEST_SIZE;
use image::{Config, Descriptor, Digest, ImageId, Manifest, Raw, Reference};
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use crate::layers::digest_from_hex;
use crate::lease::Note;
use crate::{Lease, NameRecord, Result, Store, StoreError, files, lock};

const RECORD_VERSION: u32 = 1;
/// Fewer digits of an ID are more likely a mistake than an ID.
const SHORTEST_PREFIX: usize = 2;

/// How an image came to this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// It was built here.
    Built,
    /// It came in an archive.
    Loaded,
    /// It was made from a root filesystem.
    Imported,
    /// It came from a registry.
    Pulled,
}

/// What the store knows of an image.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageRecord {
    /// Its identity: the digest of its config.
    pub id: ImageId,
    /// The manifests that describe it, the first one first: one whose layers are plain packs for an image that was built
    /// here, the original one for an image that came from elsewhere. (The same image can have several: its layers in different encodings.)
    pub manifests: Vec<Descriptor>,
    /// When it came to this machine.
    pub arrived: SystemTime,
    /// How.
    pub origin: Origin,
}

/// A record as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    version: u32,
    id: ImageId,
    manifests: Vec<Descriptor>,
    /// Nanoseconds since 1970.
    arrived: u64,
    origin: Origin,
}

/// The images of a store.
#[derive(Clone)]
pub struct Images {
    store: Store,
}

impl Images {
    pub(crate) fn new(store: Store) -> Self {
        Self { store }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn path(&self, id: &ImageId) -> PathBuf {
        self.store.at("images").join(id.0.hex())
    }

    /// Adds an image, or a further manifest of it. Config, manifest and layers must be in the store already.
    ///
    /// What is not known yet must have reached the disk: call [`Store::sync`] before. An image that is known with this manifest stays as it is.
    pub fn add(
        &self,
        lease: &Lease,
        id: ImageId,
        manifest: Descriptor,
        origin: Origin,
    ) -> Result<ImageRecord> {
        self.keep_parts(lease, &id, &manifest)?;
        let path = self.path(&id);
        let _changing = change(&self.store.at("images"))?;
        // From here on no collection: what the record names already is kept by the note on the image.
        let _publishing = self.store.publishing()?;
        let record = match self.get(&id)? {
            Some(record) if record.manifests.contains(&manifest) => {
                lease.note(Note::Image(id))?;
                return Ok(record);
            }
            Some(mut record) => {
                record.manifests.push(manifest);
                record
            }
            None => ImageRecord { id, manifests: vec![manifest], arrived: SystemTime::now(), origin },
        };
        let kept = Kept {
            version: RECORD_VERSION,
            id,
            manifests: record.manifests.clone(),
            arrived: files::to_nanoseconds(record.arrived),
            origin: record.origin,
        };
        let bytes = files::record_bytes(&path, &kept)?;
        lease.note(Note::Image(id))?;
        self.store.replace(&path, &bytes)?;
        Ok(record)
    }

    /// Names an image that was added, also when somebody removes it in between: then it is added again.
    pub fn name(
        &self,
        lease: &Lease,
        reference: &Reference,
        (id, manifest): (ImageId, &Descriptor),
        origin: Origin,
    ) -> Result<Option<NameRecord>> {
        self.name_index(lease, reference, manifest, (id, manifest), origin)
    }

    /// Keeps what an image needs, or says what of it is not there.
    fn keep_parts(&self, lease: &Lease, id: &ImageId, manifest: &Descriptor) -> Result<()> {
        let (blobs, layers) = (self.store.blobs(), self.store.layers());
        for digest in [&id.0, &manifest.digest] {
            if !blobs.keep(lease, digest)? {
                return Err(StoreError::NoBlob(*digest));
            }
        }
        let described = self.manifest(manifest)?.value().config.digest;
        if described != id.0 {
            return Err(StoreError::Mismatch {
                what: format!("the config in manifest {}", manifest.digest),
                expected: id.to_string(),
                found: described.to_string(),
            });
        }
        for diff_id in &self.config(id)?.value().rootfs.diff_ids {
            // Held until it is noted.
            let _layer = layers.get(diff_id)?.ok_or(StoreError::NoLayer(*diff_id))?;
            let _publishing = self.store.publishing()?;
            lease.note(Note::Layer(*diff_id))?;
        }
        Ok(())
    }

    /// An image by its ID.
    pub fn get(&self, id: &ImageId) -> Result<Option<ImageRecord>> {
        let path = self.path(id);
        let kept: Option<Kept> = files::read_record(self.store.root(), &path, RECORD_VERSION)?;
        match kept {
            Some(kept) if kept.id != *id => {
                let reason = format!("it is the record of image {}", kept.id);
                Err(StoreError::Damaged { path, reason })
            }
            kept => Ok(kept.map(|kept| ImageRecord {
                id: kept.id,
                manifests: kept.manifests,
                arrived: files::from_nanoseconds(kept.arrived),
                origin: kept.origin,
            })),
        }
    }

    /// Keeps an image and all that it needs for the lease, if it is there.
    pub fn keep(&self, lease: &Lease, id: &ImageId) -> Result<Option<ImageRecord>> {
        let _publishing = self.store.publishing()?;
        let record = self.get(id)?;
        if record.is_some() {
            lease.note(Note::Image(*id))?;
        }
        Ok(record)
    }

    /// The IDs of all images, in order.
    pub(crate) fn ids(&self) -> Result<Vec<ImageId>> {
        let names = files::names_in(&self.store.at("images"))?;
        Ok(names.iter().filter_map(|name| digest_from_hex(name.to_str()?)).map(ImageId).collect())
    }

    /// All images.
    pub fn list(&self) -> Result<Vec<ImageRecord>> {
        // One that was removed meanwhile is none.
        self.ids()?.iter().filter_map(|id| self.get(id).transpose()).collect()
    }

    /// Forgets an image; what it needed stays until a collection. Names that mean it, or an index that it belongs to, must be removed first.
    pub fn remove(&self, id: &ImageId) -> Result<bool> {
        let directory = self.store.at("images");
        let _changing = change(&directory)?;
        // A name that cannot be read must not stand in the way of repairing the store.
        let names = self.store.names().list_all()?.into_iter().filter_map(|(_, name)| name.ok());
        if let Some(name) = names.into_iter().find(|name| name.image == *id || self.is_variant_of(id, name)) {
            return Err(StoreError::HasName { image: *id, name: name.reference.to_string() });
        }
        let _publishing = self.store.publishing()?;
        let path = self.path(id);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            result => {
                result.context("remove", &path)?;
                files::sync_directory(&directory)?;
                Ok(true)
            }
        }
    }

    /// Its config.
    pub fn config(&self, id: &ImageId) -> Result<Raw<Config>> {
        Ok(Raw::parse("config", self.store.blobs().read(&id.0, MAX_CONFIG_SIZE)?)?)
    }

    /// One of its manifests.
    pub fn manifest(&self, descriptor: &Descriptor) -> Result<Raw<Manifest>> {
        Ok(Raw::parse("manifest", self.store.blobs().read(&descriptor.digest, MAX_MANIFEST_SIZE)?)?)
    }

    /// The image that a user means: a name (with `latest` when there is no tag), `name@digest`, an ID, or the beginning of one.
    pub fn resolve(&self, text: &str) -> Result<ImageRecord> {
        let no_image = || StoreError::NoImage(text.to_owned());
        let reference = Reference::parse(text).ok();
        if let Some(name) = self.by_name(reference.as_ref())? {
            return self.get(&name)?.ok_or_else(no_image);
        }
        if let Some(id) = self.by_id(text)? {
            return self.get(&id)?.ok_or_else(no_image);
        }
        let digest = reference.as_ref().and_then(Reference::digest).ok_or_else(no_image)?;
        self.by_digest(reference.as_ref(), &digest)?.ok_or_else(no_image)
    }

    fn by_name(&self, reference: Option<&Reference>) -> Result<Option<ImageId>> {
        let Some(reference) = reference else { return Ok(None) };
        if reference.digest().is_some() {
            return Ok(None);
        }
        let named = self.store.names().get(&reference.clone().or_latest())?;
        Ok(named.map(|named| named.image))
    }

    fn by_id(&self, text: &str) -> Result<Option<ImageId>> {
        if let Ok(digest) = Digest::parse(text) {
            return Ok(Some(ImageId(digest)));
        }
        let hex = text.strip_prefix("sha256:").unwrap_or(text);
        if hex.len() < SHORTEST_PREFIX || !hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Ok(None);
        }
        let fitting: Vec<_> = self.ids()?.into_iter().filter(|id| id.0.hex().starts_with(hex)).collect();
        match fitting.as_slice() {
            [] => Ok(None),
            [id] => Ok(Some(*id)),
            several => Err(StoreError::Ambiguous { prefix: text.to_owned(), count: several.len() }),
        }
    }

    /// The image of a repository that a digest (of a manifest, an index, or its ID) names.
    fn by_digest(&self, reference: Option<&Reference>, digest: &Digest) -> Result<Option<ImageRecord>> {
        let Some(reference) = reference else { return Ok(None) };
        let repository =
            |other: &Reference| (other.host(), other.path()) == (reference.host(), reference.path());
        for name in self.store.names().list()? {
            if !repository(&name.reference) {
                continue;
            }
            let Some(record) = self.get(&name.image)? else { continue };
            let is_meant = name.reference.digest() == Some(*digest)
                || name.target.digest == *digest
                || record.id.0 == *digest
                || record.manifests.iter().any(|manifest| manifest.digest == *digest);
            if is_meant {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }
}

/// The right to change the records in a directory: reading and replacing one is not one step.
pub(crate) fn change(directory: &Path) -> Result<OwnedFd, IoError> {
    let file = lock::open(directory)?;
    lock::wait(&file, FlockOperation::LockExclusive).context("lock", directory)?;
    Ok(file)
}
