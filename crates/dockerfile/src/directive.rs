//! Parser directives: the `# key=value` lines at the top of a Dockerfile.

use crate::error::{Error, Problem, Result};
use crate::lint::CheckOptions;
use crate::span::Word;

/// The character that continues lines and protects characters in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Escape {
    /// `\`, the usual one.
    #[default]
    Backslash,
    /// A backtick, for Windows paths.
    Backtick,
}

impl Escape {
    /// The character.
    pub fn character(self) -> char {
        match self {
            Escape::Backslash => '\\',
            Escape::Backtick => '`',
        }
    }
}

/// What the directives say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Directives {
    /// `escape`, or its default.
    pub escape: Escape,
    /// The value of `syntax`: a frontend's reference and its arguments.
    pub syntax: Option<Word>,
    /// The value of `check`, which [`CheckOptions::parse`] reads.
    pub check: Option<Word>,
    escape_value: Option<Word>,
}

impl Directives {
    /// Directives that say nothing but which character escapes.
    pub fn with_escape(escape: Escape) -> Self {
        Self { escape, ..Self::default() }
    }

    /// Takes one line's key and value.
    ///
    /// The answer is false when the key is no directive's, which ends the block of directives.
    pub(crate) fn take(&mut self, key: &str, value: Word) -> Result<bool> {
        let (name, slot) = match key.to_ascii_lowercase().as_str() {
            "syntax" => ("syntax", &mut self.syntax),
            "escape" => ("escape", &mut self.escape_value),
            "check" => ("check", &mut self.check),
            _ => return Ok(false),
        };
        if let Some(first) = slot {
            let error = Error::new(Problem::RepeatedDirective { name }, value.span);
            return Err(error.noted(first.span, "it was first given here"));
        }
        if name == "escape" {
            self.escape = match value.as_str() {
                "\\" => Escape::Backslash,
                "`" => Escape::Backtick,
                _ => return Err(Error::new(Problem::BadEscape { value: value.raw }, value.span)),
            };
        }
        if name == "check" {
            CheckOptions::parse(&value)?;
        }
        *slot = Some(value);
        Ok(true)
    }

    /// Whether `syntax` names one of Docker's own frontends for Dockerfiles (any tag, any digest), all of which this parser covers.
    ///
    /// True when there is no such directive.
    pub fn syntax_is_docker(&self) -> bool {
        let Some(syntax) = &self.syntax else { return true };
        let reference = syntax.as_str().split_whitespace().next().unwrap_or_default();
        let reference = reference.strip_prefix("docker.io/").unwrap_or(reference);
        let name = reference.split(['@', ':']).next().unwrap_or_default();
        matches!(name, "docker/dockerfile" | "docker/dockerfile-upstream" | "dockerfile.v0")
    }
}

/// Splits a comment line (with its `#`) into a directive's key and value, as byte ranges of the line.
pub(crate) fn split(line: &str) -> Option<(std::ops::Range<usize>, std::ops::Range<usize>)> {
    let body = line.strip_prefix('#')?;
    let key_start = line.len() - body.trim_start().len();
    let equals = line.find('=')?;
    let key = line.get(key_start..equals)?.trim_end();
    let starts_well = key.starts_with(|first: char| first.is_ascii_alphabetic());
    if !starts_well || !key.chars().all(|character| character.is_ascii_alphanumeric()) {
        return None;
    }
    let rest = line.get(equals + 1..)?;
    let value = rest.trim();
    let value_start = line.len() - rest.trim_start().len();
    (!value.is_empty()).then(|| (key_start..key_start + key.len(), value_start..value_start + value.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn df_012_what_a_directive_looks_like() {
        for (line, expected) in [
            ("# syntax=docker/dockerfile:1", Some(("syntax", "docker/dockerfile:1"))),
            ("#escape = `  ", Some(("escape", "`"))),
            ("#  ESCAPE=\\", Some(("ESCAPE", "\\"))),
            ("# check=skip=A;error=true", Some(("check", "skip=A;error=true"))),
            ("# a comment=1", None),
            ("# 1a=1", None),
            ("# escape=", None),
            ("# escape", None),
            ("escape=`", None),
        ] {
            let found = split(line).map(|(key, value)| (&line[key], &line[value]));
            assert_eq!(found, expected, "{line}");
        }
    }

    #[test]
    fn df_015_dockers_own_frontends_are_known() {
        for (value, expected) in [
            ("docker/dockerfile", true),
            ("docker/dockerfile:1.7-labs", true),
            ("docker.io/docker/dockerfile:1@sha256:abc", true),
            ("docker/dockerfile-upstream:master", true),
            ("example.com/frontend:1", false),
            ("docker/dockerfile2", false),
        ] {
            let directives = Directives { syntax: Some(Word::unplaced(value)), ..Directives::default() };
            assert_eq!(directives.syntax_is_docker(), expected, "{value}");
        }
        assert!(Directives::default().syntax_is_docker());
    }
}
