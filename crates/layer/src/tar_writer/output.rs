//! The buffer before what a tar is written to.

use std::io::Write;

use crate::{LayerError, Result};

/// Large enough that its writes and hashes cost nothing beside the bytes themselves; small files share one.
const BUFFER: usize = 512 << 10;
/// A read for contents asks for at least this much, so that a nearly full buffer does not make for small ones.
const LEAST_READ: u64 = 128 << 10;

/// Gathers bytes, and counts them.
pub(super) struct Output<W> {
    out: W,
    buffer: Box<[u8]>,
    filled: usize,
    /// How many bytes were given to `out`.
    written: u64,
}

impl<W: Write> Output<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, buffer: vec![0; BUFFER].into_boxed_slice(), filled: 0, written: 0 }
    }

    /// How many bytes came so far.
    pub(super) fn position(&self) -> u64 {
        self.written + self.filled as u64
    }

    pub(super) fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let space = self.space(1)?;
            let count = space.len().min(bytes.len());
            let (now, later) = bytes.split_at(count);
            if let Some(place) = self.buffer.get_mut(self.filled..self.filled + count) {
                place.copy_from_slice(now);
            }
            self.advance(count)?;
            bytes = later;
        }
        Ok(())
    }

    /// Room for bytes, never none: `wanted`, or as much as makes a good read. [`Self::advance`] says how many of them count.
    pub(super) fn space(&mut self, wanted: u64) -> Result<&mut [u8]> {
        let room = (self.buffer.len() - self.filled) as u64;
        if room < wanted.clamp(1, LEAST_READ) {
            self.flush()?;
        }
        let room = self.buffer.len() - self.filled;
        let length = usize::try_from(wanted).unwrap_or(room).min(room);
        Ok(self.buffer.get_mut(self.filled..self.filled + length).unwrap_or_default())
    }

    pub(super) fn advance(&mut self, count: usize) -> Result<()> {
        self.filled += count;
        if self.filled == self.buffer.len() { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        let bytes = self.buffer.get(..self.filled).unwrap_or_default();
        self.out.write_all(bytes).map_err(cannot_write)?;
        self.written += bytes.len() as u64;
        self.filled = 0;
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<W> {
        self.flush()?;
        self.out.flush().map_err(cannot_write)?;
        Ok(self.out)
    }
}

fn cannot_write(source: std::io::Error) -> LayerError {
    LayerError::Stream { action: "write", what: "the tar".to_owned(), source }
}
