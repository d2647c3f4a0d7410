//! Digests of files in build contexts, remembered by what `stat` says of them.
//!
//! One file for each context, all numbers little-endian: magic `LAPFILES` (8), version (4), zero (4), BLAKE3 of the rest (32), and then
//! for each file, 96 bytes: device (8), inode (8), size (8), day of the last use (8), mtime (16), ctime (16), digest (32). It is only a memory: one that is
//! damaged, or was written by another version, is forgotten.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base::IoContext;
use std::os::unix::ffi::OsStrExt;

use crate::table::ContentDigest;
use crate::{Result, Store, files};

const MAGIC: &[u8; 8] = b"LAPFILES";
const VERSION: u32 = 1;
const HEADER: usize = 48;
const ENTRY: usize = 96;
/// A file system's clock is coarse: what changed this recently may change again without its times telling.
const GRANULARITY: Duration = Duration::from_secs(2);
/// After how many days a digest that nobody asked for is forgotten.
const FORGOTTEN_AFTER: u64 = 30;
/// How large such a file may grow: two million digests.
const LARGEST: u64 = 200 << 20;

/// What `stat` says of a file: if none of it changed, the contents did not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileStamp {
    /// The device.
    pub device: u64,
    /// The inode.
    pub inode: u64,
    /// The size in bytes.
    pub size: u64,
    /// Last change of the contents, in nanoseconds since 1970.
    pub mtime: i128,
    /// Last change of the inode, in nanoseconds since 1970.
    pub ctime: i128,
}

/// The remembered digests of one context (keyed by its canonical path). Safe to use from several threads; what two processes save
/// at a time is merged or one of them wins, never torn.
pub struct FileDigests {
    store: Store,
    path: PathBuf,
    today: u64,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// By device and inode: of an earlier state of a file nothing is kept.
    files: HashMap<(u64, u64), Remembered>,
    changed: bool,
}

struct Remembered {
    stamp: FileStamp,
    digest: ContentDigest,
    /// The day of the last use, counted from 1970.
    used: u64,
}

impl FileDigests {
    /// What is remembered for a context.
    pub fn open(store: &Store, context: &std::path::Path) -> Result<Self> {
        let key = blake3::hash(context.as_os_str().as_bytes());
        let path = store.at("contexts").join(key.to_hex().as_str());
        let files = match files::read_limited(&path, LARGEST) {
            Ok(bytes) => bytes.and_then(|bytes| decode(&bytes)).unwrap_or_default(),
            Err(crate::StoreError::TooLarge { .. }) => HashMap::new(),
            Err(error) => return Err(error),
        };
        let today = files::to_nanoseconds(SystemTime::now()) / 1_000_000_000 / 86_400;
        Ok(Self { store: store.clone(), path, today, known: Mutex::new(Known { files, changed: false }) })
    }

    /// The digest of a file, if none of its stamp changed.
    pub fn get(&self, stamp: &FileStamp) -> Option<ContentDigest> {
        let mut known = self.known();
        let remembered = known.files.get_mut(&(stamp.device, stamp.inode))?;
        if remembered.stamp != *stamp {
            return None;
        }
        let digest = remembered.digest;
        if remembered.used != self.today {
            remembered.used = self.today;
            known.changed = true;
        }
        Some(digest)
    }

    /// Remembers a digest. Not when the file changed less than two seconds before `read_at`, when its contents were read: it could change again
    /// within the clock's granularity.
    pub fn put(&self, stamp: FileStamp, digest: ContentDigest, read_at: SystemTime) {
        let read_at = read_at.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let settled = i128::try_from(read_at.saturating_sub(GRANULARITY.as_nanos())).unwrap_or(i128::MAX);
        if stamp.mtime.max(stamp.ctime) > settled {
            return;
        }
        let mut known = self.known();
        known.changed = true;
        known.files.insert((stamp.device, stamp.inode), Remembered { stamp, digest, used: self.today });
    }

