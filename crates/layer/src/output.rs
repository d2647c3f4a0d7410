//! Root filesystems going out: a view → one flattened tar, or a directory (ST-040, ST-041; DF-193, DF-194).

mod directory;
mod tar;

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::path::Path;

use base::Cancel;
use store::table::{Entry, EntryKind};
use store::{Lease, Store};

use crate::view::Node;
use crate::{LayerError, Result, View};

/// Writes a merged filesystem as one tar, deterministically; no time is later than `clamp`. The root itself has no entry, as in docker's exports. Each of several is in the
/// directory that is named beside it.
pub fn write_tar(
    store: &Store,
    lease: &Lease,
    roots: &[(Option<String>, View)],
    out: &mut dyn Write,
    clamp: Option<i64>,
    cancel: &Cancel,
) -> Result<()> {
    tar::write(store, lease, roots, out, clamp, cancel)
}

/// Writes the merged filesystem into a directory (made if missing; what is there already stays, or is replaced where names are the same):
/// owners are the caller's, modes and times are kept, extended attributes where the filesystem takes them; those that it does not, and devices,
/// are left out and counted. Gives what deserves a word, a line each.
///
/// Nothing is written through a symbolic link of the destination, and no directory of it is replaced by something else: both are errors.
pub fn write_directory(
    store: &Store,
    lease: &Lease,
    view: &View,
    destination: &Path,
    clamp: Option<i64>,
    cancel: &Cancel,
) -> Result<Vec<String>> {
    directory::write(store, lease, view, destination, clamp, cancel)
}

/// Says how many devices were left out, if any.
pub(crate) fn devices_left_out(count: usize) -> Option<String> {
    match count {
        0 => None,
        1 => Some("1 device was left out".to_owned()),
        count => Some(format!("{count} devices were left out")),
    }
}

/// What is to be written at a path.
enum Step<'a> {
    /// What the entry says: the first name of a file, or anything else. It has the path at which it is written.
    Make(Entry<'a>, Node),
    /// Another name of a file that is there already.
    Link(Entry<'a>, Vec<u8>),
}

/// All that a view has, the root not counted, in order; each file once, its other names as hardlinks to the first.
///
/// What a name means is decided in the view: so a hardlink whose target is hidden or replaced by a higher layer becomes the file itself (ST-041).
struct Steps<'a> {
    view: &'a View,
    /// The files that have hardlinks, and the name under which they were written.
    linked: HashMap<Node, Option<Vec<u8>>>,
}

impl<'a> Steps<'a> {
    fn new(view: &'a View) -> Self {
        let files: HashSet<Node> = view
            .walk(b"")
            .filter(|(_, node)| matches!(view.entry(*node).kind, EntryKind::Hardlink { .. }))
            .map(|(_, node)| view.file(node))
            .collect();
        Self { view, linked: files.into_iter().map(|file| (file, None)).collect() }
    }

    /// What to do about a node; `path` is where it is.
    fn step<'p>(&mut self, path: &'p [u8], node: Node) -> Result<Step<'p>>
    where
        'a: 'p,
    {
        let file = self.view.file(node);
        let entry = Entry { path, ..self.view.entry(file) };
        if matches!(entry.kind, EntryKind::Hardlink { .. }) {
            let reason = "it is a hard link to a file that does not exist".to_owned();
            return Err(LayerError::Entry { entry: path.to_vec(), reason });
        }
        match self.linked.get_mut(&file) {
            Some(Some(first)) => Ok(Step::Link(entry, first.clone())),
            Some(first) => {
                *first = Some(path.to_vec());
                Ok(Step::Make(entry, file))
            }
            None => Ok(Step::Make(entry, file)),
        }
    }
}
