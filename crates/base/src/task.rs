//! Pieces of work, told as events.

use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use crate::Events;
use crate::events::{Event, Log, Stream, Unit, Vertex, VertexId};

/// Identities of vertices must not collide with those of a build that exports into the same stream of events.
static NEXT: AtomicU64 = AtomicU64::new(1 << 40);
/// How many bytes pass between two reports.
const STEP: u64 = 1 << 20;

/// A piece of work that is under way: a vertex.
pub struct Task<'a> {
    events: &'a Events,
    id: VertexId,
    name: String,
}

impl Task<'_> {
    /// Does `work`, and tells its beginning and its end.
    pub fn run<T, E: std::fmt::Display>(
        events: &Events,
        name: String,
        work: impl FnOnce(&Task<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let task = Task { events, id: VertexId(NEXT.fetch_add(1, Ordering::Relaxed)), name };
        let mut vertex = Vertex {
            id: task.id,
            name: task.name.clone(),
            inputs: Vec::new(),
            started: Some(SystemTime::now()),
            completed: None,
            cached: false,
            error: None,
        };
        events.send(Event::Vertex(vertex.clone()));
        let result = work(&task);
        vertex.completed = Some(SystemTime::now());
        vertex.error = result.as_ref().err().map(E::to_string);
        events.send(Event::Vertex(vertex));
        result
    }

    /// Says something of it that deserves a line.
    pub fn say(&self, text: &str) {
        self.events.send(Event::Log(Log {
            vertex: self.id,
            stream: Stream::Stderr,
            data: format!("{text}\n").into_bytes(),
            timestamp: SystemTime::now(),
        }));
    }

    /// A count of bytes, told as it grows.
    pub fn count(&self, total: Option<u64>) -> Count {
        let (events, id, name) = (self.events.clone(), self.id, self.name.clone());
        Count { events, id, name, current: 0, told: 0, total }
    }
}

/// How many bytes of a task are done.
pub struct Count {
    events: Events,
    id: VertexId,
    name: String,
    current: u64,
    told: u64,
    total: Option<u64>,
}

impl Count {
    /// More bytes are done.
    pub fn add(&mut self, bytes: usize) {
        self.current += bytes as u64;
        if self.current - self.told >= STEP {
            self.told = self.current;
            self.tell(false);
        }
    }

    /// The bytes up to here are done.
    pub fn set(&mut self, bytes: u64) {
        self.current = bytes;
        self.told = bytes;
        self.tell(false);
    }

    /// All is done.
    pub fn end(&self) {
        self.tell(true);
    }

    fn tell(&self, completed: bool) {
        let done = (self.current, self.total);
        self.events.status(self.id, &self.name, done, Unit::Bytes, completed);
    }
}

/// A reader whose bytes are counted.
pub struct Counted<R> {
    /// What is read.
    pub inner: R,
    /// Where its bytes are counted.
    pub count: Count,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.count.add(count);
        Ok(count)
    }
}
