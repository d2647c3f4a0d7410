//! Instructions, as values.

mod command;
mod copy;
mod from;
mod healthcheck;
mod keyword;
mod onbuild;
mod pairs;
pub(crate) mod parse;
mod run;
mod simple;

pub use command::CommandLine;
pub use copy::{Add, Copy, CopySource};
pub use from::{From, StageName};
pub use healthcheck::{Healthcheck, HealthcheckCommand};
pub use keyword::Keyword;
pub use onbuild::Onbuild;
pub(crate) use onbuild::{parse_alone, parse_trigger};
pub use pairs::{Arg, ArgDeclaration, KeyValue, Pairs};
pub use run::{Device, NetworkMode, Run, Script, SecurityMode};
pub use simple::{Expose, Volume};

use crate::flags::Flag;
use crate::reader::Comment;
use crate::span::{Span, Word};

/// One instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instruction {
    /// Which one.
    pub keyword: Keyword,
    /// The keyword as it was written.
    pub spelling: Word,
    /// The whole: continuation lines and heredocs included.
    pub span: Span,
    /// The block of comment lines directly above, without `#`.
    pub comments: Vec<Comment>,
    /// The flags as they were written.
    pub flags: Vec<Flag>,
    /// The text with continuation lines joined, without heredocs: what people call the step.
    pub text: String,
    /// What it says.
    pub kind: InstructionKind,
}

impl Instruction {
    /// What the comments directly above say about a stage or argument: what follows its name on the line that begins with it (DF-024).
    pub fn description(&self, name: &str) -> Option<&str> {
        self.comments.iter().find_map(|comment| comment.raw.strip_prefix(name)?.strip_prefix(' '))
    }
}

/// What an instruction says.
///
/// A [`Word`] is not expanded yet, unless its documentation says that it never is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InstructionKind {
    /// ADD.
    Add(Add),
    /// ARG.
    Arg(Arg),
    /// CMD.
    Cmd(CommandLine),
    /// COPY.
    Copy(Copy),
    /// ENTRYPOINT.
    Entrypoint(CommandLine),
    /// ENV.
    Env(Pairs),
    /// EXPOSE.
    Expose(Expose),
    /// FROM.
    From(From),
    /// HEALTHCHECK.
    Healthcheck(Healthcheck),
    /// LABEL.
    Label(Pairs),
    /// MAINTAINER: the author, never expanded.
    Maintainer(Word),
    /// ONBUILD.
    Onbuild(Onbuild),
    /// RUN.
    Run(Run),
    /// SHELL: its words, never expanded.
    Shell(Vec<Word>),
    /// STOPSIGNAL: see [`parse_signal`](crate::value::parse_signal).
    Stopsignal(Word),
    /// USER.
    User(Word),
    /// VOLUME.
    Volume(Volume),
    /// WORKDIR.
    Workdir(Word),
}
