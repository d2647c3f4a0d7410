//! Bars on a terminal: a line for each step that works, with the last line it wrote; finished steps scroll up.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base::Event;
use base::events::{Log, Status, Unit, Vertex, VertexId};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Shown, seconds, warn};
use crate::printer::Printer;

/// Draws bars.
pub struct Bars {
    printer: Printer,
    all: MultiProgress,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    steps: HashMap<VertexId, ProgressBar>,
    transfers: HashMap<(VertexId, String), ProgressBar>,
    ended: Vec<VertexId>,
}

impl Bars {
    /// Nothing is drawn yet.
    pub fn new(printer: Printer) -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        Self { printer, all, state: Mutex::default() }
    }

    fn vertex(&self, state: &mut State, vertex: &Vertex) {
        if state.ended.contains(&vertex.id) || vertex.started.is_none() && vertex.completed.is_none() {
            return;
        }
        if vertex.completed.is_none() {
            state.steps.entry(vertex.id).or_insert_with(|| self.step(vertex));
            return;
        }
        state.ended.push(vertex.id);
        if let Some(bar) = state.steps.remove(&vertex.id) {
            bar.finish_and_clear();
        }
        state.transfers.retain(|(of, _), bar| {
            if *of == vertex.id {
                bar.finish_and_clear();
            }
            *of != vertex.id
        });
        let (sign, end) = match (&vertex.error, vertex.cached) {
            (Some(_), _) => ("✗", "failed".to_owned()),
            (None, true) => ("✓", "cached".to_owned()),
            (None, false) => ("✓", seconds(vertex.started, vertex.completed)),
        };
        let sign = match (self.printer.colours(), &vertex.error) {
            (true, Some(_)) => format!("\x1b[31m{sign}\x1b[0m"),
            (true, None) => format!("\x1b[32m{sign}\x1b[0m"),
            (false, _) => sign.to_owned(),
        };
        // A terminal that is gone shows nothing; the work goes on.
        let _ = self.all.println(format!("{sign} {} {end}", base::text::line(&vertex.name)));
    }

    fn step(&self, vertex: &Vertex) -> ProgressBar {
        let bar = self.all.add(ProgressBar::new_spinner());
        bar.set_style(style("{spinner} {prefix} {elapsed} {wide_msg:.dim}"));
        bar.set_prefix(shortened(&base::text::line(&vertex.name)));
        bar.enable_steady_tick(Duration::from_millis(100));
        bar
    }

    fn status(&self, state: &mut State, status: &Status) {
        let key = (status.vertex, status.name.clone());
        let bar = state.transfers.entry(key).or_insert_with(|| {
            let bar = self.all.add(ProgressBar::new(status.total.unwrap_or(0)));
            bar.set_style(style(match (status.unit, status.total) {
                (Unit::Bytes, Some(_)) => "    {prefix:20} {bar:30} {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec} {eta}",
                (Unit::Bytes, None) => "    {prefix:20} {decimal_bytes} {decimal_bytes_per_sec}",
                (Unit::Items, Some(_)) => "    {prefix:20} {bar:30} {pos}/{len}",
                (Unit::Items, None) => "    {prefix:20} {pos}",
            }));
            bar.set_prefix(base::text::line(&status.name).into_owned());
            bar
        });
        bar.set_position(status.current);
        if status.completed {
            bar.finish_and_clear();
        }
    }

    fn log(&self, state: &State, log: &Log) {
        let text = String::from_utf8_lossy(&log.data);
        if let (Some(bar), Some(line)) =
            (state.steps.get(&log.vertex), text.lines().rfind(|line| !line.trim().is_empty()))
        {
            bar.set_message(base::text::line(line).into_owned());
        }
    }
}

/// A long name leaves room for what the step says.
fn shortened(name: &str) -> String {
    const WIDTH: usize = 60;
    if name.chars().count() <= WIDTH {
        return name.to_owned();
    }
    name.chars().take(WIDTH - 1).chain(['…']).collect()
}

/// The templates are constants; one that cannot be parsed gives the library's default.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

impl Shown for Bars {
    fn show(&self, event: Event) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Vertex(vertex) => self.vertex(&mut state, &vertex),
            Event::Status(status) => self.status(&mut state, &status),
            Event::Log(log) => self.log(&state, &log),
            Event::Explanation(explanation) => {
                let name = state.steps.get(&explanation.vertex).map(ProgressBar::prefix).unwrap_or_default();
                // As for every line: a terminal that is gone shows nothing.
                let _ = self.all.println(format!("? {name}"));
                for reason in &explanation.reasons {
                    let _ = self.all.println(format!("    {}", base::text::line(reason)));
                }
            }
            Event::Warning(warning) => self.all.suspend(|| warn(self.printer, &warning)),
        }
    }

    fn finish(&self) {
        // Same as for every line: a terminal that is gone needs no clearing.
        let _ = self.all.clear();
    }
}
