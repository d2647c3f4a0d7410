//! What a command sees besides its root: memory, secrets, files of others, caches, agents (DF-094 … DF-103).

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use base::events::Unit;
use base::{IoContext, text};
use dockerfile::mount::Sharing;
use engine::snapshot::Snapshot;
use image::digest::hex;
use layer::plain::Plain;
use sandbox::{Hidden, Mount, MountSource, OwnerClaim};
use store::table::EntryKind;
use store::{CacheDirectory, Layer, StepKey, mounts};

use super::ssh::Forwarding;
use super::{RunError, ShownFiles, Surroundings};
use crate::plan::{Agent, Cache, MountKind, RunMount};
use crate::session::MAX_SECRET;

/// Keeps the keys of caches apart from all other digests.
const CACHE: &str = "lapstrake 2026 cache mount";

/// What is ready to be mounted, and to be put into the environment.
#[derive(Default)]
pub(super) struct Mounts {
    pub mounts: Vec<Mount>,
    pub env: Vec<String>,
    pub held: Held,
    /// Whose the mounted files are that are not root's, by the paths where the command sees them; empty when they have owners.
    pub owners: Vec<OwnerClaim>,
}

/// What lives for as long as the command runs.
#[derive(Default)]
pub(super) struct Held {
    caches: Vec<CacheDirectory>,
    snapshots: Vec<Snapshot>,
    /// Stopped when they are dropped.
    agents: Vec<Forwarding>,
}

impl Held {
    /// Locks, for a process that is to outlive this one.
    pub fn holds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let layers = self.snapshots.iter().flat_map(|snapshot| snapshot.view().layers());
        self.caches.iter().map(CacheDirectory::hold).chain(layers.map(Layer::hold))
    }
}

