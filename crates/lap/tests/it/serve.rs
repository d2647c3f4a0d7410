//! `lap serve` from outside: with real clients, killed and taken up again, misused.

pub mod clients;
mod docker;
mod errors;
mod killed;
mod pages;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::environment::{Environment, path_text, tool};

/// `lap serve`, which ends with the test.
pub struct Served {
    child: Child,
    address: SocketAddr,
}

impl Served {
    /// Starts it on the environment's store; on a port if it has to be a certain one.
    pub fn start(lap: &Environment, port: u16, arguments: &[&str]) -> Self {
        let address = format!("127.0.0.1:{port}");
        let mut child = lap
            .command([&["serve", "--addr", &address, "--access-log", "off"], arguments].concat())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("lap runs");
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut said = String::new();
        // A note of what an interrupted command left may come first.
        let address = loop {
            let begin = said.len();
            let count = lines.read_line(&mut said).expect("a line");
            assert!(count > 0, "{said:?} does not say where it serves");
            let line = said.get(begin..).unwrap_or_default().trim();
            if let Some(address) = line.rsplit("://").next().and_then(|address| address.parse().ok()) {
                break address;
            }
        };
        // What it says later is read, so that it never waits for a reader.
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        Self { child, address }
    }

    /// A name in it.
    pub fn name(&self, rest: &str) -> String {
        format!("{}/{rest}", self.address)
    }

    /// SIGTERM; it ends well.
    pub fn stop(mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("a signal");
        assert!(self.child.wait().expect("an end").success());
    }

    /// A number that the registry counts.
    fn metric(&self, name: &str) -> u64 {
        let (_, reply) = self.request("GET /metrics HTTP/1.1", b"");
        let value = reply.lines().find_map(|line| line.strip_prefix(&format!("lapstrake_registry_{name} ")));
        value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in {reply}"))
    }

    /// Sends a request, and gives status and head of the reply.
    fn request(&self, head: &str, body: &[u8]) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).expect("connect");
        let head =
            format!("{head}\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).expect("send");
        let mut reply = String::new();
        stream.read_to_string(&mut reply).expect("a reply");
        let status = reply.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        (status, reply)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The value of a header.
fn header<'a>(reply: &'a str, name: &str) -> &'a str {
    let line = reply.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
    line.unwrap_or_else(|| panic!("no {name} in {reply}"))
}

