//! What goes to the user: standard output is data, everything else goes to standard error.

use std::io::{self, IsTerminal, Write};

use base::Kind;

use crate::failure::{Failure, Outcome};

/// Decided once: how much is said, and how.
#[derive(Debug, Clone, Copy)]
pub struct Printer {
    quiet: bool,
    colours: bool,
}

impl Printer {
    /// `quiet` leaves out everything but data and errors.
    pub fn new(quiet: bool) -> Self {
        let wanted = std::env::var_os(crate::environment::NO_COLOR).is_none_or(|value| value.is_empty());
        Self { quiet, colours: wanted && io::stderr().is_terminal() }
    }

    /// Whether standard error may be coloured.
    pub fn colours(self) -> bool {
        self.colours
    }

    /// Data. A reader that went away is not an error.
    pub fn data(self, text: impl AsRef<[u8]>) -> Outcome {
        let mut out = io::stdout().lock();
        let written = out.write_all(text.as_ref()).and_then(|()| out.flush());
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
            Err(error) => {
                let failure = Failure::new(Kind::Io, format!("cannot write to standard output: {error}"));
                Err(match Kind::of_io(&error) {
                    Kind::NoSpace => failure.hint("free some room where it goes"),
                    _ => failure,
                })
            }
            Ok(()) => Ok(()),
        }
    }

    /// A line of data.
    pub fn line(self, text: impl std::fmt::Display) -> Outcome {
        self.data(format!("{text}\n"))
    }

    /// A word to the user, left out when quiet.
    pub fn note(self, text: impl std::fmt::Display) {
        if !self.quiet {
            self.error_text(&format!("{text}\n"));
        }
    }

    /// A warning.
    pub fn warning(self, text: impl std::fmt::Display) {
        let label = if self.colours { "\x1b[1;33mwarning\x1b[0m" } else { "warning" };
        self.error_text(&format!("{label}: {text}\n"));
    }

    /// A failure.
    pub fn failure(self, failure: &Failure) {
        let text = failure.render();
        let text = match text.strip_prefix("error:") {
            Some(rest) if self.colours => format!("\x1b[1;31merror\x1b[0m:{rest}"),
            _ => text,
        };
        self.error_text(&text);
    }

    fn error_text(self, text: &str) {
        // Nobody is left to be told when standard error is gone.
        let _ = io::stderr().lock().write_all(text.as_bytes());
    }
}