/// Gets everything that the mounts of a step need; waits for caches that others have.
pub(super) fn prepare(around: &Surroundings<'_>, wanted: &[RunMount]) -> Result<Mounts, RunError> {
    let mut ready = Mounts::default();
    let mut shown = around.shown.iter();
    let mut asked = Vec::new();
    for mount in wanted {
        let target = mount.target.clone();
        match &mount.kind {
            MountKind::Cache(cache) => {
                let first = cache.first.as_ref().and_then(|_| shown.next());
                asked.push(Asked { mount, cache, first, key: key_of(cache, first) });
            }
            MountKind::Bind { read_only, .. } => {
                if let (Some(target), Some(files)) = (target, shown.next()) {
                    bind(around, files, &target, *read_only, &mut ready)?;
                }
            }
            MountKind::Agent(asked) => {
                if let (Some(target), Some(agent)) = (target, agent(around, asked, mount)?) {
                    if asked.is_named {
                        ready.env.push(format!("SSH_AUTH_SOCK={target}"));
                    }
                    let path = agent.socket();
                    let source = MountSource::Bind { path, recursive: false, movable: true };
                    ready.mounts.push(Mount::new(target, source));
                    ready.held.agents.push(agent);
                }
            }
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
    caches(around, asked, &mut ready)?;
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

/// Shows files of somebody else: in a filesystem of their own, so that whatever is written is thrown away with it.
fn bind(
    around: &Surroundings<'_>,
    files: &ShownFiles,
    target: &str,
    read_only: bool,
    ready: &mut Mounts,
) -> Result<(), RunError> {
    let snapshot = around.snapshots.prepare(around.store, around.lease, &files.view, around.cancel);
    let snapshot = snapshot.map_err(Box::new)?;
    let path = Path::new(OsStr::from_bytes(&files.path));
    let owners = snapshot.single_id().map(|single| single.owners).unwrap_or_default();
    ready.owners.extend(owners.into_iter().filter_map(|claim| {
        let below = claim.path.strip_prefix(path).ok()?;
        Some(OwnerClaim { path: Path::new(target.trim_start_matches('/')).join(below), ..claim })
    }));
    let source = MountSource::Snapshot { root: snapshot.root(), path: path.to_owned() };
    ready.mounts.push(Mount { read_only, ..Mount::new(target, source) });
    ready.held.snapshots.push(snapshot);
    Ok(())
}

/// Somebody who answers where the command is going to look for an agent.
fn agent(around: &Surroundings<'_>, asked: &Agent, mount: &RunMount) -> Result<Option<Forwarding>, RunError> {
    let failed = |reason: String| RunError::Ssh { id: asked.id.clone(), reason, span: mount.span };
    match around.session.ssh(&asked.id).map_err(|error| failed(error.to_string()))? {
        None if asked.required => Err(failed("it was not given".to_owned())),
        None => Ok(None),
        Some(agent) => {
            let owner = around.store.ownership().is_in_trees().then_some((asked.uid, asked.gid));
            let place = around.store.temp_dir("ssh")?;
            let forwarding = Forwarding::start(&agent, place, asked.mode, owner);
            let forwarding = forwarding.map_err(|error| failed(format!("{error}: {}", error.source)))?;
            Ok(Some(forwarding))
        }
    }
}

/// A cache that a mount asks for.
struct Asked<'a> {
    mount: &'a RunMount,
    cache: &'a Cache,
    first: Option<&'a ShownFiles>,
    key: StepKey,
}

/// One cache may be asked for several times; always in the order of their keys, so that no two steps wait for each other.
fn caches(around: &Surroundings<'_>, mut asked: Vec<Asked<'_>>, ready: &mut Mounts) -> Result<(), RunError> {
    asked.sort_by_key(|asked| (asked.key, std::cmp::Reverse(strictness(asked.cache.sharing))));
    let mut last = None;
    for asked in asked {
        if last != Some(asked.key) {
            ready.held.caches.push(acquire(around, &asked)?);
            last = Some(asked.key);
        }
        let (Some(target), Some(cache)) = (&asked.mount.target, ready.held.caches.last()) else { continue };
        let source = MountSource::Bind { path: cache.path().to_owned(), recursive: false, movable: true };
        ready.mounts.push(Mount { read_only: asked.cache.read_only, ..Mount::new(target, source) });
    }
    Ok(())
}

fn acquire(around: &Surroundings<'_>, asked: &Asked<'_>) -> Result<CacheDirectory, RunError> {
    // Where nothing can be mounted the directory is moved into the root, which only one can have.
    let sharing = match (asked.cache.sharing, around.snapshots.isolation()) {
        (Sharing::Shared, sandbox::Isolation::Chroot) | (Sharing::Locked, _) => mounts::Sharing::Locked,
        (Sharing::Shared, _) => mounts::Sharing::Shared,
        (Sharing::Private, _) => mounts::Sharing::Private,
    };
    let mut has_waited = false;
    let say = |completed| {
        let name = format!("waiting for another step that uses the cache {}", text::line(&asked.cache.id));
        around.events.status(around.vertex, name, (0, None), Unit::Items, completed);
    };
    let mut waiting = || {
        has_waited = true;
        say(false);
    };
    let mut fill = |path: &Path| fill(around, asked, path);
    let cache = around.store.mounts().acquire(&asked.key, sharing, around.cancel, &mut waiting, &mut fill)?;
    if has_waited {
        say(true);
    }
    Ok(cache)
}

/// Makes a new cache: an empty directory, or one with its first contents.
fn fill(around: &Surroundings<'_>, asked: &Asked<'_>, path: &Path) -> Result<(), RunError> {
    let Cache { mode, uid, gid, .. } = asked.cache;
    let (mode, uid, gid) = match asked.first {
        None => {
            fs::create_dir(path).context("create the directory", path)?;
            (Some(mode.unwrap_or(0o755)), Some(uid.unwrap_or(0)), Some(gid.unwrap_or(0)))
        }
        // It is as it was where it comes from, but for what is asked for.
        Some(files) => {
            unpack(around, files, asked.mount, path)?;
            (*mode, *uid, *gid)
        }
    };
    if around.store.ownership().is_in_trees() && (uid, gid) != (None, None) {
        chown(path, uid, gid).context("set the owner of", path)?;
    }
    match mode {
        Some(mode) => {
            Ok(fs::set_permissions(path, Permissions::from_mode(mode)).context("set the mode of", path)?)
        }
        None => Ok(()),
    }
}

/// Unpacks a directory, to be the first contents of a cache.
fn unpack(
    around: &Surroundings<'_>,
    files: &ShownFiles,
    mount: &RunMount,
    path: &Path,
) -> Result<(), RunError> {
    let is_directory = |node| matches!(files.view.entry(node).kind, EntryKind::Directory { .. });
    if !files.path.is_empty() && !files.view.find(&files.path).is_some_and(is_directory) {
        return Err(RunError::NoDirectory { path: files.path.clone(), span: mount.span });
    }
    let mut plain = Plain::new(around.store)?;
    plain.advance(around.store, around.lease, &files.view, around.cancel)?;
    let source = plain.root().join(OsStr::from_bytes(&files.path));
    Ok(fs::rename(&source, path).context("move the first contents of a cache to", path)?)
}

/// Who wants a cache for itself is asked first.
fn strictness(sharing: Sharing) -> u8 {
    match sharing {
        Sharing::Locked => 2,
        Sharing::Private => 1,
        Sharing::Shared => 0,
    }
}

/// What makes a cache another one: also the contents that it has at first (DF-097, DF-098).
fn key_of(cache: &Cache, first: Option<&ShownFiles>) -> StepKey {
    let Cache { id, mode, uid, gid, .. } = cache;
    let text = match first {
        None => {
            let (mode, uid, gid) = (mode.unwrap_or(0o755), uid.unwrap_or(0), gid.unwrap_or(0));
            format!("{mode:o} {uid} {gid} {id}")
        }
        Some(files) => format!("from {} {mode:?} {uid:?} {gid:?} {id}", hex(&files.content.0)),
    };
    StepKey(blake3::derive_key(CACHE, text.as_bytes()))
}
