//! The build cache: records of steps that were built.
//!
//! What a step is, is the builder's; here it is two keys, a layer, and a JSON document. A record that cannot be read, or that a newer
//! version wrote, is as good as none: the step is built again. Nobody waits until a record has reached the disk.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use base::IoContext;
use image::{Algorithm, DiffId, Digest};
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::lease::Note;
use crate::{Lease, Result, Store, StoreError, files, lock};

const RECORD_VERSION: u32 = 1;
/// How long a waiting process looks away at most.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// A key of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StepKey(pub [u8; 32]);

impl StepKey {
    /// Reads 64 hexadecimal digits.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        // They are written as a SHA-256 is, so its parser reads them.
        let digest = Digest::from_hex(Algorithm::Sha256, text).ok()?;
        digest.as_bytes().first_chunk().copied().map(Self)
    }
}

impl std::fmt::Display for StepKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&image::digest::hex(&self.0))
    }
}

/// A step that was built.
#[derive(Debug, Clone, PartialEq)]
pub struct StepRecord {
    /// What was asked for, without the contents of its inputs.
    pub definition: StepKey,
    /// What was asked for, with the contents of its inputs: what makes a hit.
    pub key: StepKey,
    /// The layer that it gave.
    pub layer: Option<DiffId>,
    /// The builder's own: canonical, versioned.
    pub document: Value,
}

/// A record as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    version: u32,
    definition: String,
    key: String,
    layer: Option<DiffId>,
    /// Nanoseconds since 1970.
    built: u64,
    document: Value,
}

/// The build cache of a store.
#[derive(Clone)]
pub struct Cache {
    store: Store,
}

/// The right to execute a step: while it is held, nobody else (in this process or another) executes the same one.
pub struct StepLock {
    path: PathBuf,
    _lock: OwnedFd,
}

impl Drop for StepLock {
    fn drop(&mut self) {
        // Unlinked while it is locked: whoever waits for it finds that, and makes it anew.
        let _ = fs::remove_file(&self.path);
    }
}

impl Cache {
    pub(crate) fn new(store: Store) -> Self {
        Self { store }
    }

    pub(crate) fn path(&self, definition: &StepKey, key: &StepKey) -> PathBuf {
        self.store.at("cache").join(definition.to_string()).join(key.to_string())
    }

    /// The record of a step, when its layer is still there.
    pub fn get(&self, lease: &Lease, definition: &StepKey, key: &StepKey) -> Result<Option<StepRecord>> {
        let Some((record, _)) = self.read(definition, key)? else { return Ok(None) };
        let layer = match &record.layer {
            None => None,
            Some(diff_id) => match self.store.layers().get(diff_id) {
                Ok(Some(layer)) if layer.is_usable()? => Some(layer),
                Ok(_) | Err(StoreError::Damaged { .. } | StoreError::TooNew { .. }) => return Ok(None),
                Err(error) => return Err(error),
            },
        };
        let _publishing = self.store.publishing()?;
        if !files::exists(&self.path(definition, key))? {
            return Ok(None);
        }
        // The layer is held, so it is still there.
        if let Some(layer) = &layer {
            lease.note(Note::Layer(layer.diff_id()))?;
        }
        lease.note(Note::Step(*definition, *key))?;
        Ok(Some(record))
    }

    /// The record of a step, whether its layer is there or not.
    pub fn record(&self, definition: &StepKey, key: &StepKey) -> Result<Option<StepRecord>> {
        Ok(self.read(definition, key)?.map(|(record, _)| record))
    }

    /// All records of one definition, the newest first.
    pub fn of_definition(&self, definition: &StepKey) -> Result<Vec<StepRecord>> {
        let mut records = Vec::new();
        for name in files::names_in(&self.store.at("cache").join(definition.to_string()))? {
            if let Some(key) = name.to_str().and_then(StepKey::parse) {
                records.extend(self.read(definition, &key)?);
            }
        }
        records.sort_by_key(|(_, built)| std::cmp::Reverse(*built));
        Ok(records.into_iter().map(|(record, _)| record).collect())
    }

    /// The keys of all records: definition and key.
    pub(crate) fn keys(&self) -> Result<Vec<(StepKey, StepKey)>> {
        let all = self.store.at("cache");
        let mut keys = Vec::new();
        for name in files::names_in(&all)? {
            let Some(definition) = name.to_str().and_then(StepKey::parse) else { continue };
            let inside = files::names_in(&all.join(name))?;
            keys.extend(
                inside.iter().filter_map(|name| StepKey::parse(name.to_str()?)).map(|key| (definition, key)),
            );
        }
        Ok(keys)
    }

