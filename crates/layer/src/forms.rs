//! The forms of a layer's contents: pack, compressed blob, tree; each is made from any other when it is first needed, and checked.
//!
//! Whatever there is gives the layer's plain tar as a stream ([`source`]); everything else is made from that stream. A pack and a blob get their names
//! when the stream had the layer's DiffID. A tree is made from the table, and every content in it is checked with the digest in the table, which was
//! taken from the same tar as the DiffID: that says as much, and is the faster of the two.

mod alone;
mod content;
mod rebuild;
pub(crate) mod source;

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use base::Cancel;
use image::{ChainId, Descriptor, DiffId, Digest, MediaType};
use store::table::EntryKind;
use store::{BlobWriter, GrowingBlob, Layer, LayerBlob, Lease, Store};

use crate::compress::Compressor;
use crate::{Encoding, LayerError, Result, apply};
use alone::{Work, alone};

/// How many trees are made at a time.
const TREES_AT_A_TIME: usize = 2;

/// The trees of a stack, to be mounted: the lowest layer first. Those that are missing are made, several at a time.
///
/// A tree that is in the stack several times (layers that change nothing are common) is given once, at its upper-most place: overlayfs refuses a directory that
/// it has already, and whatever the lower one has or hides, the upper one has or hides as well.
pub fn trees(store: &Store, lease: &Lease, stack: &[Layer], cancel: &Cancel) -> Result<Vec<PathBuf>> {
    let chains = chains(stack);
    let job = |place: usize| -> Result<PathBuf> {
        let (below, layer) = stack.split_at(place);
        let chain = chains.get(place).copied().flatten();
        match layer.first() {
            Some(layer) => tree(store, lease, layer, below, chain, cancel),
            None => Ok(PathBuf::new()),
        }
    };
    // Those that need files from below come when everything below is there.
    let (later, first): (Vec<usize>, Vec<usize>) = (0..stack.len())
        .partition(|place| stack.get(*place).is_some_and(|layer| layer.table().needs_lower()));
    let mut paths = vec![PathBuf::new(); stack.len()];
    for (place, path) in in_parallel(&first, &job)?.into_iter().chain(in_parallel(&later, &job)?) {
        if let Some(known) = paths.get_mut(place) {
            *known = path;
        }
    }
    let mut seen = HashSet::new();
    paths.reverse();
    paths.retain(|path| seen.insert(path.clone()));
    paths.reverse();
    Ok(paths)
}

/// The chain below each layer.
fn chains(stack: &[Layer]) -> Vec<Option<ChainId>> {
    let ids: Vec<DiffId> = stack.iter().map(Layer::diff_id).collect();
    (0..stack.len()).map(|place| ids.get(..place).and_then(ChainId::of)).collect()
}

/// Runs the job for each place. After a failure no further one is begun.
fn in_parallel<T: Send>(
    places: &[usize],
    job: &(dyn Fn(usize) -> Result<T> + Sync),
) -> Result<Vec<(usize, T)>> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    let work = || {
        while let Some(place) = places.get(next.fetch_add(1, Ordering::Relaxed)) {
            let result = job(*place);
            if result.is_err() {
                next.store(places.len(), Ordering::Relaxed);
            }
            done.lock().unwrap_or_else(PoisonError::into_inner).push(result.map(|value| (*place, value)));
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..TREES_AT_A_TIME.min(places.len()) {
            scope.spawn(work);
        }
        work();
    });
    done.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().collect()
}

/// The layer's tree, made if it is missing; straight from the stream, nothing else is stored.
fn tree(
    store: &Store,
    lease: &Lease,
    layer: &Layer,
    below: &[Layer],
    chain: Option<ChainId>,
    cancel: &Cancel,
) -> Result<PathBuf> {
    let needs_lower = layer.table().needs_lower();
    if let Some(path) = layer.tree(chain.as_ref())? {
        return Ok(path);
    }
    let _alone = alone(Work::Tree(layer.diff_id(), chain.filter(|_| needs_lower)), cancel)?;
    if let Some(path) = layer.tree(chain.as_ref())? {
        return Ok(path);
    }
    let unfinished = store.temp_dir("tree")?;
    let below = if needs_lower { below } else { &[] };
    let mut tar = source::open(store, lease, layer)?;
    apply::apply(store, lease, &mut tar, layer.table(), below, &unfinished, cancel)?;
    Ok(layer.add_tree(chain.as_ref(), unfinished)?)
}

/// The layer's pack, made if it is missing; its digest is the DiffID.
pub fn pack(store: &Store, lease: &Lease, layer: &Layer, cancel: &Cancel) -> Result<Digest> {
    let digest = layer.diff_id().0;
    if is_kept_pack(store, lease, layer)? {
        return Ok(digest);
    }
    let _alone = alone(Work::Pack(layer.diff_id()), cancel)?;
    if !is_kept_pack(store, lease, layer)? {
        let mut writer = store.blobs().writer(lease)?;
        source::copy(store, lease, layer, &mut |bytes| writer.write_all(bytes), cancel)?;
        writer.commit(Some((digest, layer.table().tar_size())))?;
    }
    Ok(digest)
}

fn is_kept_pack(store: &Store, lease: &Lease, layer: &Layer) -> Result<bool> {
    Ok(layer.has_pack()? && store.blobs().keep(lease, &layer.diff_id().0)?)
}

/// A blob of the layer, as a descriptor of a manifest: one that came from outside if there is one in an acceptable encoding, else one that was
/// made before, else made now (and remembered).
///
/// A blob that came compressed, in whatever way, is acceptable wherever a compressed one is asked for: so its digest survives every later push and save.
pub fn blob(
    store: &Store,
    lease: &Lease,
    layer: &Layer,
    encoding: Encoding,
    threads: usize,
    cancel: &Cancel,
) -> Result<Descriptor> {
    blob_watched(store, lease, layer, encoding, threads, &|_| {}, cancel)
}

