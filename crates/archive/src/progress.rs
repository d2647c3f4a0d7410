//! Pieces of work, told as events.

use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use base::Events;
use base::events::{Event, Status, Unit, Vertex, VertexId};

use crate::ArchiveError;

/// Identities of vertices must not collide with those of a build that exports into the same stream of events.
static NEXT: AtomicU64 = AtomicU64::new(1 << 40);
/// How many bytes pass between two reports.
const STEP: u64 = 1 << 20;

/// A piece of work that is under way: a vertex.
pub(crate) struct Task<'a> {
    events: &'a Events,
    id: VertexId,
    name: String,
}

impl Task<'_> {
    /// Does `work`, and tells its beginning and its end.
    pub(crate) fn run<T>(
        events: &Events,
        name: String,
        work: impl FnOnce(&Task<'_>) -> Result<T, ArchiveError>,
    ) -> Result<T, ArchiveError> {
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
        vertex.error = result.as_ref().err().map(ArchiveError::to_string);
        events.send(Event::Vertex(vertex));
        result
    }

    /// A count of bytes, told as it grows.
    pub(crate) fn count(&self, total: Option<u64>) -> Count<'_> {
        Count { task: self, current: 0, told: 0, total }
    }
}

/// How many bytes of a task are done.
pub(crate) struct Count<'a> {
    task: &'a Task<'a>,
    current: u64,
    told: u64,
    total: Option<u64>,
}

impl Count<'_> {
    /// More bytes are done.
    pub(crate) fn add(&mut self, bytes: usize) {
        self.current += bytes as u64;
        if self.current - self.told >= STEP {
            self.told = self.current;
            self.tell(false);
        }
    }

    /// All is done.
    pub(crate) fn end(self) {
        self.tell(true);
    }

    fn tell(&self, completed: bool) {
        self.task.events.send(Event::Status(Status {
            vertex: self.task.id,
            name: self.task.name.clone(),
            current: self.current,
            total: self.total,
            unit: Unit::Bytes,
            timestamp: SystemTime::now(),
            completed,
        }));
    }
}

/// A reader whose bytes are counted.
pub(crate) struct Counted<'a, R> {
    pub(crate) inner: R,
    pub(crate) count: Count<'a>,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.count.add(count);
        Ok(count)
    }
}
