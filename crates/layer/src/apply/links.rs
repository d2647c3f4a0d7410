//! Hardlinks: within the layer, and into the layers below.

use std::collections::HashMap;

use base::{Cancel, IoContext};
use rustix::fs::AtFlags;
use store::table::{Entry, EntryKind, Table};
use store::{Lease, Store};

use super::contents::{Pieces, copy_contents};
use super::make_other;
use crate::rooted::{self, Rooted};
use crate::view::Node;
use crate::{LayerError, Result, View};

/// How many hardlinks to hardlinks are followed.
const MAX_HARDLINKS: usize = 40;

/// What a hardlink of the layer means.
enum Meaning<'a> {
    /// Something of the same layer.
    Here(&'a [u8]),
    /// Something of the layers below.
    Below(Node),
}

/// Makes all hardlinks; everything else is there already. A file of a lower layer is copied, once: it lies in another tree.
pub(crate) fn make(
    store: &Store,
    lease: &Lease,
    table: &Table,
    below: &View,
    rooted: &mut Rooted,
    cancel: &Cancel,
) -> Result<()> {
    let mut copies: HashMap<Node, &[u8]> = HashMap::new();
    let mut other = rooted.again();
    for entry in table.entries() {
        let EntryKind::Hardlink { target } = entry.kind else { continue };
        cancel.check()?;
        let existing = match meaning(table, below, entry.path, target)? {
            Meaning::Here(path) => path,
            Meaning::Below(node) => match copies.get(&node) {
                Some(path) => path,
                None => {
                    copy_from_below(store, lease, below, node, entry.path, rooted, cancel)?;
                    copies.insert(node, entry.path);
                    continue;
                }
            },
        };
        let full = rooted.name(entry.path);
        let (old_parent, old_name) = other.parent(existing)?;
        let (new_parent, new_name) = rooted.parent(entry.path)?;
        rustix::fs::linkat(old_parent, old_name, new_parent, new_name, AtFlags::empty())
            .context("link", full)?;
    }
    Ok(())
}

fn meaning<'a>(table: &'a Table, below: &View, path: &[u8], mut target: &'a [u8]) -> Result<Meaning<'a>> {
    let refuse = |reason: String| LayerError::Entry { entry: path.to_vec(), reason };
    let linked = |target| format!("it is a hard link to {}, which is", base::text::bytes(target));
    for _ in 0..MAX_HARDLINKS {
        match table.find(target).and_then(|index| table.entry(index)) {
            Some(Entry { kind: EntryKind::Hardlink { target: next }, .. }) => target = next,
            Some(Entry { kind: EntryKind::Directory { .. }, .. }) => {
                return Err(refuse(format!("{} a directory", linked(target))));
            }
            Some(found) if !matches!(found.kind, EntryKind::Whiteout) => {
                return Ok(Meaning::Here(found.path));
            }
            _ => {
                let node = below
                    .find(target)
                    .map(|node| below.file(node))
                    .filter(|node| {
                        !matches!(
                            below.entry(*node).kind,
                            EntryKind::Directory { .. } | EntryKind::Hardlink { .. }
                        )
                    })
                    .ok_or_else(|| {
                        refuse(format!("{} not a file of this layer or of one below", linked(target)))
                    })?;
                return Ok(Meaning::Below(node));
            }
        }
    }
    Err(refuse("it is a hard link to a hard link, and so on without end".to_owned()))
}

fn copy_from_below(
    store: &Store,
    lease: &Lease,
    below: &View,
    node: Node,
    path: &[u8],
    rooted: &mut Rooted,
    cancel: &Cancel,
) -> Result<()> {
    let entry = Entry { path, ..below.entry(node) };
    let EntryKind::File { size, content, .. } = entry.kind else { return make_other(rooted, &entry) };
    let mut contents = below.open(store, lease, node)?;
    let file = rooted.create(path)?;
    let full = rooted.name(path);
    let pieces = Pieces::new(path, size, None)?;
    let found = copy_contents(&file, &full, &pieces, size, &mut contents, true, cancel)?;
    if found != content {
        let reason = "the contents of the file in a layer below, which it is a hard link to, are damaged";
        return Err(LayerError::Entry { entry: path.to_vec(), reason: reason.to_owned() });
    }
    rooted::finish_open(&file, &entry, rooted.ownership()).context("set the metadata of", full)?;
    Ok(())
}
