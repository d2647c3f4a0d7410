//! Reading ahead: while one file is written into the layer, a few threads open and read those that come next.
//!
//! Files are handed over in order, and room is taken in order too, so that what is wanted next never waits for what comes later. Memory is bounded.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Read;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use base::IoContext;
use layer::view::Node;
use layer::{LayerError, View};
use store::{Lease, Store};

use super::item::Content;
use super::tree::Tree;
use super::{CopyError, Downloaded, Selection};
use crate::context::{Context, FileReader, Opener, Stamp};

/// How many threads read: enough to hide that opening a file takes as long as hashing a small one.
pub(super) const READERS: usize = 2;
/// How much is read ahead.
const MAX_BYTES: u64 = 16 << 20;
/// Files up to this size are read whole; larger ones are opened, and read when they are written.
const WHOLE: u64 = 256 << 10;
/// What the smallest file counts for, so that the number of files is bounded too.
const LEAST: u64 = 16 << 10;
/// What an open file counts for: descriptors are scarce.
const OPEN: u64 = 1 << 20;

/// A content, ready to be written.
pub(super) enum Opened {
    /// Read.
    Whole {
        bytes: Vec<u8>,
        /// For a file of a context: what it was, and when it was read.
        learned: Option<(Stamp, SystemTime)>,
    },
    /// A large file of a context.
    File(FileReader),
    /// A large file of a layer.
    Stream(Box<dyn Read + Send>),
}

/// Contents in the order in which they are wanted.
pub(super) struct ReadAhead<'a> {
    selection: &'a Selection,
    store: &'a Store,
    lease: &'a Lease,
    wanted: Vec<usize>,
    state: Mutex<State>,
    /// There is room again, or everything stops.
    room: Condvar,
    /// Something was read.
    ready: Condvar,
}

#[derive(Default)]
struct State {
    /// What to read next, as a place in `wanted`.
    next: usize,
    /// The place in `wanted` that the front of `read` is of.
    taken: usize,
    read: VecDeque<Option<Result<Opened, CopyError>>>,
    bytes: u64,
    buffers: Vec<Vec<u8>>,
    stopped: bool,
}

