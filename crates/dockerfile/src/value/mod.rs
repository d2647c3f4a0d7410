//! Values that can be read once they are expanded: ports, signals, modes, durations, sizes.

mod duration;
mod mode;
mod port;
mod signal;
mod size;

pub use duration::parse_duration;
pub use mode::Mode;
pub use port::{PortSpec, Protocol, parse_port};
pub use signal::{Signal, parse_signal};
pub use size::parse_size;

use base::{Classified, Kind};

/// A value that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ValueError {
    /// Not a duration.
    #[error("invalid duration {0:?}: write numbers with units, as in 1m30s")]
    Duration(String),
    /// A duration that is shorter than what it is for allows.
    #[error("{what} {value:?} cannot be less than {least}")]
    TooShort {
        /// What it is for.
        what: String,
        /// The value.
        value: String,
        /// The least possible value.
        least: &'static str,
    },
    /// Not a port.
    #[error("invalid port {text:?}: {detail}")]
    Port {
        /// The value.
        text: String,
        /// What is wrong.
        detail: &'static str,
    },
    /// Not a signal.
    #[error("invalid signal: {0:?}")]
    Signal(String),
    /// Not a mode.
    #[error("invalid mode {text:?}: {detail}")]
    Mode {
        /// The value.
        text: String,
        /// What is wrong.
        detail: &'static str,
    },
    /// Not a size.
    #[error("invalid size {0:?}: write a number with a unit, as in 64m")]
    Size(String),
    /// Not a number of the wanted range.
    #[error("invalid {what} {value:?}: it has to be a number that is not negative")]
    Number {
        /// What it is for.
        what: &'static str,
        /// The value.
        value: String,
    },
}

impl Classified for ValueError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }
}
