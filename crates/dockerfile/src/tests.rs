//! The parser as a whole, by the numbers of the rules.

mod document;
mod fixtures;
mod heredocs;
mod instructions;
mod properties;

use crate::{Dockerfile, Error, Instruction, InstructionKind, parse};

/// Reads a Dockerfile that is right.
#[track_caller]
fn good(source: &str) -> Dockerfile {
    match parse(source.as_bytes()) {
        Ok(file) => file,
        Err(error) => panic!("{source:?}: {error}"),
    }
}

/// Reads a Dockerfile that is wrong.
#[track_caller]
fn bad(source: &str) -> Error {
    match parse(source.as_bytes()) {
        Ok(file) => panic!("{source:?}: {file:?}"),
        Err(error) => error,
    }
}

/// Reads one instruction, put behind a FROM.
#[track_caller]
fn one(instruction: &str) -> Instruction {
    let mut file = good(&format!("FROM scratch\n{instruction}"));
    let instruction = file.stages.pop().and_then(|mut stage| stage.instructions.pop());
    instruction.expect("an instruction")
}

/// What the instruction says.
#[track_caller]
fn kind(instruction: &str) -> InstructionKind {
    one(instruction).kind
}

/// A wrong instruction: its message and the text at its place.
#[track_caller]
fn wrong(instruction: &str) -> (String, String) {
    let source = format!("FROM scratch\n{instruction}");
    let error = bad(&source);
    (error.to_string(), source.get(error.span().range()).expect("a place in the text").to_owned())
}
