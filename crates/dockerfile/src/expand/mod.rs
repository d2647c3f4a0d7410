//! Quotes, escapes and variables in words (DF-040 … DF-054).

mod lexer;
mod pattern;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;
use std::ops::Range;

use base::{Classified, Kind};

use crate::directive::Escape;
use crate::error::{Error, Problem, Result};
use crate::heredoc::Heredoc;
use crate::span::Word;
use lexer::{Lexer, Quoting};

/// Where the values of variables come from.
pub trait Lookup {
    /// The value of a variable; none when it is not set.
    fn value(&self, name: &str) -> Option<Cow<'_, str>>;
}

impl<S: BuildHasher> Lookup for HashMap<String, String, S> {
    fn value(&self, name: &str) -> Option<Cow<'_, str>> {
        self.get(name).map(|value| Cow::Borrowed(value.as_str()))
    }
}

impl Lookup for BTreeMap<String, String> {
    fn value(&self, name: &str) -> Option<Cow<'_, str>> {
        self.get(name).map(|value| Cow::Borrowed(value.as_str()))
    }
}

impl<F: Fn(&str) -> Option<String>> Lookup for F {
    fn value(&self, name: &str) -> Option<Cow<'_, str>> {
        self(name).map(Cow::Owned)
    }
}

/// Expands words: removes quotes and escapes, and replaces variables by their values.
#[derive(Clone, Copy)]
pub struct Expander<'e> {
    escape: Escape,
    lookup: &'e dyn Lookup,
}

/// An expanded word.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Expanded {
    /// The result.
    pub text: String,
    /// The variables whose values were looked at, in order, each once.
    pub used: Vec<String>,
    /// The variables that are not set, where the word does not say what happens then.
    pub undefined: Vec<String>,
}

/// A word that was expanded and then split at blanks that came from outside of quotes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExpandedWords {
    /// The results.
    pub words: Vec<String>,
    /// As in [`Expanded`].
    pub used: Vec<String>,
    /// As in [`Expanded`].
    pub undefined: Vec<String>,
}

impl<'e> Expander<'e> {
    /// An expander with the Dockerfile's escape character and some variables.
    pub fn new(escape: Escape, lookup: &'e dyn Lookup) -> Self {
        Self { escape, lookup }
    }

    /// Expands a word of the Dockerfile. Blanks within it stay.
    pub fn word(&self, word: &Word) -> Result<Expanded> {
        self.text(&word.raw).map_err(|error| locate(error, word))
    }

    /// Expands a word and splits the result: `EXPOSE $PORTS` (DF-051).
    pub fn words(&self, word: &Word) -> Result<ExpandedWords> {
        let mut lexer = Lexer::new(&word.raw, self.escape.character(), self.lookup, Quoting::Removed);
        let words = lexer.words().map_err(|error| locate(error, word))?;
        Ok(ExpandedWords { words, used: lexer.used, undefined: lexer.undefined })
    }

    /// Expands text that stands in no Dockerfile.
    pub fn text(&self, text: &str) -> Result<Expanded, ExpandError> {
        let mut lexer = Lexer::new(text, self.escape.character(), self.lookup, Quoting::Removed);
        let text = lexer.text()?;
        Ok(Expanded { text, used: lexer.used, undefined: lexer.undefined })
    }

    /// Expands the contents of a COPY's or ADD's heredoc, unless its delimiter is quoted (DF-032).
    ///
    /// Quotes are contents there, and the escape character is a backslash whatever the directive says.
    pub fn heredoc(&self, heredoc: &Heredoc) -> Result<Expanded> {
        let content = heredoc.content();
        if !heredoc.expand {
            return Ok(Expanded { text: content.into_owned(), ..Expanded::default() });
        }
        let mut lexer = Lexer::new(&content, '\\', self.lookup, Quoting::Kept);
        let text = lexer.text().map_err(|error| {
            Error::new(Problem::Expansion(error.failure), heredoc.span_of(error.range))
                .hinted("write \\$ for a dollar sign, or quote the delimiter to have no expansion")
        })?;
        Ok(Expanded { text, used: lexer.used, undefined: lexer.undefined })
    }
}

fn locate(error: ExpandError, word: &Word) -> Error {
    let span = word.span_of(error.range);
    let hint = match &error.failure {
        Failure::Required { name, .. } => {
            Some(format!("set it with --build-arg {name}=VALUE, or with ARG or ENV above"))
        }
        Failure::MissingBrace | Failure::BadSubstitution => Some("write \\$ for a dollar sign".to_owned()),
        _ => None,
    };
    let located = Error::new(Problem::Expansion(error.failure), span);
    match hint {
        Some(hint) => located.hinted(hint),
        None => located,
    }
}

/// A text that can't be expanded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{failure}")]
pub struct ExpandError {
    /// Why.
    pub failure: Failure,
    /// Where, in bytes of the text.
    pub range: Range<usize>,
}

impl Classified for ExpandError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }
}

/// Why a word can't be expanded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// A single or double quote without its partner.
    #[error("unexpected end of statement while looking for matching {0}")]
    UnmatchedQuote(&'static str),
    /// `${` without `}`.
    #[error("missing '}}' in substitution")]
    MissingBrace,
    /// `${name/pattern` without the second slash.
    #[error("missing '/' in substitution")]
    MissingSlash,
    /// `${}` and the like.
    #[error("bad substitution")]
    BadSubstitution,
    /// `${name:=word}` and what else there is not.
    #[error("unsupported modifier ({}) in substitution", base::text::line(.0))]
    UnsupportedModifier(String),
    /// `${name?message}` of a variable that is not set.
    #[error("{}: {}", base::text::line(.name), base::text::line(.message))]
    Required {
        /// The variable.
        name: String,
        /// What the word says.
        message: String,
    },
    /// A pattern that escapes something that needs no escape.
    #[error("invalid pattern {pattern:?} in substitution: {}", base::text::line(.detail))]
    BadPattern {
        /// The pattern.
        pattern: String,
        /// What is wrong.
        detail: String,
    },
    /// Substitutions within substitutions without end.
    #[error("substitutions are nested too deeply")]
    TooDeep,
    /// Replacements within replacements, or variables of variables, that grow with each.
    #[error("the result of the substitution is longer than 1 MiB")]
    TooLong,
}
