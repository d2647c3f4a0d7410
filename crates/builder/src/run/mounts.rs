//! What a command sees besides its root: memory, secrets, caches (DF-094 … DF-103).

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::time::SystemTime;

use base::events::{Event, Status, Unit};
use base::{IoContext, text};
use dockerfile::mount::Sharing;
use sandbox::{Hidden, Mount, MountSource};
use store::{CacheDirectory, StepKey, mounts};

use super::{RunError, Surroundings};
use crate::plan::{MountKind, RunMount};

/// The largest secret, as BuildKit has it: it is a key or a password, no data.
const MAX_SECRET: usize = 500 << 10;

/// Keeps the keys of caches apart from all other digests.
const CACHE: &str = "lapstrake 2026 cache mount";

/// What is ready to be mounted, and to be put into the environment.
#[derive(Default)]
pub(super) struct Mounts {
    pub mounts: Vec<Mount>,
    pub env: Vec<String>,
    /// Held for as long as the command runs.
    pub caches: Vec<CacheDirectory>,
}

/// Gets everything that the mounts of a step need; waits for caches that others have.
pub(super) fn prepare(around: &Surroundings<'_>, wanted: &[RunMount]) -> Result<Mounts, RunError> {
    let mut ready = Mounts::default();
    for mount in wanted {
        let target = mount.target.clone();
        match &mount.kind {
            MountKind::Cache { .. } => {}
            MountKind::Tmpfs { size, read_only } => {
                let source = MountSource::Tmpfs { size: *size, mode: 0o1777 };
                let made = target.map(|target| Mount {
                    read_only: *read_only,
                    no_suid: true,
                    ..Mount::new(target, source)
                });
                ready.mounts.extend(made);
            }
            MountKind::Secret { id, env, required, mode, uid, gid } => {
                let secret = secret(around, id, *required, mount)?;
                if let Some(name) = env {
                    ready.env.push(format!("{name}={}", in_environment(id, secret.as_deref(), mount)?));
                }
                if let (Some(target), Some(contents)) = (target, secret) {
                    let contents = Hidden(contents);
                    let source = MountSource::Secret { contents, mode: *mode, uid: *uid, gid: *gid };
                    ready.mounts.push(Mount::new(target, source));
                }
            }
        }
    }
    caches(around, wanted, &mut ready)?;
    ready.mounts.sort_by(|one, other| one.target.cmp(&other.target));
    Ok(ready)
}

fn secret(
    around: &Surroundings<'_>,
    id: &str,
    required: bool,
    mount: &RunMount,
) -> Result<Option<Vec<u8>>, RunError> {
    let failed = |reason: String| RunError::Secret { id: id.to_owned(), reason, span: mount.span };
    match around.session.secret(id).map_err(|error| failed(error.to_string()))? {
        Some(secret) if secret.len() > MAX_SECRET => {
            Err(failed(format!("it is larger than {MAX_SECRET} bytes")))
        }
        None if required => Err(failed("it was not given".to_owned())),
        secret => Ok(secret),
    }
}

/// A secret as a variable; one that was not given is empty, as with BuildKit.
fn in_environment<'s>(id: &str, secret: Option<&'s [u8]>, mount: &RunMount) -> Result<&'s str, RunError> {
    let value = std::str::from_utf8(secret.unwrap_or_default()).ok().filter(|value| !value.contains('\0'));
    let reason = "it is not text, which a variable has to be".to_owned();
    value.ok_or_else(|| RunError::Secret { id: id.to_owned(), reason, span: mount.span })
}

/// One cache may be asked for several times; always in the order of their keys, so that no two steps wait for each other.
fn caches(around: &Surroundings<'_>, wanted: &[RunMount], ready: &mut Mounts) -> Result<(), RunError> {
    let mut asked: Vec<_> = wanted.iter().filter_map(|mount| Some((key_of(mount)?, mount))).collect();
    asked.sort_by_key(|(key, mount)| (*key, std::cmp::Reverse(strictness(mount))));
    let mut last = None;
    for (key, mount) in asked {
        let MountKind::Cache { id, sharing, mode, uid, gid, read_only } = &mount.kind else { continue };
        if last != Some(key) {
            ready.caches.push(acquire(around, &key, id, *sharing, (*mode, *uid, *gid))?);
            last = Some(key);
        }
        let (Some(target), Some(cache)) = (&mount.target, ready.caches.last()) else { continue };
        let source = MountSource::Bind { path: cache.path().to_owned(), recursive: false, movable: true };
        ready.mounts.push(Mount { read_only: *read_only, ..Mount::new(target, source) });
    }
    Ok(())
}

fn acquire(
    around: &Surroundings<'_>,
    key: &StepKey,
    id: &str,
    sharing: Sharing,
    (mode, uid, gid): (u32, u32, u32),
) -> Result<CacheDirectory, RunError> {
    // Where nothing can be mounted the directory is moved into the root, which only one can have.
    let sharing = match (sharing, around.snapshots.isolation()) {
        (Sharing::Shared, sandbox::Isolation::Chroot) | (Sharing::Locked, _) => mounts::Sharing::Locked,
        (Sharing::Shared, _) => mounts::Sharing::Shared,
        (Sharing::Private, _) => mounts::Sharing::Private,
    };
    let mut has_waited = false;
    let say = |completed| {
        around.events.send(Event::Status(Status {
            vertex: around.vertex,
            name: format!("waiting for another step that uses the cache {}", text::line(id)),
            current: 0,
            total: None,
            unit: Unit::Items,
            timestamp: SystemTime::now(),
            completed,
        }));
    };
    let mut waiting = || {
        has_waited = true;
        say(false);
    };
    let owner = around.store.ownership().is_in_trees().then_some((uid, gid));
    let mut fill = |path: &Path| make(path, mode, owner);
    let cache = around.store.mounts().acquire(key, sharing, around.cancel, &mut waiting, &mut fill)?;
    if has_waited {
        say(true);
    }
    Ok(cache)
}

fn make(path: &Path, mode: u32, owner: Option<(u32, u32)>) -> Result<(), RunError> {
    fs::create_dir(path).context("create the directory", path)?;
    if let Some((uid, gid)) = owner {
        chown(path, Some(uid), Some(gid)).context("set the owner of", path)?;
    }
    Ok(fs::set_permissions(path, Permissions::from_mode(mode)).context("set the mode of", path)?)
}

/// Who wants a cache for itself is asked first.
fn strictness(mount: &RunMount) -> u8 {
    match &mount.kind {
        MountKind::Cache { sharing: Sharing::Locked, .. } => 2,
        MountKind::Cache { sharing: Sharing::Private, .. } => 1,
        _ => 0,
    }
}

/// What makes a cache another one (DF-097).
fn key_of(mount: &RunMount) -> Option<StepKey> {
    let MountKind::Cache { id, mode, uid, gid, .. } = &mount.kind else { return None };
    let text = format!("{mode:o} {uid} {gid} {id}");
    Some(StepKey(blake3::derive_key(CACHE, text.as_bytes())))
}