/// Like [`blob`]; when it is made now, `watch` gets it as soon as its first byte can be written, to be read while it grows.
pub fn blob_watched(
    store: &Store,
    lease: &Lease,
    layer: &Layer,
    encoding: Encoding,
    threads: usize,
    watch: &dyn Fn(GrowingBlob),
    cancel: &Cancel,
) -> Result<Descriptor> {
    if encoding == Encoding::Plain {
        let digest = pack(store, lease, layer, cancel)?;
        return Ok(Descriptor::new(encoding.oci_media_type(), digest, layer.table().tar_size()));
    }
    if let Some(known) = known_blob(store, lease, layer, encoding)? {
        return Ok(known);
    }
    let name = encoding.name();
    let _alone = alone(Work::Blob(layer.diff_id(), name.clone()), cancel)?;
    if let Some(known) = known_blob(store, lease, layer, encoding)? {
        return Ok(known);
    }
    let writer = store.blobs().writer(lease)?;
    watch(writer.growing()?);
    let compressor = Compressor::new(writer, encoding, threads)?;
    let (digest, size) = compress(store, lease, layer, compressor, cancel)?;
    let descriptor = Descriptor::new(encoding.oci_media_type(), digest, size);
    layer.add_blob(&LayerBlob { encoding: name, descriptor: descriptor.clone() })?;
    Ok(descriptor)
}

/// What names the blob that a layer gives in an encoding, before its own digest is known: the same layer in the same encoding is the same bytes.
pub fn recipe(layer: &Layer, encoding: Encoding) -> Digest {
    Digest::sha256(format!("{} in {}", layer.diff_id(), encoding.name()).as_bytes())
}

/// A blob that need not be made; the best one: from outside in the same encoding, from outside, made here.
fn known_blob(store: &Store, lease: &Lease, layer: &Layer, encoding: Encoding) -> Result<Option<Descriptor>> {
    let asked = encoding.oci_media_type();
    let name = encoding.name();
    let mut blobs = layer.blobs()?;
    blobs.retain(|blob| {
        let media_type = &blob.descriptor.media_type;
        let compressed = [MediaType::OCI_LAYER_GZIP, MediaType::OCI_LAYER_ZSTD].contains(media_type);
        if blob.encoding.starts_with("as-came") { compressed } else { blob.encoding == name }
    });
    blobs.sort_by_key(|blob| (!blob.encoding.starts_with("as-came"), blob.descriptor.media_type != asked));
    for blob in blobs {
        if store.blobs().keep(lease, &blob.descriptor.digest)? {
            return Ok(Some(blob.descriptor));
        }
    }
    Ok(None)
}

fn compress(
    store: &Store,
    lease: &Lease,
    layer: &Layer,
    mut compressor: Compressor<BlobWriter>,
    cancel: &Cancel,
) -> Result<(Digest, u64)> {
    let mut boundaries = boundaries(layer).into_iter().peekable();
    let mut position = 0;
    let mut write = |mut bytes: &[u8]| {
        while let Some(boundary) = boundaries.next_if(|boundary| *boundary < position + bytes.len() as u64) {
            let (before, after) = bytes.split_at((boundary - position) as usize);
            compressor.write_all(before)?;
            compressor.entry_boundary();
            (position, bytes) = (boundary, after);
        }
        position += bytes.len() as u64;
        compressor.write_all(bytes)
    };
    source::copy(store, lease, layer, &mut write, cancel)?;
    let writer = compressor.finish().map_err(|source| LayerError::Stream {
        action: "compress",
        what: name(layer),
        source,
    })?;
    Ok(writer.commit(None)?)
}

/// Where entries begin: behind the contents of each file. They come from the table, and so are the same whatever form the tar is made from.
fn boundaries(layer: &Layer) -> Vec<u64> {
    let mut boundaries: Vec<u64> = layer
        .table()
        .entries()
        .filter_map(|entry| {
            let EntryKind::File { size, offset, sparse, .. } = entry.kind else { return None };
            let stored = match &sparse {
                None => size,
                Some(pieces) => pieces.iter().fold(0, |sum: u64, (_, length)| sum.saturating_add(*length)),
            };
            offset.checked_add(stored)?.checked_next_multiple_of(512)
        })
        .collect();
    boundaries.sort_unstable();
    boundaries.dedup();
    boundaries
}

/// Writes the layer's tar to `out`, from whatever form there is, without storing anything; checked against the DiffID at the end.
pub fn tar(store: &Store, lease: &Lease, layer: &Layer, out: &mut dyn Write, cancel: &Cancel) -> Result<()> {
    source::copy(store, lease, layer, &mut |bytes| out.write_all(bytes), cancel)
}

/// Opens the contents of a file of the layer, by its place in the table.
///
/// A layer that only has compressed blobs gets its pack: that is one sequential write, and from then on every file is one read away; a tree would cost the creation of
/// every file in the layer, and reading the blob again for each file the square of its size.
pub fn open_content(
    store: &Store,
    lease: &Lease,
    layer: &Layer,
    index: usize,
) -> Result<Box<dyn Read + Send>> {
    if !is_kept_pack(store, lease, layer)? {
        if let Some(tree) = layer.tree(None)? {
            return content::from_tree(&tree, layer, index);
        }
        pack(store, lease, layer, &Cancel::new())?;
    }
    let pack = store.blobs().open(lease, &layer.diff_id().0)?;
    content::from_pack(pack.file, layer, index)
}

/// What a layer is called in messages.
fn name(layer: &Layer) -> String {
    format!("layer {}", layer.diff_id())
}
