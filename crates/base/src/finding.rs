//! What was found out when something was looked at: what is good, what could be better, and how.

/// One line of a diagnosis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at, in a word or two.
    pub name: &'static str,
    /// How good it is.
    pub state: State,
    /// What was found, on one line, ready to be shown.
    pub text: String,
    /// What would make it better.
    pub remedy: Option<String>,
}

/// How good something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// As good as it gets, or of no importance.
    Ok,
    /// It works; there is something better.
    Better,
    /// It does not work.
    Missing,
}

impl State {
    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            State::Ok => "ok",
            State::Better => "better",
            State::Missing => "missing",
        }
    }
}

impl Finding {
    /// Nothing has to be done.
    pub fn ok(name: &'static str, text: impl Into<String>) -> Self {
        Self { name, state: State::Ok, text: text.into(), remedy: None }
    }

    /// Something could be done.
    pub fn better(name: &'static str, text: impl Into<String>, remedy: impl Into<Option<String>>) -> Self {
        Self { name, state: State::Better, text: text.into(), remedy: remedy.into() }
    }

    /// It does not work.
    pub fn missing(name: &'static str, text: impl Into<String>, remedy: impl Into<Option<String>>) -> Self {
        Self { name, state: State::Missing, text: text.into(), remedy: remedy.into() }
    }
}
