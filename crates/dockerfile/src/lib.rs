//! Dockerfiles: from text to instructions with spans, expansion of variables, ignore patterns.
//!
//! Nothing here does I/O: text goes in, values come out. [`parse`] makes a [`Dockerfile`]; every token in it
//! is a [`Word`] that knows its [`Span`]. Values stay as they are written until whoever builds knows the variables and
//! asks an [`expand::Expander`]. Numbers like DF-033 name the rules of the format that a piece of code implements.

pub mod directive;
pub mod error;
pub mod expand;
mod file;
mod flags;
pub mod glob;
mod heredoc;
pub mod ignore;
pub mod instruction;
mod json;
pub mod lint;
mod located;
pub mod mount;
mod reader;
mod span;
pub mod suggest;
pub mod value;
mod warning;
mod wildcard;
mod words;

#[cfg(test)]
mod tests;

pub use directive::{Directives, Escape};
pub use error::{Error, Problem};
pub use file::{Dockerfile, Stage, parse, parse_instruction, parse_trigger};
pub use flags::Flag;
pub use heredoc::Heredoc;
pub use instruction::{CommandLine, Instruction, InstructionKind, Keyword};
pub use located::{Located, Note};
pub use reader::Comment;
pub use span::{Span, Word};
pub use warning::{Warning, WarningKind};
