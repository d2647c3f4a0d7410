//! Copying: the plan, streamed into a pack.

use std::collections::HashMap;

use base::{Cancel, Cancellable, Cancelled};
use layer::packer::PackOptions;
use layer::{Meta, Packer, View};
use store::table::{ContentDigest, EntryKind};
use store::{Layer, Lease, Store, StoreError};

use super::item::{Content, Item, ItemKind};
use super::owner::{Names, Owner};
use super::plan::{Plan, Planned};
use super::read_ahead::{Opened, READERS, ReadAhead};
use super::unpack::unpack;
use super::{CopyError, CopyStep, Selection, key};

/// Makes the layer. Gives it with the content key, learned while the files were read (the same that [`Selection::content_key`] gives).
///
/// `base` is the filesystem that is copied into: only its tables are looked at (and its passwd and group files, for names in `--chown`).
pub fn execute(
    store: &Store,
    lease: &Lease,
    step: &CopyStep,
    selection: &Selection,
    base: &View,
    options: PackOptions,
    cancel: &Cancel,
) -> Result<(Layer, ContentDigest), CopyError> {
    let names = Names { store, lease, base };
    let chown = step.chown.as_ref().map(|(text, span)| names.owner(text, *span)).transpose()?;
    let unpacked = unpack(selection, step, names, cancel)?;
    // The key is that of the archives as they are.
    let (selection, packed) = (unpacked.as_ref().unwrap_or(selection), selection);
    let plan = Plan::new(selection, step, base, chown.unwrap_or_default(), cancel)?;
    let ahead = ReadAhead::new(selection, store, lease, plan.contents());
    let packer = Packer::to_store(store, lease, options)?;
    let mut writer = Writer {
        packer,
        selection,
        chown,
        ahead: &ahead,
        paths: HashMap::new(),
        digests: vec![None; selection.contents.len()],
        cancel,
    };
    std::thread::scope(|scope| {
        for _ in 0..READERS {
            scope.spawn(|| ahead.work());
        }
        let result = writer.write(&plan);
        ahead.stop();
        result
    })?;
    let Writer { packer, mut digests, .. } = writer;
    digests.truncate(packed.contents.len());
    // What a later source replaced was not read, and belongs to the key all the same.
    let digests = key::complete(packed, digests, cancel)?;
    let key = key::content_key(packed, &digests);
    Ok((packer.finish(None)?, key))
}

/// What writes the entries of a plan.
struct Writer<'a> {
    packer: Packer,
    selection: &'a Selection,
    chown: Option<Owner>,
    ahead: &'a ReadAhead<'a>,
    /// Where contents with several names were written.
    paths: HashMap<usize, Vec<u8>>,
    digests: Vec<Option<ContentDigest>>,
    cancel: &'a Cancel,
}

impl Writer<'_> {
    fn write(&mut self, plan: &Plan<'_>) -> Result<(), CopyError> {
        let shared = plan.shared_contents();
        for planned in plan.entries() {
            self.cancel.check()?;
            let meta = self.meta(&planned);
            let Planned { path, item, .. } = planned;
            match &item.kind {
                ItemKind::Directory => self.packer.directory(&path, &meta, false)?,
                ItemKind::Symlink(target) => self.packer.symlink(&path, &meta, target)?,
                ItemKind::Special(special) => self.packer.special(&path, &meta, *special)?,
                ItemKind::File(place) => match self.paths.get(place) {
                    Some(target) => self.packer.hardlink(&path, &meta, target)?,
                    None => {
                        self.file(&path, &meta, *place)?;
                        if shared.get(*place).copied().unwrap_or(false) {
                            self.paths.insert(*place, path);
                        }
                    }
                },
            }
        }
        Ok(())
    }

    fn meta(&self, planned: &Planned<'_>) -> Meta {
        let Item { mode, uid, gid, mtime, ref xattrs, .. } = *planned.item;
        let Owner { uid, gid } = self.chown.filter(|_| !planned.is_above).unwrap_or(Owner { uid, gid });
        Meta { mode, uid, gid, mtime, xattrs: xattrs.as_slice().to_vec() }
    }

    fn file(&mut self, path: &[u8], meta: &Meta, place: usize) -> Result<(), CopyError> {
        // Reading stops early only when a reader panicked; the panic goes on when the readers are joined.
        let mut opened = self.ahead.take().ok_or(Cancelled)??;
        let size = self.selection.contents.get(place).map_or(0, Content::size);
        let digest = match &mut opened {
            Opened::Whole { bytes, learned } => {
                let digest = self.packer.file(path, meta, size, &mut bytes.as_slice())?;
                if let (Some((stamp, read_at)), Some(context)) = (learned, self.ahead.learner(place)) {
                    context.remember(stamp, digest, self.selection.is_plain(place, stamp), *read_at);
                }
                digest
            }
            Opened::File(file) => {
                let mut reader = Cancellable { reader: &mut *file, cancel: self.cancel };
                let written = self.packer.file(path, meta, size, &mut reader);
                self.cancel.check()?;
                // A file that changed is a better reason than what it led to.
                file.check()?;
                let digest = written?;
                if let Some(context) = self.ahead.learner(place) {
                    let is_plain = self.selection.is_plain(place, file.stamp());
                    context.remember(file.stamp(), digest, is_plain, file.read_at());
                }
                digest
            }
            Opened::Stream(stream) => {
                let mut reader = Cancellable { reader: stream, cancel: self.cancel };
                let written = self.packer.file(path, meta, size, &mut reader);
                self.cancel.check()?;
                written?
            }
        };
        self.check_layer(place, digest)?;
        if let Some(slot) = self.digests.get_mut(place) {
            *slot = Some(digest);
        }
        self.ahead.give_back(opened);
        Ok(())
    }

    /// A file of a layer has to be what the layer's table says.
    fn check_layer(&self, place: usize, found: ContentDigest) -> Result<(), CopyError> {
        let content = self.selection.contents.get(place);
        let Some((view, node)) = content.and_then(|content| self.selection.in_layer(content)) else {
            return Ok(());
        };
        let entry = view.entry(node);
        match entry.kind {
            EntryKind::File { content, .. } if content != found => Err(StoreError::Mismatch {
                what: format!("{} in the layer that it is copied from", base::text::bytes(entry.path)),
                expected: hex(&content),
                found: hex(&found),
            }
            .into()),
            _ => Ok(()),
        }
    }
}

fn hex(digest: &ContentDigest) -> String {
    blake3::Hash::from_bytes(digest.0).to_hex().to_string()
}