#[track_caller]
pub fn run(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().expect("a program that runs");
    assert!(status.success(), "{command:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8_lossy(&stdout).trim().to_owned()
}

/// A file of Apache's htpasswd with one user.
fn htpasswd(lap: &Environment, name: &str, password: &str) -> PathBuf {
    let path = lap.path("users");
    let mut command = Command::new(tool("htpasswd", "apache2-utils"));
    run(command.args(["-c", "-b", "-B", "-C", "5"]).arg(&path).args([name, password]));
    path
}

/// A certificate for 127.0.0.1 that is signed by itself, and its key.
pub fn certificate(lap: &Environment) -> (PathBuf, PathBuf) {
    let (certificate, key) = (lap.path("server.crt"), lap.path("server.key"));
    let config = lap.write("openssl", "[req]\ndistinguished_name=name\n[name]\n");
    run(Command::new(tool("openssl", "openssl"))
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
        .args(["-days", "2", "-subj", "/CN=registry", "-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-config", path_text(&config), "-keyout", path_text(&key), "-out", path_text(&certificate)]));
    (certificate, key)
}

fn skopeo(arguments: &[&str]) -> String {
    run(Command::new(tool("skopeo", "skopeo")).arg("--insecure-policy").args(arguments))
}

/// Waits until the image that was pushed has its name.
fn wait_for_image(lap: &Environment, name: &str) {
    let started = Instant::now();
    while lap.lap(["inspect", name]).code != 0 {
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "{name} was pushed, and is no image of the store"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn what_is_tagged_and_removed_while_it_is_served() {
    let lap = Environment::with_base();
    let served = Served::start(&lap, 0, &[]);
    let get = |path: &str| served.request(&format!("GET {path} HTTP/1.1"), b"").0;
    assert_eq!(get("/v2/new/manifests/1"), 404);
    lap.lap(["tag", "base:1", "new:1"]).success();
    assert_eq!(get("/v2/new/manifests/1"), 200);
    lap.lap(["rmi", "new:1"]).success();
    assert_eq!(get("/v2/new/manifests/1"), 404);
    lap.lap(["system", "prune", "-f"]).success();
    assert_eq!(get("/v2/base/manifests/1"), 200);
    served.stop();
}

/// A program that tests are glad to have; without it they say so.
pub fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found =
        std::env::split_paths(&path).map(|directory| directory.join(program)).find(|path| path.is_file());
    if found.is_none() {
        said_aloud(&format!("{program} is not on PATH: it was not tried"));
    }
    found
}

/// What is not tried is said where it is seen, also when tests pass.
fn said_aloud(text: &str) {
    let _ = writeln!(std::io::stderr(), "NOT TESTED: {text}");
}

#[test]
fn rs_206_an_ephemeral_registry() {
    let lap = Environment::new();
    let temporary = lap.path("temporary");
    std::fs::create_dir(&temporary).expect("mkdir");
    let start = |command: &mut Command| {
        let mut child =
            command.env("TMPDIR", &temporary).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let child = child.as_mut().expect("lap runs");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
        let address: SocketAddr =
            line.trim().strip_prefix("http://").expect("an address").parse().expect("one");
        TcpStream::connect(address).expect("it listens");
        (child.id(), address)
    };
    let left = || std::fs::read_dir(&temporary).expect("a directory").count();
    let (pid, _) = start(&mut lap.command(["serve", "--ephemeral"]));
    assert_eq!(left(), 1);
    let pid = rustix::process::Pid::from_raw(pid.try_into().expect("a small number")).expect("a process");
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("a signal");
    wait_until(|| left() == 0);
    assert!(!lap.store().exists());
    // It goes with the process that started it.
    let script =
        format!("{} serve --ephemeral & read line; kill -9 $$", path_text(&crate::environment::program()));
    let mut shell = Command::new("sh");
    let (_, address) = start_below(shell.args(["-c", &script]).env("TMPDIR", &temporary));
    wait_until(|| TcpStream::connect(address).is_err());
    wait_until(|| left() == 0);
}

#[test]
fn rs_205_a_layout_and_an_archive_are_served_as_they_are() {
    let lap = Environment::with_base();
    lap.write("context/file", "from the context");
    lap.built("FROM base:1\nCOPY file /file\n");
    let digest = |name: &str| skopeo(&["inspect", "--raw", name]);
    lap.lap(["save", "--format", "oci-archive", "-o", path_text(&lap.path("app.tar")), "app"]).success();
    let layout = lap.path("layout");
    std::fs::create_dir(&layout).expect("mkdir");
    run(Command::new("tar").args(["-xf", path_text(&lap.path("app.tar")), "-C", path_text(&layout)]));
    let before = digest(&format!("oci-archive:{}", lap.path("app.tar").display()));
    for source in ["layout", "app.tar"] {
        let served = Served::start(&lap, 0, &[source]);
        let name = format!("docker://{}", served.name("app:latest"));
        assert_eq!(skopeo(&["inspect", "--raw", "--tls-verify=false", &name]), before, "{source}");
        let copy = format!("dir:{}", lap.path(&format!("from-{source}")).display());
        skopeo(&["copy", "--quiet", "--src-tls-verify=false", &name, &copy]);
        assert_eq!(served.request("POST /v2/app/blobs/uploads/ HTTP/1.1", b"").0, 405);
        served.stop();
    }
    lap.lap(["serve", "nowhere"]).failure(1, &["cannot open nowhere"]);
    lap.lap(["serve", "context"])
        .failure(1, &["context is not an OCI image layout: it has no file oci-layout"]);
}

/// Starts a shell that starts a registry; lets the shell die when the registry listens.
fn start_below(shell: &mut Command) -> (Child, SocketAddr) {
    let mut child =
        shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("sh");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
    let address = line.trim().strip_prefix("http://").expect("an address").parse().expect("an address");
    child.stdin.take().expect("a pipe").write_all(b"now\n").expect("write");
    child.wait().expect("an end");
    (child, address)
}

#[track_caller]
fn wait_until(is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(20), "it never comes");
        std::thread::sleep(Duration::from_millis(20));
    }
}
