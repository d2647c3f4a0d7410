//! A reader that computes the digest of all that is read through it.

use std::io::{self, Read};

use image::{Algorithm, Digest, Digester};

/// Reads from another reader; large reads hash best.
pub(crate) struct DigestReader<R> {
    inner: R,
    digester: Digester,
}

impl<R: Read> DigestReader<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self { inner, digester: Digester::new(Algorithm::Sha256) }
    }

    /// The reader, and the digest of what was read.
    pub(crate) fn into_parts(self) -> (R, Digest) {
        (self.inner, self.digester.finish())
    }

    /// The digest of what was read.
    pub(crate) fn finish(self) -> Digest {
        self.digester.finish()
    }
}

impl<R: Read> Read for DigestReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.digester.update(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}