    /// Writes down what is new, atomically. Digests of files that were not asked for since a while are forgotten.
    pub fn save(&self) -> Result<()> {
        let mut known = self.known();
        if !known.changed || self.store.0.read_only {
            return Ok(());
        }
        known.files.retain(|_, remembered| remembered.used + FORGOTTEN_AFTER >= self.today);
        let bytes = encode(&known.files);
        let unfinished = self.store.unfinished()?;
        // Not synced: after a power cut the checksum tells, and all is forgotten.
        std::fs::write(&unfinished, &bytes).context("write", &self.path)?;
        std::fs::rename(&unfinished, &self.path).context("rename to", &self.path)?;
        known.changed = false;
        Ok(())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether what is remembered will be forgotten, for it cannot be read. (What another version wrote is not damaged.)
pub(crate) fn is_damaged(path: &std::path::Path) -> Result<bool> {
    let bytes = match files::read_limited(path, LARGEST) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Ok(false),
        Err(crate::StoreError::TooLarge { .. }) => return Ok(true),
        Err(error) => return Err(error),
    };
    let is_newer = bytes.starts_with(MAGIC)
        && bytes
            .get(8..12)
            .and_then(|version| version.first_chunk())
            .is_some_and(|version| u32::from_le_bytes(*version) > VERSION);
    Ok(!is_newer && decode(&bytes).is_none())
}

fn encode(files: &HashMap<(u64, u64), Remembered>) -> Vec<u8> {
    let mut body = Vec::with_capacity(files.len() * ENTRY);
    for Remembered { stamp, digest, used } in files.values() {
        for number in [stamp.device, stamp.inode, stamp.size, *used] {
            body.extend_from_slice(&number.to_le_bytes());
        }
        body.extend_from_slice(&stamp.mtime.to_le_bytes());
        body.extend_from_slice(&stamp.ctime.to_le_bytes());
        body.extend_from_slice(&digest.0);
    }
    [MAGIC, VERSION.to_le_bytes().as_slice(), &[0; 4], blake3::hash(&body).as_bytes(), &body].concat()
}

fn decode(bytes: &[u8]) -> Option<HashMap<(u64, u64), Remembered>> {
    let (header, body) = bytes.split_at_checked(HEADER)?;
    let title = [MAGIC, VERSION.to_le_bytes().as_slice(), &[0; 4]].concat();
    if header.strip_prefix(title.as_slice())? != blake3::hash(body).as_bytes() || body.len() % ENTRY != 0 {
        return None;
    }
    body.chunks_exact(ENTRY)
        .map(|entry| {
            let number = |at: usize| Some(u64::from_le_bytes(*entry.get(at..)?.first_chunk()?));
            let time = |at: usize| Some(i128::from_le_bytes(*entry.get(at..)?.first_chunk()?));
            let stamp = FileStamp {
                device: number(0)?,
                inode: number(8)?,
                size: number(16)?,
                mtime: time(32)?,
                ctime: time(48)?,
            };
            let digest = ContentDigest(*entry.get(64..)?.first_chunk()?);
            Some(((stamp.device, stamp.inode), Remembered { stamp, digest, used: number(24)? }))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(number: u64) -> FileStamp {
        FileStamp { device: 1, inode: number, size: 7, mtime: 1_000_000_000, ctime: -5 }
    }

    fn digest(number: u64) -> ContentDigest {
        ContentDigest(*blake3::hash(&number.to_le_bytes()).as_bytes())
    }

    #[test]
    fn remembers_what_did_not_change_and_nothing_else() {
        let root = tempfile::tempdir().expect("a directory");
        let store = Store::open(root.path()).expect("a store");
        let context = std::path::Path::new("/context");
        let digests = FileDigests::open(&store, context).expect("digests");
        let now = SystemTime::now();
        let just_now = i128::from(files::to_nanoseconds(now)) - 1_000_000_000;
        for number in 0..50_000 {
            digests.put(stamp(number), digest(number), now);
        }
        digests.put(FileStamp { mtime: just_now, ..stamp(50_000) }, digest(0), now);
        digests.put(FileStamp { ctime: just_now, ..stamp(50_001) }, digest(0), now);
        digests.save().expect("saved");
        let digests = FileDigests::open(&store, context).expect("digests");
        for number in 0..50_000 {
            assert_eq!(digests.get(&stamp(number)), Some(digest(number)));
        }
        assert_eq!(digests.get(&FileStamp { mtime: just_now, ..stamp(50_000) }), None);
        assert_eq!(digests.get(&FileStamp { ctime: just_now, ..stamp(50_001) }), None);
        for changed in [
            FileStamp { device: 2, ..stamp(1) },
            FileStamp { size: 8, ..stamp(1) },
            FileStamp { mtime: 1_000_000_001, ..stamp(1) },
            FileStamp { ctime: -4, ..stamp(1) },
        ] {
            assert_eq!(digests.get(&changed), None);
        }
        let other = FileDigests::open(&store, std::path::Path::new("/other")).expect("digests");
        assert_eq!(other.get(&stamp(1)), None);
    }

    #[test]
    fn forgets_what_is_damaged_or_old() {
        let root = tempfile::tempdir().expect("a directory");
        let store = Store::open(root.path()).expect("a store");
        let context = std::path::Path::new("/context");
        let mut digests = FileDigests::open(&store, context).expect("digests");
        digests.put(stamp(1), digest(1), SystemTime::now());
        digests.today += FORGOTTEN_AFTER;
        digests.put(stamp(2), digest(2), SystemTime::now());
        digests.save().expect("saved");
        digests.today += 1;
        digests.put(stamp(3), digest(3), SystemTime::now());
        digests.save().expect("saved");
        let bytes = std::fs::read(&digests.path).expect("read");
        let known = |path: &std::path::Path| {
            let digests = FileDigests::open(&store, path).expect("digests");
            (1..4).map(|number| digests.get(&stamp(number)).is_some()).collect::<Vec<_>>()
        };
        assert_eq!(known(context), [false, true, true]);
        for at in [0, 8, 20, HEADER, bytes.len() - 1] {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            std::fs::write(&digests.path, &damaged).expect("write");
            assert_eq!(known(context), [false; 3], "byte {at}");
        }
        for length in [0, 8, HEADER, bytes.len() - 1] {
            std::fs::write(&digests.path, &bytes[..length]).expect("write");
            assert_eq!(known(context), [false; 3], "{length} bytes");
        }
    }
}
