//! ONBUILD (DF-038, DF-159).

use super::Keyword;
use super::parse::{Head, Request};
use crate::directive::Escape;
use crate::error::{Error, Problem, Result};
use crate::instruction::Instruction;
use crate::reader::Reader;
use crate::span::{Slice, Span};
use crate::warning::{Warning, WarningKind};

/// ONBUILD: an instruction for the images that are built on this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Onbuild {
    /// The instruction's text, with heredocs, as the image's configuration keeps it.
    ///
    /// [`parse_trigger`](crate::parse_trigger) reads it again.
    pub trigger: String,
    /// Which instruction it is.
    pub keyword: Keyword,
    /// Where it stands, without heredocs.
    pub span: Span,
}

pub(super) fn onbuild(request: Request<'_>, warnings: &mut Vec<Warning>) -> Result<Onbuild> {
    let trigger = request.arguments();
    if trigger.is_empty() {
        return Err(request.wrong_arguments("at least one argument"));
    }
    let head = Head::split(trigger, request.escape)?;
    let (keyword, span) = (head.keyword, trigger.span());
    refuse(keyword, head.spelling)?;
    let mut text = trigger.as_str().to_owned();
    for heredoc in &request.heredocs {
        text.push('\n');
        text.push_str(&heredoc.body.raw);
        text.push_str(&heredoc.name);
    }
    // Another builder may know what this one does not, so this is for the build that it triggers to refuse.
    if let Err(error) = head.parse(request.heredocs, request.escape, warnings) {
        let span = error.span();
        warnings.push(Warning { kind: WarningKind::BadTrigger(error), span });
    }
    Ok(Onbuild { trigger: text, keyword, span })
}

fn refuse(keyword: Keyword, spelling: Slice<'_>) -> Result<()> {
    match keyword {
        Keyword::Onbuild => {
            Err(Error::new(Problem::BadTrigger { keyword: keyword.as_str() }, spelling.span())
                .hinted("chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"))
        }
        Keyword::From | Keyword::Maintainer => {
            Err(Error::new(Problem::BadTrigger { keyword: keyword.as_str() }, spelling.span()))
        }
        _ => Ok(()),
    }
}

/// Reads one instruction of a text that holds nothing else; places are places in this text.
pub(crate) fn parse_alone(text: &str, escape: Escape) -> Result<Instruction> {
    let mut reader = Reader::of_trigger(text, escape);
    let (first, second) = (super::parse::next(&mut reader)?, super::parse::next(&mut reader)?);
    match (first, second) {
        (Some(instruction), None) => Ok(instruction),
        (_, second) => {
            let span = second.map_or(reader.end(), |second| second.span);
            Err(Error::new(Problem::NotOneInstruction, span))
        }
    }
}

/// Reads a trigger, as [`parse_alone`], and refuses what can't be one.
pub(crate) fn parse_trigger(text: &str, escape: Escape) -> Result<Instruction> {
    let instruction = parse_alone(text, escape)?;
    match instruction.keyword {
        keyword @ (Keyword::Onbuild | Keyword::From | Keyword::Maintainer) => {
            Err(Error::new(Problem::BadTrigger { keyword: keyword.as_str() }, instruction.spelling.span))
        }
        _ => Ok(instruction),
    }
}