    /// What does not belong among the records.
    pub(crate) fn strays(&self) -> Result<Vec<PathBuf>> {
        let all = self.store.at("cache");
        let is_key = |name: &std::ffi::OsString| name.to_str().and_then(StepKey::parse).is_some();
        let mut strays = Vec::new();
        for name in files::names_in(&all)? {
            let directory = all.join(&name);
            if !is_key(&name) || !directory.is_dir() {
                strays.push(directory);
                continue;
            }
            let inside = files::names_in(&directory)?;
            strays.extend(inside.iter().filter(|name| !is_key(name)).map(|name| directory.join(name)));
        }
        Ok(strays)
    }

    /// Why a record cannot be read. One of a newer version is not damaged.
    pub(crate) fn damage(&self, definition: &StepKey, key: &StepKey) -> Result<Option<String>> {
        let kept: Result<Option<Kept>> =
            files::read_record(self.store.root(), &self.path(definition, key), RECORD_VERSION);
        match kept {
            Ok(Some(kept))
                if (&kept.definition, &kept.key) != (&definition.to_string(), &key.to_string()) =>
            {
                Ok(Some("it is the record of another step".to_owned()))
            }
            Ok(_) | Err(StoreError::TooNew { .. }) => Ok(None),
            Err(StoreError::Damaged { reason, .. }) => Ok(Some(reason)),
            Err(error @ StoreError::TooLarge { .. }) => Ok(Some(error.to_string())),
            Err(error) => Err(error),
        }
    }

    /// A record, and when the step was built; `None` also for one that cannot be used.
    pub(crate) fn read(&self, definition: &StepKey, key: &StepKey) -> Result<Option<(StepRecord, u64)>> {
        let path = self.path(definition, key);
        let kept: Kept = match files::read_record(self.store.root(), &path, RECORD_VERSION) {
            Ok(Some(kept)) => kept,
            Ok(None)
            | Err(StoreError::Damaged { .. } | StoreError::TooNew { .. } | StoreError::TooLarge { .. }) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        if (kept.definition, kept.key) != (definition.to_string(), key.to_string()) {
            return Ok(None);
        }
        let record =
            StepRecord { definition: *definition, key: *key, layer: kept.layer, document: kept.document };
        Ok(Some((record, kept.built)))
    }

    /// Remembers a step.
    pub fn put(&self, lease: &Lease, record: &StepRecord) -> Result<()> {
        let path = self.path(&record.definition, &record.key);
        let kept = Kept {
            version: RECORD_VERSION,
            definition: record.definition.to_string(),
            key: record.key.to_string(),
            layer: record.layer,
            built: files::to_nanoseconds(SystemTime::now()),
            document: record.document.clone(),
        };
        let bytes = files::record_bytes(&path, &kept)?;
        let _publishing = self.store.publishing()?;
        if let Some(layer) = record.layer {
            lease.note(Note::Layer(layer))?;
        }
        lease.note(Note::Step(record.definition, record.key))?;
        if let Some(directory) = path.parent() {
            files::make_directory(directory)?;
        }
        Ok(self.store.replace_unsynced(&path, &bytes)?)
    }

    /// Waits for the right to execute a step; `waiting` is called once when somebody else has it.
    pub fn lock(&self, key: &StepKey, cancel: &base::Cancel, waiting: &mut dyn FnMut()) -> Result<StepLock> {
        let path = self.store.at("steps").join(key.to_string());
        let mut pause = Duration::from_millis(1);
        let mut told = false;
        loop {
            cancel.check()?;
            let mut options = fs::OpenOptions::new();
            options.write(true).create(true).truncate(false).mode(0o600);
            let file = OwnedFd::from(options.open(&path).context("open", &path)?);
            if lock::attempt(&file, FlockOperation::NonBlockingLockExclusive).context("lock", &path)? {
                if lock::is_linked(&file, &path)? {
                    return Ok(StepLock { path, _lock: file });
                }
                continue;
            }
            // A process that looks for what others left has it for a moment: that is not worth a word.
            if !told && pause > Duration::from_millis(1) {
                waiting();
                told = true;
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}
