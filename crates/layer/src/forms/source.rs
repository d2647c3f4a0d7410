//! The layer's plain tar as a stream, from whatever form there is.

use std::io::{self, Read};

use base::Cancel;
use image::{DiffId, Digester};
use store::{Layer, Lease, Store, StoreError};

use super::{name, rebuild::Rebuild};
use crate::{LayerError, Result, decompress};

/// How much is copied at a time.
const CHUNK: usize = 256 << 10;

/// Opens the stream: the pack, else a blob (one sequential read), else the tree.
pub(crate) fn open<'a>(store: &Store, lease: &Lease, layer: &'a Layer) -> Result<Box<dyn Read + Send + 'a>> {
    let digest = layer.diff_id().0;
    if layer.has_pack()? && store.blobs().keep(lease, &digest)? {
        return Ok(Box::new(store.blobs().open(lease, &digest)?.file));
    }
    for blob in layer.blobs()? {
        if store.blobs().keep(lease, &blob.descriptor.digest)? {
            let file = store.blobs().open(lease, &blob.descriptor.digest)?.file;
            let (_, reader) =
                decompress::reader(Box::new(file)).map_err(|source| failed("decompress", layer, source))?;
            return Ok(reader);
        }
    }
    match layer.tree(None)? {
        Some(tree) => Ok(Box::new(Rebuild::new(layer, &tree)?)),
        None => Err(StoreError::NoBlob(digest).into()),
    }
}

/// Gives the whole stream to `write`, piece by piece, and checks it against the DiffID at the end.
pub(super) fn copy(
    store: &Store,
    lease: &Lease,
    layer: &Layer,
    write: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    cancel: &Cancel,
) -> Result<()> {
    let mut stream = open(store, lease, layer)?;
    let mut digester = Digester::new(layer.diff_id().0.algorithm());
    let mut buffer = vec![0; CHUNK];
    loop {
        cancel.check()?;
        let count = match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(source) => return Err(failed("read", layer, source)),
        };
        let bytes = buffer.get(..count).unwrap_or_default();
        digester.update(bytes);
        write(bytes).map_err(|source| failed("write", layer, source))?;
    }
    let found = DiffId(digester.finish());
    if found != layer.diff_id() {
        return Err(LayerError::Mismatch { expected: Box::new(layer.diff_id()), found: Box::new(found) });
    }
    Ok(())
}

fn failed(action: &'static str, layer: &Layer, source: io::Error) -> LayerError {
    LayerError::Stream { action, what: name(layer), source }
}
