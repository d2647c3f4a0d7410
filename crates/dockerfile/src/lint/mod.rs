//! Checks: what can be built, and is probably a mistake (DF-017, DF-018, DF-221 … DF-242).
//!
//! The rules that need nothing but the text are here ([`check`]). Those that depend on variables, images and contexts are kept by whoever plans
//! the build, which [reports](Linter::report) what it comes across. Messages are BuildKit's, to the letter.

mod options;
mod rule;
mod text;

pub mod secret;

#[cfg(test)]
mod tests;

use std::cell::RefCell;

pub use options::{CheckOptions, Rules};
pub use rule::Rule;
pub use text::check;

use crate::file::Dockerfile;
use crate::reader::Comment;
use crate::span::{Span, Word};

/// A rule that is broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which.
    pub rule: Rule,
    /// How, in one line.
    pub message: String,
    /// The place.
    pub span: Span,
    /// The instruction; for an empty continuation, its last line.
    pub instruction: Span,
}

/// Collects findings, unless their rules are skipped.
#[derive(Debug)]
pub struct Linter {
    options: CheckOptions,
    /// What comments above instructions say, and where those begin.
    above: Vec<(usize, CheckOptions)>,
    findings: RefCell<Vec<Finding>>,
}

impl Linter {
    /// A linter of a Dockerfile that keeps to what a directive says, and to what comments say about the instructions below them (DF-018).
    pub fn new(options: CheckOptions, file: &Dockerfile) -> Self {
        let stages = file
            .stages
            .iter()
            .flat_map(|stage| std::iter::once(&stage.instruction).chain(&stage.instructions));
        let instructions = file.globals.iter().chain(stages);
        let said = instructions.flat_map(|instruction| {
            instruction.comments.iter().filter_map(said).map(|options| (instruction.span.start, options))
        });
        Self { options, above: said.collect(), findings: RefCell::default() }
    }

    /// Notes that an instruction breaks a rule.
    pub fn report(&self, rule: Rule, message: String, span: Span, instruction: Span) {
        let above =
            self.above.iter().filter(|(start, _)| *start == instruction.start).map(|(_, options)| options);
        if self.options.applies(rule, above) {
            let message = base::text::line(&message).into_owned();
            self.findings.borrow_mut().push(Finding { rule, message, span, instruction });
        }
    }

    /// What was found so far, in the order of the file.
    pub fn findings(&self) -> Vec<Finding> {
        let mut findings = self.findings.borrow().clone();
        findings.sort_by_key(|finding| finding.instruction.line);
        findings
    }

    /// Whether findings are errors.
    pub fn is_strict(&self) -> bool {
        self.options.error == Some(true)
    }
}

/// What a comment says about checks. One that is no such thing is a comment.
fn said(comment: &Comment) -> Option<CheckOptions> {
    let value = comment.raw.strip_prefix("check")?.trim_start().strip_prefix('=')?.trim();
    CheckOptions::parse(&Word::unplaced(value)).ok()
}
