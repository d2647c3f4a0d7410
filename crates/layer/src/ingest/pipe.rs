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
    let reader = PipeReader { incoming, give_back, piece: Vec::new(), used: 0, has_ended: false };
    (PipeWriter { pieces, spare }, reader)
}

enum Message {
    Piece(Vec<u8>),
    End,
    Failure(io::Error),
}

/// The end where bytes go in. Dropping it without [`PipeWriter::end`] is a failure: a stream must not look whole when its writer has died.
pub(super) struct PipeWriter {
    pieces: SyncSender<Message>,
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
        if piece.is_empty() { Ok(()) } else { self.pieces.send(Message::Piece(piece)).map_err(|_| Closed) }
    }

    /// The stream is whole.
    pub(super) fn end(&self) {
        // When nobody reads, nobody needs to know.
        let _ = self.pieces.send(Message::End);
    }

    /// Lets the reader fail.
    pub(super) fn fail(&self, error: io::Error) {
        let _ = self.pieces.send(Message::Failure(error));
    }
}

/// The end where bytes come out.
pub(super) struct PipeReader {
    incoming: Receiver<Message>,
    give_back: Sender<Vec<u8>>,
    piece: Vec<u8>,
    used: usize,
    has_ended: bool,
}

impl Read for PipeReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.has_ended {
            return Ok(0);
        }
        if self.used == self.piece.len() {
            // The writer may be gone; then nobody needs the piece.
            let _ = self.give_back.send(std::mem::take(&mut self.piece));
            self.used = 0;
            match self.incoming.recv() {
                Ok(Message::Piece(piece)) => self.piece = piece,
                Ok(Message::End) => {
                    self.has_ended = true;
                    return Ok(0);
                }
                Ok(Message::Failure(error)) => return Err(error),
                Err(_) => return Err(io::Error::other("the stream was given up before its end")),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_whole_only_when_its_writer_says_so() {
        let read = |write: &dyn Fn(&PipeWriter)| {
            let (to, mut from) = pipe();
            to.send(b"abc".to_vec()).expect("sent");
            write(&to);
            drop(to);
            let mut bytes = Vec::new();
            from.read_to_end(&mut bytes).map(|_| bytes)
        };
        assert_eq!(read(&PipeWriter::end).ok(), Some(b"abc".to_vec()));
        assert!(read(&|_| {}).is_err());
        assert!(read(&|to| to.fail(io::Error::other("broken"))).is_err());
    }
}
