//! Uploads: blobs that are being pushed, in pieces, over as many connections and processes as it takes.
//!
//! An upload is a directory with the bytes that have come so far (`data`, locked by whoever writes to it) and what it is for (`session`).
//! How far it has come is the size of the file; what the bytes are worth is seen at the end, by their digest.

use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base::IoContext;
use image::{Algorithm, Digest, Digester};
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use super::{RECORD_VERSION, Repository, RepositoryName, UPLOADS};
use crate::{Result, Store, StoreError, files, lock, remove, sys};

/// How much is written between two requests to begin the writeback.
const WRITEBACK: u64 = 8 << 20;
/// How many characters the name of an upload has: 128 random bits.
const ID_LENGTH: usize = 32;

/// The uploads of a store.
#[derive(Clone)]
pub struct Uploads {
    store: Store,
}

/// What an upload is for, as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    version: u32,
    repository: String,
}

/// An upload that this process, and nobody else, writes to.
pub struct Upload {
    repository: Repository,
    id: String,
    directory: PathBuf,
    data: File,
    size: u64,
    writeback_begun: u64,
    /// The digest of what has come so far, as long as all of it came through this value.
    digester: Option<Digester>,
}

impl Uploads {
    pub(super) fn new(store: Store) -> Self {
        Self { store }
    }

    /// Begins an upload whose bytes are expected to be named with this algorithm.
    pub fn begin(&self, repository: &Repository, algorithm: Algorithm) -> Result<Upload> {
        let id = random_id(&self.root())?;
        let directory = self.root().join(&id);
        if !files::exists(&self.root())? {
            files::make_directory(&self.root())?;
        }
        files::make_new_directory(&directory)?;
        let kept = Kept { version: RECORD_VERSION, repository: repository.name().as_str().to_owned() };
        let session = directory.join("session");
        // The data comes last: an upload without it is none.
        self.store.replace(&session, &files::record_bytes(&session, &kept)?)?;
        let path = directory.join("data");
        let data = files::create(&path, 0o600)?;
        lock::wait(&data, FlockOperation::LockExclusive).context("lock", &path)?;
        Ok(Upload {
            repository: repository.clone(),
            id,
            directory,
            data,
            size: 0,
            writeback_begun: 0,
            digester: Some(Digester::new(algorithm)),
        })
    }

    /// Takes up an upload, to write to it or to finish it; waits a moment for whoever else does. A known digest of the bytes that it has saves
    /// reading them again.
    pub fn resume(
        &self,
        repository: &Repository,
        id: &str,
        known: Option<(u64, Digester)>,
    ) -> Result<Option<Upload>> {
        let Some(path) = self.find(repository, id)? else { return Ok(None) };
        let mut data = match File::options().read(true).write(true).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            result => result.context("open", &path)?,
        };
        if !self.lock_soon(&data, &path)? {
            return Err(StoreError::UploadBusy(id.to_owned()));
        }
        if !lock::is_linked(&data, &path)? {
            return Ok(None);
        }
        let size = data.seek(io::SeekFrom::End(0)).context("read", &path)?;
        Ok(Some(Upload {
            repository: repository.clone(),
            id: id.to_owned(),
            directory: self.root().join(id),
            data,
            size,
            writeback_begun: size,
            digester: known.filter(|(at, _)| *at == size).map(|(_, digester)| digester),
        }))
    }

    /// A client whose connection broke is back sooner than its old connection is found dead.
    fn lock_soon(&self, data: &File, path: &Path) -> Result<bool> {
        for _ in 0..20 {
            if lock::attempt(data, FlockOperation::NonBlockingLockExclusive).context("lock", path)? {
                return Ok(true);
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        Ok(false)
    }

    /// Whether there is an upload of this name, in whatever repository.
    pub fn exists(&self, id: &str) -> bool {
        id.len() == ID_LENGTH && self.root().join(id).join("data").exists()
    }

    /// How much of an upload has come.
    pub fn size(&self, repository: &Repository, id: &str) -> Result<Option<u64>> {
        let Some(path) = self.find(repository, id)? else { return Ok(None) };
        match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            result => Ok(Some(result.context("stat", &path)?.len())),
        }
    }

    /// Removes uploads that nobody has written to for a time; gives how many.
    pub fn purge(&self, idle: Duration) -> Result<u64> {
        let mut purged = 0;
        for name in files::names_in(&self.root())? {
            let directory = self.root().join(&name);
            let data = directory.join("data");
            // One that was begun and never written to is as old as its directory.
            let metadata = fs::metadata(&data).or_else(|_| fs::metadata(&directory));
            let modified = metadata.and_then(|metadata| metadata.modified());
            if modified.is_ok_and(|modified| modified.elapsed().is_ok_and(|since| since >= idle)) {
                let is_idle = match lock::open(&data) {
                    Ok(file) => lock::attempt(&file, FlockOperation::NonBlockingLockExclusive)
                        .context("lock", &data)?,
                    Err(_) => true,
                };
                if is_idle {
                    remove::tree(&directory)?;
                    purged += 1;
                }
            }
        }
        Ok(purged)
    }

    /// The data of an upload of this repository. What is not one of our own names is none.
    fn find(&self, repository: &Repository, id: &str) -> Result<Option<PathBuf>> {
        if id.len() != ID_LENGTH || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(None);
        }
        let directory = self.root().join(id);
        let kept: Option<Kept> =
            files::read_record(self.store.root(), &directory.join("session"), RECORD_VERSION)?;
        let name = kept.and_then(|kept| RepositoryName::parse(&kept.repository));
        Ok(name.filter(|name| name == repository.name()).map(|_| directory.join("data")))
    }

    fn root(&self) -> PathBuf {
        self.store.at("repositories").join(UPLOADS)
    }
}

