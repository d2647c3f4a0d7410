//! Two stacks → a layer: what has to lie on the one to give the other.

use std::collections::HashMap;

use base::Cancel;
use store::table::{Entry, EntryKind, compare_paths, is_below, parent_of};
use store::{Layer, Lease, Store};

use crate::packer::{Meta, PackOptions, Packer, Special};
use crate::view::Node;
use crate::{Result, View};

/// Makes the layer that, on top of `below`, gives the filesystem of `above`.
///
/// An entry is in it when it is not below, or is different there: kind, owner, mode, time, attributes, link target or contents. Its parents are too; what is
/// gone is whited out at its top. A file that has several names keeps those together that are in the layer. Contents are read only of what is written.
pub fn difference(
    store: &Store,
    lease: &Lease,
    below: &View,
    above: &View,
    options: PackOptions,
    cancel: &Cancel,
) -> Result<Layer> {
    let packer = Packer::to_store(store, lease, options)?;
    let mut writer = Writer { store, lease, above, packer, directories: Vec::new(), links: HashMap::new() };
    let (mut old, mut new) = (below.walk(b"").peekable(), above.walk(b"").peekable());
    loop {
        cancel.check()?;
        let order = match (old.peek(), new.peek()) {
            (None, None) => break,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some((old, _)), Some((new, _))) => compare_paths(old, new),
        };
        let was = if order.is_le() { old.next() } else { None };
        let is = if order.is_ge() { new.next() } else { None };
        match (was, is) {
            (Some((path, _)), None) => {
                writer.whiteout(&path)?;
                // What was in it goes with it.
                while old.next_if(|(next, _)| is_below(next, &path)).is_some() {}
            }
            (Some((path, was)), Some((_, is))) => {
                if !same(&below.entry(below.file(was)), &above.entry(above.file(is))) {
                    writer.entry(&path, is)?;
                }
                if !is_directory(&above.entry(is)) {
                    while old.next_if(|(next, _)| is_below(next, &path)).is_some() {}
                }
            }
            (None, Some((path, is))) => writer.entry(&path, is)?,
            (None, None) => break,
        }
    }
    writer.packer.finish(None)
}

/// Whether two entries at the same path cannot be told apart.
fn same(one: &Entry<'_>, other: &Entry<'_>) -> bool {
    let kinds = match (&one.kind, &other.kind) {
        (
            EntryKind::File { size, content, .. },
            EntryKind::File { size: other_size, content: other_content, .. },
        ) => (size, content) == (other_size, other_content),
        (EntryKind::Directory { .. }, EntryKind::Directory { .. }) => true,
        (one, other) => one == other,
    };
    kinds && Meta::from(one) == Meta::from(other)
}

fn is_directory(entry: &Entry<'_>) -> bool {
    matches!(entry.kind, EntryKind::Directory { .. })
}

struct Writer<'a> {
    store: &'a Store,
    lease: &'a Lease,
    above: &'a View,
    packer: Packer,
    /// The directories that were written and hold the last entry, the root first.
    directories: Vec<Vec<u8>>,
    /// Under which path a file was written first.
    links: HashMap<Node, Vec<u8>>,
}

impl Writer<'_> {
    fn entry(&mut self, path: &[u8], node: Node) -> Result<()> {
        self.parents(path)?;
        let file = self.above.file(node);
        let entry = self.above.entry(file);
        let meta = Meta::from(&entry);
        match entry.kind {
            EntryKind::Directory { .. } => {
                self.packer.directory(path, &meta, false)?;
                self.directories.push(path.to_vec());
            }
            EntryKind::File { size, .. } => match self.links.get(&file) {
                Some(first) => self.packer.hardlink(path, &meta, first)?,
                None => {
                    let mut contents = self.above.open(self.store, self.lease, file)?;
                    self.packer.file(path, &meta, size, &mut contents)?;
                    self.links.insert(file, path.to_vec());
                }
            },
            EntryKind::Symlink { target } => self.packer.symlink(path, &meta, target)?,
            EntryKind::CharacterDevice { major, minor } => {
                self.packer.special(path, &meta, Special::CharacterDevice { major, minor })?;
            }
            EntryKind::BlockDevice { major, minor } => {
                self.packer.special(path, &meta, Special::BlockDevice { major, minor })?;
            }
            EntryKind::Fifo => self.packer.special(path, &meta, Special::Fifo)?,
            // A view has no whiteouts, and the file of a hardlink is none, unless it leads nowhere.
            EntryKind::Whiteout | EntryKind::Hardlink { .. } => {}
        }
        Ok(())
    }

    fn whiteout(&mut self, path: &[u8]) -> Result<()> {
        self.parents(path)?;
        self.packer.whiteout(path)
    }

    /// Writes the directories that lead to a path, as far as they were not.
    fn parents(&mut self, path: &[u8]) -> Result<()> {
        self.directories.retain(|directory| is_below(path, directory));
        let written = self.directories.last().map_or(0, Vec::len);
        let mut missing = Vec::new();
        let mut next = parent_of(path);
        while let Some(parent) = next.filter(|parent| parent.len() > written) {
            missing.push(parent);
            next = parent_of(parent);
        }
        for parent in missing.into_iter().rev() {
            if let Some(node) = self.above.find(parent) {
                self.packer.directory(parent, &Meta::from(&self.above.entry(node)), false)?;
                self.directories.push(parent.to_vec());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use base::Cancel;

    use super::*;
    use crate::testing::{What, file, layer, make, scratch};

    /// Everything that a view shows, as text.
    fn listing(view: &View) -> Vec<String> {
        view.walk(b"")
            .filter(|(path, _)| !path.is_empty())
            .map(|(path, node)| {
                let entry = view.entry(view.file(node));
                let what = match entry.kind {
                    EntryKind::File { size, content, .. } => format!("file {size} {content:?}"),
                    EntryKind::Directory { .. } => "directory".to_owned(),
                    other => format!("{other:?}"),
                };
                format!(
                    "{} {what} {:o} {}:{} {}",
                    String::from_utf8_lossy(&path),
                    entry.mode,
                    entry.uid,
                    entry.gid,
                    entry.mtime
                )
            })
            .collect()
    }

    #[test]
    fn what_lies_on_the_one_gives_the_other() {
        let scratch = scratch();
        let one = layer(
            &scratch,
            &[
                file("same", "s"),
                file("changed", "1"),
                file("gone/x", ""),
                file("d/a", "a"),
                file("d/b", "b"),
                file("was/dir/f", ""),
                file("was-file", ""),
            ],
        );
        let two = layer(
            &scratch,
            &[
                file("same", "s"),
                file("changed", "2"),
                file("d/a", "a"),
                file("d/new", "n"),
                file("was", "file"),
                make("was-file", What::Directory),
                file("was-file/g", "g"),
            ],
        );
        for (below, above) in [(&one, &two), (&two, &one)] {
            let (below, above) =
                (View::new(std::slice::from_ref(below)), View::new(std::slice::from_ref(above)));
            let made = difference(
                &scratch.store,
                &scratch.lease,
                &below,
                &above,
                PackOptions::default(),
                &Cancel::new(),
            )
            .expect("a layer");
            assert_eq!(listing(&below.with(made.clone())), listing(&above));
            assert!(made.table().find(b"same").is_none(), "what is the same is not in the layer");
            assert!(made.table().find(b"d/a").is_none());
        }
        let view = View::new(&[one]);
        let nothing =
            difference(&scratch.store, &scratch.lease, &view, &view, PackOptions::default(), &Cancel::new())
                .expect("a layer");
        assert!(nothing.table().is_empty());
    }
}
