//! Whole Dockerfiles: stages and what stands before them.

use crate::directive::{Directives, Escape};
use crate::error::{Error, Problem, Result};
use crate::instruction::{self, ArgDeclaration, From, Instruction, InstructionKind, Keyword};
use crate::reader::Reader;
use crate::span::Span;
use crate::warning::Warning;

/// A Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dockerfile {
    /// What its first lines say.
    pub directives: Directives,
    /// The ARG instructions before the first FROM.
    pub globals: Vec<Instruction>,
    /// The stages, at least one.
    pub stages: Vec<Stage>,
    /// What the parser noticed.
    pub warnings: Vec<Warning>,
}

/// One FROM with the instructions that follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// Its number, counted from 0.
    pub index: usize,
    /// What its FROM says.
    pub from: From,
    /// Its FROM as an instruction: place, comments, spelling.
    pub instruction: Instruction,
    /// What follows.
    pub instructions: Vec<Instruction>,
}

impl Stage {
    /// Its name, in lower case.
    pub fn name(&self) -> Option<&str> {
        self.from.name.as_ref().map(|name| name.name.as_str())
    }

    /// What the comment above its FROM says about it (DF-024).
    pub fn description(&self) -> Option<&str> {
        let name = self.from.name.as_ref()?;
        self.instruction.description(&name.name).or_else(|| self.instruction.description(name.word.as_str()))
    }
}

impl Dockerfile {
    /// The declarations of the global ARG instructions, in order.
    pub fn global_args(&self) -> impl Iterator<Item = &ArgDeclaration> {
        self.globals.iter().flat_map(|instruction| match &instruction.kind {
            InstructionKind::Arg(arg) => arg.declarations.as_slice(),
            _ => &[],
        })
    }

    /// The character that escapes.
    pub fn escape(&self) -> Escape {
        self.directives.escape
    }

    /// The nearest stage of this name, in any case, that stands before stage `index`: how FROM looks it up (DF-068).
    pub fn stage_before(&self, index: usize, name: &str) -> Option<&Stage> {
        let name = name.to_lowercase();
        self.stages.iter().take(index).rev().find(|stage| stage.name() == Some(&name))
    }

    /// The last stage of this name, in any case, as `COPY --from` and `--target` look it up (DF-067, DF-068).
    pub fn stage_named(&self, name: &str) -> Option<&Stage> {
        let name = name.to_lowercase();
        self.stages.iter().rev().find(|stage| stage.name() == Some(&name))
    }
}

/// Reads a Dockerfile.
pub fn parse(source: &[u8]) -> Result<Dockerfile> {
    let mut reader = Reader::new(source)?;
    let mut globals = Vec::new();
    let mut stages: Vec<Stage> = Vec::new();
    while let Some(instruction) = instruction::parse::next(&mut reader)? {
        match (&instruction.kind, stages.last_mut()) {
            (InstructionKind::From(from), _) => {
                let (index, from) = (stages.len(), from.clone());
                stages.push(Stage { index, from, instruction, instructions: Vec::new() });
            }
            (_, Some(stage)) => stage.instructions.push(instruction),
            (InstructionKind::Arg(_), None) => globals.push(instruction),
            (_, None) => return Err(before_from(instruction.keyword, instruction.spelling.span)),
        }
    }
    if stages.is_empty() {
        return Err(no_stage(source, &globals, reader.end()));
    }
    Ok(Dockerfile { directives: reader.directives, globals, stages, warnings: reader.warnings })
}

fn before_from(keyword: Keyword, span: Span) -> Error {
    Error::new(Problem::BeforeFrom { keyword: keyword.to_string() }, span)
        .hinted("a Dockerfile begins with FROM; only ARG can stand before it")
}

fn no_stage(source: &[u8], globals: &[Instruction], end: Span) -> Error {
    let hint = "begin with FROM and an image, or FROM scratch";
    match globals.last() {
        Some(last) => Error::new(Problem::NoFrom, last.span).hinted(hint),
        None if source.is_empty() => Error::new(Problem::EmptyFile, end).hinted(hint),
        None => Error::new(Problem::NoInstructions, end).hinted(hint),
    }
}

/// Reads one instruction from a text that holds nothing else.
///
/// Places are places in this text. FROM is possible here; [`parse_trigger`] is for ONBUILD.
pub fn parse_instruction(text: &str, escape: Escape) -> Result<Instruction> {
    instruction::parse_alone(text, escape)
}

/// Reads the text of an ONBUILD trigger, as an image's configuration keeps it.
///
/// Places are places in this text. What can't be a trigger is refused.
pub fn parse_trigger(text: &str, escape: Escape) -> Result<Instruction> {
    instruction::parse_trigger(text, escape)
}
