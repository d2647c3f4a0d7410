//! ADD of archives: what is in them, in their place (DF-135, DF-136).
//!
//! An archive becomes a layer that is only read from: by the code that takes layers from outside, with its checks and limits. What it has directories for
//! goes where they say; what it has none for goes where the base's links lead.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

use base::{Cancel, IoContext};
use layer::{LayerError, View, ingest};
use store::table::{Entry, EntryKind};

use super::collect::Collector;
use super::destination::{absolute, unusable};
use super::item::{Content, Group, Item, ItemKind, Shape};
use super::order::{ancestors, base_name};
use super::owner::Names;
use super::tree::{Tree, thing_of_entry};
use super::{CopyError, CopyStep, Downloaded, Selection, Thing};
use crate::context::{Opener, Stamp, join};

/// The selection with the contents of its archives in their place; `None` when it has none.
pub(super) fn unpack(
    selection: &Selection,
    step: &CopyStep,
    names: Names<'_>,
    cancel: &Cancel,
) -> Result<Option<Selection>, CopyError> {
    let packed: Vec<Option<Packed<'_>>> =
        selection.groups.iter().map(|group| packed(selection, group)).collect::<Result<_, _>>()?;
    if packed.iter().all(Option::is_none) {
        return Ok(None);
    }
    let mut unpacked = Selection {
        input: selection.input.clone(),
        groups: Vec::with_capacity(selection.groups.len()),
        contents: selection.contents.clone(),
        archives: Vec::new(),
        checkouts: selection.checkouts.clone(),
        chown: selection.chown.clone(),
    };
    for (group, packed) in selection.groups.iter().zip(&packed) {
        let mut group = group.clone();
        if let Some(packed) = packed {
            let archive = open(selection, &group, packed, names, cancel)?;
            let places = Places::new(step, names.base)?;
            group.items = items(&archive, &group, packed, places, &mut unpacked, cancel)?;
            (group.shape, group.name) = (Shape::Archive, Vec::new());
            unpacked.archives.push(archive);
        }
        unpacked.groups.push(group);
    }
    Ok(Some(unpacked))
}

/// An archive that is not unpacked yet.
enum Packed<'a> {
    /// In the context: what was said of its file when it was found.
    InContext(&'a Stamp),
    /// A file of the web that is here, and its address for messages.
    Downloaded(&'a Path, &'a str),
}

/// The archive that a group is, if it is one that is to be unpacked.
fn packed<'a>(selection: &'a Selection, group: &Group) -> Result<Option<Packed<'a>>, CopyError> {
    let [Item { kind: ItemKind::File(place), .. }] = group.items.as_slice() else { return Ok(None) };
    Ok(match selection.contents.get(*place) {
        Some(Content::Context { stamp, .. }) if group.shape == Shape::Archive => {
            Some(Packed::InContext(stamp))
        }
        Some(Content::Download { file: Downloaded { path: Some(path), .. }, unpack: true, url, .. }) => {
            let file = File::open(path).context("open", path)?;
            layer::unpack::is_archive(Box::new(file)).then_some(Packed::Downloaded(path, url))
        }
        _ => None,
    })
}

/// Reads an archive to its end.
fn open(
    selection: &Selection,
    group: &Group,
    packed: &Packed<'_>,
    names: Names<'_>,
    cancel: &Cancel,
) -> Result<View, CopyError> {
    let read = match (packed, &selection.input) {
        (Packed::InContext(stamp), Tree::Context(context)) => {
            let mut file = Opener::new(context).open(&group.source, stamp)?;
            let read = ingest::ingest_files(names.store, names.lease, &mut file, cancel);
            cancel.check()?;
            // A file that changed is a better reason than what it led to.
            file.check()?;
            read
        }
        (Packed::InContext(_), Tree::View(_)) => {
            return Err(CopyError::Changed { path: group.source.clone() });
        }
        (Packed::Downloaded(path, _), _) => {
            let mut file = File::open(path).context("open", path)?;
            let read = ingest::ingest_files(names.store, names.lease, &mut file, cancel);
            cancel.check()?;
            read
        }
    };
    Ok(View::new(&[read.map_err(|source| refused(group, packed, source))?]))
}

