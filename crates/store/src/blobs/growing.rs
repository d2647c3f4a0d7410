//! A blob that is read while it is written: whoever sends it need not wait for its end.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::{Cancel, Cancelled};
use image::Digest;

/// How long it takes at most until somebody who waits sees that the work was cancelled.
const LOOK: Duration = Duration::from_millis(100);

/// A blob on its way into the store. It can be read from its beginning to where it has come, and stays readable when it is complete, whatever becomes of its name.
#[derive(Clone)]
pub struct GrowingBlob {
    file: Arc<File>,
    growth: Arc<Growth>,
}

/// How far the blob has come.
#[derive(Default)]
pub(super) struct Growth {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default, Clone, Copy)]
struct State {
    length: u64,
    end: Option<End>,
}

#[derive(Clone, Copy)]
enum End {
    Complete(Digest),
    GivenUp,
}

impl Growth {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// So many bytes are in the file.
    pub(super) fn set(&self, length: u64) {
        self.lock().length = length;
        self.changed.notify_all();
    }

    /// It is in the store.
    pub(super) fn complete(&self, digest: Digest) {
        self.lock().end = Some(End::Complete(digest));
        self.changed.notify_all();
    }

    /// Nothing more comes; unless it is complete, that is the end of it.
    pub(super) fn give_up(&self) {
        self.lock().end.get_or_insert(End::GivenUp);
        self.changed.notify_all();
    }
}

impl GrowingBlob {
    pub(super) fn new(file: File, growth: Arc<Growth>) -> Self {
        Self { file: Arc::new(file), growth }
    }

    /// Waits until it has `length` bytes, or does not grow any more. Gives how many it has. One that was given up is a cancellation for whoever waits: the reason is known to
    /// the one who wrote it.
    pub fn wait(&self, length: u64, cancel: &Cancel) -> Result<u64, Cancelled> {
        let mut state = self.growth.lock();
        loop {
            cancel.check()?;
            match state.end {
                Some(End::GivenUp) => return Err(Cancelled),
                Some(End::Complete(_)) => return Ok(state.length),
                None if state.length >= length => return Ok(state.length),
                None => {}
            }
            let waited = self.growth.changed.wait_timeout(state, LOOK);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Digest and size, once it is complete.
    pub fn complete(&self) -> Option<(Digest, u64)> {
        let state = self.growth.lock();
        match state.end {
            Some(End::Complete(digest)) => Some((digest, state.length)),
            _ => None,
        }
    }

    /// Its bytes from a place on, to where it has come when they are read.
    pub fn reader(&self, begin: u64) -> impl Read + Send + use<> {
        Reader { file: self.file.clone(), position: begin }
    }
}

struct Reader {
    file: Arc<File>,
    position: u64,
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::Store;

    #[test]
    fn a_blob_is_read_while_it_is_written() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = Store::open(directory.path().join("store")).expect("a store");
        let lease = store.lease("test").expect("a lease");
        let cancel = Cancel::new();
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|place| (place % 251) as u8).collect();
        let mut writer = store.blobs().writer(&lease).expect("a writer");
        let growing = writer.growing().expect("a blob");
        let other = growing.clone();
        let reading = std::thread::spawn(move || {
            let there = other.wait(1_000_000, &Cancel::new()).expect("a part");
            let mut part = vec![0; 1_000_000];
            other.reader(0).read_exact(&mut part).expect("the part");
            let all = other.wait(u64::MAX, &Cancel::new()).expect("all of it");
            let mut rest = Vec::new();
            other.reader(1_000_000).read_to_end(&mut rest).expect("the rest");
            (there, all, [part, rest].concat())
        });
        writer.write_all(&bytes).expect("written");
        assert_eq!(growing.complete(), None);
        let committed = writer.commit(None).expect("a blob");
        let (there, all, read) = reading.join().expect("no panic");
        assert!((1_000_000..=3_000_000).contains(&there), "{there}");
        assert!(all == 3_000_000 && read == bytes);
        assert_eq!(growing.complete(), Some(committed));
        // The same again: what is there stays, and what was read is the same.
        let mut again = store.blobs().writer(&lease).expect("a writer");
        let growing = again.growing().expect("a blob");
        again.write_all(&bytes).expect("written");
        assert_eq!(again.commit(None).expect("a blob"), committed);
        assert_eq!(growing.wait(u64::MAX, &cancel).expect("all of it"), 3_000_000);
    }

    #[test]
    fn whoever_waits_learns_that_nothing_more_comes() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = Store::open(directory.path().join("store")).expect("a store");
        let lease = store.lease("test").expect("a lease");
        let mut writer = store.blobs().writer(&lease).expect("a writer");
        writer.write_all(&[1; 1000]).expect("written");
        let growing = writer.growing().expect("a blob");
        drop(writer);
        assert_eq!(growing.wait(1, &Cancel::new()), Err(Cancelled));
        assert_eq!(growing.complete(), None);
        let writer = store.blobs().writer(&lease).expect("a writer");
        let growing = writer.growing().expect("a blob");
        let cancel = Cancel::new();
        cancel.cancel();
        assert_eq!(growing.wait(1, &cancel), Err(Cancelled));
    }
}
