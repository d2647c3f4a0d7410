//! What can be wrong with a Dockerfile, and where.

use base::{Classified, Kind};

use crate::located::Located;

/// The result of everything here that reads a Dockerfile.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Something is wrong at a place in the Dockerfile.
pub type Error = Located<Problem>;

/// What can be wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The file has no bytes.
    #[error("the Dockerfile is empty")]
    EmptyFile,
    /// There are comments and blank lines only.
    #[error("the Dockerfile has no instructions")]
    NoInstructions,
    /// There are ARG instructions only.
    #[error("the Dockerfile has no FROM instruction")]
    NoFrom,
    /// Something other than ARG stands before the first FROM.
    #[error("{keyword} before the first FROM")]
    BeforeFrom {
        /// The instruction.
        keyword: String,
    },
    /// Text that is not UTF-8.
    #[error("text is not UTF-8")]
    NotUtf8,
    /// The whole file is UTF-16.
    #[error("the Dockerfile is UTF-16 text")]
    Utf16,
    /// A NUL in the text.
    #[error("NUL character")]
    Nul,
    /// The same directive twice.
    #[error("only one {name} parser directive can be used")]
    RepeatedDirective {
        /// The directive.
        name: &'static str,
    },
    /// The escape directive names something else than the two possible characters.
    #[error("invalid escape character {value:?}: it has to be ` or \\")]
    BadEscape {
        /// What it names.
        value: String,
    },
    /// The check directive holds something unknown.
    #[error("invalid check directive: {detail}")]
    BadCheck {
        /// What is wrong.
        detail: String,
    },
    /// No instruction has this name.
    #[error("unknown instruction: {name}")]
    UnknownInstruction {
        /// The name.
        name: String,
    },
    /// The instruction has no such flag.
    #[error("unknown flag for {keyword}: --{flag}")]
    UnknownFlag {
        /// The instruction.
        keyword: &'static str,
        /// The flag.
        flag: String,
    },
    /// A flag that can be given once.
    #[error("duplicate flag: --{flag}")]
    DuplicateFlag {
        /// The flag.
        flag: String,
    },
    /// A flag without its value.
    #[error("missing value for flag --{flag}")]
    FlagWithoutValue {
        /// The flag.
        flag: String,
    },
    /// A flag's value that it can't have.
    #[error("invalid value for flag --{flag}: {value:?}: {expected}")]
    BadFlagValue {
        /// The flag.
        flag: String,
        /// The value.
        value: String,
        /// What it could have been, or what is wrong.
        expected: String,
    },
    /// A variable where none are expanded.
    #[error("{place} doesn't support variable expansion: {value:?}")]
    NoExpansion {
        /// The flag or option.
        place: String,
        /// The value.
        value: String,
    },
    /// A wrong number of arguments.
    #[error("{keyword} requires {expected}")]
    Arguments {
        /// The instruction.
        keyword: &'static str,
        /// What it requires.
        expected: &'static str,
    },
    /// A word that has to be `name=value`.
    #[error("can't find = in {word:?}: must be of the form name=value")]
    NotKeyValue {
        /// The word.
        word: String,
    },
    /// A variable or label without a name.
    #[error("{keyword} names can not be blank")]
    BlankName {
        /// The instruction.
        keyword: &'static str,
    },
    /// An exec form with something else than strings in it.
    #[error("{keyword}: only string type is supported in JSON array notation")]
    NotAString {
        /// The instruction.
        keyword: &'static str,
    },
    /// A shell form where only the exec form can stand.
    #[error("{keyword} requires the arguments to be in JSON form")]
    NotJson {
        /// The instruction.
        keyword: &'static str,
    },
    /// An exec form without a command.
    #[error("{keyword} [] has no command to run")]
    EmptyExec {
        /// The instruction.
        keyword: &'static str,
    },
    /// A heredoc without its end.
    #[error("unterminated heredoc: no line {name:?} until the end of the file")]
    UnterminatedHeredoc {
        /// The line that would have ended it.
        name: String,
    },
    /// A heredoc as a destination.
    #[error("{keyword} has a heredoc as its destination")]
    HeredocDestination {
        /// The instruction.
        keyword: &'static str,
    },
    /// A stage name that can't be one.
    #[error(
        "invalid name for build stage: {name:?}: a name begins with a letter and has letters, digits, `-`, `_` and `.` only"
    )]
    BadStageName {
        /// The name.
        name: String,
    },
    /// HEALTHCHECK with something else than NONE and CMD.
    #[error("unknown type {name:?} in HEALTHCHECK: try CMD")]
    BadHealthcheck {
        /// The word.
        name: String,
    },
    /// An instruction that can't be a trigger.
    #[error("{keyword} isn't allowed as an ONBUILD trigger")]
    BadTrigger {
        /// The instruction.
        keyword: &'static str,
    },
    /// A trigger's text with no or several instructions.
    #[error("an ONBUILD trigger has to be a single instruction")]
    NotOneInstruction,
    /// A mount's text that is not comma-separated values.
    #[error("invalid mount {text:?}: {detail}")]
    BadMount {
        /// The text.
        text: String,
        /// What is wrong.
        detail: String,
    },
    /// A mount option that does not exist.
    #[error("unexpected key {key:?} in mount {field:?}")]
    UnknownMountOption {
        /// The option.
        key: String,
        /// The whole field.
        field: String,
    },
    /// A mount option that this type does not have.
    #[error("{key} is not allowed for mounts of type {mount}")]
    MisplacedMountOption {
        /// The option.
        key: &'static str,
        /// The type.
        mount: &'static str,
    },
    /// A mount option with a value that it can't have.
    #[error("invalid value for mount option {key}: {value:?}: {expected}")]
    BadMountValue {
        /// The option.
        key: &'static str,
        /// The value.
        value: String,
        /// What it could have been.
        expected: String,
    },
    /// A value (port, signal, mode, duration …) that is not one.
    #[error(transparent)]
    Value(#[from] crate::value::ValueError),
    /// A word that can't be expanded.
    #[error(transparent)]
    Expansion(#[from] crate::expand::Failure),
    /// An empty word where something has to stand.
    #[error("{what} can not be empty")]
    Empty {
        /// What.
        what: &'static str,
    },
    /// A checksum for several sources.
    #[error("--checksum can't be specified for multiple sources")]
    ChecksumOfMany,
}

impl Classified for Problem {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }

    fn hint(&self) -> Option<String> {
        None
    }
}
