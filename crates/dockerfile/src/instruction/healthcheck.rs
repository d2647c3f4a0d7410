//! HEALTHCHECK (DF-156).

use std::time::Duration;

use super::command::CommandLine;
use super::parse::Request;
use crate::error::{Error, Problem, Result};
use crate::flags::{Flags, Known, Takes};
use crate::suggest;
use crate::value::{ValueError, parse_duration};
use crate::warning::{Warning, WarningKind};
use crate::words;

/// HEALTHCHECK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Healthcheck {
    /// No check, also none of the base image.
    None,
    /// A check.
    Command(HealthcheckCommand),
}

/// A check: what is not given is left to the runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthcheckCommand {
    /// `--interval`.
    pub interval: Option<Duration>,
    /// `--timeout`.
    pub timeout: Option<Duration>,
    /// `--start-period`.
    pub start_period: Option<Duration>,
    /// `--start-interval`.
    pub start_interval: Option<Duration>,
    /// `--retries`.
    pub retries: Option<u32>,
    /// What to execute.
    pub command: CommandLine,
}

const FLAGS: Known = &[
    ("interval", Takes::Text),
    ("timeout", Takes::Text),
    ("start-period", Takes::Text),
    ("start-interval", Takes::Text),
    ("retries", Takes::Text),
];

/// What runtimes refuse to go below.
const SHORTEST: Duration = Duration::from_millis(1);

pub(super) fn healthcheck(request: &Request<'_>, warnings: &mut Vec<Warning>) -> Result<Healthcheck> {
    let flags = request.flags(FLAGS)?;
    let (kind, rest) = words::first(request.arguments());
    match kind.as_str().to_ascii_uppercase().as_str() {
        "" => Err(request.wrong_arguments("at least one argument: CMD or NONE")),
        "NONE" if !rest.is_empty() => Err(request.wrong_arguments("no arguments after NONE")),
        "NONE" => {
            if let Some(first) = request.head.flags.first() {
                warnings.push(Warning { kind: WarningKind::FlagsWithoutCheck, span: first.span });
            }
            Ok(Healthcheck::None)
        }
        "CMD" => {
            let command = CommandLine::parse(request.name(), rest)?;
            let is_empty = match &command {
                CommandLine::Exec(words) => words.is_empty(),
                CommandLine::Shell(text) => text.raw.is_empty(),
            };
            if is_empty {
                return Err(request.wrong_arguments("a command after CMD"));
            }
            Ok(Healthcheck::Command(check(flags, command)?))
        }
        _ => {
            let nearest = suggest::nearest(kind.as_str(), ["CMD", "NONE"]);
            let problem = Problem::BadHealthcheck { name: kind.as_str().to_owned() };
            Err(Error::new(problem, kind.span()).suggesting(nearest))
        }
    }
}

fn check(flags: Flags<'_>, command: CommandLine) -> Result<HealthcheckCommand> {
    Ok(HealthcheckCommand {
        interval: duration(flags, "interval")?,
        timeout: duration(flags, "timeout")?,
        start_period: duration(flags, "start-period")?,
        start_interval: duration(flags, "start-interval")?,
        retries: retries(flags)?,
        command,
    })
}

/// A duration; zero is as good as none.
fn duration(flags: Flags<'_>, name: &str) -> Result<Option<Duration>> {
    let Some(word) = flags.text(name).filter(|word| !word.raw.is_empty()) else { return Ok(None) };
    let duration = parse_duration(&word.raw).map_err(|error| Error::new(error, word.span))?;
    if duration.is_zero() {
        return Ok(None);
    }
    if duration < SHORTEST {
        let error = ValueError::TooShort { what: name.to_owned(), value: word.raw.clone(), least: "1ms" };
        return Err(Error::new(error, word.span));
    }
    Ok(Some(duration))
}

fn retries(flags: Flags<'_>) -> Result<Option<u32>> {
    let Some(word) = flags.text("retries").filter(|word| !word.raw.is_empty()) else { return Ok(None) };
    match word.raw.parse::<i32>().ok().and_then(|number| u32::try_from(number).ok()) {
        Some(0) => Ok(None),
        Some(number) => Ok(Some(number)),
        None => {
            let error = ValueError::Number { what: "retries", value: word.raw.clone() };
            Err(Error::new(error, word.span))
        }
    }
}
