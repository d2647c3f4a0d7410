//! What is known of downloaded files: what to ask the server whether they are still the same (DF-139).
//!
//! The files themselves are not kept: they are in the layers that were made of them. Losing a record costs a download, and nothing else, so records are not
//! synced, and damaged ones count as not there.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use base::IoContext;
use image::Digest;
use image::digest::{Algorithm, Digester};
use serde::{Deserialize, Serialize};

use crate::table::ContentDigest;
use crate::{Result, Store, files};

const RECORD_VERSION: u32 = 1;

/// The downloads that a store knows of.
#[derive(Clone)]
pub struct Downloads {
    store: Store,
}

/// How a server names a version of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Its name.
    pub etag: Option<String>,
    /// When it was made, as the server writes it.
    pub last_modified: Option<String>,
}

impl Version {
    /// Whether the server says anything of it.
    pub fn is_known(&self) -> bool {
        self.etag.is_some() || self.last_modified.is_some()
    }
}

/// What a server gave for an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DownloadRecord {
    /// Which version of the file it is.
    pub version: Version,
    /// How many bytes it has.
    pub size: u64,
    /// Its digest, as `--checksum` states it.
    pub sha256: Digest,
    /// Its digest, as cache keys have it.
    pub content: ContentDigest,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    version: u32,
    /// The address is not written down, only what it is the digest of: there may be a secret in it.
    address: Digest,
    #[serde(flatten)]
    of: Version,
    size: u64,
    sha256: Digest,
    content: [u8; 32],
    /// Nanoseconds since 1970.
    written: u64,
}

impl Store {
    /// What is known of downloads.
    pub fn downloads(&self) -> Downloads {
        Downloads { store: self.clone() }
    }
}

/// A file that is being downloaded: its digests are computed while it is written.
pub struct Incoming {
    file: File,
    path: PathBuf,
    size: u64,
    sha256: Digester,
    content: blake3::Hasher,
}

/// What has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrived {
    /// How many bytes.
    pub size: u64,
    /// Their digest, as `--checksum` states it.
    pub sha256: Digest,
    /// Their digest, as cache keys have it.
    pub content: ContentDigest,
}

impl Incoming {
    /// Makes an empty file; what is there is replaced.
    pub fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).context("create", path)?;
        let (sha256, content) = (Digester::new(Algorithm::Sha256), blake3::Hasher::new());
        Ok(Self { file, path: path.to_owned(), size: 0, sha256, content })
    }

    /// How many bytes have come.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Takes the next bytes.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).context("write", &self.path)?;
        self.sha256.update(bytes);
        self.content.update(bytes);
        self.size += bytes.len() as u64;
        Ok(())
    }

    /// Forgets what has come.
    pub fn restart(&mut self) -> Result<()> {
        *self = Self::create(&self.path)?;
        Ok(())
    }

    /// Everything has come.
    pub fn finish(self) -> Arrived {
        let content = ContentDigest(*self.content.finalize().as_bytes());
        Arrived { size: self.size, sha256: self.sha256.finish(), content }
    }
}

impl Downloads {
    fn path(&self, address: &Digest) -> PathBuf {
        self.store.at("downloads").join(address.hex())
    }

    /// What the server gave for a URL the last time.
    pub fn get(&self, url: &str) -> Option<DownloadRecord> {
        let address = Digest::sha256(url.as_bytes());
        let path = self.path(&address);
        let kept: Kept = files::read_record(self.store.root(), &path, RECORD_VERSION).ok().flatten()?;
        (kept.address == address).then_some(DownloadRecord {
            version: kept.of,
            size: kept.size,
            sha256: kept.sha256,
            content: ContentDigest(kept.content),
        })
    }

    /// Remembers what it gave.
    pub fn set(&self, url: &str, record: &DownloadRecord) -> Result<()> {
        let address = Digest::sha256(url.as_bytes());
        let path = self.path(&address);
        let kept = Kept {
            version: RECORD_VERSION,
            address,
            of: record.version.clone(),
            size: record.size,
            sha256: record.sha256,
            content: record.content.0,
            written: files::to_nanoseconds(SystemTime::now()),
        };
        Ok(self.store.replace_unsynced(&path, &files::record_bytes(&path, &kept)?)?)
    }

    /// The files of all of them.
    pub(crate) fn files(&self) -> Result<Vec<PathBuf>> {
        let directory = self.store.at("downloads");
        Ok(files::names_in(&directory)?.into_iter().map(|name| directory.join(name)).collect())
    }
}
