//! The digest of a large stream, computed beside the work that makes it.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use image::{Algorithm, Digest, Digester};

use crate::{LayerError, Result};

/// More than this is worth a thread: starting one costs less than hashing it.
const SMALL: u64 = 1 << 20;
/// How many pieces may wait.
const WAITING: usize = 4;

/// Computes the digest of what is written to it; on a thread of its own when it is much. Pieces should be large.
pub(crate) struct DigestWriter {
    work: Work,
    written: u64,
}

enum Work {
    Here(Digester),
    Thread { pieces: SyncSender<Vec<u8>>, spare: Receiver<Vec<u8>>, thread: JoinHandle<Digester> },
}

impl Default for DigestWriter {
    fn default() -> Self {
        Self { work: Work::Here(Digester::new(Algorithm::Sha256)), written: 0 }
    }
}

impl DigestWriter {
    /// The digest, and how many bytes were written.
    pub(crate) fn finish(self) -> Result<(Digest, u64)> {
        let digester = match self.work {
            Work::Here(digester) => digester,
            Work::Thread { pieces, spare, thread } => {
                drop((pieces, spare));
                let failed = |_| LayerError::Stream {
                    action: "compute",
                    what: "the digest of the tar".to_owned(),
                    source: ended(),
                };
                thread.join().map_err(failed)?
            }
        };
        Ok((digester.finish(), self.written))
    }
}

impl Work {
    fn on_thread(mut digester: Digester) -> io::Result<Self> {
        let (pieces, to_hash) = sync_channel::<Vec<u8>>(WAITING);
        let (give_back, spare) = sync_channel(WAITING);
        let work = move || {
            while let Ok(piece) = to_hash.recv() {
                digester.update(&piece);
                // When nobody takes it, it is dropped.
                let _ = give_back.try_send(piece);
            }
            digester
        };
        let thread = std::thread::Builder::new().name("tar digest".to_owned()).spawn(work)?;
        Ok(Work::Thread { pieces, spare, thread })
    }
}

impl Write for DigestWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.written > SMALL
            && let Work::Here(digester) = &self.work
        {
            self.work = Work::on_thread(digester.clone())?;
        }
        match &mut self.work {
            Work::Here(digester) => digester.update(bytes),
            Work::Thread { pieces, spare, .. } => {
                let mut piece = spare.try_recv().unwrap_or_default();
                piece.clear();
                piece.extend_from_slice(bytes);
                pieces.send(piece).map_err(|_| ended())?;
            }
        }
        self.written += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The thread only hashes, and ends when it is told.
fn ended() -> io::Error {
    io::Error::other("the thread that computes it has ended")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_does_not_depend_on_the_thread() {
        for size in [0, 1000, 1 << 20, 5_000_001] {
            let bytes: Vec<u8> = (0..size).map(|number: u32| (number % 253) as u8).collect();
            let mut writer = DigestWriter::default();
            for piece in bytes.chunks(300_000) {
                writer.write_all(piece).expect("written");
            }
            let (digest, written) = writer.finish().expect("a digest");
            assert_eq!((digest, written), (Digest::sha256(&bytes), u64::from(size)));
        }
    }
}
