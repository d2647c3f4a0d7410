//! A blob on its way through: read from its source on one thread, sent by another one, never on the disk.
//!
//! Whoever sends opens the blob at some place as often as its requests need it. As a rule that is where the last request ended: then the source is simply read on. Elsewhere
//! (a request was made again, an upload was continued) the source is opened again there.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use bytes::{Buf, Bytes};
use image::{Descriptor, Digester};

use crate::source::{Source, mismatch};
use crate::upload::Content;
use crate::{DistributionError, Result};

/// How much is read at a time, and how many pieces may wait to be sent.
const PIECE: usize = 256 << 10;
const WAITING: usize = 4;

/// Both ends of the way.
#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Which reader counts: earlier ones get nothing any more.
    reader: u64,
    /// Where the next byte that is read lies.
    position: u64,
    /// Whether the source has to be opened there.
    wanted: bool,
    pieces: VecDeque<Bytes>,
    /// Why nothing more comes.
    failed: Option<String>,
    closed: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends a blob of a source: `send` gets its content. An error of the source comes before what it has led to.
pub(crate) fn through<T>(
    source: &dyn Source,
    blob: &Descriptor,
    send: impl FnOnce(Content) -> Result<T>,
) -> Result<T> {
    let shared = Arc::new(Shared::default());
    std::thread::scope(|scope| {
        let (from, to) = (shared.clone(), shared.clone());
        let feeding = scope.spawn(move || feed(source, blob, &from));
        let content: Content = Arc::new(move |begin| Ok(Box::new(Reading::open(&to, begin))));
        let result = send(content);
        shared.lock().closed = true;
        shared.changed.notify_all();
        let failure = feeding.join().unwrap_or(None);
        match (result, failure) {
            (Err(_), Some(failure)) => Err(failure),
            (result, _) => result,
        }
    })
}

/// Reads the source wherever it is wanted, until nobody wants it any more. Gives why that was not possible.
fn feed(source: &dyn Source, blob: &Descriptor, shared: &Shared) -> Option<DistributionError> {
    loop {
        let mut state = shared.lock();
        while !state.wanted && !state.closed {
            state = shared.wait(state);
        }
        if state.closed {
            return None;
        }
        state.wanted = false;
        let begin = state.position;
        drop(state);
        if let Err(failure) = feed_from(source, blob, begin, shared) {
            shared.lock().failed = Some(failure.to_string());
            shared.changed.notify_all();
            return Some(failure);
        }
    }
}

/// Reads the source from a place to its end, unless it is wanted somewhere else.
fn feed_from(source: &dyn Source, blob: &Descriptor, begin: u64, shared: &Shared) -> Result<()> {
    let mut incoming = source.blob(blob, begin)?;
    // The part of a blob has no digest; whoever gets it verifies the whole.
    let mut digester = (begin == 0).then(|| Digester::new(blob.digest.algorithm()));
    let mut position = begin;
    while position < blob.size {
        let left = usize::try_from(blob.size - position).unwrap_or(PIECE);
        let mut piece = vec![0; PIECE.min(left)];
        if let Err(error) = incoming.read_exact(&mut piece) {
            return Err(incoming.failure().unwrap_or(DistributionError::Body { source: error }));
        }
        position += piece.len() as u64;
        if let Some(digester) = &mut digester {
            digester.update(&piece);
        }
        // Before the last piece is on its way: wrong bytes never arrive as a whole.
        if position == blob.size
            && let Some(found) = digester.take().map(Digester::finish)
            && found != blob.digest
        {
            let (what, expected) = (format!("the blob {}", blob.digest), blob.digest.to_string());
            return Err(mismatch(source, what, expected, found.to_string()));
        }
        let mut state = shared.lock();
        while state.pieces.len() >= WAITING && !state.wanted && !state.closed {
            state = shared.wait(state);
        }
        if state.wanted || state.closed {
            return Ok(());
        }
        state.pieces.push_back(piece.into());
        drop(state);
        shared.changed.notify_all();
    }
    Ok(())
}

/// The end from which a blob is sent.
struct Reading {
    shared: Arc<Shared>,
    reader: u64,
}

