//! The stream under a scan: buffered, counted, hashed, its bytes handed on as framing or as contents.

use std::io::Read;

use base::Cancel;
use store::table::{Entry, TableBuilder};

use crate::limits::MAX_TAR_SIZE;
use crate::tar_writer::header::{BLOCK, padding};
use crate::{LayerError, Result};

const BUFFER: usize = 256 << 10;

/// Takes what a scan finds.
pub(crate) trait Collector {
    /// Bytes that are not contents.
    fn framing(&mut self, bytes: &[u8]) -> Result<()>;

    /// An entry.
    fn entry(&mut self, entry: &Entry<'_>);

    /// The contents of a file come next; `offset` is where the archive has them, `size` includes holes. Whether the file counts, and what it is
    /// called, is known with its entry.
    fn file(&mut self, offset: u64, size: u64) -> Result<()> {
        let _ = (offset, size);
        Ok(())
    }

    /// Bytes of these contents, and their place in the file.
    fn contents(&mut self, place: u64, bytes: &[u8]) -> Result<()> {
        let _ = (place, bytes);
        Ok(())
    }
}

impl Collector for TableBuilder {
    fn framing(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(TableBuilder::framing(self, bytes)?)
    }

    fn entry(&mut self, entry: &Entry<'_>) {
        TableBuilder::entry(self, entry);
    }
}

/// A tar that is being read.
pub(super) struct Input<'a, C> {
    stream: &'a mut dyn Read,
    cancel: &'a Cancel,
    pub(super) collector: C,
    buffer: Box<[u8]>,
    /// The part of the buffer that was read and not taken yet.
    start: usize,
    end: usize,
    /// How many bytes were taken.
    position: u64,
    /// The name of the entry that is being read, for errors.
    pub(super) entry: Vec<u8>,
}

impl<'a, C: Collector> Input<'a, C> {
    pub(super) fn new(stream: &'a mut dyn Read, collector: C, cancel: &'a Cancel) -> Self {
        Self {
            stream,
            cancel,
            collector,
            buffer: vec![0; BUFFER].into_boxed_slice(),
            start: 0,
            end: 0,
            position: 0,
            entry: Vec::new(),
        }
    }

    /// How many bytes were taken.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// An error about the entry that is being read.
    pub(super) fn refuse(&self, reason: impl Into<String>) -> LayerError {
        LayerError::Entry { entry: self.entry.clone(), reason: reason.into() }
    }

    fn truncated(&self) -> LayerError {
        self.refuse(if self.entry.is_empty() {
            "it ends within its first header: it is not a tar archive"
        } else {
            "the archive ends within it"
        })
    }

    /// What is in the buffer, at most `limit` bytes; nothing at the end of the stream.
    fn available(&mut self, limit: u64) -> Result<&[u8]> {
        if self.start == self.end {
            self.fill()?;
        }
        let limit = usize::try_from(limit).unwrap_or(usize::MAX).min(self.end - self.start);
        Ok(self.buffer.get(self.start..self.start + limit).unwrap_or_default())
    }

    fn fill(&mut self) -> Result<()> {
        self.cancel.check()?;
        if self.position > MAX_TAR_SIZE {
            return Err(LayerError::TooLarge { what: "the archive".to_owned(), limit: MAX_TAR_SIZE });
        }
        let count = loop {
            match self.stream.read(&mut self.buffer) {
                Ok(count) => break count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(source) => {
                    return Err(LayerError::Stream {
                        action: "read",
                        what: "the archive".to_owned(),
                        source,
                    });
                }
            }
        };
        (self.start, self.end) = (0, count);
        Ok(())
    }

    fn advance(&mut self, count: usize) {
        self.start += count;
        self.position += count as u64;
    }

