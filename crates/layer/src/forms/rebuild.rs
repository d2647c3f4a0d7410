//! The layer's tar again, from its tree: the framing out of the table, the contents out of the files.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use store::table::{EntryKind, Table};
use store::{Layer, Ownership};

use crate::Result;
use crate::apply::Pieces;
use crate::rooted::Rooted;

/// The tar as a stream. Whether it is the right one, only its digest tells.
pub(super) struct Rebuild<'a> {
    table: &'a Table,
    framing: Box<dyn Read + Send + 'a>,
    tree: Rooted,
    /// Offset and place in the table of the files that have bytes in the tar, in order.
    files: std::iter::Peekable<std::vec::IntoIter<(u64, usize)>>,
    position: u64,
    content: Option<Content>,
}

/// What is still to come of a file.
struct Content {
    file: File,
    pieces: std::vec::IntoIter<(u64, u64)>,
    /// The piece in hand: place in the file, length.
    current: (u64, u64),
}

impl<'a> Rebuild<'a> {
    pub fn new(layer: &'a Layer, tree: &Path) -> Result<Self> {
        let table = layer.table();
        let mut files = Vec::new();
        for (index, entry) in table.entries().enumerate() {
            if let EntryKind::File { size, offset, sparse, .. } = entry.kind
                && Pieces::new(entry.path, size, sparse.as_deref())?.stored() > 0
            {
                files.push((offset, index));
            }
        }
        files.sort_unstable();
        Ok(Self {
            table,
            framing: table.framing()?,
            tree: Rooted::open(tree, Ownership::InTables)?,
            files: files.into_iter().peekable(),
            position: 0,
            content: None,
        })
    }

    /// Reads framing, up to the next contents.
    fn read_framing(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let until = self.files.peek().map_or(u64::MAX, |(offset, _)| offset.saturating_sub(self.position));
        let wanted = bytes.len().min(usize::try_from(until).unwrap_or(usize::MAX));
        let count = self.framing.read(bytes.get_mut(..wanted).unwrap_or_default())?;
        if count == 0 && self.files.peek().is_some() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(count)
    }

    fn open(&mut self, index: usize) -> io::Result<Content> {
        let gone = || io::Error::from(io::ErrorKind::InvalidData);
        let entry = self.table.entry(index).ok_or_else(gone)?;
        let EntryKind::File { size, sparse, .. } = entry.kind else { return Err(gone()) };
        let pieces: Vec<_> =
            Pieces::new(entry.path, size, sparse.as_deref()).map_err(io::Error::other)?.iter().collect();
        let file = self.tree.read(entry.path).map_err(io::Error::other)?;
        Ok(Content { file, pieces: pieces.into_iter(), current: (0, 0) })
    }
}

impl Read for Rebuild<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        if let Some((_, index)) = self.files.next_if(|(offset, _)| *offset == self.position) {
            self.content = Some(self.open(index)?);
        }
        let count = match &mut self.content {
            Some(content) => content.read(bytes)?,
            None => self.read_framing(bytes)?,
        };
        if self.content.as_ref().is_some_and(Content::is_over) {
            self.content = None;
        }
        self.position += count as u64;
        Ok(count)
    }
}

impl Content {
    /// Reads stored bytes; never nothing.
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        while self.current.1 == 0 {
            self.current = self.pieces.next().ok_or(io::ErrorKind::UnexpectedEof)?;
        }
        let (place, length) = self.current;
        let wanted = bytes.len().min(usize::try_from(length).unwrap_or(usize::MAX));
        let count = self.file.read_at(bytes.get_mut(..wanted).unwrap_or_default(), place)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.current = (place + count as u64, length - count as u64);
        Ok(count)
    }

    fn is_over(&self) -> bool {
        self.current.1 == 0 && self.pieces.as_slice().iter().all(|(_, length)| *length == 0)
    }
}
