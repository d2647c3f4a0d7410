//! JSON lines: one object an event, in the words of BuildKit's `rawjson`.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use base::Event;
use base::events::{Stream, Unit};
use serde_json::{Value, json};

use super::Shown;

/// Writes lines to standard error.
pub struct Lines;

impl Shown for Lines {
    fn show(&self, event: Event) {
        write(&describe(&event));
    }
}

/// Writes a word to the user as a line of its own sort, which BuildKit does not have.
pub fn note(text: &str) {
    write(&json!({"note": {"text": text, "timestamp": time(SystemTime::now())}}));
}

fn write(event: &Value) {
    let mut line = crate::json::line(event);
    line.push('\n');
    // Nobody is left to be told when standard error is gone.
    let _ = std::io::stderr().lock().write_all(line.as_bytes());
}

fn describe(event: &Event) -> Value {
    match event {
        Event::Vertex(vertex) => json!({"vertex": {
            "id": vertex.id.0,
            "name": vertex.name,
            "inputs": vertex.inputs.iter().map(|input| input.0).collect::<Vec<_>>(),
            "started": vertex.started.map(time),
            "completed": vertex.completed.map(time),
            "cached": vertex.cached,
            "error": vertex.error,
        }}),
        Event::Status(status) => json!({"status": {
            "vertex": status.vertex.0,
            "name": status.name,
            "current": status.current,
            "total": status.total,
            "unit": match status.unit { Unit::Bytes => "bytes", Unit::Items => "items" },
            "timestamp": time(status.timestamp),
            "completed": status.completed,
        }}),
        Event::Log(log) => json!({"log": {
            "vertex": log.vertex.0,
            "stream": match log.stream { Stream::Stdout => 1, Stream::Stderr => 2 },
            "data": String::from_utf8_lossy(&log.data),
            "timestamp": time(log.timestamp),
        }}),
        Event::Explanation(explanation) => json!({"explanation": {
            "vertex": explanation.vertex.0,
            "reasons": explanation.reasons,
        }}),
        Event::Warning(warning) => json!({"warning": {
            "vertex": warning.vertex.map(|vertex| vertex.0),
            "short": warning.short,
            "detail": warning.detail,
        }}),
    }
}

/// Seconds since 1970, with a fraction.
fn time(moment: SystemTime) -> f64 {
    moment.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}
