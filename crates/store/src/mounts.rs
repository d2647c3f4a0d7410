//! The directories of `RUN --mount=type=cache`: they outlive the steps that fill them, and are in no image. Clones of git repositories are kept in the same
//! way.
//!
//! ```text
//! mounts/<key>/      everything that one definition of a cache has
//!   0.lock           shared or exclusive while a step uses the directory 0; steps wait for it, collections do not
//!   0/               the cache
//!   0.new/           the cache, until its first contents are complete
//!   1.lock, 1/ …     what a second step got meanwhile that wants one for itself (`sharing=private`)
//! ```
//!
//! What is in them can be made again: nothing is synced. A lock is tried while the store's own lock is held shared, so that a
//! collection, which has that lock alone, takes away only what nobody is about to use.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base::{Cancel, IoContext};
use rustix::fs::FlockOperation;

use crate::{Result, StepKey, Store, StoreError, files, lock, remove};

/// How long a waiting process looks away at most.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// How many steps may have a directory of one cache for themselves at a time: more is a mistake that fills the disk.
const MOST: u32 = 256;

/// Who may use a cache at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Everybody who shares it, too.
    Shared,
    /// One; another one gets another directory.
    Private,
    /// One; everybody else waits.
    Locked,
}

/// The caches of a store.
#[derive(Clone)]
pub struct CacheMounts {
    store: Store,
}

/// A cache that a step uses, and nobody else does who should not.
pub struct CacheDirectory {
    path: PathBuf,
    lock: OwnedFd,
}

impl CacheDirectory {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The lock, for a process that is to outlive this one.
    pub fn hold(&self) -> BorrowedFd<'_> {
        self.lock.as_fd()
    }
}

/// What a look at one directory of a cache gave.
enum Attempt {
    Got(CacheDirectory),
    /// Somebody else has it.
    Taken,
    /// It is not there, and the lock that was got does not allow to make it.
    ToBeMade,
}

impl CacheMounts {
    pub(crate) fn new(store: Store) -> Self {
        Self { store }
    }

    /// Everything of one cache.
    pub(crate) fn path(&self, key: &StepKey) -> PathBuf {
        self.store.at("mounts").join(key.to_string())
    }

    /// The caches that there are.
    pub(crate) fn keys(&self) -> Result<Vec<StepKey>> {
        let names = files::names_in(&self.store.at("mounts"))?;
        Ok(names.iter().filter_map(|name| StepKey::parse(name.to_str()?)).collect())
    }

    /// What does not belong where it is.
    pub(crate) fn strays(&self) -> Result<Vec<PathBuf>> {
        let all = self.store.at("mounts");
        let mut strays = Vec::new();
        for name in files::names_in(&all)? {
            let directory = all.join(&name);
            if name.to_str().and_then(StepKey::parse).is_none() || !directory.is_dir() {
                strays.push(directory);
                continue;
            }
            let is_known = |name: &std::ffi::OsString| {
                let name = name.to_string_lossy();
                let number = name.strip_suffix(".lock").or(name.strip_suffix(".new")).unwrap_or(&name);
                number.parse::<u32>().is_ok_and(|number| number < MOST)
            };
            let inside = files::names_in(&directory)?;
            strays.extend(inside.iter().filter(|name| !is_known(name)).map(|name| directory.join(name)));
        }
        Ok(strays)
    }

    /// All locks of a cache, unless a step has one.
    pub(crate) fn alone(&self, key: &StepKey) -> Result<Option<Vec<OwnedFd>>> {
        let directory = self.path(key);
        let mut locks = Vec::new();
        for name in files::names_in(&directory)? {
            if !name.to_string_lossy().ends_with(".lock") {
                continue;
            }
            let path = directory.join(name);
            let file = lock::open(&path)?;
            if !lock::attempt(&file, FlockOperation::NonBlockingLockExclusive).context("lock", &path)? {
                return Ok(None);
            }
            locks.push(file);
        }
        Ok(Some(locks))
    }

