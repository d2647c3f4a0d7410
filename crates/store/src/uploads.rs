//! Sessions of uploads: where a registry goes on with a blob of which it has a part (RC-068).
//!
//! A record says where the session is; how far it has come, the registry is asked. Losing a record costs the transfer of that blob from its beginning,
//! and nothing else, so records are not synced, and damaged ones count as not there.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

use base::IoContext;
use image::Digest;
use serde::{Deserialize, Serialize};

use crate::{Result, Store, files};

const RECORD_VERSION: u32 = 1;

/// The sessions of a store.
#[derive(Clone)]
pub struct Uploads {
    store: Store,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    version: u32,
    /// The repository with its registry, and the blob: what the name of the file is the digest of.
    repository: String,
    blob: Digest,
    location: String,
    /// Nanoseconds since 1970.
    written: u64,
}

impl Store {
    /// Sessions of uploads.
    pub fn uploads(&self) -> Uploads {
        Uploads { store: self.clone() }
    }
}

impl Uploads {
    fn path(&self, repository: &str, blob: &Digest) -> PathBuf {
        let key = Digest::sha256(format!("{repository} {blob}").as_bytes());
        self.store.at("uploads").join(key.hex())
    }

    /// Where the upload of a blob to a repository (`host/path`) goes on, if one was begun.
    pub fn get(&self, repository: &str, blob: &Digest) -> Option<String> {
        let path = self.path(repository, blob);
        let kept: Kept = files::read_record(self.store.root(), &path, RECORD_VERSION).ok().flatten()?;
        (kept.repository == repository && kept.blob == *blob).then_some(kept.location)
    }

    /// Remembers where it goes on.
    pub fn set(&self, repository: &str, blob: &Digest, location: &str) -> Result<()> {
        let path = self.path(repository, blob);
        let kept = Kept {
            version: RECORD_VERSION,
            repository: repository.to_owned(),
            blob: *blob,
            location: location.to_owned(),
            written: files::to_nanoseconds(SystemTime::now()),
        };
        Ok(self.store.replace_unsynced(&path, &files::record_bytes(&path, &kept)?)?)
    }

    /// Forgets it: the blob has arrived, or the session has gone.
    pub fn remove(&self, repository: &str, blob: &Digest) -> Result<()> {
        let path = self.path(repository, blob);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => Ok(result.context("remove", &path)?),
        }
    }

    /// The files of all of them.
    pub(crate) fn files(&self) -> Result<Vec<PathBuf>> {
        let directory = self.store.at("uploads");
        Ok(files::names_in(&directory)?.into_iter().map(|name| directory.join(name)).collect())
    }
}
