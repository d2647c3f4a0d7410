//! The filesystem of a stack, to be changed by one command: an overlay, or a copy where overlays cannot be had.

use std::ffi::OsStr;
use std::fs::Permissions;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use base::{Cancel, IoContext};
use layer::View;
use layer::packer::PackOptions;
use layer::plain::Plain;
use layer::walk::{Owners, Told, Upper};
use sandbox::{Isolation, OwnerClaim, Root, SingleId};
use store::{Layer, Lease, Ownership, Store, TempDir};

use crate::error::EngineError;

/// Where changes go: the name of the upper directory within the temporary one.
const UPPER: &str = "upper";

/// How a command gets a filesystem of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotKind {
    /// Trees, and a directory for changes over them.
    Overlay,
    /// A directory with everything in it, compared afterwards.
    Copy,
}

impl SnapshotKind {
    /// Every kind, with its name.
    pub const ALL: [(&'static str, SnapshotKind); 2] =
        [("overlay", SnapshotKind::Overlay), ("copy", SnapshotKind::Copy)];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }
}

/// What was asked for; what is not said is found out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ways {
    /// How commands are contained.
    pub isolation: Option<Isolation>,
    /// How they get their filesystems.
    pub snapshots: Option<SnapshotKind>,
}

/// Snapshots of one kind. Directories of copies are kept from one command to the next.
pub struct Snapshots {
    isolation: Isolation,
    kind: SnapshotKind,
    kept: Mutex<Vec<Plain>>,
}

impl Snapshots {
    /// Finds out what works here and in this store: to be asked before anything is prepared. An error says what is missing.
    pub fn choose(store: &Store, ways: Ways) -> Result<Self, EngineError> {
        let isolation = sandbox::ways::choose(ways.isolation)?;
        let kind = match (ways.snapshots, isolation) {
            (Some(SnapshotKind::Overlay), Isolation::Chroot) => {
                return Err(EngineError::NoOverlay { reason: "it would have to be mounted".to_owned() });
            }
            (None, Isolation::Chroot) => SnapshotKind::Copy,
            (Some(SnapshotKind::Copy), _) => SnapshotKind::Copy,
            (asked, Isolation::Namespaces) => match try_overlay(store) {
                Ok(()) => SnapshotKind::Overlay,
                Err(EngineError::Sandbox(_)) if asked.is_none() => SnapshotKind::Copy,
                Err(EngineError::Sandbox(error)) => {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    let reason = format!("{error}: {}", cause.unwrap_or_default());
                    return Err(EngineError::NoOverlay { reason });
                }
                Err(error) => return Err(error),
            },
        };
        Ok(Self { isolation, kind, kept: Mutex::default() })
    }

    /// How commands are contained.
    pub fn isolation(&self) -> Isolation {
        self.isolation
    }

    /// The kind.
    pub fn kind(&self) -> SnapshotKind {
        self.kind
    }

    /// A filesystem with what the view shows. Whatever is missing for it is unpacked.
    pub fn prepare(
        &self,
        store: &Store,
        lease: &Lease,
        view: &View,
        cancel: &Cancel,
    ) -> Result<Snapshot, EngineError> {
        let form = match self.kind {
            SnapshotKind::Overlay => {
                let trees = layer::forms::trees(store, lease, view.layers(), cancel)?;
                let place = store.temp_dir("run")?;
                let (upper, work) = (place.subdirectory(UPPER)?, place.subdirectory("work")?);
                // The root of an overlay has the attributes of its upper directory.
                layer::walk::prepare_upper(store, &upper, view)?;
                Form::Overlay(Overlay { trees, place, upper, work })
            }
            SnapshotKind::Copy => {
                let mut plain = match self.take(view) {
                    Some(plain) => plain,
                    None => Plain::new(store)?,
                };
                plain.advance(store, lease, view, cancel)?;
                Form::Copy(Box::new(plain))
            }
        };
        Ok(Snapshot { view: view.clone(), ownership: store.ownership(), form })
    }

    /// The directory that has the most of the stack in it.
    fn take(&self, view: &View) -> Option<Plain> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = kept.iter().enumerate().filter_map(|(place, plain)| Some((plain.prefix_of(view)?, place)));
        let (_, place) = fits.max()?;
        Some(kept.swap_remove(place))
    }

    /// Makes what a command has changed a layer; `owners` are those of [`Snapshot::owners`].
    pub fn commit(
        &self,
        store: &Store,
        lease: &Lease,
        snapshot: Snapshot,
        owners: &Owners,
        options: PackOptions,
        cancel: &Cancel,
    ) -> Result<Layer, EngineError> {
        match snapshot.form {
            Form::Overlay(Overlay { place, .. }) => {
                let upper = Upper { place, name: UPPER, below: &snapshot.view, owners };
                Ok(layer::walk::commit_upper(store, lease, upper, options, cancel)?)
            }
            Form::Copy(mut plain) => {
                let layer = plain.commit(store, lease, owners, options, cancel)?;
                self.kept.lock().unwrap_or_else(PoisonError::into_inner).push(*plain);
                Ok(layer)
            }
        }
    }
}

