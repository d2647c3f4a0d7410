//! The stream as it comes: stored, or only looked at, and handed on.

use std::io::{Read, Write};

use base::{Cancel, IoContext};
use image::{Digest, Digester};
use store::{BlobWriter, StoreError};

use super::pipe::{PipeWriter, fill};
use crate::limits::MAX_TAR_SIZE;
use crate::{LayerError, Result};

/// What happens to the stream.
pub(super) enum Keep {
    /// It becomes a blob.
    Store(Box<BlobWriter>),
    /// Its digest is checked.
    Verify(Box<Digester>),
    /// Whoever gives it has checked it.
    Trust,
}

/// A stream on its way.
pub(super) struct Raw {
    pub keep: Keep,
    /// Digest and size that it must have.
    pub expected: Option<(Digest, u64)>,
    pub size: u64,
    /// Whether it was read to its end.
    pub ended: bool,
}

impl Raw {
    pub(super) fn new(keep: Keep, expected: Option<(Digest, u64)>) -> Self {
        Self { keep, expected, size: 0, ended: false }
    }

    /// Reads the stream to its end. When nobody wants more, it goes on only if there is a digest to check: to tell wrong bytes from a bad archive.
    pub(super) fn pump(&mut self, stream: &mut dyn Read, to: &PipeWriter, cancel: &Cancel) -> Result<()> {
        let limit = self.expected.map_or(MAX_TAR_SIZE, |(_, size)| size);
        let mut is_wanted = true;
        loop {
            cancel.check()?;
            let mut piece = to.piece();
            fill(&mut piece, stream).map_err(|source| LayerError::Stream {
                action: "read",
                what: "the layer".to_owned(),
                source,
            })?;
            if piece.is_empty() {
                self.ended = true;
                to.end();
                return Ok(());
            }
            self.size += piece.len() as u64;
            if self.size > limit {
                return Err(self.too_large(limit));
            }
            self.take(&piece)?;
            is_wanted = is_wanted && to.send(piece).is_ok();
            if !is_wanted && self.expected.is_none() {
                return Ok(());
            }
        }
    }

    fn take(&mut self, piece: &[u8]) -> Result<()> {
        match &mut self.keep {
            Keep::Store(writer) => writer.write_all(piece).context("write", "a blob of the layer")?,
            Keep::Verify(digester) => digester.update(piece),
            Keep::Trust => {}
        }
        Ok(())
    }

    fn too_large(&self, limit: u64) -> LayerError {
        match &self.expected {
            Some((digest, size)) => wrong(digest, format!("{size} bytes"), "more".to_owned()),
            None => LayerError::TooLarge { what: "the layer".to_owned(), limit },
        }
    }

    /// An error when the stream is not as long as it should be: then whatever else went wrong comes from that.
    pub(super) fn check_size(&self) -> Result<()> {
        match &self.expected {
            Some((digest, size)) if self.size != *size => {
                Err(wrong(digest, format!("{size} bytes"), format!("{} bytes", self.size)))
            }
            _ => Ok(()),
        }
    }

    /// An error when the bytes are not those that were expected. Nothing is stored.
    pub(super) fn check(self) -> Result<()> {
        match (self.keep, self.expected) {
            (Keep::Store(writer), Some(expected)) => Ok(writer.check(expected)?),
            (Keep::Verify(digester), Some((digest, _))) => check_digest(*digester, &digest),
            _ => Ok(()),
        }
    }
}

/// Whether a digest is what it should be.
pub(super) fn check_digest(digester: Digester, expected: &Digest) -> Result<()> {
    let found = digester.finish();
    if found == *expected { Ok(()) } else { Err(wrong(expected, expected.to_string(), found.to_string())) }
}

/// A blob is not what it should be.
fn wrong(digest: &Digest, expected: String, found: String) -> LayerError {
    StoreError::Mismatch { what: format!("blob {digest}"), expected, found }.into()
}
