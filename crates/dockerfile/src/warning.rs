//! What is not wrong, but looks like a mistake.

use crate::error::Error;
use crate::span::Span;

/// Something the parser noticed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// What.
    pub kind: WarningKind,
    /// Where.
    pub span: Span,
}

/// What the parser can notice.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WarningKind {
    /// A blank line within a continued instruction (DF-010).
    #[error("empty continuation line")]
    EmptyContinuation {
        /// The instruction.
        instruction: Span,
    },
    /// A trigger that will fail in every build that is based on this image.
    #[error("this ONBUILD trigger will fail: {0}")]
    BadTrigger(Error),
    /// Flags of a HEALTHCHECK NONE.
    #[error("flags have no effect with HEALTHCHECK NONE")]
    FlagsWithoutCheck,
}
