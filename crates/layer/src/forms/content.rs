//! The contents of one file, from a pack or a tree.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use store::table::{Entry, EntryKind};
use store::{Layer, Ownership};

use super::name;
use crate::apply::Pieces;
use crate::rooted::Rooted;
use crate::{LayerError, Result};

/// A file's contents out of a pack.
pub(super) fn from_pack(pack: File, layer: &Layer, index: usize) -> Result<Box<dyn Read + Send>> {
    let (entry, size) = file(layer, index)?;
    let EntryKind::File { offset, sparse, .. } = &entry.kind else { return Err(not_a_file(entry.path)) };
    let pieces = Pieces::new(entry.path, size, sparse.as_deref())?;
    let mut next = *offset;
    let pieces = pieces
        .iter()
        .map(|(place, length)| {
            let stored = next;
            next = next.saturating_add(length);
            Piece { place, length, stored }
        })
        .collect::<Vec<_>>();
    Ok(Box::new(PieceReader { file: pack, pieces: pieces.into_iter(), current: None, position: 0, size }))
}

/// A file's contents out of a tree.
pub(super) fn from_tree(tree: &Path, layer: &Layer, index: usize) -> Result<Box<dyn Read + Send>> {
    let (entry, size) = file(layer, index)?;
    let file = Rooted::open(tree, Ownership::InTables)?.read(entry.path)?;
    let found = file.metadata().map_err(|source| unreadable(layer, source))?.len();
    if found != size {
        return Err(LayerError::Entry {
            entry: entry.path.to_vec(),
            reason: format!("its file in the store has {found} bytes instead of {size}"),
        });
    }
    Ok(Box::new(file))
}

fn file(layer: &Layer, index: usize) -> Result<(Entry<'_>, u64)> {
    match layer.table().entry(index) {
        Some(entry) => match entry.kind {
            EntryKind::File { size, .. } => Ok((entry, size)),
            _ => Err(not_a_file(entry.path)),
        },
        None => Err(not_a_file(b"")),
    }
}

fn not_a_file(path: &[u8]) -> LayerError {
    LayerError::Resolve { path: path.to_vec(), reason: "it is not a regular file" }
}

fn unreadable(layer: &Layer, source: io::Error) -> LayerError {
    LayerError::Stream { action: "read", what: name(layer), source }
}

/// A piece of a file, and where it is stored.
struct Piece {
    place: u64,
    length: u64,
    stored: u64,
}

/// Reads a file from its pieces; what lies between them is zeros.
struct PieceReader {
    file: File,
    pieces: std::vec::IntoIter<Piece>,
    current: Option<Piece>,
    position: u64,
    size: u64,
}

impl Read for PieceReader {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if self.position >= self.size || bytes.is_empty() {
            return Ok(0);
        }
        while self.current.as_ref().is_none_or(|piece| self.position >= piece.place + piece.length) {
            self.current = self.pieces.next();
            if self.current.is_none() {
                break;
            }
        }
        let (end, stored) = match &self.current {
            Some(piece) if self.position >= piece.place => {
                (piece.place + piece.length, Some(piece.stored + (self.position - piece.place)))
            }
            Some(piece) => (piece.place, None),
            None => (self.size, None),
        };
        let count = bytes.len().min(usize::try_from(end - self.position).unwrap_or(usize::MAX));
        let wanted = bytes.get_mut(..count).unwrap_or_default();
        let count = match stored {
            Some(place) => self.file.read_at(wanted, place)?,
            None => {
                wanted.fill(0);
                count
            }
        };
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.position += count as u64;
        Ok(count)
    }
}
