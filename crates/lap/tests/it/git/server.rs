//! Repositories, and servers for them: git's own programs behind sockets.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;

use crate::environment::tool;
use crate::web::listen;

/// A working tree, whose branches are pushed to a bare repository, `NAME.git` in the root, with each commit.
pub struct Origin {
    root: Arc<tempfile::TempDir>,
    tree: PathBuf,
    bare: PathBuf,
}

/// git, in a directory, as somebody without a configuration; at one and the same time.
pub fn git(directory: &Path, arguments: &[&str]) -> String {
    let output = command(directory).args(arguments).output().expect("git runs");
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn command(directory: &Path) -> Command {
    let mut command = Command::new(tool("git", "git"));
    command.current_dir(directory).stdin(Stdio::null());
    for (name, value) in [
        ("HOME", "/nonexistent"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_AUTHOR_NAME", "A"),
        ("GIT_AUTHOR_EMAIL", "a@localhost"),
        ("GIT_AUTHOR_DATE", "1445412480 +0000"),
        ("GIT_COMMITTER_NAME", "C"),
        ("GIT_COMMITTER_EMAIL", "c@localhost"),
        ("GIT_COMMITTER_DATE", "1445412480 +0000"),
    ] {
        command.env(name, value);
    }
    // What is exported may belong to somebody else.
    command.args(["-c", "safe.directory=*"]);
    command
}

impl Origin {
    /// With nothing in it.
    pub fn new() -> Self {
        Self::named(Arc::new(tempfile::tempdir().expect("a directory")), "origin")
    }

    /// Another one in the same root.
    pub fn beside(&self, name: &str) -> Self {
        Self::named(self.root.clone(), name)
    }

    fn named(root: Arc<tempfile::TempDir>, name: &str) -> Self {
        let (tree, bare) = (root.path().join(name), root.path().join(format!("{name}.git")));
        for path in [&tree, &bare] {
            std::fs::create_dir(path).expect("a directory");
        }
        git(&bare, &["init", "-q", "--bare", "-b", "main"]);
        git(&tree, &["init", "-q", "-b", "main"]);
        git(&tree, &["remote", "add", "origin", bare.to_str().expect("text")]);
        Self { root, tree, bare }
    }

    /// Where the bare repositories are.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// Writes a file.
    pub fn write(&self, name: &str, content: &str) {
        let path = self.tree.join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        std::fs::write(path, content).expect("a file");
    }

    /// Makes a file a program.
    pub fn executable(&self, name: &str) {
        let mode = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(self.tree.join(name), mode).expect("a mode");
    }

    /// Makes a symbolic link.
    pub fn link(&self, name: &str, target: &str) {
        std::os::unix::fs::symlink(target, self.tree.join(name)).expect("a link");
    }

    /// Adds a submodule that is written down with one address, and is found at another one now.
    pub fn submodule(&self, written: &str, now: &str, path: &str) {
        let allow = ["-c", "protocol.file.allow=always"];
        git(&self.tree, &[&allow[..], &["submodule", "--quiet", "add", "--", now, path]].concat());
        git(&self.tree, &["config", "-f", ".gitmodules", &format!("submodule.{path}.url"), written]);
    }

    /// Commits everything, and pushes all.
    pub fn commit(&self, message: &str) {
        git(&self.tree, &["add", "--all"]);
        git(&self.tree, &["commit", "-q", "-m", message]);
        self.push();
    }

    /// Any other command, and then a push.
    pub fn git(&self, arguments: &[&str]) {
        git(&self.tree, arguments);
        self.push();
    }

    fn push(&self) {
        git(&self.tree, &["push", "-q", "--all", "origin"]);
        git(&self.tree, &["push", "-q", "--tags", "origin"]);
        git(&self.bare, &["update-server-info"]);
    }

    /// The newest commit of the branch that it is on.
    pub fn head(&self) -> String {
        git(&self.tree, &["rev-parse", "HEAD"]).trim().to_owned()
    }
}

/// A server of HTTP on a port of its own: `git http-backend`.
pub struct Server {
    address: String,
    state: Arc<State>,
}

struct State {
    root: PathBuf,
    /// How many requests asked for objects.
    fetches: AtomicUsize,
    /// The value of `Authorization` without which nobody is let in.
    wanted: Mutex<Option<String>>,
}

impl Server {
    pub fn new(root: &Path) -> Self {
        let (fetches, wanted) = (AtomicUsize::new(0), Mutex::new(None));
        let state = Arc::new(State { root: root.to_owned(), fetches, wanted });
        let served = state.clone();
        Self { address: listen(move |connection| answer(connection, &served)), state }
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.address)
    }

    /// How often objects were asked for, since the last time.
    pub fn fetches(&self) -> usize {
        self.state.fetches.swap(0, Ordering::SeqCst)
    }

    /// Lets only this user with this password in.
    pub fn protect(&self, login: &str) {
        let header = format!("basic {}", base64::engine::general_purpose::STANDARD.encode(login));
        *self.state.wanted.lock().unwrap_or_else(PoisonError::into_inner) = Some(header);
    }
}

fn answer(mut connection: &TcpStream, state: &State) -> std::io::Result<()> {
    let mut reader = BufReader::new(connection);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let (method, target) = line.split_once(' ').unwrap_or_default();
    let target = target.split(' ').next().unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut backend = command(&state.root);
    backend.arg("http-backend").env("GIT_PROJECT_ROOT", &state.root).env("GIT_HTTP_EXPORT_ALL", "1");
    backend.env("REQUEST_METHOD", method).env("PATH_INFO", path).env("QUERY_STRING", query);
    let (mut length, mut authorization) = (0, None);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let Some((name, value)) = header.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().expect("a number"),
            "content-type" => drop(backend.env("CONTENT_TYPE", value)),
            "content-encoding" => drop(backend.env("HTTP_CONTENT_ENCODING", value)),
            "git-protocol" => drop(backend.env("HTTP_GIT_PROTOCOL", value)),
            "authorization" => authorization = Some(value.to_owned()),
            "transfer-encoding" => panic!("the tests ask for little"),
            _ => {}
        }
    }
    let wanted = state.wanted.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let is_same = |given: String, wanted: &str| given.replace("Basic ", "basic ") == wanted;
    if let Some(wanted) = wanted
        && !authorization.is_some_and(|given| is_same(given, &wanted))
    {
        let head = "401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0";
        return write!(connection, "HTTP/1.1 {head}\r\nConnection: close\r\n\r\n");
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    if body.windows(13).any(|part| part == b"command=fetch") {
        state.fetches.fetch_add(1, Ordering::SeqCst);
    }
    backend.env("CONTENT_LENGTH", length.to_string());
    let mut child = backend.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let mut stdin = child.stdin.take().expect("a pipe");
    let writing = std::thread::spawn(move || stdin.write_all(&body));
    let output = child.wait_with_output()?;
    let _ = writing.join();
    let text = String::from_utf8_lossy(&output.stdout);
    let status = text.lines().find_map(|line| line.strip_prefix("Status: ")).unwrap_or("200 OK");
    write!(connection, "HTTP/1.1 {status}\r\nConnection: close\r\n")?;
    connection.write_all(&output.stdout)
}

/// A server of git's own protocol; its address.
pub fn daemon(root: &Path) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let root = root.to_owned();
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let input = OwnedFd::from(connection.try_clone().expect("a descriptor"));
            let mut daemon = command(&root);
            daemon.args(["daemon", "--inetd", "--export-all", "--informative-errors"]);
            daemon.arg(format!("--base-path={}", root.display()));
            let spawned = daemon
                .stdin(Stdio::from(input))
                .stdout(Stdio::from(OwnedFd::from(connection)))
                .stderr(Stdio::null())
                .spawn();
            let mut child = spawned.expect("git daemon runs");
            std::thread::spawn(move || child.wait());
        }
    });
    address
}
