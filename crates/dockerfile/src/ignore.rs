//! `.dockerignore`: which paths of a context do not exist for a build (DF-185 … DF-189).
//!
//! A pattern is about the paths that it matches and all that is below them; the last pattern that is about a path
//! decides. So the verdict on a directory is where the verdicts on its entries begin, and a walk asks
//! [`IgnoreFile::verdict_below`] with its directory's verdict: later patterns only, and only against the entry itself.

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use base::{Classified, Kind};

use crate::span::Span;
use crate::wildcard::{BadPattern, DoubleStar, Tokens};

/// An ignore file.
#[derive(Debug, Clone, Default)]
pub struct IgnoreFile {
    patterns: Vec<IgnorePattern>,
    /// The patterns without wildcards: the last of each text.
    exact: HashMap<Vec<u8>, usize>,
    /// The other patterns, the last first.
    wild: Vec<usize>,
}

/// One pattern of an ignore file.
#[derive(Debug, Clone)]
pub struct IgnorePattern {
    /// The line as it was written, without surrounding blanks.
    pub text: String,
    /// Where it stands.
    pub span: Span,
    /// Whether it begins with `!`: what it matches is not ignored.
    pub is_exception: bool,
    tokens: Tokens,
}

impl IgnorePattern {
    /// The line, counted from 1.
    pub fn line(&self) -> u32 {
        self.span.line
    }
}

/// What an ignore file says about a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Verdict {
    /// Whether the path is ignored.
    pub is_excluded: bool,
    /// The pattern that decided, for [`IgnoreFile::pattern`]; none when no pattern is about the path.
    pub decided_by: Option<usize>,
}

/// A line of an ignore file that is not a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid pattern {text} on line {line}: {reason}", text = base::text::bytes(text.as_bytes()), line = span.line)]
pub struct IgnoreError {
    /// The line as it was written, without surrounding blanks.
    pub text: String,
    /// Where it stands.
    pub span: Span,
    /// What is wrong.
    pub reason: IgnoreProblem,
}

/// What can be wrong with a line of an ignore file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IgnoreProblem {
    /// `!` alone.
    #[error("nothing follows the exclamation mark")]
    NothingExcepted,
    /// Not a pattern.
    #[error("{0}")]
    Pattern(BadPattern),
}

impl IgnoreError {
    /// The line, counted from 1.
    pub fn line(&self) -> u32 {
        self.span.line
    }
}

impl Classified for IgnoreError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }
}

impl IgnoreFile {
    /// Reads an ignore file.
    pub fn parse(source: &[u8]) -> Result<Self, IgnoreError> {
        let mut file = Self::default();
        let mut start = if source.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        let lines = source.get(start..).unwrap_or_default().split(|byte| *byte == b'\n');
        for (line, number) in lines.zip(1..) {
            if !line.starts_with(b"#") {
                file.line(line, start, number)?;
            }
            start += line.len() + 1;
        }
        file.index();
        Ok(file)
    }

