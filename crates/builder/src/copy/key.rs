//! The content key: what is copied, without times (DF-174).
//!
//! BLAKE3 over a stream of fields. Numbers are little-endian; texts are preceded by their length in 8 bytes. It begins with
//! [`MAGIC`], which changes whenever the meaning of the stream does; then comes `--chown` (0, or 1 and its text), and then the groups in the order of the sources:
//!
//! ```text
//! group   'G'  shape (0 one thing, 1 contents of a directory, 2 kept path, 3 archive)  name  number of items (8)
//! item    path below the group  mode (4)  uid (4)  gid (4)  number of attributes (8)  each: name, value  kind
//! kind    'd' | 'f' size (8) BLAKE3 (32) | 'h' the number of the content of an earlier file, which this is another name of (8)
//!         'l' target | 'c' or 'b' major (4) minor (4) | 'p'
//! ```
//!
//! Items stand in the order of a table, so the order in which a directory gives its names does not matter. Owners are 0 when there is a `--chown`, modes
//! are what `--chmod` made of them.

use std::collections::HashMap;
use std::num::NonZero;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use base::Cancel;
use layer::packer::Special;
use store::table::{ContentDigest, EntryKind};

use super::item::{Content, Group, Item, ItemKind, Shape};
use super::tree::Tree;
use super::{CopyError, Selection};
use crate::context::{Context, Opener};

/// The beginning of the stream.
const MAGIC: &[u8] = b"lapstrake copy 1\n";
/// More threads than this only wait for the disk.
const MAX_THREADS: usize = 8;
/// Files are hashed in pieces of this size.
const PIECE: usize = 256 << 10;

/// The digests of all contents (but for those in checkouts, which are known by their commit): remembered, from the tables, or read now, on several threads.
pub(super) fn digests(
    selection: &Selection,
    cancel: &Cancel,
) -> Result<Vec<Option<ContentDigest>>, CopyError> {
    complete(selection, vec![None; selection.contents.len()], cancel)
}

/// The same, where some are known already.
pub(super) fn complete(
    selection: &Selection,
    mut known: Vec<Option<ContentDigest>>,
    cancel: &Cancel,
) -> Result<Vec<Option<ContentDigest>>, CopyError> {
    let mut unknown = Vec::new();
    for (place, (content, digest)) in selection.contents.iter().zip(&mut known).enumerate() {
        if digest.is_none() {
            *digest = without_reading(selection, content);
        }
        if digest.is_none() {
            unknown.push(place);
        }
    }
    if let Tree::Context(context) = &selection.input {
        for (place, digest) in hash_all(selection, context, &unknown, cancel)? {
            if let Some(slot) = known.get_mut(place) {
                *slot = Some(digest);
            }
        }
    }
    Ok(known)
}

fn without_reading(selection: &Selection, content: &Content) -> Option<ContentDigest> {
    if let Some((view, node)) = selection.in_layer(content) {
        return match view.entry(node).kind {
            EntryKind::File { content, .. } => Some(content),
            _ => None,
        };
    }
    match (content, &selection.input) {
        (Content::Inline(bytes), _) => Some(ContentDigest(*blake3::hash(bytes).as_bytes())),
        (Content::Download { file, .. }, _) => Some(file.content),
        (Content::Context { stamp, .. }, Tree::Context(context)) => context.remembered(stamp),
        _ => None,
    }
}

/// Reads files that are not remembered.
fn hash_all(
    selection: &Selection,
    context: &Context,
    places: &[usize],
    cancel: &Cancel,
) -> Result<Vec<(usize, ContentDigest)>, CopyError> {
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let work = || {
        let result = hash_some(selection, context, places, &next, &failed, cancel);
        if result.is_err() {
            failed.store(true, Ordering::Relaxed);
        }
        result
    };
    let available = std::thread::available_parallelism().map_or(1, NonZero::get);
    let threads = available.min(MAX_THREADS).min(places.len());
    let results: Vec<_> = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let own = work();
        let joined = others.into_iter().map(|other| match other.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        std::iter::once(own).chain(joined).collect()
    });
    let mut all = Vec::with_capacity(places.len());
    for result in results {
        all.extend(result?);
    }
    Ok(all)
}

