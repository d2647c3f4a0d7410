//! Instructions that have values only: EXPOSE, VOLUME, USER, WORKDIR, STOPSIGNAL, MAINTAINER.

use super::command::CommandLine;
use super::parse::Request;
use crate::error::{Error, Problem, Result};
use crate::span::Word;
use crate::value::parse_signal;
use crate::words;

/// EXPOSE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expose {
    /// At least one; each may become several when it is expanded, see [`Expander::words`](crate::expand::Expander::words)
    /// and [`parse_port`](crate::value::parse_port).
    pub ports: Vec<Word>,
}

/// VOLUME.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// At least one.
    pub paths: Vec<Word>,
}

pub(super) fn expose(request: &Request<'_>) -> Result<Expose> {
    request.no_flags()?;
    let ports = words::plain(request.arguments());
    if ports.is_empty() {
        return Err(request.wrong_arguments("at least one argument"));
    }
    Ok(Expose { ports })
}

pub(super) fn volume(request: &Request<'_>) -> Result<Volume> {
    request.no_flags()?;
    let mut paths = match CommandLine::parse(request.name(), request.arguments())? {
        CommandLine::Exec(words) => words,
        CommandLine::Shell(_) => words::plain(request.arguments()),
    };
    if paths.is_empty() {
        return Err(request.wrong_arguments("at least one argument"));
    }
    for path in &mut paths {
        path.raw = path.raw.trim().to_owned();
        if path.raw.is_empty() {
            return Err(Error::new(Problem::Empty { what: "the path of a VOLUME" }, path.span));
        }
    }
    Ok(Volume { paths })
}

/// One value: all that follows the keyword.
pub(super) fn value(request: &Request<'_>) -> Result<Word> {
    request.no_flags()?;
    if request.arguments().is_empty() {
        return Err(request.wrong_arguments("exactly one argument"));
    }
    Ok(request.arguments().word())
}

pub(super) fn signal(request: &Request<'_>) -> Result<Word> {
    let word = value(request)?;
    let is_final = !word.raw.contains(['$', '\\', '`', '"', '\'']);
    if is_final {
        parse_signal(&word.raw).map_err(|error| Error::new(error, word.span))?;
    }
    Ok(word)
}
