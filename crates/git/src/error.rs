//! What can go wrong with a repository.

use base::{Cancelled, Classified, IoError, Kind};

/// Why there is no checkout.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GitError {
    /// There is no `git`.
    #[error("the program git is not installed")]
    NotInstalled,
    /// One that would not keep to what it is told.
    #[error("git {0} is too old")]
    TooOld(String),
    /// It could not be started, or waited for.
    #[error("cannot run git: {0}")]
    Run(#[source] std::io::Error),
    /// It failed.
    #[error("cannot {action}: {said}")]
    Failed {
        /// A verb and its object.
        action: &'static str,
        /// What git said last, escaped, without credentials.
        said: String,
        /// What sort of failure that was.
        kind: Kind,
        /// What the user can do.
        hint: Option<&'static str>,
    },
    /// It has not said a word for a long time.
    #[error("cannot {action}: nothing has come for {seconds} seconds")]
    Stalled {
        /// A verb and its object.
        action: &'static str,
        /// How long that was.
        seconds: u64,
    },
    /// More was written than an answer can have.
    #[error("the answer is longer than {0} bytes")]
    TooLong(u64),
    /// It said what no git says.
    #[error("git answered something that is not understood: {}", base::text::line(.0))]
    Answer(String),
    /// A repository without a commit.
    #[error("the repository is empty")]
    Empty,
    /// A name that the repository does not have.
    #[error("the repository has no branch or tag {}", base::text::line(.0))]
    NoReference(String),
    /// A commit that the repository does not have.
    #[error("the repository has no commit {0}")]
    NoCommit(String),
    /// A directory that the commit does not have.
    #[error("there is no directory {} in commit {commit}", base::text::line(.directory))]
    NoDirectory {
        /// Which.
        directory: String,
        /// Where.
        commit: String,
    },
    /// Another commit than was asked for.
    #[error("it is not what the checksum says: expected commit {expected}, got {found}")]
    Checksum {
        /// What the commit should begin with.
        expected: String,
        /// What it is.
        found: String,
    },
    /// SSH, and no key.
    #[error("git over SSH needs an agent with a key, and this build has none")]
    NoAgent,
    /// A file.
    #[error(transparent)]
    Io(#[from] IoError),
    /// The work was cancelled.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

/// What git says (in part, in lower case), what that is, and what to do about it. The first one that is found counts.
const SAID: &[(&[&str], Kind, Option<&str>)] = &[
    (
        &[
            "could not read username",
            "could not read password",
            "authentication failed",
            "error: 401",
            "error: 403",
        ],
        Kind::Denied,
        Some("give a token that may read it: --secret id=GIT_AUTH_TOKEN,env=VARIABLE (or src=FILE)"),
    ),
    (
        &["ssh: not found", "ssh: command not found", "cannot run ssh"],
        Kind::Unsupported,
        Some("install OpenSSH's client (the package openssh-client)"),
    ),
    (
        &["remote host identification has changed"],
        Kind::Denied,
        Some(
            "find out whether the server has a new key, or somebody answers in its place; then replace its line in ~/.ssh/known_hosts",
        ),
    ),
    (
        &["host key verification failed"],
        Kind::Denied,
        Some(
            "the server is not in ~/.ssh/known_hosts: get its key (ssh-keyscan HOST), compare it with what whoever runs it says, and add it",
        ),
    ),
    (
        &["permission denied (", "too many authentication failures"],
        Kind::Denied,
        Some(
            "give an agent that has a key which the server knows: ssh-add KEYFILE, or --ssh default=KEYFILE",
        ),
    ),
    (
        &[
            "not found",
            "access denied or repository not exported",
            "does not appear to be a git repository",
            "no such repository",
        ],
        Kind::NotFound,
        Some(
            "check the address; a private repository needs --secret id=GIT_AUTH_TOKEN,env=VARIABLE (or src=FILE)",
        ),
    ),
    (
        &["could not resolve host", "unable to look up", "name or service not known"],
        Kind::NotFound,
        Some("check the name of the host, and that the resolver answers"),
    ),
    (
        &[
            "failed to connect",
            "could not connect",
            "couldn't connect",
            "unable to connect",
            "connection refused",
            "connection timed out",
        ],
        Kind::Io,
        Some("check that the server runs, and the port"),
    ),
    (
        &["transport '"],
        Kind::Unsupported,
        Some("repositories and submodules are fetched over https, http, ssh and git only"),
    ),
    (&["no space left on device", "disk quota exceeded"], Kind::NoSpace, None),
    (
        &["ssl", "certificate"],
        Kind::Denied,
        Some("check the server's certificate, and the system's authorities"),
    ),
];

impl GitError {
    pub(crate) fn failed(action: &'static str, stderr: &str) -> Self {
        let lower = stderr.to_ascii_lowercase();
        let known = SAID.iter().find(|(words, ..)| words.iter().any(|word| lower.contains(word)));
        let (kind, hint) = known.map_or((Kind::Io, None), |(_, kind, hint)| (*kind, *hint));
        Self::Failed { action, said: last_words(stderr), kind, hint }
    }
}

impl Classified for GitError {
    fn kind(&self) -> Kind {
        match self {
            GitError::NotInstalled | GitError::TooOld(_) | GitError::NoAgent => Kind::Unsupported,
            GitError::Run(error) => Kind::of_io(error),
            GitError::Failed { kind, .. } => *kind,
            GitError::Stalled { .. } => Kind::Io,
            GitError::TooLong(_) => Kind::TooLarge,
            GitError::Answer(_) | GitError::Checksum { .. } => Kind::Corrupt,
            GitError::Empty
            | GitError::NoReference(_)
            | GitError::NoCommit(_)
            | GitError::NoDirectory { .. } => Kind::NotFound,
            GitError::Io(error) => error.kind(),
            GitError::Cancelled(error) => error.kind(),
        }
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            GitError::NotInstalled => "install the package git",
            GitError::TooOld(_) => "install git 2.31 or newer",
            GitError::Failed { hint: Some(hint), .. } => hint,
            GitError::Stalled { .. } => "repeat the command when the network is better",
            GitError::NoReference(_) => {
                "check the name; a commit has to be written with all of its digits, since servers know no shorter ones"
            }
            GitError::NoCommit(_) => "check the commit, and that the server has it on one of its branches",
            GitError::Checksum { .. } => {
                "what the name means has changed: find out why, before you change the checksum"
            }
            GitError::NoAgent => {
                "give one: --ssh default is that of SSH_AUTH_SOCK, --ssh default=KEYFILE loads a key; or use an https address"
            }
            _ => return self.kind().hint().map(str::to_owned),
        };
        Some(text.to_owned())
    }
}

/// What git says after whatever the other end, or SSH, has said before.
const NO_MORE: &str = "Could not read from remote repository.";

/// The line that says what went wrong: the last one that says so, else the last one. Escaped, without credentials.
fn last_words(stderr: &str) -> String {
    let lines = || stderr.split(['\n', '\r']).map(str::trim).filter(|line| !line.is_empty());
    let marks = ["fatal: ", "error: ", "remote: "];
    let marked = |line: &str| marks.into_iter().find_map(|mark| line.strip_prefix(mark)).map(str::to_owned);
    let before = lines().rev().skip_while(|line| !line.ends_with(NO_MORE)).nth(1);
    let line = before.map(|line| marked(line).unwrap_or_else(|| line.to_owned()));
    let line = line.or_else(|| lines().rev().find_map(marked));
    let line = line.or_else(|| lines().next_back().map(str::to_owned));
    let line = without_users(&line.unwrap_or_else(|| "git gives no reason".to_owned()));
    base::text::line(&line).into_owned()
}

/// Addresses in a text lose what stands before their `@`.
fn without_users(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        let end =
            after.find(|one: char| one == '/' || one.is_whitespace() || one == '\'').unwrap_or(after.len());
        let (authority, behind) = after.split_at(end);
        clean.push_str(before);
        clean.push_str("://");
        clean.push_str(authority.rsplit('@').next().unwrap_or_default());
        rest = behind;
    }
    clean + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_git_said_last_is_told_without_credentials() {
        for (stderr, said, kind) in [
            (
                "Cloning…\nfatal: repository 'https://u:p@h/a.git/' not found\n",
                "repository 'https://h/a.git/' not found",
                Kind::NotFound,
            ),
            ("fatal: one\nerror: two\nhint: three\n", "two", Kind::Io),
            (
                "fatal: could not read Username for 'https://t@h': terminal prompts disabled",
                "could not read Username for 'https://h': terminal prompts disabled",
                Kind::Denied,
            ),
            (
                "No key is known.\r\nHost key verification failed.\r\nfatal: Could not read from remote repository.\n\nPlease\n",
                "Host key verification failed.",
                Kind::Denied,
            ),
            (
                "fatal: '/x' does not appear to be a git repository\nfatal: Could not read from remote repository.\n",
                "'/x' does not appear to be a git repository",
                Kind::NotFound,
            ),
            (
                "fatal: Could not read from remote repository.\n",
                "Could not read from remote repository.",
                Kind::Io,
            ),
            ("something\u{1b}[31m odd", "something\\u{1b}[31m odd", Kind::Io),
            ("", "git gives no reason", Kind::Io),
        ] {
            let GitError::Failed { said: found, kind: found_kind, .. } = GitError::failed("fetch", stderr)
            else {
                panic!("{stderr}");
            };
            assert_eq!((found.as_str(), found_kind), (said, kind), "{stderr}");
        }
    }
}