fn hash_some(
    selection: &Selection,
    context: &Context,
    places: &[usize],
    next: &AtomicUsize,
    failed: &AtomicBool,
    cancel: &Cancel,
) -> Result<Vec<(usize, ContentDigest)>, CopyError> {
    let mut opener = Opener::new(context);
    let mut buffer = vec![0; PIECE];
    let mut found = Vec::new();
    while !failed.load(Ordering::Relaxed) {
        let Some(&place) = places.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
        let Some(Content::Context { stamp, item }) = selection.contents.get(place) else { continue };
        let mut file = opener.open(&selection.context_path(*item), stamp)?;
        let hash = file.hash(&mut buffer, || Ok(cancel.check()?))?;
        let digest = ContentDigest(*hash.as_bytes());
        context.remember(file.stamp(), digest, selection.is_plain(place, file.stamp()), file.read_at());
        found.push((place, digest));
    }
    Ok(found)
}

/// The key, when the digests of all contents are known.
pub(super) fn content_key(selection: &Selection, digests: &[Option<ContentDigest>]) -> ContentDigest {
    let mut stream = Stream::new();
    stream.bytes(MAGIC);
    match &selection.chown {
        Some(text) => {
            stream.bytes(&[1]);
            stream.text(text.as_bytes());
        }
        None => stream.bytes(&[0]),
    }
    let mut named = HashMap::new();
    for group in &selection.groups {
        let shape = match group.shape {
            Shape::Single => 0,
            Shape::Contents => 1,
            Shape::Kept => 2,
            Shape::Archive => 3,
            Shape::Checkout(place) => {
                stream.bytes(b"C");
                stream.text(
                    selection.checkouts.get(place).map_or(b"", |checkout| checkout.identity.as_bytes()),
                );
                continue;
            }
        };
        stream.group(shape, group);
        for item in &group.items {
            stream.item(item, selection.chown.is_some());
            stream.kind(item, selection, digests, &mut named);
        }
    }
    stream.finish()
}

/// Fields on their way into the hash.
struct Stream {
    hasher: blake3::Hasher,
    buffer: Vec<u8>,
}

impl Stream {
    /// The hash is fast with long inputs only.
    const BUFFER: usize = 64 << 10;

    fn new() -> Self {
        Self { hasher: blake3::Hasher::new(), buffer: Vec::with_capacity(2 * Self::BUFFER) }
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= Self::BUFFER {
            self.hasher.update(&self.buffer);
            self.buffer.clear();
        }
    }

    fn number(&mut self, number: u64) {
        self.bytes(&number.to_le_bytes());
    }

    fn small(&mut self, number: u32) {
        self.bytes(&number.to_le_bytes());
    }

    fn text(&mut self, text: &[u8]) {
        self.number(text.len() as u64);
        self.bytes(text);
    }

    fn group(&mut self, shape: u8, group: &Group) {
        self.bytes(&[b'G', shape]);
        self.text(&group.name);
        self.number(group.items.len() as u64);
    }

    fn item(&mut self, item: &Item, other_owner: bool) {
        self.text(&item.path);
        self.small(item.mode);
        let (uid, gid) = if other_owner { (0, 0) } else { (item.uid, item.gid) };
        self.small(uid);
        self.small(gid);
        self.number(item.xattrs.as_slice().len() as u64);
        for (name, value) in item.xattrs.as_slice() {
            self.text(name);
            self.text(value);
        }
    }

    fn kind(
        &mut self,
        item: &Item,
        selection: &Selection,
        digests: &[Option<ContentDigest>],
        named: &mut HashMap<usize, u64>,
    ) {
        match &item.kind {
            ItemKind::Directory => self.bytes(b"d"),
            ItemKind::File(place) => {
                let number = named.len() as u64;
                if let Some(earlier) = named.get(place) {
                    self.bytes(b"h");
                    self.number(*earlier);
                    return;
                }
                named.insert(*place, number);
                self.bytes(b"f");
                self.number(selection.contents.get(*place).map_or(0, Content::size));
                let digest = digests.get(*place).and_then(Option::as_ref);
                self.bytes(digest.map_or(&[], |digest| digest.0.as_slice()));
            }
            ItemKind::Symlink(target) => {
                self.bytes(b"l");
                self.text(target);
            }
            ItemKind::Special(Special::CharacterDevice { major, minor }) => self.device(b"c", *major, *minor),
            ItemKind::Special(Special::BlockDevice { major, minor }) => self.device(b"b", *major, *minor),
            ItemKind::Special(Special::Fifo) => self.bytes(b"p"),
        }
    }

    fn device(&mut self, tag: &[u8], major: u32, minor: u32) {
        self.bytes(tag);
        self.small(major);
        self.small(minor);
    }

    fn finish(mut self) -> ContentDigest {
        self.hasher.update(&self.buffer);
        ContentDigest(*self.hasher.finalize().as_bytes())
    }
}
