//! Where a packer's tar goes: into the store, or only through its digest.

use std::io::{self, Write};

use image::Digest;
use store::BlobWriter;

use crate::Result;
use crate::digest_writer::DigestWriter;

pub(super) enum Sink {
    /// A blob, which computes its digest itself.
    Blob(Box<BlobWriter>),
    /// Nowhere.
    Digest(Box<DigestWriter>),
}

impl Sink {
    pub(super) fn digest() -> Self {
        Sink::Digest(Box::default())
    }

    /// Digest and size of all that was written; the blob is in the store now.
    pub(super) fn finish(self) -> Result<(Digest, u64)> {
        match self {
            Sink::Blob(writer) => Ok(writer.commit(None)?),
            Sink::Digest(writer) => Ok(writer.finish()?),
        }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Sink::Blob(writer) => writer.write(bytes),
            Sink::Digest(writer) => writer.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
