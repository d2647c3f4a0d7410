//! How small files get into the store: written beside their place, synced where it matters, and renamed.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base::{IoContext, IoError};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::{Result, StoreError};

/// The largest record that is read. Records hold a few descriptors; what is larger is not one of ours.
const MAX_RECORD: u64 = 16 << 20;

/// A name that nobody else uses at this moment. Whoever makes a file of this name still says that it must be new: process IDs are unique only
/// within one container.
pub(crate) fn unique() -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    format!("{now:x}-{}-{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed))
}

/// Makes a directory that only its owner may enter; one that is there already is success.
pub(crate) fn make_directory(path: &Path) -> Result<(), IoError> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result.context("create the directory", path),
    }
}

/// Makes a directory that was not there.
pub(crate) fn make_new_directory(path: &Path) -> Result<(), IoError> {
    fs::DirBuilder::new().mode(0o700).create(path).context("create the directory", path)
}

/// Makes a new file.
pub(crate) fn create(path: &Path, mode: u32) -> Result<File, IoError> {
    fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .context("create", path)
}

/// Waits until the names in a directory have reached the disk.
pub(crate) fn sync_directory(path: &Path) -> Result<(), IoError> {
    File::open(path).and_then(|directory| directory.sync_all()).context("sync", path)
}

/// Writes a file whole or not at all, and waits until it is on the disk; `beside` is a name for it on the same filesystem, until it is complete.
pub(crate) fn replace(beside: &Path, path: &Path, bytes: &[u8]) -> Result<(), IoError> {
    write_and_rename(beside, path, bytes, File::sync_all)?;
    path.parent().map_or(Ok(()), sync_directory)
}

/// Like [`replace`], without waiting for the disk: other processes see it whole or not at all, but a power cut may leave it empty or with holes.
/// For what is found out to be so when it is read, and can be made again.
pub(crate) fn replace_unsynced(beside: &Path, path: &Path, bytes: &[u8]) -> Result<(), IoError> {
    write_and_rename(beside, path, bytes, |_| Ok(()))
}

fn write_and_rename(
    beside: &Path,
    path: &Path,
    bytes: &[u8],
    sync: impl FnOnce(&File) -> io::Result<()>,
) -> Result<(), IoError> {
    let written = create(beside, 0o600)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| sync(&file)).context("write", path))
        .and_then(|()| fs::rename(beside, path).context("rename to", path));
    if written.is_err() {
        // What matters to the caller is why it failed; the next process removes what stays here.
        let _ = fs::remove_file(beside);
    }
    written
}

/// The bytes of a file of at most `limit` bytes; `None` when there is none.
pub(crate) fn read_limited(path: &Path, limit: u64) -> Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        result => result.context("open", path)?,
    };
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).context("read", path)?;
    if bytes.len() as u64 > limit {
        return Err(StoreError::TooLarge { what: base::text::path(path).into_owned(), limit });
    }
    Ok(Some(bytes))
}

/// Reads a JSON record of format `known` or an older one; `None` when there is none.
pub(crate) fn read_record<T: DeserializeOwned>(root: &Path, path: &Path, known: u32) -> Result<Option<T>> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    let Some(bytes) = read_limited(path, MAX_RECORD)? else { return Ok(None) };
    let damaged =
        |error: serde_json::Error| StoreError::Damaged { path: path.to_owned(), reason: error.to_string() };
    let Versioned { version } = serde_json::from_slice(&bytes).map_err(damaged)?;
    if version > known {
        return Err(StoreError::TooNew { root: root.to_owned(), found: version, known });
    }
    serde_json::from_slice(&bytes).map(Some).map_err(damaged)
}

/// The bytes of a JSON record.
pub(crate) fn record_bytes(path: &Path, record: &impl serde::Serialize) -> Result<Vec<u8>, IoError> {
    serde_json::to_vec_pretty(record).context("encode", path)
}

/// The names in a directory, in order; none when there is no such directory.
pub(crate) fn names_in(path: &Path) -> Result<Vec<OsString>, IoError> {
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        result => result.context("read the directory", path)?,
    };
    let mut names = entries
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect::<io::Result<Vec<_>>>()
        .context("read the directory", path)?;
    names.sort();
    Ok(names)
}

/// Whether there is something of this name.
pub(crate) fn exists(path: &Path) -> Result<bool, IoError> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(false)
        }
        Err(source) => Err(IoError { action: "stat", path: path.to_owned(), source }),
    }
}

/// The boot that the system is in: what was written in another one and not synced may not be there.
pub(crate) fn boot_id() -> Result<String, IoError> {
    let path = Path::new("/proc/sys/kernel/random/boot_id");
    fs::read_to_string(path).map(|id| id.trim().to_owned()).context("read", path)
}

/// A time as records keep it: nanoseconds since 1970.
pub(crate) fn to_nanoseconds(time: SystemTime) -> u64 {
    let nanoseconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    u64::try_from(nanoseconds).unwrap_or(u64::MAX)
}

/// A time from a record.
pub(crate) fn from_nanoseconds(nanoseconds: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_nanos(nanoseconds)).unwrap_or(UNIX_EPOCH)
}