    /// Waits for a directory of a cache; `waiting` is called once when that takes a while. A new one is made by `fill`, at a path where nothing is yet.
    pub fn acquire<E: From<StoreError>>(
        &self,
        key: &StepKey,
        sharing: Sharing,
        cancel: &Cancel,
        waiting: &mut dyn FnMut(),
        fill: &mut dyn FnMut(&Path) -> Result<(), E>,
    ) -> Result<CacheDirectory, E> {
        let mut pause = Duration::from_millis(1);
        let mut told = false;
        loop {
            cancel.check().map_err(StoreError::from)?;
            let found = match sharing {
                Sharing::Shared => self.shared(key, fill)?,
                Sharing::Locked => self.attempt(key, 0, FlockOperation::NonBlockingLockExclusive, fill)?,
                Sharing::Private => self.private(key, fill)?,
            };
            if let Attempt::Got(directory) = found {
                return Ok(directory);
            }
            // Whoever only looks has a lock for a moment: that is not worth a word.
            if !told && pause > Duration::from_millis(4) {
                waiting();
                told = true;
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// With others; alone for as long as it is being made.
    fn shared<E: From<StoreError>>(
        &self,
        key: &StepKey,
        fill: &mut dyn FnMut(&Path) -> Result<(), E>,
    ) -> Result<Attempt, E> {
        let shared = FlockOperation::NonBlockingLockShared;
        match self.attempt(key, 0, shared, fill)? {
            Attempt::ToBeMade => {}
            found => return Ok(found),
        }
        match self.attempt(key, 0, FlockOperation::NonBlockingLockExclusive, fill)? {
            // It is there now: the next look shares it.
            Attempt::Got(made) => drop(made),
            found => return Ok(found),
        }
        self.attempt(key, 0, shared, fill)
    }

    /// The first directory that nobody has.
    fn private<E: From<StoreError>>(
        &self,
        key: &StepKey,
        fill: &mut dyn FnMut(&Path) -> Result<(), E>,
    ) -> Result<Attempt, E> {
        for number in 0..MOST {
            let found = self.attempt(key, number, FlockOperation::NonBlockingLockExclusive, fill)?;
            if matches!(found, Attempt::Got(_)) {
                return Ok(found);
            }
        }
        Ok(Attempt::Taken)
    }

    fn attempt<E: From<StoreError>>(
        &self,
        key: &StepKey,
        number: u32,
        operation: FlockOperation,
        fill: &mut dyn FnMut(&Path) -> Result<(), E>,
    ) -> Result<Attempt, E> {
        let Some(lock) = self.lock(key, number, operation)? else { return Ok(Attempt::Taken) };
        let path = self.path(key).join(number.to_string());
        if files::exists(&path).map_err(StoreError::from)? {
            return Ok(Attempt::Got(CacheDirectory { path, lock }));
        }
        if operation == FlockOperation::NonBlockingLockShared {
            return Ok(Attempt::ToBeMade);
        }
        let new = self.path(key).join(format!("{number}.new"));
        // Left by a process that died while it made one.
        remove::tree(&new).map_err(StoreError::from)?;
        fill(&new)?;
        fs::rename(&new, &path).context("rename to", &path).map_err(StoreError::from)?;
        Ok(Attempt::Got(CacheDirectory { path, lock }))
    }

    fn lock(&self, key: &StepKey, number: u32, operation: FlockOperation) -> Result<Option<OwnedFd>> {
        let directory = self.path(key);
        let path = directory.join(format!("{number}.lock"));
        let _publishing = self.store.publishing()?;
        files::make_directory(&directory)?;
        let mut options = fs::OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = OwnedFd::from(options.open(&path).context("open", &path)?);
        Ok(lock::attempt(&file, operation).context("lock", &path)?.then_some(file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lab() -> (tempfile::TempDir, Store, StepKey) {
        let directory = tempfile::tempdir().expect("a directory");
        let store = Store::open(directory.path().join("store")).expect("a store");
        (directory, store, StepKey([7; 32]))
    }

    fn acquire(store: &Store, key: &StepKey, sharing: Sharing, cancel: &Cancel) -> Result<CacheDirectory> {
        let mut fill = |path: &Path| Ok(fs::create_dir(path).context("create the directory", path)?);
        store.mounts().acquire(key, sharing, cancel, &mut || {}, &mut fill)
    }

    #[test]
    fn df_098_who_shares_a_cache_and_who_does_not() {
        let (_directory, store, key) = lab();
        let cancel = Cancel::new();
        let get = |sharing| acquire(&store, &key, sharing, &cancel).expect("a cache");
        let (one, two) = (get(Sharing::Shared), get(Sharing::Shared));
        assert_eq!(one.path(), two.path());
        let private = get(Sharing::Private);
        assert_ne!(private.path(), one.path());
        drop((one, two, private));
        let first = get(Sharing::Private);
        assert!(first.path().ends_with("0"), "what is free is used again");
        let waits = std::thread::scope(|scope| {
            let waiting = scope.spawn(|| get(Sharing::Locked).path().to_owned());
            std::thread::sleep(Duration::from_millis(60));
            let waits = !waiting.is_finished();
            drop(first);
            waiting.join().expect("no panic");
            waits
        });
        assert!(waits, "a locked cache is waited for");
    }

    #[test]
    fn waiting_is_said_once_and_can_be_cancelled() {
        let (_directory, store, key) = lab();
        let cancel = Cancel::new();
        let _held = acquire(&store, &key, Sharing::Locked, &cancel).expect("a cache");
        let mut told = 0;
        let mut fill = |_: &Path| -> Result<()> { panic!("it is there") };
        let mut waiting = || {
            told += 1;
            cancel.cancel();
        };
        let waited = store.mounts().acquire(&key, Sharing::Locked, &cancel, &mut waiting, &mut fill);
        assert!(matches!(waited, Err(StoreError::Cancelled(_))));
        assert_eq!(told, 1);
    }

    #[test]
    fn what_was_not_completed_is_made_again() {
        let (_directory, store, key) = lab();
        let cancel = Cancel::new();
        let mut fail = |path: &Path| {
            fs::create_dir(path).context("create the directory", path)?;
            fs::write(path.join("half"), "x").context("write", path)?;
            Err(StoreError::from(base::Cancelled))
        };
        let failed = store.mounts().acquire(&key, Sharing::Shared, &cancel, &mut || {}, &mut fail);
        assert!(failed.is_err());
        let made = acquire(&store, &key, Sharing::Shared, &cancel).expect("a cache");
        assert_eq!(files::names_in(made.path()).expect("names").len(), 0);
        assert_eq!(store.mounts().strays().expect("a look"), Vec::<PathBuf>::new());
    }

    #[test]
    fn a_prune_takes_what_nobody_uses() {
        let (_directory, store, key) = lab();
        let cancel = Cancel::new();
        let policy = crate::collect::Policy { cache: true, ..Default::default() };
        let used = acquire(&store, &key, Sharing::Shared, &cancel).expect("a cache");
        fs::write(used.path().join("file"), [1; 5000]).expect("write");
        let usage = store.usage().expect("the usage").cache;
        assert_eq!((usage.count, usage.active, usage.reclaimable), (1, 1, 0));
        assert_eq!(store.collect(&policy, &cancel).expect("a collection").mounts, 0);
        assert!(used.path().join("file").exists());
        drop(used);
        assert!(store.usage().expect("the usage").cache.reclaimable >= 5000);
        let report = store.collect(&policy, &cancel).expect("a collection");
        assert_eq!(report.mounts, 1);
        assert!(report.bytes >= 5000);
        assert_eq!(store.mounts().keys().expect("keys"), []);
    }
}
