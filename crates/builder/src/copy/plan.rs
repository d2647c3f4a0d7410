//! The plan of a layer: every path with what comes there, in the order of a table.
//!
//! Sixteen bytes an entry: paths are put together from their group's place and the item's own path when they are needed.

use std::cmp::Ordering;

use base::Cancel;
use dockerfile::Span;
use layer::View;
use layer::limits::MAX_PATH;

use super::destination::{Above, Destination};
use super::item::{Item, ItemKind};
use super::order::{compare, is_below};
use super::owner::Owner;
use super::tree::thing_of_entry;
use super::{CopyError, CopyStep, Selection, Thing};
use crate::context::join;

/// What comes where.
pub(super) struct Plan<'a> {
    selection: &'a Selection,
    /// The directories above what is copied.
    above: Vec<Above>,
    /// The place of each group.
    places: Vec<Vec<u8>>,
    order: Vec<Slot>,
}

/// An entry of the plan: a directory above what is copied, or an item of a group.
#[derive(Clone, Copy)]
enum Slot {
    Above(u32),
    Item { group: u32, item: u32 },
}

/// An entry, with its path.
pub(super) struct Planned<'p> {
    pub path: Vec<u8>,
    pub item: &'p Item,
    /// Whether it keeps its owner whatever `--chown` says.
    pub is_above: bool,
    /// The source that it comes from.
    pub span: Option<Span>,
}

impl<'a> Plan<'a> {
    pub fn new(
        selection: &'a Selection,
        step: &CopyStep,
        base: &View,
        owner: Owner,
        cancel: &Cancel,
    ) -> Result<Self, CopyError> {
        let mut destination = Destination::new(base, step, owner);
        let places: Result<Vec<_>, _> =
            selection.groups.iter().map(|group| destination.place(group)).collect();
        let above = destination.into_above().into_values().collect();
        let mut plan = Self { selection, above, places: places?, order: Vec::new() };
        plan.collect();
        plan.sort();
        plan.merge(step)?;
        plan.drop_needless();
        plan.check_base(step, base, cancel)?;
        Ok(plan)
    }

