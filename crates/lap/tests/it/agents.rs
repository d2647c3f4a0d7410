//! RUN --mount=type=ssh: a real agent, real keys, and OpenSSH's own client in the image.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::environment::{Environment, Ran, path_text, tool};

/// An agent with one key, until this is dropped.
pub struct Agent {
    process: Child,
    pub socket: PathBuf,
}

impl Agent {
    pub fn with(lap: &Environment, key: &Path) -> Self {
        let socket = lap.path("agent.socket");
        let mut agent = Command::new(tool("ssh-agent", "openssh-client"));
        agent.arg("-D").arg("-a").arg(&socket).stdout(Stdio::null());
        let process = agent.spawn().expect("ssh-agent runs");
        let since = Instant::now();
        while UnixStream::connect(&socket).is_err() {
            assert!(since.elapsed() < Duration::from_secs(10), "ssh-agent does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        let agent = Self { process, socket };
        let mut add = Command::new(tool("ssh-add", "openssh-client"));
        let added =
            add.arg("-q").arg(key).env("SSH_AUTH_SOCK", &agent.socket).output().expect("ssh-add runs");
        assert!(added.status.success(), "{added:?}");
        agent
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Makes a key; gives its path and the fingerprint.
pub fn key(lap: &Environment, name: &str, passphrase: &str) -> (PathBuf, String) {
    let path = lap.path(name);
    let keygen = tool("ssh-keygen", "openssh-client");
    let output = |arguments: &[&str]| {
        let output =
            Command::new(&keygen).args(arguments).arg("-f").arg(&path).output().expect("ssh-keygen runs");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("text")
    };
    output(&["-q", "-t", "ed25519", "-N", passphrase, "-C", name]);
    let fingerprint = output(&["-l"]);
    (path, fingerprint.split(' ').nth(1).expect("a fingerprint").to_owned())
}

/// An image `ssh` that has `ssh-add`, with what it is linked to.
fn with_client() -> Environment {
    let lap = Environment::with_base();
    let client = tool("ssh-add", "openssh-client");
    let linked = Command::new("ldd").arg(&client).output().expect("ldd runs");
    let linked = String::from_utf8(linked.stdout).expect("text");
    let libraries = linked.split_whitespace().filter(|word| word.starts_with('/'));
    for path in libraries.chain([path_text(&client)]) {
        let place = lap.path("client/root").join(path.trim_start_matches('/'));
        std::fs::create_dir_all(place.parent().expect("a parent")).expect("a directory");
        std::fs::copy(path, &place).expect("a copy");
        // It has its own group where agents do.
        std::fs::set_permissions(&place, PermissionsExt::from_mode(0o755)).expect("a mode");
    }
    lap.write("client/Dockerfile", "FROM base:1\nCOPY root /\n");
    lap.lap(["build", "-q", "-t", "ssh", "client"]).success();
    lap
}

fn build(lap: &Environment, agent: Option<&Path>, dockerfile: &str, options: &[&str]) -> Ran {
    lap.write("context/Dockerfile", dockerfile);
    let mut command = lap.command([&["build", "-t", "app"], options, &["context"]].concat());
    match agent {
        Some(agent) => command.env("SSH_AUTH_SOCK", agent),
        None => command.env_remove("SSH_AUTH_SOCK"),
    };
    Ran::of(command.output().expect("lap runs"))
}

#[test]
fn df_102_an_agent_is_forwarded() {
    let lap = with_client();
    let (key, fingerprint) = key(&lap, "key", "");
    let agent = Agent::with(&lap, &key);
    let dockerfile = "FROM ssh\n\
        RUN --mount=type=ssh ssh-add -l >/seen && echo $SSH_AUTH_SOCK >>/seen && stat -c '%a %u' $SSH_AUTH_SOCK >>/seen\n\
        USER app\n\
        RUN --mount=type=ssh,uid=1000,gid=1001,mode=0640,target=/tmp/a/s ssh-add -l >/tmp/own && echo $SSH_AUTH_SOCK >>/tmp/own && stat -c %a /tmp/a/s >>/tmp/own\n\
        USER root\n\
        RUN --network=none --mount=type=ssh --mount=type=ssh,id=other ls /run/buildkit >/two; test $SSH_AUTH_SOCK = /run/buildkit/ssh_agent.0\n";
    let dockerfile = match std::env::var(crate::ordinary::IDS).as_deref() {
        Ok("chroot") => dockerfile.replace("--network=none ", ""),
        _ => dockerfile.to_owned(),
    };
    build(&lap, Some(&agent.socket), &dockerfile, &["--ssh", "default"]).success();
    let seen = lap.sh("app", "cat /seen");
    assert!(seen.contains(&fingerprint), "{seen}");
    assert!(seen.ends_with("/run/buildkit/ssh_agent.0\n600 0\n"), "{seen}");
    let own = lap.sh("app", "cat /tmp/own");
    assert!(own.contains(&fingerprint) && own.ends_with("/tmp/a/s\n640\n"), "{own}");
    assert_eq!(
        lap.sh("app", "cat /two; ls -d /run/buildkit /tmp/a 2>&1 | grep -c 'No such'"),
        "ssh_agent.0\n2\n"
    );
    // Neither who answers nor whether anybody does is in the key.
    let again = build(&lap, None, &dockerfile, &[]).success();
    assert!(again.stderr.contains("CACHED"), "{}", again.stderr);
    lap.check();
}

#[test]
fn df_102_another_user_cannot_use_the_socket() {
    let lap = with_client();
    let (key, fingerprint) = key(&lap, "key", "");
    let agent = Agent::with(&lap, &key);
    let dockerfile = "FROM ssh\nUSER app\nRUN --mount=type=ssh ssh-add -l >/tmp/said 2>&1; true\n";
    build(&lap, Some(&agent.socket), dockerfile, &["--ssh", "default"]).success();
    // With one id everybody is the same user: decision 45.
    let has_one_id = std::env::var(crate::ordinary::IDS).is_ok_and(|ids| ids == "one");
    let expected = if has_one_id { fingerprint.as_str() } else { "Permission denied" };
    let said = lap.sh("app", "cat /tmp/said");
    assert!(said.contains(expected), "{said}");
}

#[test]
fn df_102_a_step_can_ask_for_signatures_and_nothing_else() {
    let lap = with_client();
    let (path, fingerprint) = key(&lap, "key", "");
    let (other, _) = key(&lap, "other", "");
    let agent = Agent::with(&lap, &path);
    for (name, key) in [("key.pub", lap.path("key.pub")), ("other", other)] {
        std::fs::create_dir_all(lap.path("context")).expect("a directory");
        std::fs::copy(key, lap.path("context").join(name)).expect("a copy");
    }
    // -T signs something, and verifies it.
    let dockerfile = "FROM ssh\nCOPY --chmod=600 key.pub other /k/\n\
        RUN --mount=type=ssh ssh-add -T /k/key.pub && ! ssh-add -D && ! ssh-add -q /k/other && ! ssh-add -d /k/key.pub && ssh-add -l >/seen\n";
    build(&lap, Some(&agent.socket), dockerfile, &["--ssh", "default"]).success();
    let seen = lap.sh("app", "cat /seen");
    assert!(seen.contains(&fingerprint) && seen.lines().count() == 1, "{seen}");
}

#[test]
fn df_102_df_212_keys_from_files() {
    let lap = with_client();
    let (one, first) = key(&lap, "one", "");
    let (two, second) = key(&lap, "two", "");
    let dockerfile = "FROM ssh\nRUN --mount=type=ssh,id=git,required ssh-add -l >/seen; ssh-add -l >>/seen\n";
    let option = format!("git={},{}", one.display(), two.display());
    build(&lap, None, dockerfile, &["--ssh", &option]).success();
    let seen = lap.sh("app", "cat /seen");
    assert!(seen.contains(&first) && seen.contains(&second) && seen.lines().count() == 4, "{seen}");

    let (locked, _) = key(&lap, "locked", "a passphrase");
    let option = format!("git={}", locked.display());
    let ran = build(&lap, None, &format!("{dockerfile}RUN true\n"), &["--no-cache", "--ssh", &option]);
    assert_ne!(ran.code, 0, "{}", ran.stderr);
    for words in ["cannot use the SSH agent git: the key", "it needs a passphrase", "Dockerfile:2"] {
        assert!(ran.stderr.contains(words), "{words}: {}", ran.stderr);
    }
}

#[test]
fn df_102_df_212_agents_that_are_missing() {
    let lap = Environment::with_base();
    // What is not required need not be there.
    let dockerfile =
        "FROM base:1\nRUN --mount=type=ssh test -z \"$SSH_AUTH_SOCK\" && test ! -e /run/buildkit\n";
    build(&lap, None, dockerfile, &[]).success();
    let ran = build(&lap, None, dockerfile, &["--ssh", "default"]);
    assert!(ran.code != 0 && ran.stderr.contains("SSH_AUTH_SOCK is not set"), "{}", ran.stderr);
    let socket = lap.path("nobody.socket");
    drop(UnixListener::bind(&socket).expect("a socket"));
    let ran = build(&lap, Some(&socket), dockerfile, &["--ssh", "default", "--no-cache"]);
    assert!(ran.code != 0 && ran.stderr.contains("Connection refused"), "{}", ran.stderr);
}
