//! Where things go: the destination, followed in the base, and the directories above it (DF-111, DF-112, DF-118 … DF-121).

use std::collections::{BTreeMap, BTreeSet};

use layer::{FIXED_TIME, LayerError, View};

use super::item::{Group, Item, ItemKind, Shape};
use super::order::ancestors;
use super::owner::Owner;
use super::tree::thing_of_entry;
use super::{CopyError, CopyStep, Thing};
use crate::context::{Xattrs, join};

/// The mode of directories that are made on the way.
const CREATED_MODE: u32 = 0o755;

/// The destination of a step, and what has to be made of it.
pub(super) struct Destination<'a> {
    base: &'a View,
    step: &'a CopyStep,
    owner: Owner,
    /// The directories above what is copied: those of the base, and those that are made.
    above: BTreeMap<Vec<u8>, Above>,
    /// Files that took the destination's own name.
    files: BTreeSet<Vec<u8>>,
}

/// A directory above what is copied.
pub(super) struct Above {
    pub item: Item,
    /// Whether the base has it: then the layer repeats it, and only if something in it is new.
    pub is_repeated: bool,
}

impl<'a> Destination<'a> {
    /// `owner` is that of directories that are made.
    pub fn new(base: &'a View, step: &'a CopyStep, owner: Owner) -> Self {
        Self { base, step, owner, above: BTreeMap::new(), files: BTreeSet::new() }
    }

    /// The place of a group; in the order of the sources.
    pub fn place(&mut self, group: &Group) -> Result<Vec<u8>, CopyError> {
        let path = absolute(self.step);
        let resolved = self.base.resolve(&path, true).map_err(|error| unusable(self.step, error))?;
        let there = resolved.node.map(|node| thing_of_entry(&self.base.entry(self.base.file(node)).kind));
        let is_directory = there == Some(Thing::Directory) || self.above.contains_key(&resolved.path);
        if group.shape == Shape::Archive {
            self.inside(group, resolved.path, there)?;
            for ancestor in group.items.iter().flat_map(|item| ancestors(&item.path)) {
                self.make(ancestor, CREATED_MODE);
            }
            return Ok(Vec::new());
        }
        if is_directory || group.shape != Shape::Single || self.is_written_as_directory() {
            return self.inside(group, resolved.path, there);
        }
        // The name itself is taken: a link is replaced, never written through (DF-119).
        let own = self.base.resolve(&path, false).map_err(|error| unusable(self.step, error))?;
        if !self.files.insert(own.path.clone()) {
            let destination = self.step.destination.clone();
            return Err(CopyError::SeveralFiles { destination, span: self.step.destination_span });
        }
        for ancestor in ancestors(&own.path) {
            self.make(ancestor, CREATED_MODE);
        }
        Ok(own.path)
    }

    /// The directories above what is copied.
    pub fn into_above(self) -> BTreeMap<Vec<u8>, Above> {
        self.above
    }

    fn inside(
        &mut self,
        group: &Group,
        directory: Vec<u8>,
        there: Option<Thing>,
    ) -> Result<Vec<u8>, CopyError> {
        let from_this_step = self.files.contains(&directory);
        let existing = if from_this_step { Some(Thing::File) } else { there };
        if let Some(existing) = existing.filter(|existing| *existing != Thing::Directory) {
            return Err(CopyError::Conflict {
                path: [b"/".as_slice(), &directory].concat(),
                new: Thing::Directory,
                existing,
                from_this_step,
                span: self.step.destination_span,
            });
        }
        if matches!(group.name.as_slice(), b"." | b"..")
            || group.shape == Shape::Single && group.name.is_empty()
        {
            let reason = "the source has no name that a file could have there".to_owned();
            return Err(destination_error(self.step, reason));
        }
        for ancestor in ancestors(&directory) {
            self.make(ancestor, CREATED_MODE);
        }
        let chmod =
            self.step.chmod.as_ref().filter(|_| matches!(group.shape, Shape::Contents | Shape::Checkout(_)));
        let mode = chmod.map_or(CREATED_MODE, |change| change.apply(CREATED_MODE, true));
        self.make(&directory, mode);
        Ok(join(&directory, &group.name))
    }

    /// Notes a directory: the base's, or a new one.
    fn make(&mut self, path: &[u8], mode: u32) {
        if path.is_empty() || self.above.contains_key(path) {
            return;
        }
        let above = match self.base.find(path) {
            Some(node) => {
                let entry = self.base.entry(node);
                let xattrs =
                    entry.xattrs.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
                let (uid, gid, mtime) = (entry.uid, entry.gid, entry.mtime);
                let item = Item {
                    path: path.into(),
                    kind: ItemKind::Directory,
                    mode: entry.mode,
                    uid,
                    gid,
                    mtime,
                    xattrs,
                };
                Above { item, is_repeated: true }
            }
            None => {
                let Owner { uid, gid } = self.owner;
                let (kind, mtime, xattrs) = (ItemKind::Directory, FIXED_TIME, Xattrs::default());
                Above {
                    item: Item { path: path.into(), kind, mode, uid, gid, mtime, xattrs },
                    is_repeated: false,
                }
            }
        };
        self.above.insert(path.to_vec(), above);
    }

    /// Whether the destination can only be a directory, as it is written (DF-111).
    fn is_written_as_directory(&self) -> bool {
        let last = self.step.destination.rsplit('/').next().unwrap_or_default();
        matches!(last, "" | "." | "..")
    }
}

/// The destination below the root, without a slash at its end.
pub(super) fn absolute(step: &CopyStep) -> Vec<u8> {
    let written = step.destination.as_bytes();
    let path = if written.starts_with(b"/") {
        written.to_vec()
    } else {
        [step.working_directory.as_bytes(), b"/", written].concat()
    };
    let end = path.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
    path.get(..end).unwrap_or_default().to_vec()
}

/// Why a path in the base does not do.
pub(super) fn unusable(step: &CopyStep, error: LayerError) -> CopyError {
    match error {
        LayerError::Resolve { reason, .. } => destination_error(step, reason.to_owned()),
        other => other.into(),
    }
}

fn destination_error(step: &CopyStep, reason: String) -> CopyError {
    let destination = step.destination.clone();
    CopyError::Destination { destination, reason, span: step.destination_span }
}
