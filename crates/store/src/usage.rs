//! What is used, and what could go.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use base::IoContext;
use image::{DiffId, Digest};
use rustix::fs::FlockOperation;

use crate::layers::chains_of;
use crate::measure::Measure;
use crate::reach::{CACHE, Reach, Reason};
use crate::{Result, Store, files, lease, lock};

/// One line of `lap system df`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Line {
    /// How many there are.
    pub count: u64,
    /// How many of them are in use.
    pub active: u64,
    /// How much room they take on the disk, in bytes.
    pub size: u64,
    /// How much of it a prune would give back, in bytes.
    pub reclaimable: u64,
}

/// What a store uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Images: blobs and trees that images with a name need count as in use.
    pub images: Line,
    /// Containers.
    pub containers: Line,
    /// Build cache: layers that only records of the cache refer to, the directories of cache mounts, and clones of repositories.
    pub cache: Line,
    /// Temporary directories of running processes, trash, and what nothing refers to.
    pub temporary: Line,
}

/// Something that takes room, and goes as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Thing {
    Blob(Digest),
    /// A layer's directory, and its trees on layers below.
    Layer(DiffId),
}

impl Store {
    /// What is used, and what could go.
    pub fn usage(&self) -> Result<Usage> {
        let mut usage = Usage::default();
        let (in_use, images, all) = {
            // So that no collection takes away what was just found.
            let _publishing = self.publishing()?;
            self.needed(&mut usage)?
        };
        for (thing, room) in self.rooms()? {
            let line = if images.contains(&thing) {
                &mut usage.images
            } else if all.contains(&thing) {
                &mut usage.cache
            } else {
                usage.temporary.count += 1;
                usage.temporary.active += u64::from(in_use.contains(&thing));
                &mut usage.temporary
            };
            line.size += room;
            if !in_use.contains(&thing) {
                line.reclaimable += room;
            }
        }
        for path in self.logs().besides(|_| false)? {
            let room = Measure::default().room(&path)?;
            usage.cache.size += room;
            usage.cache.reclaimable += room;
        }
        self.add_mounts(&mut usage.cache)?;
        self.add_temporary(&mut usage.temporary)?;
        Ok(usage)
    }

    /// What names and running processes need; what all images need; what images and the cache need.
    fn needed(&self, usage: &mut Usage) -> Result<(HashSet<Thing>, HashSet<Thing>, HashSet<Thing>)> {
        let mut reach = Reach::new(self);
        for lease in lease::live(self.root(), &self.at("leases"))? {
            reach.lease(&lease)?;
        }
        usage.cache.active = reach.steps.len() as u64;
        let in_use_now = things(&reach);
        let mut reach = Reach::new(self);
        for name in self.names().list()? {
            reach.name(&name)?;
        }
        let pushed = self.repositories().choose(false, std::time::SystemTime::now())?;
        reach.repositories(&pushed)?;
        usage.images.active = reach.images.len() as u64;
        let mut in_use = things(&reach);
        in_use.extend(in_use_now);
        for id in self.images().ids()? {
            usage.images.count += 1;
            reach.image(&id, &Reason::root("images".to_owned()))?;
        }
        let images = things(&reach);
        for (definition, key) in self.cache().keys()? {
            usage.cache.count += 1;
            reach.step(&definition, &key, &Reason::root(CACHE.to_owned()))?;
        }
        Ok((in_use, images, things(&reach)))
    }

    fn rooms(&self) -> Result<HashMap<Thing, u64>> {
        let mut measure = Measure::default();
        let mut rooms = HashMap::new();
        for (digest, _) in self.blobs().list()? {
            rooms.insert(Thing::Blob(digest), measure.room(&self.blobs().path(&digest))?);
        }
        for diff_id in self.layers().list()? {
            let mut room = measure.room(&self.layers().path(&diff_id))?;
            for chain in chains_of(self, &diff_id)? {
                room += measure.room(&chain)?;
            }
            rooms.insert(Thing::Layer(diff_id), room);
        }
        Ok(rooms)
    }

    fn add_mounts(&self, line: &mut Line) -> Result<()> {
        let mut measure = Measure::default();
        for key in self.mounts().keys()? {
            let room = measure.room(&self.mounts().path(&key))?;
            let is_free = self.mounts().alone(&key)?.is_some();
            line.count += 1;
            line.size += room;
            line.active += u64::from(!is_free);
            line.reclaimable += if is_free { room } else { 0 };
        }
        Ok(())
    }

    fn add_temporary(&self, line: &mut Line) -> Result<()> {
        let mut measure = Measure::default();
        for directory in ["tmp", "partial", "uploads", "trash"] {
            for name in files::names_in(&self.at(directory))? {
                let path: PathBuf = self.at(directory).join(name);
                let room = measure.room(&path)?;
                // One that has gone meanwhile takes no room.
                let Ok(file) = lock::open(&path) else { continue };
                let is_dead =
                    lock::attempt(&file, FlockOperation::NonBlockingLockShared).context("lock", &path)?;
                line.count += 1;
                line.size += room;
                line.active += u64::from(!is_dead);
                line.reclaimable += if is_dead { room } else { 0 };
            }
        }
        Ok(())
    }
}

fn things(reach: &Reach<'_>) -> HashSet<Thing> {
    let blobs = reach.blobs.keys().chain(reach.forms.keys()).map(|digest| Thing::Blob(*digest));
    blobs.chain(reach.layers.keys().map(|diff_id| Thing::Layer(*diff_id))).collect()
}