impl Reading {
    fn open(shared: &Arc<Shared>, begin: u64) -> Self {
        let mut state = shared.lock();
        state.reader += 1;
        let is_begun = state.reader > 1;
        if !is_begun || state.position != begin {
            state.pieces.clear();
            state.position = begin;
            state.wanted = true;
        }
        let reader = state.reader;
        drop(state);
        shared.changed.notify_all();
        Self { shared: shared.clone(), reader }
    }
}

impl Read for Reading {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.shared.lock();
        loop {
            if state.reader != self.reader || state.closed {
                return Err(io::Error::other("the request was made again"));
            }
            if let Some(piece) = state.pieces.front_mut() {
                let count = buffer.len().min(piece.len());
                if let (Some(to), Some(from)) = (buffer.get_mut(..count), piece.get(..count)) {
                    to.copy_from_slice(from);
                }
                piece.advance(count);
                if piece.is_empty() {
                    state.pieces.pop_front();
                }
                state.position += count as u64;
                drop(state);
                self.shared.changed.notify_all();
                return Ok(count);
            }
            if let Some(failed) = &state.failed {
                return Err(io::Error::other(failed.clone()));
            }
            state = self.shared.wait(state);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use image::{Digest, MediaType};

    use super::*;
    use crate::manifests::Fetched;
    use crate::source::Incoming;

    struct Fixed {
        bytes: Vec<u8>,
        opened: AtomicUsize,
    }

    impl Source for Fixed {
        fn called(&self) -> String {
            "the image".to_owned()
        }

        fn keeper(&self) -> String {
            "a test".to_owned()
        }

        fn first(&self) -> Result<Fetched> {
            Err(DistributionError::NoHost(String::new()))
        }

        fn document(&self, _: &Descriptor) -> Result<Fetched> {
            self.first()
        }

        fn blob(&self, _: &Descriptor, position: u64) -> Result<Box<dyn Incoming + '_>> {
            self.opened.fetch_add(1, Ordering::Relaxed);
            Ok(Box::new(Cursor::new(self.bytes[position as usize..].to_vec())))
        }

        fn referrers(&self, _: &Digest) -> Result<Vec<Descriptor>> {
            Ok(Vec::new())
        }
    }

    fn fixed(length: usize) -> (Fixed, Descriptor) {
        let bytes: Vec<u8> = (0..length).map(|place| (place % 251) as u8).collect();
        let blob = Descriptor::new(MediaType::OCTET_STREAM, Digest::sha256(&bytes), length as u64);
        (Fixed { bytes, opened: AtomicUsize::new(0) }, blob)
    }

    fn read(content: &Content, begin: u64, count: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        content(begin).map_err(io::Error::other)?.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    #[test]
    fn requests_one_after_the_other_read_the_source_once_and_a_repeated_one_reads_it_again() {
        let (source, blob) = fixed(5 * PIECE + 1);
        let pieces = through(&source, &blob, |content| {
            let first = read(&content, 0, 2 * PIECE).expect("bytes");
            let second = read(&content, 2 * PIECE as u64, 100).expect("bytes");
            let rest = read(&content, 2 * PIECE as u64 + 100, 3 * PIECE - 99).expect("bytes");
            assert_eq!(source.opened.load(Ordering::Relaxed), 1);
            let again = read(&content, 7, 50).expect("bytes");
            assert_eq!(source.opened.load(Ordering::Relaxed), 2);
            assert_eq!(again, source.bytes[7..57]);
            Ok([first, second, rest].concat())
        });
        assert!(pieces.expect("no failure") == source.bytes);
    }

    #[test]
    fn wrong_bytes_never_arrive_as_a_whole_and_the_source_is_named() {
        let (mut source, blob) = fixed(2 * PIECE);
        source.bytes[0] ^= 1;
        let result = through(&source, &blob, |content| {
            read(&content, 0, PIECE).expect("the beginning");
            match read(&content, PIECE as u64, PIECE) {
                Ok(_) => panic!("wrong bytes"),
                Err(source) => Err::<(), _>(DistributionError::Body { source }),
            }
        });
        let error = result.expect_err("wrong bytes").to_string();
        assert!(error.contains("a test") && error.contains(&blob.digest.hex()), "{error}");
    }

    #[test]
    fn a_blob_that_nobody_wants_is_not_asked_for() {
        let (source, blob) = fixed(10);
        through(&source, &blob, |_| Ok(())).expect("no failure");
        assert_eq!(source.opened.load(Ordering::Relaxed), 0);
    }
}
