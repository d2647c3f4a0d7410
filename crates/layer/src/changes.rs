//! What differs between two stacks of which one stands on the other (ST-045).

use store::Layer;
use store::table::EntryKind;

use crate::View;

/// How a path differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It was not there before.
    Added,
    /// It was, and is another now: its contents, its metadata, or something in it.
    Changed,
    /// It is there no more.
    Deleted,
}

impl Change {
    /// The letter under which docker lists it.
    pub fn letter(self) -> char {
        match self {
            Change::Added => 'A',
            Change::Changed => 'C',
            Change::Deleted => 'D',
        }
    }
}

/// What a layer changes in the filesystem that it lies on, in order of paths. The root, which everything changes, is not listed; of a directory that is
/// deleted, only itself is; of an opaque one, everything that it hides directly.
pub fn changes(below: &View, layer: &Layer) -> Vec<(Vec<u8>, Change)> {
    let mut changes = Vec::new();
    for entry in layer.table().entries().filter(|entry| !entry.path.is_empty()) {
        let before = below.find(entry.path).map(|node| below.entry(node));
        let was_directory =
            before.as_ref().is_some_and(|before| matches!(before.kind, EntryKind::Directory { .. }));
        let change = match (&entry.kind, &before) {
            (EntryKind::Whiteout, None) => continue,
            (EntryKind::Whiteout, Some(_)) => Change::Deleted,
            (_, None) => Change::Added,
            (_, Some(_)) => Change::Changed,
        };
        changes.push((entry.path.to_vec(), change));
        if was_directory && matches!(entry.kind, EntryKind::Directory { opaque: true, .. }) {
            let hidden =
                below.children(entry.path).into_iter().map(|(name, _)| [entry.path, b"/", name].concat());
            let gone = hidden.filter(|path| layer.table().find(path).is_none());
            changes.extend(gone.map(|path| (path, Change::Deleted)));
        }
    }
    changes.sort_by(|(one, _), (other, _)| store::table::compare_paths(one, other));
    changes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{What, file, layer, make, scratch};

    #[test]
    fn st_045_changes_are_listed_as_docker_lists_them() {
        let scratch = scratch();
        let lower = layer(
            &scratch,
            &[
                file("d/a", ""),
                file("d/b", ""),
                file("e/f", ""),
                file("gone/x", ""),
                file("o/old", ""),
                file("o/kept", ""),
                make("o/sub", What::Directory),
                file("o/sub/deep", ""),
            ],
        );
        let upper = layer(
            &scratch,
            &[
                make("d", What::Directory),
                file("d/a", "changed"),
                file("d/new", ""),
                make("gone", What::Whiteout),
                make("never", What::Whiteout),
                make("o", What::Opaque),
                file("o/kept", ""),
                make("n", What::Directory),
                make("n/sym", What::Symlink("x")),
            ],
        );
        let found: Vec<String> = changes(&View::new(&[lower]), &upper)
            .into_iter()
            .map(|(path, change)| format!("{} {}", change.letter(), String::from_utf8_lossy(&path)))
            .collect();
        assert_eq!(
            found,
            ["C d", "C d/a", "A d/new", "D gone", "A n", "A n/sym", "C o", "C o/kept", "D o/old", "D o/sub"]
        );
    }
}
