//! Something that is wrong at a place of a Dockerfile: what, where, and all that is shown beside it.

use std::error::Error;
use std::fmt;

use base::{Classified, Kind};

use crate::span::Span;

/// A problem at a place in a Dockerfile.
///
/// The text is the message; whoever shows it also has the place, a label for it, other places with notes, and a hint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located<P>(Box<Report<P>>);

/// The contents of a [`Located`], behind a pointer: errors travel through many results.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Report<P> {
    problem: P,
    span: Span,
    label: Option<String>,
    notes: Vec<Note>,
    suggestion: Option<String>,
    hint: Option<String>,
}

/// A further place that has to do with an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The place.
    pub span: Span,
    /// What is to be said about it.
    pub text: String,
}

impl<P> Located<P> {
    /// A problem at a place.
    pub fn new(problem: impl Into<P>, span: Span) -> Self {
        let problem = problem.into();
        Self(Box::new(Report { problem, span, label: None, notes: Vec::new(), suggestion: None, hint: None }))
    }

    /// At another place: what is wrong with a trigger is shown where the trigger is pulled.
    #[must_use]
    pub fn moved(mut self, span: Span) -> Self {
        self.0.span = span;
        self.0.notes.clear();
        self
    }

    /// With a few words to put beside the place.
    #[must_use]
    pub fn labelled(mut self, label: impl Into<String>) -> Self {
        self.0.label = Some(label.into());
        self
    }

    /// With another place.
    #[must_use]
    pub fn noted(mut self, span: Span, text: impl Into<String>) -> Self {
        self.0.notes.push(Note { span, text: text.into() });
        self
    }

    /// With what was probably meant.
    #[must_use]
    pub fn suggesting(mut self, suggestion: Option<impl Into<String>>) -> Self {
        self.0.suggestion = suggestion.map(Into::into);
        self
    }

    /// With what the user can do, as a sentence without a full stop.
    #[must_use]
    pub fn hinted(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// What is wrong.
    pub fn problem(&self) -> &P {
        &self.0.problem
    }

    /// Where it is wrong.
    pub fn span(&self) -> Span {
        self.0.span
    }

    /// A few words to put beside the place.
    pub fn label(&self) -> Option<&str> {
        self.0.label.as_deref()
    }

    /// Other places that have to do with it.
    pub fn notes(&self) -> &[Note] {
        &self.0.notes
    }

    /// What was probably meant, to stand at the place instead; it is part of the message.
    pub fn suggestion(&self) -> Option<&str> {
        self.0.suggestion.as_deref()
    }
}

impl<P: Error> fmt::Display for Located<P> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = self.0.problem.to_string();
        formatter.write_str(&base::text::line(&message))?;
        match &self.0.suggestion {
            Some(suggestion) => write!(formatter, " (did you mean {}?)", base::text::line(suggestion)),
            None => Ok(()),
        }
    }
}

impl<P: Error> Error for Located<P> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.problem.source()
    }
}

impl<P: Classified> Classified for Located<P> {
    fn kind(&self) -> Kind {
        self.0.problem.kind()
    }

    fn hint(&self) -> Option<String> {
        self.0.hint.clone().or_else(|| self.0.problem.hint())
    }
}