fn refused(group: &Group, packed: &Packed<'_>, source: LayerError) -> CopyError {
    let archive = match packed {
        Packed::InContext(_) => group.source.clone(),
        Packed::Downloaded(_, url) => url.as_bytes().to_vec(),
    };
    CopyError::Archive { archive, source: Box::new(source), span: group.span }
}

/// What is in an archive. Its modes stay as they are, whatever `--chmod` says (DF-136).
fn items(
    archive: &View,
    group: &Group,
    packed: &Packed<'_>,
    mut places: Places<'_>,
    unpacked: &mut Selection,
    cancel: &Cancel,
) -> Result<Vec<Item>, CopyError> {
    let tree = Tree::View(archive.clone());
    let mut collector = Collector::new(&tree, None);
    let mut items = Vec::new();
    // The root of an archive is the destination, and changes nothing of it.
    for (path, node) in archive.walk(b"").skip(1) {
        cancel.check()?;
        let node = archive.file(node);
        let entry = archive.entry(node);
        if !check(&path, &entry).map_err(|source| refused(group, packed, source))? {
            continue;
        }
        if let Some(mut item) = collector.of_entry(node, &entry, &path) {
            item.path = places.place(&path, matches!(item.kind, ItemKind::Directory))?.into();
            items.push(item);
        }
    }
    let (_, contents) = collector.finish();
    let (first, archive) = (unpacked.contents.len(), unpacked.archives.len());
    unpacked.contents.extend(contents.into_iter().map(|content| match content {
        Content::View { node, size } => Content::Unpacked { archive, node, size },
        other => other,
    }));
    for item in &mut items {
        if let ItemKind::File(place) = &mut item.kind {
            *place += first;
        }
    }
    Ok(items)
}

/// Whether an archive has an entry for this; a directory that is only named on the way to others is made like any above a destination.
fn check(path: &[u8], entry: &Entry<'_>) -> Result<bool, LayerError> {
    match entry.kind {
        EntryKind::Hardlink { target } => Err(LayerError::Entry {
            entry: path.to_vec(),
            reason: format!(
                "it is a hardlink to {}, which the archive does not have",
                base::text::bytes(target)
            ),
        }),
        EntryKind::Directory { implied, .. } => Ok(!implied),
        _ => Ok(true),
    }
}

/// Where the directories of an archive are in the image.
struct Places<'a> {
    step: &'a CopyStep,
    base: &'a View,
    directories: HashMap<Vec<u8>, Vec<u8>>,
}

impl<'a> Places<'a> {
    fn new(step: &'a CopyStep, base: &'a View) -> Result<Self, CopyError> {
        let mut places = Self { step, base, directories: HashMap::new() };
        let destination = places.followed(&absolute(step))?;
        places.directories.insert(Vec::new(), destination);
        Ok(places)
    }

    /// The place of an entry; those above it that are in the archive come before it.
    fn place(&mut self, path: &[u8], is_directory: bool) -> Result<Vec<u8>, CopyError> {
        let mut parent: &[u8] = b"";
        for directory in ancestors(path) {
            if !self.directories.contains_key(directory) {
                let place = self.followed(&self.below(parent, directory))?;
                self.directories.insert(directory.to_vec(), place);
            }
            parent = directory;
        }
        let place = self.below(parent, path);
        if is_directory {
            self.directories.insert(path.to_vec(), place.clone());
        }
        Ok(place)
    }

    fn below(&self, parent: &[u8], path: &[u8]) -> Vec<u8> {
        join(self.directories.get(parent).map(Vec::as_slice).unwrap_or_default(), base_name(path))
    }

    /// A directory of the base, or one that is to be made, without links.
    fn followed(&self, path: &[u8]) -> Result<Vec<u8>, CopyError> {
        let resolved = self.base.resolve(path, true).map_err(|error| unusable(self.step, error))?;
        let there = resolved.node.map(|node| thing_of_entry(&self.base.entry(self.base.file(node)).kind));
        match there.filter(|thing| *thing != Thing::Directory) {
            None => Ok(resolved.path),
            Some(existing) => Err(CopyError::Conflict {
                path: [b"/".as_slice(), &resolved.path].concat(),
                new: Thing::Directory,
                existing,
                from_this_step: false,
                span: self.step.destination_span,
            }),
        }
    }
}
