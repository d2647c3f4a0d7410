//! Tasks as vertices of a progress stream.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use base::events::{Event, Events, Unit, Vertex, VertexId};

use super::graph::Graph;
use crate::error::StepFailure;

/// The vertices of a solve.
pub(super) struct Progress<'a> {
    events: &'a Events,
    vertices: Mutex<BTreeMap<usize, Vertex>>,
}

/// The vertex of a task.
pub(super) fn vertex_id(task: usize) -> VertexId {
    VertexId(u64::try_from(task).unwrap_or(u64::MAX).saturating_add(1))
}

impl<'a> Progress<'a> {
    /// Makes all tasks known.
    pub fn announce(events: &'a Events, graph: &Graph) -> Self {
        let mut vertices = BTreeMap::new();
        for (task, node) in graph.nodes().iter().enumerate() {
            let vertex = Vertex {
                id: vertex_id(task),
                name: node.name.clone(),
                inputs: node.inputs().map(vertex_id).collect(),
                started: None,
                completed: None,
                cached: false,
                error: None,
            };
            events.send(Event::Vertex(vertex.clone()));
            vertices.insert(task, vertex);
        }
        Self { events, vertices: Mutex::new(vertices) }
    }

    /// A task has begun.
    pub fn started(&self, task: usize) {
        self.change(task, |vertex| vertex.started = Some(SystemTime::now()));
    }

    /// A task has ended.
    pub fn ended(&self, task: usize, cached: bool, error: Option<&StepFailure>) {
        self.change(task, |vertex| {
            vertex.completed = Some(SystemTime::now());
            vertex.cached = cached;
            vertex.error = error.map(|error| base::text::line(&error.to_string()).into_owned());
        });
    }

    /// Another build executes the same step, or has ended doing so.
    pub fn waiting(&self, task: usize, completed: bool) {
        let name = "waiting for another build that executes this step";
        self.events.status(vertex_id(task), name, (0, None), Unit::Items, completed);
    }

    fn change(&self, task: usize, change: impl FnOnce(&mut Vertex)) {
        let mut vertices = self.vertices.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(vertex) = vertices.get_mut(&task) else { return };
        change(vertex);
        let vertex = vertex.clone();
        drop(vertices);
        self.events.send(Event::Vertex(vertex));
    }
}
