//! What can go wrong, on both sides: in the caller's process and in the runner.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use base::{Classified, Kind};
use serde::{Deserialize, Serialize};

/// Why a process could not be run in isolation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The command does not exist in the root (docker's exit code 127).
    #[error("cannot execute {}: not found{}", base::text::bytes(.command.as_bytes()), aside(.detail))]
    CommandNotFound {
        /// The first argument.
        command: String,
        /// Where it was looked for, or what is missing besides.
        detail: Option<String>,
    },
    /// The command exists and cannot be executed (docker's exit code 126).
    #[error("cannot execute {}{}", base::text::bytes(.command.as_bytes()), aside(.detail))]
    CommandNotExecutable {
        /// The first argument.
        command: String,
        /// What is wrong with it.
        detail: Option<String>,
        /// Why.
        source: io::Error,
    },
    /// The command is a program for another machine (docker's exit code 126).
    #[error(
        "cannot execute {}: it is a program for {machine}, and this machine {}",
        base::text::bytes(.command.as_bytes()),
        without_emulator(*.emulator_is_missing)
    )]
    Foreign {
        /// The first argument.
        command: String,
        /// The machine that it is for.
        machine: String,
        /// There is a handler for such programs, and the emulator that it names is not in the root.
        emulator_is_missing: bool,
    },
    /// The working directory is missing in the root, or is not a directory.
    #[error("cannot enter the working directory {}", base::text::path(.path))]
    WorkingDirectory {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A step of the preparation failed.
    #[error("cannot {action}{}{}", place(.path), aside(.detail))]
    System {
        /// What was done: "mount proc", "enter new namespaces".
        action: String,
        /// To what.
        path: Option<PathBuf>,
        /// What the kernel said besides.
        detail: Option<String>,
        /// Why.
        source: io::Error,
    },
    /// The ids of a user namespace were not written.
    #[error("cannot have this user's subordinate ids: {}", base::text::line(.said))]
    Ids {
        /// What the program that writes them said.
        said: String,
    },
    /// The OCI runtime that was asked for cannot be used.
    #[error("cannot use the OCI runtime {}: {}", base::text::bytes(.asked.as_bytes()), base::text::line(.reason))]
    NoRuntime {
        /// Its name or path.
        asked: String,
        /// Why not.
        reason: String,
        /// What those say of themselves that are installed.
        installed: Vec<String>,
    },
    /// An OCI runtime did not make the process.
    #[error("the OCI runtime {} failed: {}", base::text::path(.runtime), base::text::line(.said))]
    Runtime {
        /// Which.
        runtime: PathBuf,
        /// What it said.
        said: String,
    },
    /// A limit was asked for that cannot be had here.
    #[error("cannot set {limit}: {reason}")]
    Limit {
        /// Which, as docker's flags name it.
        limit: String,
        /// What forbids it.
        reason: String,
        /// What would allow it.
        hint: String,
    },
    /// The description is not valid.
    #[error("{0}")]
    Invalid(String),
    /// The description asks for something that is not done here.
    #[error("{what} is not supported")]
    Unsupported {
        /// What.
        what: String,
        /// What to do instead.
        hint: String,
    },
    /// The runner could not be started.
    #[error("cannot start the sandbox runner {}", base::text::path(.program))]
    Start {
        /// The program that is executed again.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The runner ended without saying why.
    #[error("the sandbox runner ended unexpectedly ({status})")]
    RunnerDied {
        /// How.
        status: ExitStatus,
    },
    /// The runner said something that is not understood, or panicked.
    #[error("the sandbox runner failed: {0}")]
    Internal(String),
}

impl Error {
    /// The exit code that docker's command line gives for this error: 127, 126, or 125 for all others (CT-1).
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::CommandNotFound { .. } => 127,
            Error::CommandNotExecutable { .. } | Error::Foreign { .. } => 126,
            _ => 125,
        }
    }

    /// Whether the command itself is at fault: it is missing, or cannot be executed.
    pub fn is_command(&self) -> bool {
        matches!(self, Error::CommandNotFound { .. } | Error::CommandNotExecutable { .. })
    }

    pub(crate) fn system(action: &str, path: Option<&Path>, source: impl Into<io::Error>) -> Self {
        Error::System {
            action: action.to_owned(),
            path: path.map(Path::to_owned),
            detail: None,
            source: source.into(),
        }
    }
}

fn without_emulator(is_missing: bool) -> &'static str {
    if is_missing {
        "has an emulator for it (binfmt_misc) that is looked for in the image, and is not there"
    } else {
        "has no emulator for it (binfmt_misc)"
    }
}

/// Says what was being done when a system call failed.
pub(crate) trait Doing<T> {
    /// `action` completes "cannot …".
    fn doing(self, action: &str) -> Result<T, Error>;
    /// `action` and the path complete "cannot …".
    fn doing_to(self, action: &str, path: impl AsRef<Path>) -> Result<T, Error>;
}

impl<T, E: Into<io::Error>> Doing<T> for Result<T, E> {
    fn doing(self, action: &str) -> Result<T, Error> {
        self.map_err(|source| Error::system(action, None, source))
    }

