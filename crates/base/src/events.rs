//! Progress: what is being done, as BuildKit's clients know it: vertices, their statuses, logs, warnings.
//!
//! Libraries emit events and never print; whoever called them shows the events, or does not.

use std::sync::Arc;
use std::time::SystemTime;

/// Names one vertex within one stream of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VertexId(pub u64);

/// One piece of work: a step of a build, a pull, a save.
///
/// Emitted again, whole, at each change of its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vertex {
    /// Its identity in this stream.
    pub id: VertexId,
    /// What people call it: `[build 2/5] RUN make`.
    pub name: String,
    /// The vertices it waits for.
    pub inputs: Vec<VertexId>,
    /// When it began.
    pub started: Option<SystemTime>,
    /// When it ended, well or not.
    pub completed: Option<SystemTime>,
    /// Whether its result was taken from the cache.
    pub cached: bool,
    /// Why it failed.
    pub error: Option<String>,
}

/// How far a part of a vertex has come: a transfer, an unpacking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The vertex it belongs to.
    pub vertex: VertexId,
    /// What people call it, unique within the vertex.
    pub name: String,
    /// How much is done.
    pub current: u64,
    /// How much there is; `None` when it is not known.
    pub total: Option<u64>,
    /// What `current` and `total` count.
    pub unit: Unit,
    /// When this was said.
    pub timestamp: SystemTime,
    /// Whether it has ended.
    pub completed: bool,
}

/// What a [`Status`] counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Files, entries, things.
    Items,
}

/// Where a piece of a log came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// The standard output of a step.
    Stdout,
    /// The standard error of a step.
    Stderr,
}

/// Bytes that a step wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// The vertex that wrote.
    pub vertex: VertexId,
    /// To which stream.
    pub stream: Stream,
    /// What: not necessarily whole lines, not necessarily UTF-8.
    pub data: Vec<u8>,
    /// When.
    pub timestamp: SystemTime,
}

/// Something the user should know, that does not stop the work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The vertex it is about, if it is about one.
    pub vertex: Option<VertexId>,
    /// One line.
    pub short: String,
    /// More lines: where it is, what to do.
    pub detail: Vec<String>,
}

/// Why a vertex was not taken from the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The vertex.
    pub vertex: VertexId,
    /// A line each.
    pub reasons: Vec<String>,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A vertex is known, has begun or has ended.
    Vertex(Vertex),
    /// A part of a vertex has come further.
    Status(Status),
    /// A step wrote.
    Log(Log),
    /// A warning.
    Warning(Warning),
    /// A vertex was not taken from the cache.
    Explanation(Explanation),
}

/// Whoever wants to know what happens.
///
/// Called from any thread, in order per thread. It must not block for long.
pub trait Sink: Send + Sync {
    /// Takes one event.
    fn event(&self, event: Event);
}

/// Where to send events: a handle that is cheap to clone.
#[derive(Clone)]
pub struct Events(Arc<dyn Sink>);

impl Events {
    /// Sends events to `sink`.
    pub fn new(sink: impl Sink + 'static) -> Self {
        Self(Arc::new(sink))
    }

    /// Sends events nowhere.
    pub fn none() -> Self {
        struct Nobody;
        impl Sink for Nobody {
            fn event(&self, _: Event) {}
        }
        Self::new(Nobody)
    }

    /// Sends one event.
    pub fn send(&self, event: Event) {
        self.0.event(event);
    }

    /// Tells how far a part of a vertex has come: how much is done now, and of how much, if that is known.
    pub fn status(
        &self,
        vertex: VertexId,
        name: impl Into<String>,
        (current, total): (u64, Option<u64>),
        unit: Unit,
        completed: bool,
    ) {
        let (name, timestamp) = (name.into(), SystemTime::now());
        self.send(Event::Status(Status { vertex, name, current, total, unit, timestamp, completed }));
    }

    /// Sends a warning that is about no vertex in particular.
    pub fn warn(&self, short: impl Into<String>) {
        self.send(Event::Warning(Warning { vertex: None, short: short.into(), detail: Vec::new() }));
    }
}
