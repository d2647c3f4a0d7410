//! Bytes from one thread to another: a few large pieces may wait, and empty ones come back to be filled again.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

/// How large a piece is.
pub(super) const PIECE: usize = 256 << 10;
/// How many pieces may wait.
const WAITING: usize = 4;

/// Makes a pipe.
pub(super) fn pipe() -> (PipeWriter, PipeReader) {
    let (pieces, incoming) = sync_channel(WAITING);
    let (give_back, spare) = channel();
    (
        PipeWriter { pieces, spare },
        PipeReader { incoming, give_back, piece: Vec::new(), used: 0, failed: false },
    )
}

/// The end where bytes go in.
pub(super) struct PipeWriter {
    pieces: SyncSender<io::Result<Vec<u8>>>,
    spare: Receiver<Vec<u8>>,
}

/// Nobody reads any more.
#[derive(Debug)]
pub(super) struct Closed;

impl PipeWriter {
    /// An empty piece.
    pub(super) fn piece(&self) -> Vec<u8> {
        let mut piece = self.spare.try_recv().unwrap_or_default();
        piece.clear();
        piece
    }

    /// Sends a piece; an empty one is nothing.
    pub(super) fn send(&self, piece: Vec<u8>) -> Result<(), Closed> {
        if piece.is_empty() { Ok(()) } else { self.pieces.send(Ok(piece)).map_err(|_| Closed) }
    }

    /// Lets the reader fail. Without it, dropping this end is the end of the stream.
    pub(super) fn fail(&self, error: io::Error) {
        // When nobody reads, nobody needs to know.
        let _ = self.pieces.send(Err(error));
    }
}

/// The end where bytes come out.
pub(super) struct PipeReader {
    incoming: Receiver<io::Result<Vec<u8>>>,
    give_back: Sender<Vec<u8>>,
    piece: Vec<u8>,
    used: usize,
    failed: bool,
}

impl Read for PipeReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.used == self.piece.len() {
            // The writer may be gone; then nobody needs the piece.
            let _ = self.give_back.send(std::mem::take(&mut self.piece));
            self.used = 0;
            match self.incoming.recv() {
                Ok(Ok(piece)) => self.piece = piece,
                Ok(Err(error)) => {
                    self.failed = true;
                    return Err(error);
                }
                Err(_) if self.failed => return Err(io::Error::other("the stream has failed before")),
                Err(_) => return Ok(0),
            }
        }
        let count = buffer.len().min(self.piece.len() - self.used);
        let end = self.used + count;
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), self.piece.get(self.used..end)) {
            to.copy_from_slice(from);
        }
        self.used = end;
        Ok(count)
    }
}

/// Reads until the piece is full or the stream ends.
pub(super) fn fill(piece: &mut Vec<u8>, stream: &mut dyn Read) -> io::Result<()> {
    let room = PIECE.saturating_sub(piece.len());
    stream.take(room as u64).read_to_end(piece).map(drop)
}
