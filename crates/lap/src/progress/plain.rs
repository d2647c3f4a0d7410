//! Lines, as BuildKit's plain progress prints them: every line of every step, with the step's number.

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use base::Event;
use base::events::{Log, Status, Stream, Unit, Vertex, VertexId};

use super::{Shown, seconds, warn};
use crate::printer::Printer;
use crate::units;

/// A longer line is printed in pieces: it may never end.
const LONGEST_LINE: usize = 64 << 10;

/// Prints lines.
pub struct Plain {
    printer: Printer,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    steps: HashMap<VertexId, Step>,
    /// Whose line was printed last: another step's begins with a blank line and its name.
    last: Option<VertexId>,
}

#[derive(Default)]
struct Step {
    number: usize,
    name: String,
    started: Option<SystemTime>,
    ended: bool,
    /// The beginning of a line that is not complete, of either stream.
    pending: [Vec<u8>; 2],
}

impl Plain {
    /// Nothing is printed yet.
    pub fn new(printer: Printer) -> Self {
        Self { printer, state: Mutex::default() }
    }
}

impl Shown for Plain {
    fn show(&self, event: Event) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = Vec::new();
        match event {
            Event::Vertex(vertex) => state.vertex(&vertex, &mut text),
            Event::Log(log) => state.log(&log, &mut text),
            Event::Status(status) => state.status(&status, &mut text),
            Event::Explanation(explanation) => {
                state.heading(explanation.vertex, &mut text);
                for reason in &explanation.reasons {
                    let line = format!("NOT CACHED: {}", base::text::line(reason));
                    state.line(explanation.vertex, line.as_bytes(), &mut text);
                }
            }
            Event::Warning(warning) => warn(self.printer, &warning),
        }
        if !text.is_empty() {
            // Nobody is left to be told when standard error is gone.
            let _ = std::io::stderr().lock().write_all(&text);
        }
    }
}

impl State {
    fn vertex(&mut self, vertex: &Vertex, text: &mut Vec<u8>) {
        let number = self.steps.len() + 1;
        if vertex.started.is_none() && vertex.completed.is_none() {
            return;
        }
        let step = self.steps.entry(vertex.id).or_insert_with(|| Step { number, ..Step::default() });
        step.name.clone_from(&vertex.name);
        step.started = vertex.started;
        if std::mem::replace(&mut step.ended, vertex.completed.is_some()) {
            return;
        }
        self.heading(vertex.id, text);
        if vertex.completed.is_none() {
            return;
        }
        self.flush(vertex.id, text);
        let end = match &vertex.error {
            Some(error) => format!("ERROR: {}", base::text::line(error)),
            None if vertex.cached => "CACHED".to_owned(),
            None => format!("DONE {}", seconds(vertex.started, vertex.completed)),
        };
        self.line(vertex.id, end.as_bytes(), text);
    }

    fn log(&mut self, log: &Log, text: &mut Vec<u8>) {
        self.heading(log.vertex, text);
        let index = usize::from(log.stream == Stream::Stderr);
        let Some(step) = self.steps.get_mut(&log.vertex) else { return };
        let since = seconds(step.started, Some(log.timestamp));
        let since = since.trim_end_matches('s').to_owned();
        let Some(pending) = step.pending.get_mut(index) else { return };
        pending.extend_from_slice(&log.data);
        let end = match pending.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => end,
            None if pending.len() > LONGEST_LINE => pending.len() - 1,
            None => return,
        };
        let rest = pending.split_off(end + 1);
        let complete = std::mem::replace(pending, rest);
        for line in complete.split_inclusive(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            self.line(
                log.vertex,
                &[since.as_bytes(), b" ", line.strip_suffix(b"\r").unwrap_or(line)].concat(),
                text,
            );
        }
    }

    /// Only ends of transfers: everything else would be noise in a log.
    fn status(&mut self, status: &Status, text: &mut Vec<u8>) {
        // What a step waits for is said when it begins to wait: nobody should wonder why nothing happens.
        if !status.completed && status.current == 0 && status.name.starts_with("waiting for ") {
            self.heading(status.vertex, text);
            self.line(status.vertex, base::text::line(&status.name).as_bytes(), text);
            return;
        }
        if !status.completed || status.current == 0 {
            return;
        }
        self.heading(status.vertex, text);
        let amount = match status.unit {
            Unit::Bytes => units::size(status.current),
            Unit::Items => status.current.to_string(),
        };
        self.line(
            status.vertex,
            format!("{} {amount} done", base::text::line(&status.name)).as_bytes(),
            text,
        );
    }

    fn flush(&mut self, vertex: VertexId, text: &mut Vec<u8>) {
        let Some(step) = self.steps.get_mut(&vertex) else { return };
        let pending = std::mem::take(&mut step.pending);
        for line in pending.iter().filter(|line| !line.is_empty()) {
            self.line(vertex, line, text);
        }
    }

    fn heading(&mut self, vertex: VertexId, text: &mut Vec<u8>) {
        if self.last == Some(vertex) {
            return;
        }
        if self.last.replace(vertex).is_some() {
            text.push(b'\n');
        }
        let name = self.steps.get(&vertex).map(|step| step.name.clone()).unwrap_or_default();
        self.line(vertex, base::text::line(&name).as_bytes(), text);
    }

    fn line(&self, vertex: VertexId, line: &[u8], text: &mut Vec<u8>) {
        let number = self.steps.get(&vertex).map_or(0, |step| step.number);
        text.extend_from_slice(format!("#{number} ").as_bytes());
        text.extend_from_slice(line);
        text.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn vertex(id: u64, name: &str, ended: bool) -> Vertex {
        Vertex {
            id: VertexId(id),
            name: name.to_owned(),
            inputs: Vec::new(),
            started: Some(UNIX_EPOCH),
            completed: ended.then_some(UNIX_EPOCH + Duration::from_millis(1500)),
            cached: false,
            error: None,
        }
    }

    #[test]
    fn two_steps_at_a_time() {
        let mut state = State::default();
        let mut text = Vec::new();
        let log = |id, data: &[u8]| Log {
            vertex: VertexId(id),
            stream: Stream::Stdout,
            data: data.to_vec(),
            timestamp: UNIX_EPOCH + Duration::from_millis(200),
        };
        state.vertex(&vertex(7, "[1/2] FROM base", false), &mut text);
        state.vertex(&vertex(7, "[1/2] FROM base", true), &mut text);
        state.vertex(&vertex(8, "[2/2] RUN make", false), &mut text);
        state.log(&log(8, b"one\ntw"), &mut text);
        state.log(&log(8, b"o\nrest"), &mut text);
        state.vertex(&vertex(8, "[2/2] RUN make", true), &mut text);
        assert_eq!(
            String::from_utf8_lossy(&text),
            "#1 [1/2] FROM base\n#1 DONE 1.5s\n\n#2 [2/2] RUN make\n#2 0.2 one\n#2 0.2 two\n#2 rest\n#2 DONE 1.5s\n"
        );
    }
}
