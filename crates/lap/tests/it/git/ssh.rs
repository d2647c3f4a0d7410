//! Repositories over SSH (DF-082, DF-141): OpenSSH's server and agent, with keys of their own.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::lab;
use super::server::Origin;
use crate::agents::{Agent, key};
use crate::environment::{Environment, Ran};

/// A server of SSH on a port of its own, for the user who runs the tests: one process for each connection.
struct SshServer {
    /// `USER@127.0.0.1:PORT`
    authority: String,
    /// `[127.0.0.1]:PORT`
    name: String,
    /// The key of the server, as `known_hosts` has it behind the name.
    public: String,
}

impl SshServer {
    /// Whoever has this key is let in.
    fn new(lap: &Environment, authorized: &Path) -> Self {
        let (host, _) = key(lap, "host", "");
        lap.write(
            "sshd_config",
            format!(
                "HostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\nPidFile none\n",
                host.display(),
                public(authorized).display()
            ),
        );
        if rustix::process::geteuid().is_root() {
            // An empty directory that sshd wants; Debian makes it when the machine's own sshd is started.
            std::fs::create_dir_all("/run/sshd").expect("a directory");
        }
        // It has to be called by its whole path.
        let sshd =
            ["/usr/sbin/sshd", "/usr/bin/sshd"].map(PathBuf::from).into_iter().find(|path| path.exists());
        let sshd = sshd.expect("this test needs sshd: install the package openssh-server");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let config = lap.path("sshd_config");
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let input = OwnedFd::from(connection.try_clone().expect("a descriptor"));
                let mut server = Command::new(&sshd);
                server.args(["-i", "-e", "-f"]).arg(&config).stdin(Stdio::from(input));
                server.stdout(Stdio::from(OwnedFd::from(connection))).stderr(Stdio::null());
                let mut child = server.spawn().expect("sshd runs");
                std::thread::spawn(move || child.wait());
            }
        });
        let user = Command::new("id").arg("-un").output().expect("id runs").stdout;
        let user = String::from_utf8(user).expect("text");
        let public = std::fs::read_to_string(public(&host)).expect("a key");
        let public = public.split(' ').take(2).collect::<Vec<_>>().join(" ");
        let authority = format!("{}@127.0.0.1:{port}", user.trim());
        Self { authority, name: format!("[127.0.0.1]:{port}"), public }
    }

    fn url(&self, origin: &Origin, name: &str) -> String {
        format!("ssh://{}{}/{name}", self.authority, origin.root().display())
    }

    /// Tells a home that the server has this key.
    fn known_as(&self, lap: &Environment, public: &str) {
        lap.write("home/.ssh/known_hosts", format!("{} {public}\n", self.name));
    }
}

fn public(key: &Path) -> PathBuf {
    key.with_extension("pub")
}

/// Runs lap with a home of its own, and perhaps an agent.
fn lap_with(lap: &Environment, agent: Option<&Path>, arguments: &[&str]) -> Ran {
    let arguments = [&["build", "-t", "app", "--progress", "plain"], arguments].concat();
    let mut command = lap.command(arguments);
    command.env("HOME", lap.path("home"));
    match agent {
        Some(agent) => command.env("SSH_AUTH_SOCK", agent),
        None => command.env_remove("SSH_AUTH_SOCK"),
    };
    Ran::of(command.output().expect("lap runs"))
}

#[test]
fn df_141_a_repository_over_ssh() {
    let (lap, origin, _server) = lab();
    let inner = origin.beside("inner");
    inner.write("inside", "1\n");
    inner.commit("inner");
    origin.submodule("../inner.git", inner.root().join("inner.git").to_str().expect("text"), "sub");
    origin.write("Dockerfile", "FROM base:1\nCOPY file /y\n");
    origin.commit("with a submodule");
    let (key, _) = key(&lap, "key", "");
    let server = SshServer::new(&lap, &key);
    server.known_as(&lap, &server.public);
    let url = server.url(&origin, "origin.git");
    lap.write("context/Dockerfile", format!("FROM base:1\nADD {url}#main /x\n"));
    let agent = Agent::with(&lap, &key);
    let socket = Some(agent.socket.as_path());
    assert!(!lap_with(&lap, socket, &["--ssh", "default", "context"]).success().is_cached("ADD"));
    assert_eq!(lap.sh("app", "cat /x/file /x/sub/inside; ls -A /x/sub"), "one\n1\ninside\n");
    assert!(lap_with(&lap, socket, &["--ssh", "default", "context"]).success().is_cached("ADD"));
    // A key that is loaded for this build, and the repository as the context.
    let with_key = format!("default={}", key.display());
    assert!(lap_with(&lap, None, &["--ssh", &with_key, "context"]).success().is_cached("ADD"));
    lap_with(&lap, None, &["--ssh", &with_key, &url]).success();
    assert_eq!(lap.sh("app", "cat /y"), "one\n");
    lap.write("context/Dockerfile", "FROM other\n");
    let named = format!("other={url}#main:src");
    lap_with(&lap, socket, &["--ssh", "default", "--build-context", &named, "context"]).success();
    lap.lap(["save", "-o", "out.tar", "app"]).success();
    // Where there is no server for it.
    lap.write("context/Dockerfile", format!("FROM base:1\nADD {url}x /x\n"));
    lap_with(&lap, socket, &["--ssh", "default", "context"])
        .failure(1, &["does not appear to be a git repository", "check the address", "Dockerfile:2:"]);
    lap.check_clean();
}

#[test]
fn df_141_who_is_not_known_over_ssh() {
    let (lap, origin, _server) = lab();
    let (accepted, _) = key(&lap, "accepted", "");
    let (other, _) = key(&lap, "other", "");
    let server = SshServer::new(&lap, &accepted);
    let url = server.url(&origin, "origin.git");
    lap.write("context/Dockerfile", format!("FROM base:1\nADD {url} /x\n"));
    let add = |key: &Path, said: &[&str]| {
        let ssh = format!("default={}", key.display());
        lap_with(&lap, None, &["--ssh", &ssh, "context"]).failure(1, said);
        // What is not known stays so: nobody is trusted for having come first.
        let ran = lap_with(&lap, None, &["--ssh", &ssh, &url]);
        for words in said.iter().filter(|words| !words.contains("Dockerfile")) {
            assert!(ran.code == 1 && ran.stderr.contains(words), "{words:?} is not in:\n{}", ran.stderr);
        }
    };
    add(&accepted, &["Host key verification failed", "ssh-keyscan HOST", "Dockerfile:2:"]);
    assert!(!lap.path("home/.ssh").exists());
    let stranger = std::fs::read_to_string(public(&other)).expect("a key");
    server.known_as(&lap, &stranger);
    add(&accepted, &["Host key verification failed", "answers in its place", "Dockerfile:2:"]);
    server.known_as(&lap, &server.public);
    add(&other, &["Permission denied (publickey", "--ssh default=KEYFILE", "Dockerfile:2:"]);
    // Without an agent nobody is asked, whatever keys lie about; an agent of another name is for commands.
    for options in [vec!["context"], vec!["--ssh", "other=accepted", "context"]] {
        lap_with(&lap, None, &options).failure(1, &["needs an agent", "--ssh default", "Dockerfile:2:"]);
    }
    let (locked, _) = key(&lap, "locked", "word");
    add(&locked, &["there is no SSH agent", "needs a passphrase", "Dockerfile:2:"]);
    lap.check_clean();
}
