//! RUN (DF-034 … DF-037, DF-087, DF-104 … DF-106).

use std::borrow::Cow;

use super::command::CommandLine;
use super::parse::Request;
use crate::error::{Error, Problem, Result};
use crate::flags::{Known, Takes};
use crate::heredoc::Heredoc;
use crate::mount::MountSpec;
use crate::span::{Span, Word};
use crate::suggest;

/// RUN: a command to execute, and in what surroundings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// `--mount`, in order.
    pub mounts: Vec<MountSpec>,
    /// `--network`, and where it stands.
    pub network: Option<(NetworkMode, Span)>,
    /// `--security`, and where it stands.
    pub security: Option<(SecurityMode, Span)>,
    /// `--device`, in order.
    pub devices: Vec<Device>,
    /// The command line itself; what has to be executed is in [`script`](Self::script).
    pub command: CommandLine,
    /// The heredocs that the command line opens, in order.
    pub heredocs: Vec<Heredoc>,
}

/// `--network`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkMode {
    /// What the whole build has.
    Default,
    /// The loopback device only.
    None,
    /// The machine's.
    Host,
}

/// `--security`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecurityMode {
    /// As usual.
    Sandbox,
    /// With all capabilities, without a system call filter.
    Insecure,
}

/// `--device`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Which devices, in the notation of the Container Device Interface.
    pub name: String,
    /// Whether it is an error that there are none.
    pub required: bool,
    /// Where the flag's value stands.
    pub span: Span,
}

/// What a RUN executes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Script<'r> {
    /// A program with its arguments.
    Exec(&'r [Word]),
    /// A text for the current shell: the command line, or the only heredoc's contents, or both put together.
    Shell(Cow<'r, str>),
    /// A program of its own, beginning with `#!`, which is the only heredoc's contents.
    Executable {
        /// What it is called: it appears as `/dev/pipes/NAME`.
        name: &'r str,
        /// The file's contents.
        content: Cow<'r, str>,
    },
}

impl Run {
    /// What has to be executed.
    pub fn script(&self) -> Script<'_> {
        let text = match &self.command {
            CommandLine::Exec(words) => return Script::Exec(words),
            CommandLine::Shell(text) => text,
        };
        match self.heredocs.as_slice() {
            [] => Script::Shell(Cow::Borrowed(&text.raw)),
            // A number is the shell's business.
            [only] if only.descriptor.is_none() && only.opener.raw == text.raw => {
                let content = only.content();
                if content.starts_with("#!") {
                    Script::Executable { name: &only.name, content }
                } else {
                    Script::Shell(content)
                }
            }
            several => {
                let mut assembled = text.raw.clone();
                for heredoc in several {
                    assembled.push('\n');
                    assembled.push_str(&heredoc.body.raw);
                    assembled.push_str(&heredoc.name);
                }
                Script::Shell(Cow::Owned(assembled))
            }
        }
    }
}

const FLAGS: Known =
    &[("mount", Takes::List), ("network", Takes::Text), ("security", Takes::Text), ("device", Takes::List)];

pub(super) fn run(request: Request<'_>) -> Result<Run> {
    let flags = request.flags(FLAGS)?;
    let command = CommandLine::parse(request.name(), request.arguments())?;
    if matches!(&command, CommandLine::Exec(words) if words.is_empty()) {
        return Err(Error::new(Problem::EmptyExec { keyword: request.name() }, request.arguments().span()));
    }
    let network =
        [("default", NetworkMode::Default), ("none", NetworkMode::None), ("host", NetworkMode::Host)];
    let security = [("sandbox", SecurityMode::Sandbox), ("insecure", SecurityMode::Insecure)];
    let mounts = flags.list("mount").map(MountSpec::parse).collect::<Result<_>>()?;
    let network = flags.text("network").map(|word| one_of("network", word, &network)).transpose()?;
    let security = flags.text("security").map(|word| one_of("security", word, &security)).transpose()?;
    let devices = flags.list("device").map(device).collect::<Result<_>>()?;
    Ok(Run { mounts, network, security, devices, command, heredocs: request.heredocs })
}

fn one_of<T: Copy>(flag: &str, word: &Word, known: &[(&str, T)]) -> Result<(T, Span)> {
    if let Some((_, mode)) = known.iter().find(|(name, _)| *name == word.raw) {
        return Ok((*mode, word.span));
    }
    let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
    let expected = format!("it has to be one of {}", names.join(", "));
    let nearest = suggest::nearest(&word.raw, names);
    let problem = Problem::BadFlagValue { flag: flag.to_owned(), value: word.raw.clone(), expected };
    Err(Error::new(problem, word.span).suggesting(nearest))
}

fn device(word: &Word) -> Result<Device> {
    let fail = |expected: &str| {
        let expected = expected.to_owned();
        let problem = Problem::BadFlagValue { flag: "device".to_owned(), value: word.raw.clone(), expected };
        Err(Error::new(problem, word.span))
    };
    let (mut name, mut required) = (None, false);
    for field in word.raw.split(',') {
        let given = match field.split_once('=') {
            None if field.eq_ignore_ascii_case("required") => {
                required = true;
                continue;
            }
            Some((key, value)) if key.eq_ignore_ascii_case("required") => {
                required = match value {
                    "true" | "1" => true,
                    "false" | "0" => false,
                    _ => return fail("required has to be true or false"),
                };
                continue;
            }
            Some((key, value)) if key.eq_ignore_ascii_case("name") => value,
            // A device's own name may hold `=`.
            _ => field,
        };
        if given.is_empty() || name.replace(given.to_owned()).is_some() {
            return fail("it has to be one device's name, and `required` or not");
        }
    }
    match name {
        Some(name) => Ok(Device { name, required, span: word.span }),
        None => fail("no device is named"),
    }
}
