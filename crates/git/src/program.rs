//! Running `git`, with nothing from the environment that it is not given.
//!
//! - No configuration of the system or the user, no hooks, helpers, prompts, filters: all of that would be somebody's program, started by a repository.
//! - The protocols of [`crate::Transport`] only, for submodules too: `file` and `ext` would read this machine's files and run its programs.
//! - Settings and credentials are in its environment, never among its arguments, which everybody can read.
//! - It is alone in a process group, which is killed when the work is cancelled, or when nothing has come for [`PATIENCE`].

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::BorrowedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base::Cancel;

use crate::authorization::Authorization;
use crate::error::GitError;
use crate::source::{Remote, Transport};

/// How long nothing may come: servers say something every few seconds, also while they prepare an answer.
const PATIENCE: Duration = Duration::from_secs(300);
/// The longest answer: the names and commits of some hundred thousand references.
const MAX_ANSWER: u64 = 32 << 20;
/// The end of what it says on its standard error that is kept.
const MAX_SAID: usize = 16 << 10;
/// How often it is looked whether it has ended.
const LOOK: Duration = Duration::from_millis(3);
/// The first version that takes its settings from the environment; older ones would not hear of them.
const OLDEST: (u32, u32) = (2, 31);

/// What git is given of the world outside.
#[derive(Debug, Clone, Default)]
pub struct Outside {
    /// Its environment: `PATH`, proxies, certificates.
    pub environment: Vec<(OsString, OsString)>,
    /// The socket of an agent that has the keys for servers over SSH; none of these are reached without one.
    pub agent: Option<PathBuf>,
    /// A file with the keys of such servers (`known_hosts`), besides those that the system knows.
    pub known_hosts: Option<PathBuf>,
}

/// The program, for one repository.
pub struct Git<'a> {
    remote: &'a Remote,
    outside: &'a Outside,
    authorization: Option<Authorization>,
    cancel: &'a Cancel,
    progress: &'a dyn Fn(u64, u64),
}

/// One call of it.
pub(crate) struct Call<'c> {
    /// What it does: "cannot …".
    pub action: &'static str,
    /// Whether it speaks with servers: then it is told who asks, and is given up when nothing comes.
    pub is_remote: bool,
    /// `GIT_DIR`.
    pub repository: Option<&'c Path>,
    /// `GIT_WORK_TREE`.
    pub files: Option<&'c Path>,
    /// Where it works; where the files are when it is not said, else nowhere.
    pub inside: Option<&'c Path>,
    /// What it reads. Its lock is held for as long as it lives, if it is one.
    pub input: Option<BorrowedFd<'c>>,
    /// Where its answer goes, if it is not to be given.
    pub output: Option<File>,
}

impl Call<'_> {
    pub fn new(action: &'static str) -> Self {
        Self {
            action,
            is_remote: false,
            repository: None,
            files: None,
            inside: None,
            input: None,
            output: None,
        }
    }

    /// One that speaks with servers.
    pub fn remote(action: &'static str) -> Self {
        Self { is_remote: true, ..Self::new(action) }
    }
}

impl<'a> Git<'a> {
    /// For a repository. `authorization` counts instead of what its address says; `progress` hears how many objects have come, and of how many.
    ///
    /// It is an error when git is not installed or too old, or when the repository is reached over SSH and there is no agent.
    pub fn new(
        remote: &'a Remote,
        outside: &'a Outside,
        authorization: Option<Authorization>,
        progress: &'a dyn Fn(u64, u64),
        cancel: &'a Cancel,
    ) -> Result<Self, GitError> {
        if remote.transport == Transport::Ssh && outside.agent.is_none() {
            return Err(GitError::NoAgent);
        }
        let authorization = authorization.or_else(|| remote.login.clone());
        let git = Self { remote, outside, authorization, cancel, progress };
        git.check_version()?;
        Ok(git)
    }

    pub(crate) fn remote(&self) -> &Remote {
        self.remote
    }

    pub(crate) fn cancel(&self) -> &Cancel {
        self.cancel
    }

    fn check_version(&self) -> Result<(), GitError> {
        let answer = self.text(Call::new("ask git for its version"), ["version"])?;
        let version =
            answer.split_whitespace().find(|word| word.starts_with(|one: char| one.is_ascii_digit()));
        let version = version.ok_or_else(|| GitError::Answer(answer.clone()))?;
        let mut numbers = version.split('.').map_while(|number| number.parse::<u32>().ok());
        match (numbers.next(), numbers.next()) {
            (Some(major), Some(minor)) if (major, minor) >= OLDEST => Ok(()),
            _ => Err(GitError::TooOld(base::text::line(version).into_owned())),
        }
    }

