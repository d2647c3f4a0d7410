//! Merging sorted tables, from the top-most layer down.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

use store::Layer;
use store::table::{EntryKind, Table, is_below, parent_of};

use super::{Node, View};

/// What one layer has at a path.
pub(super) struct Part {
    pub layer: usize,
    /// Its place in the table; `None` for the root of a table that has no entry for it.
    pub index: Option<usize>,
    /// Whether something is there (and not removed).
    pub visible: bool,
    /// Whether it is a directory.
    pub directory: bool,
}

/// What the layers have at a path, from the top down, as far as the layers above let it through.
pub(super) struct Parts<'a, 'p> {
    layers: &'a [Layer],
    path: &'p [u8],
    remaining: usize,
    /// The table of the last part, when more may show through it.
    above: Option<&'a Table>,
}

impl<'a, 'p> Parts<'a, 'p> {
    /// Looks at the `count` lowest layers.
    pub fn new(layers: &'a [Layer], count: usize, path: &'p [u8]) -> Self {
        Self { layers, path, remaining: count.min(layers.len()), above: None }
    }
}

impl Iterator for Parts<'_, '_> {
    type Item = Part;

    fn next(&mut self) -> Option<Part> {
        // Looked at only now: most who ask want no more than the first part.
        if self.above.take().is_some_and(|table| hides_below(table, self.path)) {
            self.remaining = 0;
        }
        while let Some(layer) = self.remaining.checked_sub(1) {
            self.remaining = layer;
            let table = self.layers.get(layer)?.table();
            let Some(index) = table.find(self.path) else {
                if self.path.is_empty() {
                    return Some(Part { layer, index: None, visible: true, directory: true });
                }
                if hides_below(table, self.path) {
                    self.remaining = 0;
                }
                continue;
            };
            let kind = table.entry(index)?.kind;
            if merges(&kind) {
                self.above = Some(table);
            } else {
                self.remaining = 0;
            }
            let directory = matches!(kind, EntryKind::Directory { .. });
            return Some(Part { layer, index: Some(index), visible: View::is_visible(&kind), directory });
        }
        None
    }
}

/// Whether what the layers below have at the same path shows through.
fn merges(kind: &EntryKind<'_>) -> bool {
    matches!(kind, EntryKind::Directory { opaque: false, .. })
}

/// Whether a table hides what the layers below have at `path`: by what it has at one of its parents.
///
/// A table has every parent of what is in it, so the nearest parent that it has is what `path` and the entry before it have in common; the parents of
/// that one are directories.
pub(super) fn hides_below(table: &Table, path: &[u8]) -> bool {
    let entry_at = |path| table.find(path).and_then(|index| table.entry(index));
    if table.has_opaque() {
        let parents = parents(path).map_while(|parent| {
            if parent.is_empty() { Some(entry_at(parent)) } else { entry_at(parent).map(Some) }
        });
        return parents.flatten().any(|parent| !merges(&parent.kind));
    }
    let Some(before) = parent_of(path).and_then(|parent| table.path(table.floor(parent)?)) else {
        return false;
    };
    let nearest = parents(path).take_while(|parent| before == *parent || is_below(before, parent)).last();
    nearest.and_then(entry_at).is_some_and(|parent| !merges(&parent.kind))
}

/// The parents of a path, the root first.
fn parents(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(place, _)| place);
    let root = if path.is_empty() { None } else { Some(0) };
    root.into_iter().chain(slashes).filter_map(|end| path.get(..end))
}

/// One table's next entry.
struct Cursor<'a> {
    table: &'a Table,
    layer: usize,
    index: usize,
    end: usize,
    path: &'a [u8],
    visible: bool,
    merges: bool,
    directory: bool,
}

impl<'a> Cursor<'a> {
    fn new(table: &'a Table, layer: usize, range: std::ops::Range<usize>) -> Option<Self> {
        let mut cursor = Self {
            table,
            layer,
            index: range.start,
            end: range.end,
            path: b"",
            visible: false,
            merges: false,
            directory: false,
        };
        cursor.go(range.start).then_some(cursor)
    }

    /// Goes to a place; false at the end.
    fn go(&mut self, index: usize) -> bool {
        if index >= self.end {
            return false;
        }
        let Some(entry) = self.table.entry(index) else { return false };
        self.index = index;
        self.path = entry.path;
        self.visible = View::is_visible(&entry.kind);
        self.merges = merges(&entry.kind);
        self.directory = matches!(entry.kind, EntryKind::Directory { .. });
        true
    }

    /// The place behind all that is below the present entry.
    fn behind(&self) -> usize {
        if self.directory { self.table.below(self.path).end } else { self.index + 1 }
    }
}

/// The greatest of a heap is the first path and, of equal ones, that of the top-most layer.
impl Ord for Cursor<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        compare_paths(other.path, self.path).then(self.layer.cmp(&other.layer))
    }
}

impl PartialOrd for Cursor<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Cursor<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Cursor<'_> {}

/// All that is visible below a directory, in the order of a table.
pub(super) struct Merge<'a> {
    heap: BinaryHeap<Cursor<'a>>,
    /// Whether to go into directories.
    deep: bool,
}

impl<'a> Merge<'a> {
    /// All that is below `directory`.
    pub fn everything(layers: &'a [Layer], directory: &[u8]) -> Self {
        Self::new(layers, directory, true)
    }

    /// What is directly in `directory`.
    pub fn children(layers: &'a [Layer], directory: &[u8]) -> Self {
        Self::new(layers, directory, false)
    }

    fn new(layers: &'a [Layer], directory: &[u8], deep: bool) -> Self {
        let cursors = Parts::new(layers, layers.len(), directory)
            .take_while(|part| part.directory)
            .filter_map(|part| {
                let table = layers.get(part.layer)?.table();
                Cursor::new(table, part.layer, table.below(directory))
            });
        Self { heap: cursors.collect(), deep }
    }
}

impl<'a> Iterator for Merge<'a> {
    type Item = (&'a [u8], Node);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let top = self.heap.peek()?;
            let (path, visible) = (top.path, top.visible);
            let node = Node { layer: top.layer, index: top.index };
            let mut merging = true;
            while let Some(mut cursor) = self.heap.peek_mut()
                && cursor.path == path
            {
                // What a higher layer hides is left out with all that is below it: a table has every parent of what is in it.
                let next = if merging && self.deep { cursor.index + 1 } else { cursor.behind() };
                merging &= cursor.merges;
                if !cursor.go(next) {
                    PeekMut::pop(cursor);
                }
            }
            if visible {
                return Some((path, node));
            }
        }
    }
}

/// The order of tables: component by component, so that a directory is followed by all that is below it.
fn compare_paths(one: &[u8], other: &[u8]) -> Ordering {
    let common = common_prefix(one, other);
    match (one.get(common), other.get(common)) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Less,
        (Some(_), None) => Ordering::Greater,
        // A slash ends a component, and is less than whatever could continue it.
        (Some(b'/'), Some(_)) => Ordering::Less,
        (Some(_), Some(b'/')) => Ordering::Greater,
        (Some(one), Some(other)) => one.cmp(other),
    }
}

/// How many bytes are the same at the beginning; eight at a time, since neighbours in a table share most of their paths.
fn common_prefix(one: &[u8], other: &[u8]) -> usize {
    let words =
        one.chunks_exact(8).zip(other.chunks_exact(8)).take_while(|(one, other)| one == other).count();
    let start = words * 8;
    let rest = one.iter().skip(start).zip(other.iter().skip(start));
    start + rest.take_while(|(one, other)| one == other).count()
}
