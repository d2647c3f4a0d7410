//! From a logical line to an instruction.

use super::{
    Instruction, InstructionKind, Keyword, command, copy, from, healthcheck, onbuild, pairs, run, simple,
};
use crate::directive::Escape;
use crate::error::{Error, Problem, Result};
use crate::flags::{self, Flag, Flags, Known};
use crate::heredoc::{self, Heredoc, Within};
use crate::json::{self, Json};
use crate::reader::Reader;
use crate::span::{Slice, Span};
use crate::suggest;
use crate::warning::Warning;
use crate::words;

/// Reads the next instruction.
pub(crate) fn next(reader: &mut Reader<'_>) -> Result<Option<Instruction>> {
    let Some(line) = reader.logical_line()? else { return Ok(None) };
    let text = line.text.whole().trim();
    let escape = reader.directives.escape;
    let head = Head::split(text, escape)?;
    let heredocs = head.heredocs(reader)?;
    let span = heredocs.last().map_or(text.span(), |last| text.span().to(last.terminator));
    let spelling = head.spelling.word();
    let (keyword, flags) = (head.keyword, head.flags.clone());
    let kind = head.parse(heredocs, escape, &mut reader.warnings)?;
    let text = text.as_str().to_owned();
    Ok(Some(Instruction { keyword, spelling, span, comments: line.comments, flags, text, kind }))
}

/// A logical line, split into keyword, flags and arguments.
#[derive(Debug)]
pub(super) struct Head<'a> {
    pub keyword: Keyword,
    pub spelling: Slice<'a>,
    pub flags: Vec<Flag>,
    /// What follows the flags.
    pub arguments: Slice<'a>,
    /// The whole line.
    pub line: Slice<'a>,
}

impl<'a> Head<'a> {
    pub fn split(line: Slice<'a>, escape: Escape) -> Result<Self> {
        let (spelling, rest) = words::first(line);
        let name = spelling.as_str();
        let Some(keyword) = Keyword::of(name) else {
            return Err(unknown(spelling, escape));
        };
        // The flags of an ONBUILD are its trigger's.
        let (flags, arguments) =
            if keyword == Keyword::Onbuild { (Vec::new(), rest) } else { flags::split(rest, escape) };
        Ok(Self { keyword, spelling, flags, arguments, line })
    }

    /// Reads the heredocs that the line opens, if its instruction may have any (DF-028).
    fn heredocs(&self, reader: &mut Reader<'_>) -> Result<Vec<Heredoc>> {
        let within = match self.keyword {
            Keyword::Run => Within::Shell,
            Keyword::Add | Keyword::Copy => Within::Words,
            Keyword::Onbuild => {
                return match Head::split(self.arguments, reader.directives.escape) {
                    Ok(trigger) if trigger.keyword != Keyword::Onbuild => trigger.heredocs(reader),
                    _ => Ok(Vec::new()),
                };
            }
            _ => return Ok(Vec::new()),
        };
        if !self.arguments.as_str().contains("<<") || json::array(self.arguments) != Json::No {
            return Ok(Vec::new());
        }
        heredoc::openers(self.arguments, within).into_iter().map(|opener| reader.heredoc(opener)).collect()
    }

    pub fn parse(
        self,
        heredocs: Vec<Heredoc>,
        escape: Escape,
        warnings: &mut Vec<Warning>,
    ) -> Result<InstructionKind> {
        let request = Request { head: self, heredocs, escape };
        Ok(match request.head.keyword {
            Keyword::Add => InstructionKind::Add(copy::add(request)?),
            Keyword::Arg => InstructionKind::Arg(pairs::arg(&request)?),
            Keyword::Cmd => InstructionKind::Cmd(command::optional(&request)?),
            Keyword::Copy => InstructionKind::Copy(copy::copy(request)?),
            Keyword::Entrypoint => InstructionKind::Entrypoint(command::optional(&request)?),
            Keyword::Env => InstructionKind::Env(pairs::pairs(&request)?),
            Keyword::Expose => InstructionKind::Expose(simple::expose(&request)?),
            Keyword::From => InstructionKind::From(from::from(&request)?),
            Keyword::Healthcheck => {
                InstructionKind::Healthcheck(healthcheck::healthcheck(&request, warnings)?)
            }
            Keyword::Label => InstructionKind::Label(pairs::pairs(&request)?),
            Keyword::Maintainer => InstructionKind::Maintainer(simple::value(&request)?),
            Keyword::Onbuild => InstructionKind::Onbuild(onbuild::onbuild(request, warnings)?),
            Keyword::Run => InstructionKind::Run(run::run(request)?),
            Keyword::Shell => InstructionKind::Shell(command::shell(&request)?),
            Keyword::Stopsignal => InstructionKind::Stopsignal(simple::signal(&request)?),
            Keyword::User => InstructionKind::User(simple::value(&request)?),
            Keyword::Volume => InstructionKind::Volume(simple::volume(&request)?),
            Keyword::Workdir => InstructionKind::Workdir(simple::value(&request)?),
        })
    }
}

fn unknown(spelling: Slice<'_>, escape: Escape) -> Error {
    let name = spelling.as_str();
    let error = Error::new(Problem::UnknownInstruction { name: name.to_owned() }, spelling.span());
    match suggest::nearest(name, Keyword::ALL.into_iter().map(Keyword::as_str)) {
        Some(nearest) => error.suggesting(Some(nearest)),
        None if name.starts_with("//") => error.hinted("a comment begins with #"),
        None => {
            let escape = escape.character();
            error
                .hinted(format!("if this belongs to the instruction above, end the line above with {escape}"))
        }
    }
}

/// What the parser of one instruction gets.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub head: Head<'a>,
    pub heredocs: Vec<Heredoc>,
    pub escape: Escape,
}

impl<'a> Request<'a> {
    pub fn name(&self) -> &'static str {
        self.head.keyword.as_str()
    }

    pub fn arguments(&self) -> Slice<'a> {
        self.head.arguments
    }

    /// Where the whole instruction stands, without heredocs.
    pub fn span(&self) -> Span {
        self.head.line.span()
    }

    /// The flags, checked.
    pub fn flags(&self, known: Known) -> Result<Flags<'_>> {
        Flags::check(self.name(), known, &self.head.flags)
    }

    /// Refuses all flags.
    pub fn no_flags(&self) -> Result<()> {
        self.flags(&[]).map(drop)
    }

    /// The instruction has a wrong number of arguments.
    pub fn wrong_arguments(&self, expected: &'static str) -> Error {
        Error::new(Problem::Arguments { keyword: self.name(), expected }, self.span())
    }
}
