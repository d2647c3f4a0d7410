//! Looking things up in an archive that was read: paths, links, blobs, documents, layers.

use std::sync::Arc;

use image::{Config, Descriptor, DiffId, Digest};
use layer::ingest::{Ingested, ingest_blob};

use super::intake::{File, Held, Intake, Member, Members, digest_of, warn};
use crate::ArchiveError;
use crate::format::blob_path;

/// How many links are followed from one to the next (ST-011).
const MAX_LINKS: usize = 16;

/// An archive that was read.
pub(super) struct Contents<'a> {
    pub(super) intake: Intake<'a>,
    pub(super) members: Members,
}

/// A document, and the path that it was found at.
pub(super) struct Found {
    pub(super) path: Vec<u8>,
    pub(super) bytes: Arc<[u8]>,
}

impl Contents<'_> {
    /// Whether there is anything at a path.
    pub(super) fn has(&self, path: &str) -> bool {
        self.members.contains_key(path.as_bytes())
    }

    /// The file at a path, links followed; an error when a link leads nowhere.
    pub(super) fn file(&self, path: &[u8]) -> Result<Option<&File>, ArchiveError> {
        let mut at = path;
        for _ in 0..=MAX_LINKS {
            match self.members.get(at) {
                Some(Member::File(file)) => return Ok(Some(file)),
                Some(Member::Link(target)) => at = target,
                None if at == path => return Ok(None),
                None | Some(Member::Other) => {
                    let (path, at) = (base::text::bytes(path), base::text::bytes(at));
                    let reason = if path == at {
                        "is not a file".to_owned()
                    } else {
                        format!("leads to {at}, which is no file in it")
                    };
                    return Err(ArchiveError::Refused(format!("its entry {path} {reason}")));
                }
            }
        }
        Err(ArchiveError::Refused(format!(
            "its entry {} leads through too many links",
            base::text::bytes(path)
        )))
    }

    /// The file that a path of `manifest.json` names.
    pub(super) fn named_file(&self, name: &str) -> Result<(Vec<u8>, &File), ArchiveError> {
        let refused = |reason: &str| {
            ArchiveError::Refused(format!(
                "manifest.json names {}, which {reason}",
                base::text::bytes(name.as_bytes())
            ))
        };
        let path = crate::paths::normalize(name.as_bytes()).map_err(refused)?;
        let file = self.file(&path)?.ok_or_else(|| refused("is not in the archive"))?;
        Ok((path, file))
    }

    /// The bytes of a small file.
    pub(super) fn bytes(&self, path: &[u8], file: &File, limit: u64) -> Result<Arc<[u8]>, ArchiveError> {
        if file.size() > limit {
            return Err(ArchiveError::TooLarge { entry: path.to_vec(), limit });
        }
        match file {
            File::Small(bytes) => Ok(bytes.clone()),
            File::Stored(digest, _) => Ok(self.intake.store.blobs().read(digest, limit)?.into()),
            File::Layer(_) => {
                let path = base::text::bytes(path).into_owned();
                Err(ArchiveError::Refused(format!(
                    "its entry {path} is a tar, where a JSON document belongs"
                )))
            }
        }
    }

    /// The document at a path.
    pub(super) fn document(&self, path: &str, limit: u64) -> Result<Option<Found>, ArchiveError> {
        let path = path.as_bytes();
        let Some(file) = self.file(path)? else { return Ok(None) };
        Ok(Some(Found { path: path.to_vec(), bytes: self.bytes(path, file, limit)? }))
    }

    /// The file of a blob; its digest was checked.
    fn blob(&self, digest: &Digest) -> Result<Option<(Vec<u8>, &File)>, ArchiveError> {
        let path = blob_path(digest).into_bytes();
        let Some(file) = self.file(&path)? else { return Ok(None) };
        if !file.is(digest) {
            let path = base::text::bytes(&path).into_owned();
            return Err(ArchiveError::Damaged(format!("{path} leads to a file with another digest")));
        }
        Ok(Some((path, file)))
    }

    /// The document that a descriptor means, from the archive, or from the store: a layout may lack blobs (ST-030).
    pub(super) fn described(
        &self,
        descriptor: &Descriptor,
        limit: u64,
    ) -> Result<Option<Found>, ArchiveError> {
        let found = match self.blob(&descriptor.digest)? {
            Some((path, file)) => Found { bytes: self.bytes(&path, file, limit)?, path },
            None if self.intake.store.blobs().keep(self.intake.lease, &descriptor.digest)? => Found {
                path: blob_path(&descriptor.digest).into_bytes(),
                bytes: self.intake.store.blobs().read(&descriptor.digest, limit)?.into(),
            },
            None => return Ok(None),
        };
        check_size(&found.path, found.bytes.len() as u64, descriptor)?;
        Ok(Some(found))
    }

    /// The layer that a descriptor means, from the archive or from the store.
    pub(super) fn described_layer(
        &self,
        descriptor: &Descriptor,
        diff_id: DiffId,
    ) -> Result<(Vec<u8>, Held), ArchiveError> {
        let path = blob_path(&descriptor.digest).into_bytes();
        let held = match self.blob(&descriptor.digest)? {
            Some((_, file)) => {
                check_size(&path, file.size(), descriptor)?;
                self.layer(&path, file, diff_id)?
            }
            None => self.layer_of_store(&path, descriptor, diff_id)?,
        };
        Ok((path, held))
    }

    /// The layer in a file of the archive; its DiffID is checked.
    pub(super) fn layer(&self, path: &[u8], file: &File, diff_id: DiffId) -> Result<Held, ArchiveError> {
        let held = match file {
            File::Layer(held) => Held::clone(held),
            File::Small(bytes) => {
                let digest = self.intake.store.blobs().put(self.intake.lease, bytes)?;
                self.ingest(path, &digest, file.size())?
            }
            File::Stored(digest, size) => self.ingest(path, digest, *size)?,
        };
        let found = held.layer.diff_id();
        if found != diff_id {
            return Err(ArchiveError::Damaged(format!(
                "{} should be the layer {diff_id}, and is {found}",
                base::text::bytes(path)
            )));
        }
        Ok(held)
    }

    fn layer_of_store(
        &self,
        path: &[u8],
        descriptor: &Descriptor,
        diff_id: DiffId,
    ) -> Result<Held, ArchiveError> {
        let (store, lease) = (self.intake.store, self.intake.lease);
        if !store.blobs().keep(lease, &descriptor.digest)? {
            let place = base::text::bytes(path);
            let urls = descriptor.urls.first().map(|url| base::text::bytes(url.as_bytes()));
            let elsewhere = urls.map(|url| format!(" (it is to be had from {url})")).unwrap_or_default();
            return Err(ArchiveError::Damaged(format!("the layer {place} is not in it{elsewhere}")));
        }
        let size = store.blobs().size(&descriptor.digest)?.unwrap_or_default();
        check_size(path, size, descriptor)?;
        let held = self.ingest(path, &descriptor.digest, size)?;
        self.layer(path, &File::Layer(Arc::new(held)), diff_id)
    }

    fn ingest(&self, path: &[u8], digest: &Digest, size: u64) -> Result<Held, ArchiveError> {
        let Intake { store, lease, events, cancel } = self.intake;
        let Ingested { layer, blob, warnings } = ingest_blob(store, lease, digest, None, cancel)
            .map_err(|source| ArchiveError::Entry { entry: path.to_vec(), source })?;
        warn(events, path, &warnings);
        Ok(Held { layer, came: (*digest, size), blob })
    }
}

