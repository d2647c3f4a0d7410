//! Commands: the exec form and the shell form (DF-021, DF-022, DF-154, DF-158).

use super::parse::Request;
use crate::error::{Error, Problem, Result};
use crate::json::{self, Json};
use crate::span::{Slice, Word};

/// A command, which is never expanded here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandLine {
    /// The JSON form: the words of the command.
    Exec(Vec<Word>),
    /// The other one: a text for a shell, as it was written.
    Shell(Word),
}

impl CommandLine {
    /// The arguments to execute, given the words of the shell that reads a shell form.
    pub fn arguments(&self, shell: &[String]) -> Vec<String> {
        match self {
            CommandLine::Exec(words) => words.iter().map(|word| word.raw.clone()).collect(),
            CommandLine::Shell(text) => shell.iter().cloned().chain([text.raw.clone()]).collect(),
        }
    }

    /// Whether this is the exec form.
    pub fn is_exec(&self) -> bool {
        matches!(self, CommandLine::Exec(_))
    }

    pub(super) fn parse(keyword: &'static str, arguments: Slice<'_>) -> Result<Self> {
        match json::array(arguments) {
            Json::No => Ok(CommandLine::Shell(arguments.word())),
            Json::Strings(words) => Ok(CommandLine::Exec(words)),
            Json::Other(span) => {
                Err(Error::new(Problem::NotAString { keyword }, span).hinted("put it in double quotes"))
            }
        }
    }
}

/// CMD and ENTRYPOINT: `[]` clears.
pub(super) fn optional(request: &Request<'_>) -> Result<CommandLine> {
    request.no_flags()?;
    CommandLine::parse(request.name(), request.arguments())
}

/// SHELL: only the exec form, and not without words.
pub(super) fn shell(request: &Request<'_>) -> Result<Vec<Word>> {
    request.no_flags()?;
    match CommandLine::parse(request.name(), request.arguments())? {
        CommandLine::Exec(words) if !words.is_empty() => Ok(words),
        CommandLine::Exec(_) => Err(request.wrong_arguments("at least one argument")),
        CommandLine::Shell(text) if text.raw.is_empty() => {
            Err(request.wrong_arguments("at least one argument"))
        }
        CommandLine::Shell(text) => Err(Error::new(Problem::NotJson { keyword: request.name() }, text.span)
            .hinted("write it like SHELL [\"/bin/bash\", \"-c\"]")),
    }
}
