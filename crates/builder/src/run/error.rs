//! What can go wrong with a command.

use std::path::{Path, PathBuf};

use base::{Cancelled, Classified, IoError, Kind};
use dockerfile::Span;
use engine::EngineError;
use engine::users::UserError;
use layer::LayerError;
use sandbox::Status;
use store::StoreError;

/// Why a RUN (or a WORKDIR) gave no layer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The command ended with something else than 0.
    #[error("process {} did not complete successfully: {}", quoted(.command), ended(*.status))]
    Failed {
        /// The command and its arguments.
        command: Vec<String>,
        /// How it ended.
        status: Status,
        /// The end of what it wrote.
        tail: Vec<u8>,
        /// Where all of it is, when there is more.
        whole: Option<PathBuf>,
    },
    /// A secret cannot be had. What is in it is never said.
    #[error("cannot use the secret {}: {reason}", base::text::bytes(.id.as_bytes()))]
    Secret {
        /// Which.
        id: String,
        /// Why not.
        reason: String,
        /// The mount in the Dockerfile.
        span: Span,
    },
    /// The agent for a mount cannot be had.
    #[error("cannot use the SSH agent {}: {reason}", base::text::bytes(.id.as_bytes()))]
    Ssh {
        /// Which.
        id: String,
        /// Why not.
        reason: String,
        /// The mount in the Dockerfile.
        span: Span,
    },
    /// A cache is to begin with something that is no directory.
    #[error("a cache cannot begin with {}: it is no directory", base::text::bytes(.path))]
    NoDirectory {
        /// Which.
        path: Vec<u8>,
        /// The mount in the Dockerfile.
        span: Span,
    },
    /// The user is not in the image.
    #[error(transparent)]
    User(#[from] UserError),
    /// The command could not be isolated or executed.
    #[error(transparent)]
    Sandbox(#[from] sandbox::Error),
    /// The working directory could not be made.
    #[error(transparent)]
    Engine(#[from] Box<EngineError>),
    /// The snapshot or the layer could not be made.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The system.
    #[error(transparent)]
    Io(#[from] IoError),
    /// The build was cancelled.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl RunError {
    /// Where all is that the command wrote, when there is more than its end.
    pub fn whole_log(&self) -> Option<&Path> {
        match self {
            RunError::Failed { whole, .. } => whole.as_deref(),
            _ => None,
        }
    }

    /// Where in the Dockerfile it is, when that is narrower than the instruction.
    pub fn span(&self) -> Option<Span> {
        match self {
            RunError::Secret { span, .. }
            | RunError::Ssh { span, .. }
            | RunError::NoDirectory { span, .. } => Some(*span),
            _ => None,
        }
    }

    /// The end of what the command wrote.
    pub fn log_tail(&self) -> &[u8] {
        match self {
            RunError::Failed { tail, .. } => tail,
            _ => &[],
        }
    }
}

impl Classified for RunError {
    fn kind(&self) -> Kind {
        match self {
            RunError::Failed { .. } => Kind::Failed,
            RunError::Secret { .. } | RunError::Ssh { .. } => Kind::NotFound,
            RunError::NoDirectory { .. } => Kind::Invalid,
            RunError::User(error) => error.kind(),
            RunError::Sandbox(error) => error.kind(),
            RunError::Engine(error) => error.kind(),
            RunError::Layer(error) => error.kind(),
            RunError::Store(error) => error.kind(),
            RunError::Io(error) => error.kind(),
            RunError::Cancelled(error) => error.kind(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            RunError::Failed { status, .. } => hint_of(*status).map(str::to_owned),
            RunError::User(error) => error.hint(),
            RunError::Secret { id, .. } => Some(format!(
                "give it with --secret id={0},src=FILE or --secret id={0},env=VARIABLE",
                base::text::bytes(id.as_bytes())
            )),
            RunError::Ssh { id, .. } => {
                let id = base::text::bytes(id.as_bytes());
                Some(format!("give it with --ssh {id}, --ssh {id}=SOCKET or --ssh {id}=KEYFILE"))
            }
            RunError::Sandbox(error) if error.is_command() => {
                Some("is the base image one that has this command (and a shell)?".to_owned())
            }
            RunError::Sandbox(error) => error.hint(),
            RunError::Engine(error) => error.hint(),
            RunError::Layer(error) => error.hint(),
            RunError::Store(error) => error.hint(),
            _ => self.kind().hint().map(str::to_owned),
        }
    }
}

fn hint_of(status: Status) -> Option<&'static str> {
    match status.exit_code() {
        126 => {
            Some("a command exists and can not be executed: is it for this CPU, and has it the x permission?")
        }
        127 => Some("a command was not found: is it installed in the image, and in PATH?"),
        137 => Some("it was killed (SIGKILL): most often because no memory was left; `dmesg` says so"),
        _ => None,
    }
}

/// The command as docker shows it: its words, joined, in quotes.
fn quoted(command: &[String]) -> String {
    format!("{:?}", command.join(" "))
}

fn ended(status: Status) -> String {
    match status {
        Status::Code(code) => format!("exit code: {code}"),
        Status::Signal(signal) => format!("killed by signal {signal} (exit code: {})", status.exit_code()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn df_091_failures_name_command_and_code() {
        let failed = |status| RunError::Failed {
            command: vec!["/bin/sh".to_owned(), "-c".to_owned(), "echo \"x\"; false".to_owned()],
            status,
            tail: b"x\n".to_vec(),
            whole: None,
        };
        let code = failed(Status::Code(1));
        let text = r#"process "/bin/sh -c echo \"x\"; false" did not complete successfully: exit code: 1"#;
        assert_eq!((code.to_string().as_str(), code.log_tail(), code.hint()), (text, &b"x\n"[..], None));
        let killed = failed(Status::Signal(9));
        assert!(killed.to_string().ends_with("killed by signal 9 (exit code: 137)"));
        assert!(killed.hint().is_some_and(|hint| hint.contains("memory")));
    }
}
