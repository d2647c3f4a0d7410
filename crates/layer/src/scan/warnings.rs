//! What deserves a word, once, and not endlessly.

use std::collections::BTreeSet;

/// Enough to see what is the matter.
const MOST: usize = 50;

/// Warnings, without repetitions.
#[derive(Default)]
pub(super) struct Warnings {
    seen: BTreeSet<String>,
    lines: Vec<String>,
    more: u64,
}

impl Warnings {
    /// Adds a line, unless it is there.
    pub(super) fn add(&mut self, line: String) {
        if self.seen.contains(&line) {
            return;
        }
        if self.lines.len() == MOST {
            self.more += 1;
            return;
        }
        self.seen.insert(line.clone());
        self.lines.push(line);
    }

    /// The lines, in the order in which they came.
    pub(super) fn finish(mut self) -> Vec<String> {
        if self.more > 0 {
            self.lines.push(format!("and {} more warnings of this kind", self.more));
        }
        self.lines
    }
}