    /// Takes up to `size` bytes as framing, and shows them; gives how many there were.
    fn framing(&mut self, size: u64, see: &mut dyn FnMut(&[u8])) -> Result<u64> {
        let mut remaining = size;
        while remaining > 0 {
            self.available(remaining)?;
            let limit = usize::try_from(remaining).unwrap_or(usize::MAX).min(self.end - self.start);
            if limit == 0 {
                break;
            }
            let bytes = self.buffer.get(self.start..self.start + limit).unwrap_or_default();
            self.collector.framing(bytes)?;
            see(bytes);
            self.advance(limit);
            remaining -= limit as u64;
        }
        Ok(size - remaining)
    }

    /// Takes one block as framing; `None` at the end of the stream.
    pub(super) fn block(&mut self) -> Result<Option<[u8; BLOCK]>> {
        let mut block = [0; BLOCK];
        let mut at = 0;
        let count = self.framing(BLOCK as u64, &mut |bytes| {
            if let Some(place) = block.get_mut(at..at + bytes.len()) {
                place.copy_from_slice(bytes);
            }
            at += bytes.len();
        })?;
        match count {
            0 => Ok(None),
            _ if count == BLOCK as u64 => Ok(Some(block)),
            _ => Err(self.truncated()),
        }
    }

    /// Takes data of `size` bytes, and what fills its last block, as framing, and gives it.
    pub(super) fn metadata(&mut self, size: u64, limit: u64) -> Result<Vec<u8>> {
        if size > limit {
            return Err(self.refuse(format!("its extended header has {size} bytes, more than {limit}")));
        }
        let mut data = Vec::new();
        if self.framing(size, &mut |bytes| data.extend_from_slice(bytes))? < size {
            return Err(self.truncated());
        }
        self.padding(size)?;
        Ok(data)
    }

    /// Takes data that nobody wants, and what fills its last block, as framing.
    pub(super) fn skip(&mut self, size: u64) -> Result<()> {
        if self.framing(size, &mut |_| {})? < size {
            return Err(self.truncated());
        }
        self.padding(size)
    }

    /// Takes what fills the last block behind `size` bytes of data. At the very end of a stream it may be missing, as writers exist that leave it away.
    pub(super) fn padding(&mut self, size: u64) -> Result<()> {
        self.framing(padding(size) as u64, &mut |_| {}).map(drop)
    }

    /// Takes contents that belong at a place of their file, and shows them.
    pub(super) fn content(&mut self, place: u64, size: u64, see: &mut dyn FnMut(&[u8])) -> Result<()> {
        let mut remaining = size;
        while remaining > 0 {
            let count = self.available(remaining)?.len();
            if count == 0 {
                return Err(self.truncated());
            }
            let bytes = self.buffer.get(self.start..self.start + count).unwrap_or_default();
            self.collector.contents(place + (size - remaining), bytes)?;
            see(bytes);
            self.advance(count);
            remaining -= count as u64;
        }
        Ok(())
    }

    /// Takes everything up to a place as framing.
    pub(super) fn until(&mut self, place: u64) -> Result<()> {
        let size = place.saturating_sub(self.position);
        if self.framing(size, &mut |_| {})? < size { Err(self.truncated()) } else { Ok(()) }
    }

    /// Hashes the zeros of a hole.
    pub(super) fn zeros(&mut self, count: u64, hasher: &mut blake3::Hasher) -> Result<()> {
        static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
        let mut remaining = count;
        while remaining > 0 {
            self.cancel.check()?;
            let count = ZEROS.len().min(usize::try_from(remaining).unwrap_or(usize::MAX));
            hasher.update(ZEROS.get(..count).unwrap_or_default());
            remaining -= count as u64;
        }
        Ok(())
    }

    /// Takes everything up to the end of the stream as framing.
    pub(super) fn rest(&mut self) -> Result<()> {
        self.framing(u64::MAX, &mut |_| {}).map(drop)
    }

    /// Ends: who collected, and the size.
    pub(super) fn finish(self) -> (C, u64) {
        (self.collector, self.position)
    }
}
