//! `--ssh` (DF-102, DF-212): agents that are there, and agents for key files, started when a step needs them.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use base::Kind;
use rustix::process::{Pid, Signal, kill_process};

use crate::environment;
use crate::failure::{Failure, Outcome};

/// How the option is written.
const USAGE: &str = "--ssh ID, --ssh ID=SOCKET or --ssh ID=KEYFILE[,KEYFILE]";

/// What the agent runs: it ends with this, which ends when this process does, however that happens.
const LIFE: &str = "printf '%s\\n' \"$SSH_AUTH_SOCK\" \"$SSH_AGENT_PID\"; exec cat >/dev/null";

/// The agents of a build, by their names.
#[derive(Default)]
pub struct Agents(BTreeMap<String, Source>);

#[derive(Debug)]
enum Source {
    /// One that listens there.
    Socket(PathBuf),
    /// One for these keys, once it is needed.
    Keys(Vec<PathBuf>, Mutex<Option<KeyAgent>>),
}

impl Agents {
    /// Where one of them listens.
    pub fn socket(&self, id: &str) -> io::Result<Option<PathBuf>> {
        match self.0.get(id) {
            None => Ok(None),
            Some(Source::Socket(path)) => Ok(Some(path.clone())),
            Some(Source::Keys(keys, started)) => {
                let mut started = started.lock().unwrap_or_else(PoisonError::into_inner);
                let agent = match started.take() {
                    Some(agent) => agent,
                    None => KeyAgent::start(keys)?,
                };
                Ok(Some(started.insert(agent).socket.clone()))
            }
        }
    }
}

/// Understands the options, and finds out whether there is what they name.
pub fn parse(texts: &[String]) -> Outcome<Agents> {
    let mut agents = BTreeMap::new();
    for text in texts {
        let (id, paths) = match text.split_once('=') {
            None => (text.as_str(), Vec::new()),
            Some((id, paths)) => (id, paths.split(',').map(PathBuf::from).collect()),
        };
        // docker takes nothing for the default, too.
        let id = if id.is_empty() { "default" } else { id };
        let source = source(paths).map_err(|(kind, reason)| {
            let text = base::text::bytes(text.as_bytes());
            Failure::new(kind, format!("--ssh {text}: {reason}")).hint(USAGE)
        })?;
        agents.insert(id.to_owned(), source);
    }
    Ok(Agents(agents))
}

fn source(paths: Vec<PathBuf>) -> Result<Source, (Kind, String)> {
    let paths = match paths.as_slice() {
        [] => {
            let agent = environment::ssh_agent();
            vec![agent.ok_or((Kind::NotFound, "SSH_AUTH_SOCK is not set: no agent runs".to_owned()))?]
        }
        _ => paths,
    };
    let mut keys = Vec::new();
    for path in &paths {
        let shown = base::text::path(path);
        match std::fs::metadata(path) {
            Ok(metadata) if metadata.file_type().is_socket() && paths.len() == 1 => {
                return Ok(Source::Socket(path.clone()));
            }
            Ok(metadata) if metadata.is_file() => keys.push(path.clone()),
            Ok(metadata) if metadata.file_type().is_socket() => {
                return Err((Kind::Invalid, format!("{shown} is a socket, which stands alone")));
            }
            Ok(_) => return Err((Kind::Invalid, format!("{shown} is neither a socket nor a file"))),
            Err(error) => return Err((Kind::of_io(&error), format!("{shown}: {error}"))),
        }
    }
    Ok(Source::Keys(keys, Mutex::default()))
}

/// An `ssh-agent` with some keys, for the time of a build.
#[derive(Debug)]
struct KeyAgent {
    /// What it runs.
    life: Child,
    number: Option<Pid>,
    socket: PathBuf,
}

impl KeyAgent {
    fn start(keys: &[PathBuf]) -> io::Result<Self> {
        let life = Command::new("ssh-agent")
            .args(["sh", "-c", LIFE])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| no_program("ssh-agent", &error))?;
        let mut agent = Self { life, number: None, socket: PathBuf::new() };
        let mut said = agent.life.stdout.take().map(BufReader::new).into_iter().flat_map(BufRead::lines);
        agent.socket = said.next().transpose()?.unwrap_or_default().into();
        let number = said.next().transpose()?.unwrap_or_default();
        agent.number = number.parse().ok().and_then(Pid::from_raw);
        if agent.number.is_none() || !agent.socket.exists() {
            return Err(io::Error::other("ssh-agent does not start"));
        }
        for key in keys {
            agent.add(key)?;
        }
        Ok(agent)
    }

    /// Adds a key. Nobody is asked for a passphrase.
    fn add(&self, key: &Path) -> io::Result<()> {
        let output = Command::new("ssh-add")
            .arg("-q")
            .arg(key)
            .env("SSH_AUTH_SOCK", &self.socket)
            .env("SSH_ASKPASS_REQUIRE", "force")
            .env("SSH_ASKPASS", "false")
            .stdin(Stdio::null())
            .output()
            .map_err(|error| no_program("ssh-add", &error))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ");
        let reason = match said.as_str() {
            "" => "it needs a passphrase; unlock it in an agent (ssh-add), and give that (--ssh default)",
            said => said,
        };
        let (key, reason) = (base::text::path(key), base::text::line(reason));
        Err(io::Error::other(format!("the key {key} cannot be loaded: {reason}")))
    }
}

impl Drop for KeyAgent {
    fn drop(&mut self) {
        // It would end by itself, within ten seconds.
        if let Some(number) = self.number {
            let _ = kill_process(number, Signal::TERM);
        }
        drop(self.life.stdin.take());
        let _ = self.life.wait();
    }
}

fn no_program(name: &str, error: &io::Error) -> io::Error {
    io::Error::other(match error.kind() {
        io::ErrorKind::NotFound => format!(
            "key files need the program {name}, which is not there: install OpenSSH's client, or give the socket of an agent"
        ),
        _ => format!("cannot run {name}: {error}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn df_212_agents_as_docker_says_them() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name).to_str().expect("text").to_owned();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).expect("a socket");
        for key in ["one", "two"] {
            std::fs::write(at(key), "").expect("written");
        }
        let kind =
            |text: &str, id: &str| match parse(&[text.to_owned()]).map(|mut agents| agents.0.remove(id)) {
                Ok(Some(Source::Socket(path))) => format!("socket {}", path.display()),
                Ok(Some(Source::Keys(keys, _))) => format!("{} keys", keys.len()),
                Ok(None) => "another name".to_owned(),
                Err(error) => error.message(),
            };
        for (text, id, expected) in [
            (format!("a={}", at("socket")), "a", format!("socket {}", at("socket"))),
            (format!("={}", at("socket")), "default", format!("socket {}", at("socket"))),
            (format!("default={},{}", at("one"), at("two")), "default", "2 keys".to_owned()),
            (format!("a={},{}", at("one"), at("socket")), "a", "stands alone".to_owned()),
            (format!("a={}", at("none")), "a", "No such file".to_owned()),
            (format!("a={}", directory.path().display()), "a", "neither a socket nor a file".to_owned()),
        ] {
            let found = kind(&text, id);
            assert!(found.contains(&expected), "{text}: {found}");
        }
    }
}