    fn doing_to(self, action: &str, path: impl AsRef<Path>) -> Result<T, Error> {
        self.map_err(|source| Error::system(action, Some(path.as_ref()), source))
    }
}

fn aside(detail: &Option<String>) -> String {
    detail.as_ref().map_or_else(String::new, |detail| format!(" ({})", base::text::line(detail)))
}

fn place(path: &Option<PathBuf>) -> String {
    path.as_ref().map_or_else(String::new, |path| format!(" {}", base::text::path(path)))
}

impl Classified for Error {
    fn kind(&self) -> Kind {
        match self {
            Error::CommandNotFound { .. } | Error::CommandNotExecutable { .. } | Error::Foreign { .. } => {
                Kind::Failed
            }
            Error::WorkingDirectory { .. } | Error::Invalid(_) => Kind::Invalid,
            Error::System { source, .. } if source.raw_os_error() == Some(libc::ENOSYS) => Kind::Unsupported,
            Error::System { source, .. } | Error::Start { source, .. } => Kind::of_io(source),
            Error::Unsupported { .. } | Error::Ids { .. } | Error::Runtime { .. } | Error::Limit { .. } => {
                Kind::Unsupported
            }
            Error::NoRuntime { .. } => Kind::NotFound,
            Error::RunnerDied { .. } | Error::Internal(_) => Kind::Internal,
        }
    }

    fn hint(&self) -> Option<String> {
        let denied = |source: &io::Error| source.kind() == io::ErrorKind::PermissionDenied;
        match self {
            Error::WorkingDirectory { .. } => {
                Some("create the directory first, or name another working directory".to_owned())
            }
            Error::Foreign { .. } => Some(
                "install one as root of this machine: apt-get install qemu-user-static binfmt-support, or \
                 docker run --privileged --rm tonistiigi/binfmt --install all (both with the flag F)"
                    .to_owned(),
            ),
            Error::Unsupported { hint, .. } | Error::Limit { hint, .. } => Some(hint.clone()),
            Error::NoRuntime { installed, .. } if installed.is_empty() => {
                Some("none is installed (apt-get install runc); the built-in runner needs none: leave the runtime out".to_owned())
            }
            Error::NoRuntime { installed, .. } => Some(format!(
                "installed are: {}; the built-in runner needs none: leave the runtime out",
                base::text::line(&installed.join(", "))
            )),
            Error::Runtime { .. } => {
                Some("try another runtime, or the built-in runner: leave the runtime out".to_owned())
            }
            Error::Ids { .. } => Some(
                "newuidmap and newgidmap (package uidmap) have to be set-user-ID root, and /etc/subuid and /etc/subgid to name this user; \
                 a store that was made with these ids needs them"
                    .to_owned(),
            ),
            Error::System { source, .. } if source.raw_os_error() == Some(libc::ENOSYS) => {
                Some("Linux 5.11 or newer is needed, and nothing that filters its system calls".to_owned())
            }
            Error::System { action, source, .. } if denied(source) => Some(permission_hint(action)),
            Error::RunnerDied { .. } => {
                Some("look for a kill by the kernel (out of memory) in `dmesg`, and try again".to_owned())
            }
            _ => self.kind().hint().map(str::to_owned),
        }
    }
}

fn permission_hint(action: &str) -> String {
    let what = match action {
        "enter new namespaces" => "creating namespaces",
        action if action.starts_with("set the limit") => {
            return "a limit above the present hard limit needs CAP_SYS_RESOURCE: ask for less".to_owned();
        }
        _ => "mounting",
    };
    format!(
        "{what} needs CAP_SYS_ADMIN: run as root, and inside a container allow it \
         (docker: --privileged, or --cap-add SYS_ADMIN with --security-opt seccomp=unconfined \
         and apparmor=unconfined)"
    )
}

/// How much of a text travels, in bytes.
const TEXT: usize = 4096;

/// An [`Error`] on its way from the runner to the caller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) what: FailureKind,
    /// The action, the command or the whole message, as `what` wants it.
    pub(crate) text: String,
    #[serde(with = "crate::wire::optional_path", default)]
    pub(crate) path: Option<PathBuf>,
    pub(crate) errno: i32,
    pub(crate) detail: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum FailureKind {
    System,
    CommandNotFound,
    CommandNotExecutable,
    /// For another machine, and nothing executes it.
    Foreign,
    /// The same, and what is to execute it is missing.
    WithoutEmulator,
    WorkingDirectory,
    Invalid,
    Unsupported,
    Runtime,
    Internal,
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let Failure { what, text, path, errno, detail } = failure;
        let source = io::Error::from_raw_os_error(errno);
        match what {
            FailureKind::System => Error::System { action: text, path, detail, source },
            FailureKind::CommandNotFound => Error::CommandNotFound { command: text, detail },
            FailureKind::CommandNotExecutable => {
                Error::CommandNotExecutable { command: text, detail, source }
            }
            FailureKind::Foreign | FailureKind::WithoutEmulator => Error::Foreign {
                command: text,
                machine: detail.unwrap_or_default(),
                emulator_is_missing: what == FailureKind::WithoutEmulator,
            },
            FailureKind::WorkingDirectory => {
                Error::WorkingDirectory { path: path.unwrap_or_default(), source }
            }
            FailureKind::Invalid => Error::Invalid(text),
            FailureKind::Unsupported => Error::Unsupported { what: text, hint: detail.unwrap_or_default() },
            FailureKind::Runtime => Error::Runtime { runtime: path.unwrap_or_default(), said: text },
            FailureKind::Internal => Error::Internal(text),
        }
    }
}