/// Tries overlays where the store lies.
fn try_overlay(store: &Store) -> Result<(), EngineError> {
    let place = store.temp_dir("probe")?;
    Ok(sandbox::ways::try_overlay(place.path(), store.ownership() != Ownership::Host)?)
}

/// The filesystem of one command. Dropping it removes what the command has changed.
pub struct Snapshot {
    view: View,
    ownership: Ownership,
    form: Form,
}

enum Form {
    Overlay(Overlay),
    Copy(Box<Plain>),
}

struct Overlay {
    trees: Vec<PathBuf>,
    place: TempDir,
    upper: PathBuf,
    work: PathBuf,
}

impl Snapshot {
    /// What was in it before the command.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// As the sandbox enters it. Nothing is synced: until it is committed, nothing of it stays.
    pub fn root(&self) -> Root {
        match &self.form {
            Form::Overlay(overlay) => Root::Overlay {
                // The sandbox wants the top-most layer first.
                lowers: overlay.trees.iter().rev().cloned().collect(),
                upper: overlay.upper.clone(),
                work: overlay.work.clone(),
                user_attributes: self.ownership != Ownership::Host,
                volatile: true,
            },
            Form::Copy(plain) => Root::Directory(plain.root().to_owned()),
        }
    }

    /// A private directory on the same filesystem, that nothing in the snapshot sees.
    pub fn place(&self) -> &TempDir {
        match &self.form {
            Form::Overlay(overlay) => &overlay.place,
            Form::Copy(plain) => plain.place(),
        }
    }

    /// Makes a directory, and its parents, unless it is there: docker does so for a working directory (CT-14). Parents that are there keep
    /// their owners and modes.
    ///
    /// To be called before the command is started.
    pub fn ensure_directory(&self, path: &str) -> Result<(), EngineError> {
        let place = match &self.form {
            Form::Overlay(overlay) => &overlay.upper,
            Form::Copy(plain) => plain.root(),
        };
        ensure_directory(&self.view, place, self.ownership, path)
    }

    /// What the sandbox has to know of owners where there is only one user id: those in the tables.
    pub fn single_id(&self) -> Option<SingleId> {
        if self.ownership.is_in_trees() {
            return None;
        }
        let claim = |(path, node): (Vec<u8>, layer::view::Node)| {
            let entry = self.view.entry(self.view.file(node));
            let is_root = (entry.uid, entry.gid) == (0, 0);
            let path = PathBuf::from(std::ffi::OsString::from_vec(path));
            (!is_root).then_some(OwnerClaim { path, user: Some(entry.uid), group: Some(entry.gid) })
        };
        Some(SingleId { owners: self.view.walk(b"").filter_map(claim).collect() })
    }

    /// Whose the files are that a command left: what the sandbox says, and the user as whom it ran.
    pub fn owners(&self, claims: Vec<OwnerClaim>, default: (u32, u32)) -> Owners {
        if self.ownership.is_in_trees() {
            return Owners::Real;
        }
        let claim = |claim: OwnerClaim| (claim.path.into_os_string().into_vec(), (claim.user, claim.group));
        Owners::Told(Told { by_path: claims.into_iter().map(claim).collect(), default })
    }
}

fn ensure_directory(view: &View, place: &Path, ownership: Ownership, path: &str) -> Result<(), EngineError> {
    let resolved = view.resolve(path.trim_start_matches('/').as_bytes(), true)?;
    if resolved.node.is_some() {
        return Ok(());
    }
    let mut inside: Vec<u8> = Vec::new();
    for component in resolved.path.split(|byte| *byte == b'/').filter(|component| !component.is_empty()) {
        if !inside.is_empty() {
            inside.push(b'/');
        }
        inside.extend_from_slice(component);
        let below = view.find(&inside).map(|node| view.entry(node));
        let (mode, uid, gid) = below.map_or((0o755, 0, 0), |entry| (entry.mode, entry.uid, entry.gid));
        let directory = place.join(OsStr::from_bytes(&inside));
        match std::fs::create_dir(&directory) {
            // In a copy, parents that are there are complete.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => continue,
            other => other.context("create", &directory)?,
        }
        if ownership.is_in_trees() {
            chown(&directory, Some(uid), Some(gid)).context("set the owner of", &directory)?;
        }
        std::fs::set_permissions(&directory, Permissions::from_mode(mode))
            .context("set the mode of", &directory)?;
    }
    Ok(())
}