/// Reads the config that was found.
pub(super) fn config(found: &Found) -> Result<image::Raw<Config>, ArchiveError> {
    let config = Config::parse(&found.bytes).map_err(|source| document(&found.path, source))?;
    if config.value().rootfs.kind != "layers" {
        let kind = base::text::bytes(config.value().rootfs.kind.as_bytes()).into_owned();
        let path = base::text::bytes(&found.path);
        return Err(ArchiveError::Refused(format!(
            "{path} has a root filesystem of the type {kind}, not layers"
        )));
    }
    Ok(config)
}

/// A document that is not valid.
pub(super) fn document(path: &[u8], source: image::ParseError) -> ArchiveError {
    ArchiveError::Document { entry: path.to_vec(), source }
}

/// Checks that a file whose name is a digest has it: `<hex>.json`, and crane's `sha256:<hex>`.
pub(super) fn check_hex_name(path: &[u8], bytes: &[u8]) -> Result<(), ArchiveError> {
    let Ok(name) = std::str::from_utf8(path) else { return Ok(()) };
    let name = name.rsplit('/').next().unwrap_or(name);
    let hex = name.strip_prefix("sha256:").unwrap_or(name);
    let hex = hex.strip_suffix(".json").unwrap_or(hex);
    let Ok(named) = Digest::from_hex(image::Algorithm::Sha256, hex) else { return Ok(()) };
    let found = digest_of(image::Algorithm::Sha256, bytes);
    if found == named {
        return Ok(());
    }
    Err(ArchiveError::Damaged(format!("{} has the digest {found}", base::text::bytes(path))))
}

fn check_size(path: &[u8], size: u64, descriptor: &Descriptor) -> Result<(), ArchiveError> {
    if size == descriptor.size {
        return Ok(());
    }
    Err(ArchiveError::Damaged(format!(
        "{} has {size} bytes, and should have {}",
        base::text::bytes(path),
        descriptor.size
    )))
}
