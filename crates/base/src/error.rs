//! Kinds of errors: what a caller can do about one, and what it becomes outside of the process.
//!
//! Each crate has its own error types (with operands, and the cause as `source`); all of them say of
//! which [`Kind`] they are. The command turns the kind into an exit code, a server into an HTTP status.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// What sort of thing went wrong, from the point of view of whoever has to react.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// The input (a Dockerfile, a flag, a name, an archive's structure) is not valid.
    Invalid,
    /// The input is valid, and this program does not do it.
    Unsupported,
    /// What was named does not exist.
    NotFound,
    /// What was named exists already, or is in use.
    Conflict,
    /// Somebody else holds a lock that was not waited for.
    Busy,
    /// The system does not permit it.
    Denied,
    /// No room is left on the device, or a quota is reached.
    NoSpace,
    /// The place is read-only.
    ReadOnly,
    /// Stored or received bytes are not what their digest or format says.
    Corrupt,
    /// A limit on sizes, counts or depths was reached.
    TooLarge,
    /// Something was written by a newer version of this program.
    TooNew,
    /// A command that was run on the user's behalf failed (a RUN step).
    Failed,
    /// The work was cancelled.
    Cancelled,
    /// An operation of the system failed in some other way.
    Io,
    /// A fault of this program.
    Internal,
}

impl Kind {
    /// The exit code of a command that ends with an error of this kind (documented in `lap help exit-codes`).
    pub fn exit_code(self) -> u8 {
        match self {
            Kind::Cancelled => 130,
            Kind::Internal => 70,
            _ => 1,
        }
    }

    /// The HTTP status that a server answers with.
    pub fn http_status(self) -> u16 {
        match self {
            Kind::Invalid | Kind::Unsupported => 400,
            Kind::Denied | Kind::ReadOnly => 403,
            Kind::NotFound => 404,
            Kind::Conflict | Kind::Busy => 409,
            Kind::TooLarge => 413,
            Kind::NoSpace => 507,
            Kind::Cancelled => 499,
            Kind::Corrupt | Kind::TooNew | Kind::Failed | Kind::Io | Kind::Internal => 500,
        }
    }

    /// The kind of an error that the system reported.
    pub fn of_io(error: &io::Error) -> Self {
        use io::ErrorKind as E;
        match error.kind() {
            E::NotFound | E::NotADirectory => Kind::NotFound,
            E::PermissionDenied => Kind::Denied,
            E::AlreadyExists | E::DirectoryNotEmpty => Kind::Conflict,
            E::StorageFull | E::QuotaExceeded => Kind::NoSpace,
            E::ReadOnlyFilesystem => Kind::ReadOnly,
            E::FileTooLarge => Kind::TooLarge,
            E::UnexpectedEof | E::InvalidData => Kind::Corrupt,
            E::Unsupported => Kind::Unsupported,
            _ => Kind::Io,
        }
    }

    /// What the user can do about an error of this kind, where that does not depend on the details.
    pub fn hint(self) -> Option<&'static str> {
        match self {
            Kind::NoSpace => Some(
                "free some room (`lap system prune` removes what nothing uses), or choose another place with --root, and repeat the command",
            ),
            Kind::ReadOnly => Some("choose a store in a writable place with --root or LAPSTRAKE_ROOT"),
            _ => None,
        }
    }
}

/// An error that knows its [`Kind`], and what to do about it.
pub trait Classified: Error {
    /// What sort of error it is.
    fn kind(&self) -> Kind;

    /// What the user can do, as a sentence without a full stop.
    fn hint(&self) -> Option<String> {
        self.kind().hint().map(str::to_owned)
    }
}

/// A failed operation of the system: what was being done, to what.
///
/// The text completes "cannot …"; the system's reason is the `source`.
#[derive(Debug)]
pub struct IoError {
    /// A verb, as in "cannot *open* …".
    pub action: &'static str,
    /// What it was done to.
    pub path: PathBuf,
    /// Why it failed.
    pub source: io::Error,
}

impl fmt::Display for IoError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "cannot {} {}", self.action, crate::text::path(&self.path))
    }
}

impl Error for IoError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}

impl Classified for IoError {
    fn kind(&self) -> Kind {
        Kind::of_io(&self.source)
    }
}

/// Adds the operation and the path to a result of the system.
pub trait IoContext<T> {
    /// `action` is a verb: "open", "rename", "read".
    fn context(self, action: &'static str, path: impl AsRef<Path>) -> Result<T, IoError>;
}

impl<T, E: Into<io::Error>> IoContext<T> for Result<T, E> {
    fn context(self, action: &'static str, path: impl AsRef<Path>) -> Result<T, IoError> {
        // Whoever is below a stream may have said already what it was, and where.
        self.map_err(|source| match source.into().downcast::<IoError>() {
            Ok(said) => said,
            Err(source) => IoError { action, path: path.as_ref().to_owned(), source },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_io_error_says_what_and_where_and_is_classified() {
        let full = || io::Error::from_raw_os_error(28);
        let within: io::Result<()> = Err(io::Error::new(
            full().kind(),
            IoError { action: "write", path: "/a".into(), source: full() },
        ));
        let said = within.context("copy", "the whole").expect_err("an error");
        assert_eq!((said.to_string().as_str(), said.kind()), ("cannot write /a", Kind::NoSpace));
        let result: io::Result<()> = Err(full());
        let error = result.context("write", "/store/blobs/x\u{1b}").expect_err("an error");
        assert_eq!(error.to_string(), "cannot write \"/store/blobs/x\\u{1b}\"");
        assert_eq!(error.kind(), Kind::NoSpace);
        assert!(error.hint().expect("a hint").contains("prune"));
    }
}
