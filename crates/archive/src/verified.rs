//! A blob on its way from one place to another: streamed, hashed, and compared with what it should be.

use std::io::{Read, Write};

use base::Cancel;
use base::task::Count;
use image::{Descriptor, Digest, Digester};

use crate::ArchiveError;

/// How much is read at a time.
const PIECE: usize = 256 << 10;

/// Copies a blob. What is damaged does not arrive unnoticed: then this fails, and whatever was written is of no use.
pub(crate) fn copy(
    (digest, size): (&Digest, u64),
    contents: &mut dyn Read,
    out: &mut dyn Write,
    count: &mut Count,
    cancel: &Cancel,
) -> Result<(), ArchiveError> {
    let mut digester = Digester::new(digest.algorithm());
    let mut written = 0;
    let mut buffer = vec![0; PIECE];
    loop {
        cancel.check()?;
        let read = contents
            .read(&mut buffer)
            .map_err(|source| ArchiveError::Stream { action: "read what goes into", source })?;
        let Some(part) = buffer.get(..read).filter(|part| !part.is_empty()) else { break };
        written += read as u64;
        if written > size {
            break;
        }
        digester.update(part);
        out.write_all(part).map_err(|source| ArchiveError::Stream { action: "write", source })?;
        count.add(read);
    }
    compare((digest, size), (&digester.finish(), written))
}

/// Compares what was read with what it should be.
fn compare(expected: (&Digest, u64), found: (&Digest, u64)) -> Result<(), ArchiveError> {
    if expected == found {
        return Ok(());
    }
    Err(store::StoreError::Mismatch {
        what: format!("blob {}", expected.0),
        expected: format!("{}, {} bytes", expected.0, expected.1),
        found: format!("{}, {} bytes", found.0, found.1),
    }
    .into())
}

/// Whether bytes are what a descriptor says.
pub(crate) fn check(descriptor: &Descriptor, bytes: &[u8]) -> Result<(), ArchiveError> {
    let mut digester = Digester::new(descriptor.digest.algorithm());
    digester.update(bytes);
    compare((&descriptor.digest, descriptor.size), (&digester.finish(), bytes.len() as u64))
}
