//! The filesystem of an image, ready to be mounted.

use std::ffi::OsStr;
use std::fs::Permissions;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use base::{Cancel, IoContext};
use image::{Config, ImageId};
use layer::View;
use sandbox::{OwnerClaim, SingleId};
use store::{Layer, Lease, Ownership, Store, TempDir};

use crate::error::{EngineError, MissingLayer};

/// An image's trees, and a place for changes that goes away with this value.
pub struct RootFs {
    view: View,
    trees: Vec<PathBuf>,
    _scratch: TempDir,
    upper: PathBuf,
    work: PathBuf,
    ownership: Ownership,
}

impl RootFs {
    /// Unpacks what is not unpacked yet.
    pub fn prepare(
        store: &Store,
        lease: &Lease,
        id: &ImageId,
        config: &Config,
        cancel: &Cancel,
    ) -> Result<Self, EngineError> {
        let layers = layers(store, id, config)?;
        let view = View::new(&layers);
        let trees = layer::forms::trees(store, lease, &layers, cancel)?;
        let scratch = store.temp_dir("container")?;
        let (upper, work) = (scratch.subdirectory("upper")?, scratch.subdirectory("work")?);
        // The root of an overlay has the attributes of its upper directory.
        layer::walk::prepare_upper(store, &upper, &view)?;
        Ok(Self { view, trees, _scratch: scratch, upper, work, ownership: store.ownership() })
    }

    /// What is in it.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// As the sandbox mounts it: the top-most layer first, and without syncing, since nothing of it stays.
    pub fn root(&self) -> sandbox::Root {
        sandbox::Root::Overlay {
            lowers: self.trees.iter().rev().cloned().collect(),
            upper: self.upper.clone(),
            work: self.work.clone(),
            user_attributes: self.ownership != Ownership::Host,
            volatile: true,
        }
    }

    /// Makes a directory, and its parents, unless the image has it: docker does so for a working directory (CT-14).
    ///
    /// To be called before the root is mounted.
    pub fn ensure_directory(&self, path: &str) -> Result<(), EngineError> {
        ensure_directory(&self.view, &self.upper, self.ownership, path)
    }
}

/// Makes a directory, and its parents, in the upper directory of an overlay over `view`, unless it is there.
///
/// Parents that are there keep their owners and modes.
pub fn ensure_directory(
    view: &View,
    upper: &Path,
    ownership: Ownership,
    path: &str,
) -> Result<(), EngineError> {
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
        let directory = upper.join(OsStr::from_bytes(&inside));
        match std::fs::create_dir(&directory) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
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

/// What the sandbox has to know of owners where there is only one user id: those in the tables.
pub fn single_id(view: &View, ownership: Ownership) -> Option<SingleId> {
    if ownership.is_in_trees() {
        return None;
    }
    let claim = |(path, node): (Vec<u8>, layer::view::Node)| {
        let entry = view.entry(view.file(node));
        let is_root = (entry.uid, entry.gid) == (0, 0);
        let path = PathBuf::from(std::ffi::OsString::from_vec(path));
        (!is_root).then_some(OwnerClaim { path, user: Some(entry.uid), group: Some(entry.gid) })
    };
    Some(SingleId { owners: view.walk(b"").filter_map(claim).collect() })
}

/// The layers of an image, lowest first, held.
pub fn layers(store: &Store, id: &ImageId, config: &Config) -> Result<Vec<Layer>, EngineError> {
    let find = |layer: &image::DiffId| {
        let missing = || EngineError::MissingLayer(Box::new(MissingLayer { image: *id, layer: *layer }));
        store.layers().get(layer)?.ok_or_else(missing)
    };
    config.rootfs.diff_ids.iter().map(find).collect()
}