    /// Runs it, and gives its answer as text.
    pub(crate) fn text<S: AsRef<OsStr>>(
        &self,
        call: Call<'_>,
        arguments: impl IntoIterator<Item = S>,
    ) -> Result<String, GitError> {
        let action = call.action;
        let ended = self.run(call, arguments)?;
        if ended.success { Ok(ended.answer) } else { Err(GitError::failed(action, &ended.said)) }
    }

    /// Runs it to its end, whatever that is.
    pub(crate) fn run<S: AsRef<OsStr>>(
        &self,
        call: Call<'_>,
        arguments: impl IntoIterator<Item = S>,
    ) -> Result<Ended, GitError> {
        self.cancel.check()?;
        let Call { action, is_remote, repository, files, inside, input, output } = call;
        let mut command = Command::new("git");
        command.env_clear().envs(self.outside.environment.iter().map(|(name, value)| (name, value)));
        command.envs(FIXED).args(arguments).process_group(0);
        command.current_dir(inside.or(files).unwrap_or(Path::new("/")));
        if let Some(repository) = repository {
            command.env("GIT_DIR", repository);
        }
        if let Some(files) = files {
            command.env("GIT_WORK_TREE", files);
        }
        if let Some(agent) = self.outside.agent.as_ref().filter(|_| is_remote) {
            let known_hosts = self.outside.known_hosts.as_deref();
            command.env("SSH_AUTH_SOCK", agent).env("GIT_SSH_COMMAND", ssh_command(known_hosts));
        }
        let settings = self.settings(is_remote);
        command.env("GIT_CONFIG_COUNT", settings.len().to_string());
        for (number, (name, value)) in settings.iter().enumerate() {
            command.env(format!("GIT_CONFIG_KEY_{number}"), name);
            command.env(format!("GIT_CONFIG_VALUE_{number}"), value);
        }
        let input = input.map(|input| input.try_clone_to_owned()).transpose().map_err(GitError::Run)?;
        command.stdin(input.map_or_else(Stdio::null, Stdio::from));
        command.stdout(output.map_or_else(Stdio::piped, Stdio::from)).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => GitError::NotInstalled,
            _ => GitError::Run(error),
        })?;
        let (answer, complaints) = (child.stdout.take(), child.stderr.take());
        let heard = Heard::default();
        std::thread::scope(|scope| {
            let reading = scope.spawn(|| read(answer, &heard));
            let listening = scope.spawn(|| listen(complaints, &heard));
            let success = self.wait(action, is_remote, &mut child, &heard);
            let (answer, said) = (reading.join().unwrap_or_default(), listening.join().unwrap_or_default());
            let success = success?;
            if answer.len() as u64 > MAX_ANSWER {
                return Err(GitError::TooLong(MAX_ANSWER));
            }
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            Ok(Ended { success, answer: text(&answer), said: text(&said) })
        })
    }

    fn wait(
        &self,
        action: &'static str,
        is_remote: bool,
        child: &mut Child,
        heard: &Heard,
    ) -> Result<bool, GitError> {
        let mut told = None;
        loop {
            if let Some(status) = child.try_wait().map_err(GitError::Run)? {
                return Ok(status.success());
            }
            let (last, progress) = heard.look();
            let is_stalled = is_remote && last.elapsed() > PATIENCE;
            if self.cancel.is_cancelled() || is_stalled {
                end(child);
                self.cancel.check()?;
                return Err(GitError::Stalled { action, seconds: PATIENCE.as_secs() });
            }
            if let Some((current, total)) = progress.filter(|progress| told != Some(*progress)) {
                (self.progress)(current, total);
                told = Some((current, total));
            }
            std::thread::sleep(LOOK);
        }
    }

    fn settings(&self, is_remote: bool) -> Vec<(String, String)> {
        let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let mut settings: Vec<_> = SETTINGS.iter().map(pair).collect();
        if let Some(authorization) = self.authorization.as_ref().filter(|_| is_remote) {
            settings.push((format!("http.{}.extraHeader", self.remote.scope()), authorization.header()));
        }
        settings
    }
}

/// What became of a call.
pub(crate) struct Ended {
    pub success: bool,
    pub answer: String,
    pub said: String,
}

const FIXED: [(&str, &str); 11] = [
    ("LC_ALL", "C"),
    ("HOME", "/dev/null"),
    ("XDG_CONFIG_HOME", "/dev/null"),
    ("GIT_CONFIG_NOSYSTEM", "1"),
    ("GIT_CONFIG_GLOBAL", "/dev/null"),
    ("GIT_ATTR_NOSYSTEM", "1"),
    ("GIT_TERMINAL_PROMPT", "0"),
    ("GIT_ASKPASS", ""),
    ("GIT_ALLOW_PROTOCOL", "http:https:ssh:git"),
    ("GIT_CEILING_DIRECTORIES", "/"),
    // Never reached where there is an agent; no key is looked for where there is none.
    ("GIT_SSH_COMMAND", "false"),
];

