//! Recognising layers by their first bytes, before it is known what they are for.

use std::io::Cursor;

use layer::decompress::{self, Compression};
use tar_core::{HEADER_SIZE, Header};

use crate::entries::read_full;

/// How much of a file is looked at: more than a whole block of zstd (128 KiB). Where it is not enough (bzip2), the file is stored
/// and looked at again when it is known to be a layer: slower, not wrong.
pub(super) const PEEK: usize = 256 << 10;

/// The compression of what is certainly a tar.
pub(super) fn layer(beginning: &[u8]) -> Option<Compression> {
    let compression = Compression::sniff(beginning);
    if compression == Compression::Plain {
        return is_tar(beginning).then_some(compression);
    }
    let (_, mut plain) = decompress::reader(Box::new(Cursor::new(beginning.to_vec()))).ok()?;
    let mut blocks = [0; 2 * HEADER_SIZE];
    let filled = read_full(&mut plain, &mut blocks).ok()?;
    is_tar(blocks.get(..filled)?).then_some(compression)
}

/// Whether it begins with a header, or with the mark that ends an empty tar.
fn is_tar(beginning: &[u8]) -> bool {
    let Some(block) = beginning.first_chunk::<HEADER_SIZE>() else { return false };
    if block.iter().all(|byte| *byte == 0) {
        return beginning
            .get(HEADER_SIZE..2 * HEADER_SIZE)
            .is_some_and(|next| next.iter().all(|byte| *byte == 0));
    }
    Header::from_bytes(block).verify_checksum().is_ok()
}