impl Failure {
    /// A message has a limit, and a command may be longer than that.
    fn shortened(mut self) -> Self {
        for text in [Some(&mut self.text), self.detail.as_mut()].into_iter().flatten() {
            if text.len() > TEXT {
                text.truncate(text.floor_char_boundary(TEXT));
                text.push('…');
            }
        }
        self
    }
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        Failure::whole(error).shortened()
    }
}

impl Failure {
    fn whole(error: &Error) -> Self {
        let errno = |source: &io::Error| source.raw_os_error().unwrap_or(libc::EIO);
        let failure = |what, text: &str, errno| Failure {
            what,
            text: text.to_owned(),
            path: None,
            errno,
            detail: None,
        };
        match error {
            Error::System { action, path, detail, source } => Failure {
                path: path.clone(),
                detail: detail.clone(),
                ..failure(FailureKind::System, action, errno(source))
            },
            Error::CommandNotFound { command, detail } => {
                Failure { detail: detail.clone(), ..failure(FailureKind::CommandNotFound, command, 0) }
            }
            Error::CommandNotExecutable { command, detail, source } => Failure {
                detail: detail.clone(),
                ..failure(FailureKind::CommandNotExecutable, command, errno(source))
            },
            Error::Foreign { command, machine, emulator_is_missing } => {
                let what =
                    if *emulator_is_missing { FailureKind::WithoutEmulator } else { FailureKind::Foreign };
                Failure { detail: Some(machine.clone()), ..failure(what, command, 0) }
            }
            Error::WorkingDirectory { path, source } => Failure {
                path: Some(path.clone()),
                ..failure(FailureKind::WorkingDirectory, "", errno(source))
            },
            Error::Invalid(text) => failure(FailureKind::Invalid, text, 0),
            Error::Unsupported { what, hint } => {
                Failure { detail: Some(hint.clone()), ..failure(FailureKind::Unsupported, what, 0) }
            }
            Error::Runtime { runtime, said } => {
                Failure { path: Some(runtime.clone()), ..failure(FailureKind::Runtime, said, 0) }
            }
            other => failure(FailureKind::Internal, &other.to_string(), 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_survive_the_way_through_the_socket() {
        let errno = io::Error::from_raw_os_error;
        let errors = [
            Error::System {
                action: "mount proc".to_owned(),
                path: Some("/proc".into()),
                detail: Some("overlay: no".to_owned()),
                source: errno(libc::EPERM),
            },
            Error::CommandNotFound { command: "x".to_owned(), detail: None },
            Error::CommandNotExecutable {
                command: "/etc".to_owned(),
                detail: None,
                source: errno(libc::EACCES),
            },
            Error::Foreign {
                command: "x".to_owned(),
                machine: "arm64".to_owned(),
                emulator_is_missing: true,
            },
            Error::WorkingDirectory { path: "/a b".into(), source: errno(libc::ENOENT) },
            Error::Invalid("no arguments".to_owned()),
            Error::Unsupported { what: "an id mapping".to_owned(), hint: "be root".to_owned() },
            Error::Runtime { runtime: "/usr/sbin/runc".into(), said: "no\ncgroup".to_owned() },
        ];
        for error in errors {
            let json = serde_json::to_string(&Failure::from(&error)).expect("JSON");
            let back = Error::from(serde_json::from_str::<Failure>(&json).expect("a failure"));
            assert_eq!(back.to_string(), error.to_string());
            assert_eq!(
                (back.kind(), back.hint(), back.exit_code()),
                (error.kind(), error.hint(), error.exit_code())
            );
        }
    }

    #[test]
    fn a_long_command_is_cut_between_characters() {
        let error = Error::CommandNotFound { command: "ü".repeat(100_000), detail: None };
        let failure = Failure::from(&error);
        assert_eq!(failure.text, format!("{}…", "ü".repeat(TEXT / 2)));
    }

    #[test]
    fn ct_001_exit_codes_and_texts() {
        let not_found = Error::CommandNotFound { command: "no such".to_owned(), detail: None };
        assert_eq!((not_found.exit_code(), not_found.is_command()), (127, true));
        assert_eq!(not_found.to_string(), "cannot execute \"no such\": not found");
        let denied = io::Error::from_raw_os_error(libc::EPERM);
        let mount = Error::system("mount proc on", Some(Path::new("/proc")), denied);
        assert_eq!((mount.exit_code(), mount.kind()), (125, Kind::Denied));
        assert_eq!(mount.to_string(), "cannot mount proc on /proc");
        assert!(mount.hint().expect("a hint").contains("CAP_SYS_ADMIN"));
    }
}
