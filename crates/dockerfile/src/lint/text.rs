//! Rules about the text alone.

use std::collections::BTreeSet;

use super::{Linter, Rule};
use crate::file::{Dockerfile, Stage};
use crate::instruction::{From, Instruction, InstructionKind};
use crate::span::Span;
use crate::warning::WarningKind;

/// Names of stages that mean something else.
const RESERVED: [&str; 2] = ["scratch", "context"];

/// Reports what can be said without knowing variables, images and contexts.
pub fn check(file: &Dockerfile, linter: &Linter) {
    empty_continuations(file, linter);
    let global = file.globals.iter();
    for instruction in global.chain(file.stages.iter().flat_map(instructions)) {
        match &instruction.kind {
            InstructionKind::From(from) => {
                spelling_of_name(from, instruction, linter);
                description(instruction, linter);
            }
            InstructionKind::Arg(_) => description(instruction, linter),
            InstructionKind::Maintainer(_) => {
                let message = "Maintainer instruction is deprecated in favor of using label".to_owned();
                report(linter, Rule::MaintainerDeprecated, message, instruction.spelling.span, instruction);
            }
            _ => {}
        }
    }
    stage_names(file, linter);
    casing(file, linter);
}

/// The instructions of a stage, its FROM first.
fn instructions(stage: &Stage) -> impl Iterator<Item = &Instruction> {
    std::iter::once(&stage.instruction).chain(&stage.instructions)
}

fn report(linter: &Linter, rule: Rule, message: String, span: Span, instruction: &Instruction) {
    linter.report(rule, message, span, instruction.span);
}

/// DF-223. BuildKit names the last line of the instruction.
fn empty_continuations(file: &Dockerfile, linter: &Linter) {
    for warning in &file.warnings {
        if let WarningKind::EmptyContinuation { instruction } = warning.kind {
            let last = Span { line: instruction.end_line, ..instruction };
            let message = "Empty continuation line".to_owned();
            linter.report(Rule::NoEmptyContinuation, message, warning.span, last);
        }
    }
}

/// DF-221, DF-222.
fn spelling_of_name(from: &From, instruction: &Instruction, linter: &Linter) {
    let Some(name) = &from.name else { return };
    if name.word.raw != name.name {
        let message = format!("Stage name '{}' should be lowercase", name.word);
        report(linter, Rule::StageNameCasing, message, name.word.span, instruction);
    }
    let (from, keyword) = (&instruction.spelling, &name.keyword);
    // One that is neither has its own rule.
    if case_of(from.as_str()).is_some_and(|case| !case.is_of(keyword.as_str())) {
        let message = format!("'{keyword}' and '{from}' keywords' casing do not match");
        report(linter, Rule::FromAsCasing, message, keyword.span, instruction);
    }
}

/// DF-225, DF-226.
fn stage_names(file: &Dockerfile, linter: &Linter) {
    let mut names = BTreeSet::new();
    for stage in &file.stages {
        let Some(name) = &stage.from.name else { continue };
        let (text, place, instruction) = (&name.name, name.word.span, &stage.instruction);
        if RESERVED.contains(&text.as_str()) {
            let message = format!("Stage name should not use the same name as reserved stage {text:?}");
            report(linter, Rule::ReservedStageName, message, place, instruction);
        }
        if !names.insert(text) {
            let message = format!("Duplicate stage name {text:?}, stage names should be unique");
            report(linter, Rule::DuplicateStageName, message, place, instruction);
        }
    }
}

/// DF-240: the line directly above has to begin with what it describes.
fn description(instruction: &Instruction, linter: &Linter) {
    let (keyword, names): (_, Vec<&str>) = match &instruction.kind {
        InstructionKind::From(from) => ("FROM", from.name.iter().map(|name| name.name.as_str()).collect()),
        InstructionKind::Arg(arg) => {
            ("ARG", arg.declarations.iter().map(|declaration| declaration.name.as_str()).collect())
        }
        _ => return,
    };
    let Some(comment) = instruction.comments.last() else { return };
    if super::said(comment).is_some() {
        return;
    }
    let first = comment.raw.split(' ').next().unwrap_or_default();
    let example = match names.as_slice() {
        [] => return,
        names if names.contains(&first) => return,
        [only] => only,
        _ => "<arg_key>",
    };
    let message = format!("Comment for {keyword} should follow the format: `# {example} <description>`");
    report(linter, Rule::InvalidDefinitionDescription, message, comment.span, instruction);
}

/// Letters that are all of one case.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Case {
    Lower,
    Upper,
}

impl Case {
    fn is_of(self, word: &str) -> bool {
        let wrong = |letter: char| match self {
            Case::Lower => letter.is_uppercase(),
            Case::Upper => letter.is_lowercase(),
        };
        !word.contains(wrong)
    }
}

fn case_of(word: &str) -> Option<Case> {
    [Case::Lower, Case::Upper].into_iter().find(|case| case.is_of(word))
}

/// DF-224. ARGs before the first FROM do not count.
fn casing(file: &Dockerfile, linter: &Linter) {
    let all = || file.stages.iter().flat_map(instructions);
    let count = |case| all().filter(|instruction| case_of(&instruction.spelling.raw) == Some(case)).count();
    let (majority, name) = match count(Case::Lower) > count(Case::Upper) {
        true => (Case::Lower, "lowercase"),
        false => (Case::Upper, "uppercase"),
    };
    for instruction in all().filter(|instruction| !majority.is_of(&instruction.spelling.raw)) {
        let spelling = &instruction.spelling;
        let message = format!("Command '{spelling}' should match the case of the command majority ({name})");
        report(linter, Rule::ConsistentInstructionCasing, message, spelling.span, instruction);
    }
}
