//! Digests of files in build contexts, remembered by what `stat` says of them.
//!
//! One file for each context, all numbers little-endian: magic `LAPFILES` (8), version (4), zero (4), BLAKE3 of the rest (32), and then
//! for each file, 96 bytes: device (8), inode (8), size (8), day of the last use (4), 1 if it is known to have no attributes that a layer keeps (4), mtime (16),
//! ctime (16), digest (32). It is only a memory: one that is damaged, or was written by another version, is forgotten.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base::IoContext;
use std::os::unix::ffi::OsStrExt;

use crate::table::ContentDigest;
use crate::{Result, Store, files};

const MAGIC: &[u8; 8] = b"LAPFILES";
const VERSION: u32 = 2;
const HEADER: usize = 48;
const ENTRY: usize = 96;
/// A file system's clock is coarse: what changed this recently may change again without its times telling.
const GRANULARITY: Duration = Duration::from_secs(2);
/// After how many days a digest that nobody asked for is forgotten.
const FORGOTTEN_AFTER: u32 = 30;
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
    today: u32,
    known: RwLock<Known>,
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
    /// Whether the file is known to have no attributes that a layer keeps.
    is_plain: bool,
    /// The day of the last use, counted from 1970.
    used: u32,
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
        let today = u32::try_from(today).unwrap_or(u32::MAX);
        Ok(Self { store: store.clone(), path, today, known: RwLock::new(Known { files, changed: false }) })
    }

    /// The digest of a file, if none of its stamp changed.
    pub fn get(&self, stamp: &FileStamp) -> Option<ContentDigest> {
        let known = self.read();
        let remembered = known.of(stamp)?;
        let (digest, used) = (remembered.digest, remembered.used);
        drop(known);
        if used != self.today {
            self.use_today(stamp);
        }
        Some(digest)
    }

    /// Whether a file, if none of its stamp changed, is known to have no attributes that a layer keeps: then nobody needs to ask for them.
    pub fn is_plain(&self, stamp: &FileStamp) -> bool {
        self.read().of(stamp).is_some_and(|remembered| remembered.is_plain)
    }

    fn use_today(&self, stamp: &FileStamp) {
        let mut known = self.write();
        if let Some(remembered) = known.files.get_mut(&(stamp.device, stamp.inode)) {
            remembered.used = self.today;
            known.changed = true;
        }
    }

    /// Remembers a digest. Not when the file changed less than two seconds before `read_at`, when its contents were read: it could change again
    /// within the clock's granularity. `is_plain` says that it had no attributes that a layer keeps, seen not before its stamp.
    pub fn put(&self, stamp: FileStamp, digest: ContentDigest, is_plain: bool, read_at: SystemTime) {
        let read_at = read_at.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let settled = i128::try_from(read_at.saturating_sub(GRANULARITY.as_nanos())).unwrap_or(i128::MAX);
        if stamp.mtime.max(stamp.ctime) > settled {
            return;
        }
        let mut known = self.write();
        known.changed = true;
        let remembered = Remembered { stamp, digest, is_plain, used: self.today };
        known.files.insert((stamp.device, stamp.inode), remembered);
    }

    /// Writes down what is new, atomically. Digests of files that were not asked for since a while are forgotten.
    pub fn save(&self) -> Result<()> {
        let mut known = self.write();
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

    fn read(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// What is remembered of a file, if none of its stamp changed.
    fn of(&self, stamp: &FileStamp) -> Option<&Remembered> {
        self.files.get(&(stamp.device, stamp.inode)).filter(|remembered| remembered.stamp == *stamp)
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
    for Remembered { stamp, digest, is_plain, used } in files.values() {
        for number in [stamp.device, stamp.inode, stamp.size] {
            body.extend_from_slice(&number.to_le_bytes());
        }
        for number in [*used, u32::from(*is_plain)] {
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
            let small = |at: usize| Some(u32::from_le_bytes(*entry.get(at..)?.first_chunk()?));
            let time = |at: usize| Some(i128::from_le_bytes(*entry.get(at..)?.first_chunk()?));
            let stamp = FileStamp {
                device: number(0)?,
                inode: number(8)?,
                size: number(16)?,
                mtime: time(32)?,
                ctime: time(48)?,
            };
            let digest = ContentDigest(*entry.get(64..)?.first_chunk()?);
            let remembered = Remembered { stamp, digest, is_plain: small(28)? == 1, used: small(24)? };
            Some(((stamp.device, stamp.inode), remembered))
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
            digests.put(stamp(number), digest(number), number % 2 == 0, now);
        }
        digests.put(FileStamp { mtime: just_now, ..stamp(50_000) }, digest(0), true, now);
        digests.put(FileStamp { ctime: just_now, ..stamp(50_001) }, digest(0), true, now);
        digests.save().expect("saved");
        let digests = FileDigests::open(&store, context).expect("digests");
        for number in 0..50_000 {
            assert_eq!(digests.get(&stamp(number)), Some(digest(number)));
            assert_eq!(digests.is_plain(&stamp(number)), number % 2 == 0);
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
            assert!(!digests.is_plain(&changed));
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
        digests.put(stamp(1), digest(1), true, SystemTime::now());
        digests.today += FORGOTTEN_AFTER;
        digests.put(stamp(2), digest(2), true, SystemTime::now());
        digests.save().expect("saved");
        digests.today += 1;
        digests.put(stamp(3), digest(3), true, SystemTime::now());
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