const SETTINGS: [(&str, &str); 18] = [
    ("core.hooksPath", "/dev/null"),
    ("core.attributesFile", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.askPass", ""),
    // Files are what they are in the commit, on any machine.
    ("core.autocrlf", "false"),
    ("core.fileMode", "true"),
    ("core.logAllRefUpdates", "false"),
    ("credential.helper", ""),
    ("init.defaultBranch", "main"),
    ("advice.detachedHead", "false"),
    // Nothing goes on behind our back.
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("fetch.recurseSubmodules", "false"),
    ("submodule.recurse", "false"),
    // A server that sends less than a kilobyte a second for a minute has stopped.
    ("http.lowSpeedLimit", "1000"),
    ("http.lowSpeedTime", "60"),
    ("pack.threads", "1"),
    ("safe.directory", "*"),
];

/// How SSH is spoken: with the keys of the agent alone, and without anybody's settings. A server that is not known is an error, since whoever answers in its
/// place would choose what is built.
const SSH: [&str; 8] = [
    "ssh -F /dev/null",
    "BatchMode=yes",
    "StrictHostKeyChecking=yes",
    "UpdateHostKeys=no",
    "IdentityFile=none",
    "PreferredAuthentications=publickey",
    "ConnectTimeout=30",
    "ServerAliveInterval=15",
];

/// SSH with the servers of this file, and those that the system knows.
fn ssh_command(known_hosts: Option<&Path>) -> String {
    let file = known_hosts.unwrap_or(Path::new("/dev/null")).to_string_lossy();
    // Read by a shell, and by ssh, which takes quotes and percent signs of its own.
    let file = file.replace('\'', "'\\''").replace('%', "%%");
    format!("{} -o 'UserKnownHostsFile=\"{file}\"'", SSH.join(" -o "))
}

/// What has been heard of it, and when.
struct Heard(Mutex<(Instant, Option<(u64, u64)>)>);

impl Default for Heard {
    fn default() -> Self {
        Self(Mutex::new((Instant::now(), None)))
    }
}

impl Heard {
    fn look(&self) -> (Instant, Option<(u64, u64)>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear(&self, progress: Option<(u64, u64)>) {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *heard = (Instant::now(), progress.or(heard.1));
    }
}

/// Reads an answer, and one byte more than the longest.
fn read(from: Option<impl Read>, heard: &Heard) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut piece = vec![0; 64 << 10];
    if let Some(mut from) = from {
        // What came before a failure is what there is.
        while let Ok(count @ 1..) = from.read(&mut piece) {
            heard.hear(None);
            if bytes.len() as u64 <= MAX_ANSWER {
                bytes.extend_from_slice(piece.get(..count).unwrap_or_default());
            }
        }
    }
    bytes
}

/// Reads complaints and progress, and keeps the end.
fn listen(from: Option<impl Read>, heard: &Heard) -> Vec<u8> {
    let mut said = VecDeque::new();
    let mut piece = vec![0; 4 << 10];
    if let Some(mut from) = from {
        while let Ok(count @ 1..) = from.read(&mut piece) {
            let piece = piece.get(..count).unwrap_or_default();
            heard.hear(progress(&String::from_utf8_lossy(piece)));
            said.extend(piece);
            said.drain(..said.len().saturating_sub(MAX_SAID));
        }
    }
    said.into()
}

/// `Receiving objects:  45% (100/222)`
fn progress(text: &str) -> Option<(u64, u64)> {
    let (_, rest) = text.rsplit_once("Receiving objects:")?;
    let (current, rest) = rest.split_once('(')?.1.split_once('/')?;
    Some((current.parse().ok()?, rest.split_once(')')?.0.parse().ok()?))
}

/// Ends it and all that it has started.
fn end(child: &mut Child) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
        // One that has ended meanwhile is what is wanted.
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn df_082_ssh_knows_the_servers_of_one_file() {
        let command = ssh_command(Some(Path::new("/a b's/100%/known_hosts")));
        let expected = r#" -o 'UserKnownHostsFile="/a b'\''s/100%%/known_hosts"'"#;
        assert!(command.starts_with("ssh -F /dev/null -o BatchMode=yes"), "{command}");
        assert!(command.ends_with(expected), "{command}");
    }

    #[test]
    fn progress_is_what_git_says() {
        assert_eq!(progress("Receiving objects:  45% (100/222)\r"), Some((100, 222)));
        assert_eq!(progress("Receiving objects: 1% (1/9)\rReceiving objects: 2% (2/9), 3 KiB"), Some((2, 9)));
        assert_eq!(progress("Resolving deltas: 1% (1/9)"), None);
    }
}