impl<'a> ReadAhead<'a> {
    pub fn new(selection: &'a Selection, store: &'a Store, lease: &'a Lease, wanted: Vec<usize>) -> Self {
        let state = Mutex::new(State::default());
        Self { selection, store, lease, wanted, state, room: Condvar::new(), ready: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads until everything is read, or [`ReadAhead::stop`].
    pub fn work(&self) {
        let _guard = StopOnPanic(self);
        let mut openers = Openers {
            context: self.context().map(Opener::new),
            checkouts: self
                .selection
                .checkouts
                .iter()
                .map(|one| one.files.as_ref().map(Opener::new))
                .collect(),
        };
        while let Some((place, buffer)) = self.reserve() {
            let result = self.open(place, &mut openers, buffer);
            let mut state = self.lock();
            let at = place - state.taken;
            while state.read.len() <= at {
                state.read.push_back(None);
            }
            if let Some(slot) = state.read.get_mut(at) {
                *slot = Some(result);
            }
            self.ready.notify_all();
        }
    }

    /// Takes the next content, when there is room for it.
    fn reserve(&self) -> Option<(usize, Vec<u8>)> {
        let mut state = self.lock();
        loop {
            if state.stopped || state.next >= self.wanted.len() {
                return None;
            }
            let cost = self.cost(state.next);
            // However large it is, one thing at a time always has room.
            if state.bytes == 0 || state.bytes + cost <= MAX_BYTES {
                let place = state.next;
                state.next += 1;
                state.bytes += cost;
                return Some((place, state.buffers.pop().unwrap_or_default()));
            }
            state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn content(&self, place: usize) -> Option<&'a Content> {
        self.selection.contents.get(*self.wanted.get(place)?)
    }

    fn cost(&self, place: usize) -> u64 {
        match self.content(place).map_or(0, Content::size) {
            size if size > WHOLE => OPEN,
            size => size.max(LEAST),
        }
    }

    fn open(&self, place: usize, openers: &mut Openers, mut bytes: Vec<u8>) -> Result<Opened, CopyError> {
        bytes.clear();
        let content = self.content(place);
        if let Some(content) = content
            && let Some((view, node)) = self.selection.in_layer(content)
        {
            return self.open_in_layer(view, node, content.size(), bytes);
        }
        let opener = content.and_then(|content| openers.of(content));
        match (content, opener) {
            (
                Some(Content::Context { stamp, item } | Content::Checkout { stamp, item, .. }),
                Some(opener),
            ) => {
                let mut file = opener.open(&self.selection.context_path(*item), stamp)?;
                if stamp.size > WHOLE {
                    return Ok(Opened::File(file));
                }
                file.read_whole(&mut bytes)?;
                Ok(Opened::Whole { bytes, learned: Some((*file.stamp(), file.read_at())) })
            }
            (Some(Content::Inline(inline)), _) => {
                bytes.extend_from_slice(inline);
                Ok(Opened::Whole { bytes, learned: None })
            }
            (Some(Content::Download { file: Downloaded { path: Some(path), size, .. }, .. }), ..) => {
                let mut file = File::open(path).context("open", path)?;
                if *size > WHOLE {
                    return Ok(Opened::Stream(Box::new(file)));
                }
                file.read_to_end(&mut bytes).context("read", path)?;
                Ok(Opened::Whole { bytes, learned: None })
            }
            (Some(Content::Download { url, span, .. }), ..) => {
                Err(CopyError::NotDownloaded { url: url.clone(), span: *span })
            }
            // Contents are of the input that they were found in.
            (Some(_) | None, _) => Ok(Opened::Whole { bytes, learned: None }),
        }
    }

    fn open_in_layer(
        &self,
        view: &View,
        node: Node,
        size: u64,
        mut bytes: Vec<u8>,
    ) -> Result<Opened, CopyError> {
        let file = view.open(self.store, self.lease, node)?;
        if size > WHOLE {
            return Ok(Opened::Stream(file));
        }
        let read = file.take(size.saturating_add(1)).read_to_end(&mut bytes);
        read.map_err(|source| {
            let what = base::text::bytes(view.entry(node).path).into_owned();
            LayerError::Stream { action: "read", what, source }
        })?;
        Ok(Opened::Whole { bytes, learned: None })
    }

    /// The next content, in order; `None` behind the last, or when reading has stopped.
    pub fn take(&self) -> Option<Result<Opened, CopyError>> {
        let mut state = self.lock();
        loop {
            if state.stopped || state.taken >= self.wanted.len() {
                return None;
            }
            if let Some(Some(_)) = state.read.front() {
                state.taken += 1;
                return state.read.pop_front().flatten();
            }
            state = self.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Gives the room of the content that was taken last back, and its buffer.
    pub fn give_back(&self, opened: Opened) {
        let mut state = self.lock();
        let cost = state.taken.checked_sub(1).map_or(0, |place| self.cost(place));
        state.bytes = state.bytes.saturating_sub(cost);
        if let Opened::Whole { bytes, .. } = opened
            && state.buffers.len() < 2 * READERS
        {
            state.buffers.push(bytes);
        }
        self.room.notify_all();
    }

    /// Lets the readers end.
    pub fn stop(&self) {
        self.lock().stopped = true;
        self.room.notify_all();
        self.ready.notify_all();
    }

    /// The context that remembers what is learned of a content.
    pub fn learner(&self, content: usize) -> Option<&Context> {
        match self.selection.contents.get(content)? {
            Content::Context { .. } => self.context(),
            _ => None,
        }
    }

    /// The context that is read from.
    fn context(&self) -> Option<&Context> {
        match &self.selection.input {
            Tree::Context(context) => Some(context),
            Tree::View(_) => None,
        }
    }
}

/// What opens the files of contexts.
struct Openers {
    context: Option<Opener>,
    checkouts: Vec<Option<Opener>>,
}

impl Openers {
    fn of(&mut self, content: &Content) -> Option<&mut Opener> {
        match content {
            Content::Context { .. } => self.context.as_mut(),
            Content::Checkout { checkout, .. } => self.checkouts.get_mut(*checkout)?.as_mut(),
            _ => None,
        }
    }
}

/// Lets nobody wait for a reader that is no more.
struct StopOnPanic<'a>(&'a ReadAhead<'a>);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop();
        }
    }
}
