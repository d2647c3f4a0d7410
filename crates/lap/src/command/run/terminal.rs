//! The user's terminal: its size, and raw mode.

use std::io;

use rustix::termios::{self, OptionalActions, Termios};
use sandbox::Terminal;

/// The size of the terminal; unknown when there is none.
pub fn size() -> Terminal {
    termios::tcgetwinsize(io::stdin())
        .map(|size| Terminal { rows: size.ws_row, columns: size.ws_col })
        .unwrap_or_default()
}

/// Raw mode, until it is dropped: what is typed goes to the container as it is.
pub struct Raw(Termios);

impl Raw {
    /// Nothing changes when standard input is no terminal.
    pub fn enter() -> Option<Self> {
        let before = termios::tcgetattr(io::stdin()).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        termios::tcsetattr(io::stdin(), OptionalActions::Now, &raw).ok()?;
        Some(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // The terminal may be gone; then there is nothing to restore.
        let _ = termios::tcsetattr(io::stdin(), OptionalActions::Drain, &self.0);
    }
}