    /// All entries, in order.
    pub fn entries(&self) -> impl Iterator<Item = Planned<'_>> {
        self.order.iter().filter_map(|slot| {
            let (place, item) = self.get(*slot)?;
            let is_above = matches!(slot, Slot::Above(_));
            Some(Planned { path: join(place, &item.path), item, is_above, span: self.span(*slot) })
        })
    }

    /// The contents that are read, each once, in the order in which they are written.
    pub fn contents(&self) -> Vec<usize> {
        let mut seen = vec![false; self.selection.contents.len()];
        let first = |slot: &Slot| match self.get(*slot)?.1.kind {
            ItemKind::File(place) => {
                let seen = seen.get_mut(place)?;
                (!std::mem::replace(seen, true)).then_some(place)
            }
            _ => None,
        };
        self.order.iter().filter_map(first).collect()
    }

    /// Which contents have several names in this layer.
    pub fn shared_contents(&self) -> Vec<bool> {
        let mut names = vec![0_u8; self.selection.contents.len()];
        for slot in &self.order {
            if let Some((_, Item { kind: ItemKind::File(place), .. })) = self.get(*slot)
                && let Some(count) = names.get_mut(*place)
            {
                *count = count.saturating_add(1);
            }
        }
        names.into_iter().map(|count| count > 1).collect()
    }

    fn get(&self, slot: Slot) -> Option<(&[u8], &Item)> {
        match slot {
            Slot::Above(place) => Some((b"", &self.above.get(place as usize)?.item)),
            Slot::Item { group, item } => {
                let place = self.places.get(group as usize)?;
                Some((place, self.selection.groups.get(group as usize)?.items.get(item as usize)?))
            }
        }
    }

    /// The source that an entry comes from.
    fn span(&self, slot: Slot) -> Option<Span> {
        match slot {
            Slot::Above(_) => None,
            Slot::Item { group, .. } => self.selection.groups.get(group as usize).map(|group| group.span),
        }
    }

    /// The two parts of an entry's path.
    fn parts(&self, slot: Slot) -> (&[u8], &[u8]) {
        self.get(slot).map(|(place, item)| (place, item.path.as_ref())).unwrap_or_default()
    }

    fn collect(&mut self) {
        let above = (0..).zip(&self.above).map(|(place, _)| Slot::Above(place));
        let items = (0..).zip(&self.selection.groups).flat_map(|(group, found)| {
            (0..).zip(&found.items).map(move |(item, _)| Slot::Item { group, item })
        });
        self.order = above.chain(items).collect();
    }

    /// Sorts by path; where paths are equal, the order of the sources stays.
    fn sort(&mut self) {
        let mut order = std::mem::take(&mut self.order);
        // One source is in order already, and finding that out is cheap.
        order.sort_by(|one, other| compare(self.parts(*one), self.parts(*other)));
        self.order = order;
    }

    /// Keeps the last of several entries with one path, if they go together.
    fn merge(&mut self, step: &CopyStep) -> Result<(), CopyError> {
        let order = std::mem::take(&mut self.order);
        let mut kept: Vec<Slot> = Vec::with_capacity(order.len());
        for slot in order {
            let earlier = kept.last().copied();
            let earlier =
                earlier.filter(|earlier| compare(self.parts(*earlier), self.parts(slot)) == Ordering::Equal);
            let Some(earlier) = earlier else {
                kept.push(slot);
                continue;
            };
            let (Some((place, new)), Some((_, existing))) = (self.get(slot), self.get(earlier)) else {
                continue;
            };
            let (new_thing, existing) = (new.thing(), existing.thing());
            if (new_thing == Thing::Directory) != (existing == Thing::Directory) {
                let path = [b"/".as_slice(), &join(place, &new.path)].concat();
                let span = self.span(slot).unwrap_or(step.destination_span);
                return Err(CopyError::Conflict {
                    path,
                    new: new_thing,
                    existing,
                    from_this_step: true,
                    span,
                });
            }
            kept.pop();
            kept.push(slot);
        }
        self.order = kept;
        Ok(())
    }

    /// Drops directories of the base in which nothing is new.
    fn drop_needless(&mut self) {
        let mut order = std::mem::take(&mut self.order);
        let mut next: Option<Slot> = None;
        let mut keep = vec![true; order.len()];
        for (slot, keep) in order.iter().zip(&mut keep).rev() {
            if let Slot::Above(place) = *slot
                && self.above.get(place as usize).is_some_and(|above| above.is_repeated)
            {
                let directory = self.parts(*slot).1;
                *keep = next.is_some_and(|next| {
                    let (place, path) = self.parts(next);
                    is_below(&join(place, path), directory)
                });
            }
            if *keep {
                next = Some(*slot);
            }
        }
        let mut keep = keep.into_iter();
        order.retain(|_| keep.next().unwrap_or(true));
        self.order = order;
    }

    /// Compares with what the base has (DF-119), and with what a path may be.
    fn check_base(&self, step: &CopyStep, base: &View, cancel: &Cancel) -> Result<(), CopyError> {
        // A directory that the base does not have: nothing below it needs to be looked up.
        let mut fresh: Option<Vec<u8>> = None;
        for planned in self.entries() {
            cancel.check()?;
            if planned.path.len() > MAX_PATH {
                let destination = step.destination.clone();
                let reason = format!("{} is longer than {MAX_PATH} bytes", base::text::bytes(&planned.path));
                return Err(CopyError::Destination { destination, reason, span: step.destination_span });
            }
            if planned.is_above || fresh.as_ref().is_some_and(|fresh| is_below(&planned.path, fresh)) {
                continue;
            }
            let new = planned.item.thing();
            match base.find(&planned.path).map(|node| thing_of_entry(&base.entry(base.file(node)).kind)) {
                None if new == Thing::Directory => fresh = Some(planned.path),
                Some(existing) if (existing == Thing::Directory) != (new == Thing::Directory) => {
                    let path = [b"/".as_slice(), &planned.path].concat();
                    let span = planned.span.unwrap_or(step.destination_span);
                    return Err(CopyError::Conflict { path, new, existing, from_this_step: false, span });
                }
                _ => {}
            }
        }
        Ok(())
    }
}