impl Upload {
    /// Its name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// How many bytes have come.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Takes more bytes.
    pub fn append(&mut self, bytes: &[u8]) -> Result<()> {
        let path = self.directory.join("data");
        if let Err(error) = self.data.write_all(bytes) {
            // What was written of them stays out: how far the upload has come has to be what its digest covers.
            let _ = self.data.set_len(self.size).and_then(|()| self.data.seek(io::SeekFrom::End(0)));
            return Err(error).context("write", &path).map_err(StoreError::from);
        }
        self.size += bytes.len() as u64;
        if let Some(digester) = &mut self.digester {
            digester.update(bytes);
        }
        if self.size - self.writeback_begun >= WRITEBACK {
            sys::begin_writeback(&self.data, self.writeback_begun, self.size - self.writeback_begun);
            self.writeback_begun = self.size;
        }
        Ok(())
    }

    /// Drops what came after the first `size` bytes.
    pub fn truncate(&mut self, size: u64) -> Result<()> {
        let path = self.directory.join("data");
        self.data
            .set_len(size)
            .and_then(|()| self.data.seek(io::SeekFrom::End(0)))
            .context("shorten", &path)?;
        (self.size, self.writeback_begun, self.digester) = (size, size, None);
        Ok(())
    }

    /// Waits until what has come is on the disk; gives the digest of it, for who takes it up later.
    pub fn pause(self) -> Result<Option<(u64, Digester)>> {
        self.data.sync_data().context("sync", self.directory.join("data"))?;
        Ok(self.digester.map(|digester| (self.size, digester)))
    }

    /// All has come: verifies it, and makes it a blob of the store that can be seen in the repository. When the digest is another one, the
    /// upload is gone: nothing of it can be trusted.
    pub fn commit(mut self, expected: &Digest) -> Result<u64> {
        let path = self.directory.join("data");
        let found = match self.digester.take().map(Digester::finish) {
            Some(digest) if digest.algorithm() == expected.algorithm() => digest,
            _ => self.hash_again(expected.algorithm()).context("read", &path)?,
        };
        if found != *expected {
            self.cancel()?;
            return Err(StoreError::Mismatch {
                what: format!("blob {expected}"),
                expected: expected.to_string(),
                found: found.to_string(),
            });
        }
        self.data.sync_data().context("sync", &path)?;
        let store = self.repository.store.clone();
        let place = store.blobs().path(expected);
        if let Some(directory) = place.parent() {
            files::make_directory(directory)?;
        }
        self.data.set_permissions(fs::Permissions::from_mode(0o444)).context("change the mode of", &path)?;
        let changing = self.repository.change()?;
        let publishing = store.publishing()?;
        if store.blobs().size(expected)? != Some(self.size) {
            fs::rename(&path, &place).context("rename to", &place)?;
        }
        self.repository.link(expected)?;
        drop((publishing, changing));
        let size = self.size;
        self.cancel()?;
        Ok(size)
    }

    /// Drops the upload.
    pub fn cancel(self) -> Result<()> {
        Ok(remove::tree(&self.directory)?)
    }

    fn hash_again(&mut self, algorithm: Algorithm) -> io::Result<Digest> {
        self.data.rewind()?;
        let mut digester = Digester::new(algorithm);
        let mut buffer = vec![0; 256 << 10];
        loop {
            let count = self.data.read(&mut buffer)?;
            match buffer.get(..count) {
                Some([]) | None => return Ok(digester.finish()),
                Some(bytes) => digester.update(bytes),
            }
        }
    }
}

fn random_id(root: &Path) -> Result<String> {
    let mut bytes = [0; ID_LENGTH / 2];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        filled += rustix::rand::getrandom(rest, rustix::rand::GetRandomFlags::empty())
            .context("name an upload in", root)?;
    }
    Ok(image::digest::hex(&bytes))
}
