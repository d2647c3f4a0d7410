//! Failures at the edge of the command: one type with an exit code, a chain of causes, and hints.

use std::error::Error;
use std::fmt::Write as _;
use std::path::PathBuf;

use base::{Classified, IoError, Kind};

/// Why a command failed, ready to be shown.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub code: u8,
    kind: Kind,
    /// What happened: the outermost message first, then its causes.
    chain: Vec<String>,
    /// What to do.
    hints: Vec<String>,
    /// A rendered excerpt of a file, shown instead of the chain.
    excerpt: Option<String>,
    /// What could not be written for want of room on a disk.
    pub full_disk: Option<FullDisk>,
}

/// Which disk has no room left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FullDisk {
    /// That of a path.
    At(PathBuf),
    /// Nothing names it: that of the store, unless there is much room on it.
    Store,
}

/// What commands give.
pub type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    /// A failure with a message and nothing behind it.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            code: kind.exit_code(),
            kind,
            chain: vec![message.into()],
            hints: Vec::new(),
            excerpt: None,
            full_disk: None,
        }
    }

    /// Adds what the user can do.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        let hint = hint.into();
        if !self.hints.contains(&hint) {
            self.hints.push(hint);
        }
        self
    }

    /// Ends the command with another exit code.
    pub fn with_code(mut self, code: u8) -> Self {
        self.code = code;
        self
    }

    /// Shows an excerpt of a file instead of the chain.
    pub fn with_excerpt(mut self, excerpt: String) -> Self {
        self.excerpt = Some(excerpt);
        self
    }

    /// What sort of failure it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What to do, if that is known.
    pub fn first_hint(&self) -> Option<String> {
        self.hints.first().cloned()
    }

    /// What happened, in one line.
    pub fn message(&self) -> String {
        self.chain.join(": ")
    }

    /// Without a hint that is shown elsewhere.
    pub fn without_hint(mut self, shown: &str) -> Self {
        self.hints.retain(|hint| hint != shown);
        self
    }

    /// The text for standard error, with a line feed at the end.
    pub fn render(&self) -> String {
        let mut text = String::new();
        match (&self.excerpt, self.chain.split_first()) {
            (Some(excerpt), _) => text.push_str(excerpt.trim_end()),
            (None, Some((first, causes))) => {
                let _ = write!(text, "error: {first}");
                for cause in causes {
                    let _ = write!(text, ": {cause}");
                }
            }
            (None, None) => text.push_str("error"),
        }
        text.push('\n');
        for hint in &self.hints {
            let _ = writeln!(text, "hint: {hint}");
        }
        text
    }
}

impl<E: Classified + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut chain: Vec<String> = Vec::new();
        let mut next: Option<&(dyn Error + 'static)> = Some(&error);
        let (mut full_disk, mut path) = (None, None);
        while let Some(error) = next {
            let system = error.downcast_ref::<std::io::Error>();
            let within =
                system.and_then(std::io::Error::get_ref).and_then(|error| error.downcast_ref::<IoError>());
            let known = error.downcast_ref::<IoError>().or(within);
            path = known.map(|error| error.path.clone()).or(path);
            if system.is_some_and(|error| Kind::of_io(error) == Kind::NoSpace) {
                full_disk = Some(path.clone().map_or(FullDisk::Store, FullDisk::At));
            }
            let message = error.to_string();
            // A transparent wrapper says the same as what it wraps.
            if chain.last() != Some(&message) {
                chain.push(message);
            }
            next = error.source();
        }
        Self {
            code: error.kind().exit_code(),
            kind: error.kind(),
            chain,
            hints: error
                .hint()
                .or_else(|| full_disk.as_ref().and(Kind::NoSpace.hint()).map(str::to_owned))
                .into_iter()
                .collect(),
            full_disk,
            excerpt: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use base::IoContext as _;

    use super::*;

    #[test]
    fn a_failure_says_what_why_and_what_to_do() {
        let error: Result<(), _> =
            Err(std::io::Error::from_raw_os_error(30)).context("write", "/store/version");
        let failure = Failure::from(error.expect_err("an error"));
        assert_eq!(
            failure.render(),
            "error: cannot write /store/version: Read-only file system (os error 30)\n\
             hint: choose a store in a writable place with --root or LAPSTRAKE_ROOT\n"
        );
        assert_eq!(failure.code, 1);
    }
}