    /// Makes an ignore file of patterns from elsewhere (`--exclude`); their lines are counted from 1.
    pub fn of_patterns<'p>(patterns: impl IntoIterator<Item = &'p str>) -> Result<Self, IgnoreError> {
        let mut file = Self::default();
        for (pattern, number) in patterns.into_iter().zip(1..) {
            file.line(pattern.as_bytes(), 0, number)?;
        }
        file.index();
        Ok(file)
    }

    fn line(&mut self, line: &[u8], start: usize, number: u32) -> Result<(), IgnoreError> {
        let trimmed = line.trim_ascii();
        if trimmed.is_empty() {
            return Ok(());
        }
        let offset = line.len() - line.trim_ascii_start().len();
        let start = start + offset;
        let column = u32::try_from(offset).unwrap_or(u32::MAX).saturating_add(1);
        let span = Span { start, end: start + trimmed.len(), line: number, column, end_line: number };
        let text = String::from_utf8_lossy(trimmed).into_owned();
        let (is_exception, body) = match trimmed.strip_prefix(b"!") {
            Some(rest) => (true, rest.trim_ascii()),
            None => (false, trimmed),
        };
        if body.is_empty() {
            return Err(IgnoreError { text, span, reason: IgnoreProblem::NothingExcepted });
        }
        let cleaned = clean(body);
        let cleaned = cleaned.strip_prefix(b"/").filter(|rest| !rest.is_empty()).unwrap_or(&cleaned);
        match Tokens::parse(cleaned, DoubleStar::Directories) {
            Ok(tokens) => self.patterns.push(IgnorePattern { text, span, is_exception, tokens }),
            Err(error) => return Err(IgnoreError { text, span, reason: IgnoreProblem::Pattern(error) }),
        }
        Ok(())
    }

    fn index(&mut self) {
        for (index, pattern) in self.patterns.iter().enumerate() {
            match pattern.tokens.as_literal() {
                Some(literal) => drop(self.exact.insert(literal.to_owned(), index)),
                None => self.wild.push(index),
            }
        }
        self.wild.reverse();
    }

    /// Whether there are no patterns.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether there are patterns with `!`.
    pub fn has_exceptions(&self) -> bool {
        self.patterns.iter().any(|pattern| pattern.is_exception)
    }

    /// The patterns, in order.
    pub fn patterns(&self) -> &[IgnorePattern] {
        &self.patterns
    }

    /// The pattern that decided.
    pub fn pattern(&self, verdict: Verdict) -> Option<&IgnorePattern> {
        verdict.decided_by.and_then(|index| self.patterns.get(index))
    }

    /// What is said about a path (relative, without a slash at the start or the end), of which nothing is known yet.
    pub fn verdict(&self, path: &[u8]) -> Verdict {
        let mut verdict = Verdict::default();
        for (at, _) in path.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
            verdict = self.verdict_below(verdict, path.get(..at).unwrap_or_default());
        }
        self.verdict_below(verdict, path)
    }

    /// What is said about a path, given the verdict on its directory (the default one for the root).
    pub fn verdict_below(&self, directory: Verdict, path: &[u8]) -> Verdict {
        let mut decided = directory.decided_by;
        if let Some(index) = self.exact.get(path) {
            decided = decided.max(Some(*index));
        }
        for &index in &self.wild {
            if Some(index) <= decided {
                break;
            }
            if self.patterns.get(index).is_some_and(|pattern| pattern.tokens.matches(path)) {
                decided = Some(index);
                break;
            }
        }
        if decided == directory.decided_by {
            return directory;
        }
        let is_exception =
            decided.and_then(|index| self.patterns.get(index)).is_some_and(|pattern| pattern.is_exception);
        Verdict { is_excluded: decided.is_some() && !is_exception, decided_by: decided }
    }

    /// Whether a path, written as COPY has it, and all that is below it are ignored. No pattern of COPY is: it may match anything.
    pub fn leaves_out(&self, path: &str) -> bool {
        if path.contains(['*', '?', '[', '\\']) {
            return false;
        }
        let path = clean(&[b"/", path.as_bytes()].concat());
        let path = path.strip_prefix(b"/").unwrap_or(&path);
        let verdict = self.verdict(path);
        !path.is_empty() && verdict.is_excluded && !self.could_include_below_with(verdict, path)
    }

    /// Whether something within an ignored directory could be in the context again, so that a walk has to look (DF-187).
    ///
    /// Never wrongly false.
    pub fn could_include_below(&self, directory: &[u8]) -> bool {
        self.could_include_below_with(self.verdict(directory), directory)
    }

    /// The same, given the verdict on the directory.
    pub fn could_include_below_with(&self, verdict: Verdict, directory: &[u8]) -> bool {
        if !verdict.is_excluded || directory.is_empty() {
            return true;
        }
        let start = [directory, b"/"].concat();
        // Earlier exceptions are overruled by the pattern that decided.
        let from = verdict.decided_by.map_or(0, |index| index + 1);
        let later = self.patterns.get(from..).unwrap_or_default();
        later.iter().any(|pattern| pattern.is_exception && pattern.tokens.could_match_longer(&start))
    }
}

/// The shortest way to write a path, as Go's `path.Clean` does it.
fn clean(path: &[u8]) -> Vec<u8> {
    let is_absolute = path.starts_with(b"/");
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." if parts.last().is_some_and(|last| *last != b"..") => drop(parts.pop()),
            b".." if is_absolute => {}
            _ => parts.push(part),
        }
    }
    let joined = parts.join(&b'/');
    match (is_absolute, joined.is_empty()) {
        (true, _) => [b"/", joined.as_slice()].concat(),
        (false, true) => b".".to_vec(),
        (false, false) => joined,
    }
}
