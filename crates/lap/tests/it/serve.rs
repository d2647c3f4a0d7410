//! The registry with real clients: skopeo, buildah, podman, and where they are to be had crane, oras and docker; killed, and taken up again.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::environment::{Environment, path_text, tool};

/// `lap serve`, which ends with the test.
struct Served {
    child: Child,
    address: SocketAddr,
}

impl Served {
    /// Starts it on the environment's store; on a port if it has to be a certain one.
    fn start(lap: &Environment, port: u16, arguments: &[&str]) -> Self {
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

    fn name(&self, rest: &str) -> String {
        format!("{}/{rest}", self.address)
    }

    /// SIGTERM; it ends well.
    fn stop(mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("a signal");
        assert!(self.child.wait().expect("an end").success());
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
fn run(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().expect("a program that runs");
    assert!(status.success(), "{command:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8_lossy(&stdout).trim().to_owned()
}

fn skopeo(arguments: &[&str]) -> String {
    run(Command::new(tool("skopeo", "skopeo")).arg("--insecure-policy").args(arguments))
}

/// buildah or podman with a store of their own.
fn containers(program: &str, lap: &Environment, arguments: &[&str]) -> String {
    let policy = lap.write("policy.json", r#"{"default":[{"type":"insecureAcceptAnything"}]}"#);
    let mut command = Command::new(tool(program, program));
    command
        .args([
            "--root",
            path_text(&lap.path("containers")),
            "--runroot",
            path_text(&lap.path("containers-run")),
        ])
        .args(["--storage-driver", "vfs"])
        .env("PODMAN_IGNORE_CGROUPSV1_WARNING", "1")
        .env_remove("DOCKER_CONFIG");
    let (first, rest) = arguments.split_first().expect("a command");
    command.arg(first);
    if matches!(*first, "pull" | "push" | "from" | "commit") {
        command.args(["--signature-policy", path_text(&policy)]);
    }
    run(command.args(rest))
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
fn skopeo_pulls_what_was_built_and_pushes_what_can_be_run() {
    let lap = Environment::with_base();
    lap.write("context/file", "from the context");
    // One layer is a tree, one is a pack.
    lap.built("FROM base:1\nRUN echo made >/made && rm /etc/group\nCOPY file /file\nCMD [\"cat\", \"/made\", \"/file\"]\n");
    let served = Served::start(&lap, 0, &[]);
    let from = format!("docker://{}", served.name("library/app:latest"));
    let layout = format!("oci:{}:app", lap.path("layout").display());
    skopeo(&["copy", "--quiet", "--src-tls-verify=false", &from, &layout]);
    let digest = lap.inspect("app", ".Id").as_str().expect("an ID").to_owned();
    let raw: serde_json::Value = serde_json::from_str(&skopeo(&["inspect", "--raw", &layout])).expect("JSON");
    assert_eq!(raw["config"]["digest"], digest.as_str());

    let to = format!("docker://{}", served.name("team/app:2"));
    skopeo(&["copy", "--quiet", "--dest-tls-verify=false", &layout, &to]);
    wait_for_image(&lap, "team/app:2");
    assert_eq!(lap.lap(["run", "--rm", "team/app:2"]).success().stdout, "made\nfrom the context");
    let tags = skopeo(&["list-tags", "--tls-verify=false", &format!("docker://{}", served.name("team/app"))]);
    assert!(tags.contains("\"2\""), "{tags}");
    // Blobs that another repository has are mounted.
    let between = format!("docker://{}", served.name("other:1"));
    skopeo(&["copy", "--quiet", "--src-tls-verify=false", "--dest-tls-verify=false", &to, &between]);
    skopeo(&["delete", "--tls-verify=false", &to]);
    lap.lap(["inspect", "team/app:2"]).failure(1, &["there is no image"]);
    let (_, reply) = served.request("GET /v2/_catalog HTTP/1.1", b"");
    assert!(reply.ends_with(r#"{"repositories":["app","base","other"]}"#), "{reply}");
    served.stop();
    lap.check();
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

#[test]
fn buildah_and_podman_pull_change_and_push() {
    let lap = Environment::with_base();
    lap.built("FROM base:1\nRUN echo made >/made\n");
    let served = Served::start(&lap, 0, &[]);
    let container = containers("buildah", &lap, &["from", "--tls-verify=false", &served.name("app")]);
    let added = lap.write("added", "by buildah");
    containers("buildah", &lap, &["copy", &container, path_text(&added), "/added"]);
    containers("buildah", &lap, &["commit", "--quiet", &container, "changed"]);
    containers(
        "buildah",
        &lap,
        &["push", "--quiet", "--tls-verify=false", "changed", &served.name("changed:1")],
    );
    wait_for_image(&lap, "changed:1");
    assert_eq!(lap.sh("changed:1", "cat /made /added"), "made\nby buildah");
    let id =
        containers("podman", &lap, &["pull", "--quiet", "--tls-verify=false", &served.name("changed:1")]);
    assert_eq!(lap.inspect("changed:1", ".Id").as_str(), Some(format!("sha256:{id}").as_str()));
    containers("podman", &lap, &["push", "--quiet", "--tls-verify=false", &id, &served.name("again:1")]);
    wait_for_image(&lap, "again:1");
    assert_eq!(lap.sh("again:1", "cat /added"), "by buildah");
    served.stop();
    lap.check();
}

/// A program that tests are glad to have; without it they say so.
fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found =
        std::env::split_paths(&path).map(|directory| directory.join(program)).find(|path| path.is_file());
    if found.is_none() {
        said_aloud(&format!("{program} is not on PATH: it was not tried with the registry"));
    }
    found
}

#[test]
fn crane_copies_lists_and_deletes() {
    let Some(crane) = on_path("crane") else { return };
    let lap = Environment::with_base();
    let served = Served::start(&lap, 0, &[]);
    let crane = |arguments: &[&str]| run(Command::new(&crane).args(arguments));
    let (from, to) = (served.name("base:1"), served.name("copy:1"));
    crane(&["copy", &from, &to]);
    assert_eq!(crane(&["digest", &from]), crane(&["digest", &to]));
    assert_eq!(crane(&["ls", &served.name("copy")]), "1");
    assert_eq!(crane(&["catalog", &served.address.to_string()]), "base\ncopy");
    // (`crane validate` takes gzip alone for a layer; whatever uses the image takes plain tars.)
    let exported = lap.path("exported.tar");
    crane(&["export", &to, path_text(&exported)]);
    assert!(run(Command::new("tar").args(["-tf", path_text(&exported)])).contains("bin/busybox"));
    // By its tag: the manifest stays until a collection.
    crane(&["delete", &to]);
    assert_eq!(crane(&["ls", &served.name("copy")]), "");
    served.stop();
    lap.check();
}

#[test]
fn rs_052_oras_attaches_discovers_and_copies_with_what_is_attached() {
    let Some(oras) = on_path("oras") else { return };
    let lap = Environment::new();
    let served = Served::start(&lap, 0, &[]);
    lap.write("hello.txt", "hello");
    let oras = |arguments: &[&str]| run(Command::new(&oras).args(arguments).current_dir(lap.path("")));
    let (thing, copy) = (served.name("things:1"), served.name("copies:1"));
    let file = "hello.txt:text/plain";
    oras(&["push", "--plain-http", "--artifact-type", "application/vnd.example.thing", &thing, file]);
    oras(&["attach", "--plain-http", "--artifact-type", "application/vnd.example.sbom", &thing, file]);
    oras(&["copy", "--recursive", "--from-plain-http", "--to-plain-http", &thing, &copy]);
    for name in [&thing, &copy] {
        let found = oras(&["discover", "--plain-http", name]);
        assert!(found.contains("application/vnd.example.sbom"), "{found}");
    }
    std::fs::create_dir(lap.path("pulled")).expect("mkdir");
    oras(&["pull", "--plain-http", "--output", "pulled", &copy]);
    assert_eq!(std::fs::read(lap.path("pulled/hello.txt")).expect("what was pulled"), b"hello");
    served.stop();
    lap.check();
}

/// dockerd with everything of its own.
struct Docker<'a> {
    daemon: Child,
    lap: &'a Environment,
}

impl<'a> Docker<'a> {
    fn start(lap: &'a Environment) -> Self {
        let config = r#"{"bridge":"none","iptables":false,"ip6tables":false,"storage-driver":"overlay2"}"#;
        let path = |name: &str| lap.path(name).display().to_string();
        lap.write("dockerd.json", config);
        let log = std::fs::File::create(lap.path("dockerd.log")).expect("a log");
        let daemon = Command::new("dockerd")
            .args([
                "--config-file",
                &path("dockerd.json"),
                "--data-root",
                &path("docker"),
                "--exec-root",
                &path("exec"),
            ])
            .args(["-H", &format!("unix://{}", path("docker.sock")), "--pidfile", &path("docker.pid")])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("dockerd runs");
        let docker = Self { daemon, lap };
        wait_until(|| docker.command(&["version"]).output().is_ok_and(|output| output.status.success()));
        docker
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command
            .args(arguments)
            .env("DOCKER_HOST", format!("unix://{}", self.lap.path("docker.sock").display()));
        command
    }
}

impl Drop for Docker<'_> {
    fn drop(&mut self) {
        // It has containerd and mounts to end.
        let pid = rustix::process::Pid::from_child(&self.daemon);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.daemon.wait();
    }
}

#[test]
fn docker_pulls_builds_and_pushes() {
    if on_path("dockerd").is_none() || on_path("docker").is_none() {
        return;
    }
    let lap = Environment::with_base();
    lap.built("FROM base:1\nRUN echo made >/made\n");
    let served = Served::start(&lap, 0, &[]);
    let docker = Docker::start(&lap);
    let docker = |arguments: &[&str]| run(&mut docker.command(arguments));
    let from = served.name("app");
    docker(&["pull", "-q", &from]);
    assert_eq!(docker(&["run", "--rm", "--network", "host", &from, "/bin/cat", "/made"]), "made");
    lap.write("context/Dockerfile", format!("FROM {from}\nRUN echo by docker >>/made\n"));
    let pushed = served.name("team/docker:1");
    docker(&["build", "-q", "--network", "host", "-t", &pushed, path_text(&lap.path("context"))]);
    docker(&["push", "-q", &pushed]);
    wait_for_image(&lap, "team/docker:1");
    assert_eq!(lap.sh("team/docker:1", "cat /made"), "made\nby docker\n");
    served.stop();
    lap.check();
}

/// What is not tried is said where it is seen, also when tests pass.
fn said_aloud(text: &str) {
    let _ = writeln!(std::io::stderr(), "NOT TESTED: {text}");
}

#[test]
fn rs_026_an_upload_survives_that_the_registry_is_killed() {
    let lap = Environment::new();
    let mut served = Served::start(&lap, 0, &[]);
    let (status, reply) = served.request("POST /v2/app/blobs/uploads/ HTTP/1.1", b"");
    assert_eq!(status, 202);
    let location = header(&reply, "location").to_owned();
    let bytes: Vec<u8> =
        (0..6_000_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut stream = TcpStream::connect(served.address).expect("connect");
    let head = format!("PATCH {location} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", bytes.len());
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&bytes[..4_000_000])).expect("send");
    let arrived = |served: &Served| -> usize {
        let (status, reply) = served.request(&format!("GET {location} HTTP/1.1"), b"");
        assert_eq!(status, 204);
        header(&reply, "range").strip_prefix("0-").and_then(|last| last.parse().ok()).expect("a number")
    };
    let started = Instant::now();
    while arrived(&served) < 1_000_000 {
        assert!(started.elapsed() < Duration::from_secs(10), "nothing arrives");
    }
    served.child.kill().expect("kill");
    served.child.wait().expect("an end");
    drop(stream);

    let served = Served::start(&lap, served.address.port(), &[]);
    let at = arrived(&served) + 1;
    assert!((1_000_000..=4_000_000).contains(&at), "{at}");
    let digest = lap_digest(&bytes);
    let head = format!("PUT {location}?digest={digest} HTTP/1.1\r\nContent-Range: {at}-{}", bytes.len() - 1);
    assert_eq!(served.request(&head, &bytes[at..]).0, 201);
    let (status, reply) = served.request(&format!("HEAD /v2/app/blobs/{digest} HTTP/1.1"), b"");
    assert_eq!((status, header(&reply, "content-length")), (200, "6000000"));
    served.stop();
    lap.check();
}

fn lap_digest(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    let digest = sha2::Sha256::digest(bytes);
    digest.iter().fold("sha256:".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

#[test]
fn what_was_pushed_to_a_registry_that_was_killed_is_taken_in_by_the_next_one() {
    let lap = Environment::with_base();
    let served = Served::start(&lap, 0, &["--read-only"]);
    let layout = format!("oci:{}:base", lap.path("layout").display());
    let from = format!("docker://{}", served.name("base:1"));
    skopeo(&["copy", "--quiet", "--src-tls-verify=false", &from, &layout]);
    drop(served);
    for round in 0..3 {
        let served = Served::start(&lap, 0, &[]);
        let to = format!("docker://{}", served.name(&format!("pushed:{round}")));
        skopeo(&["copy", "--quiet", "--dest-tls-verify=false", &layout, &to]);
        // Killed at once: perhaps before the image was taken in, perhaps after.
        drop(served);
        let served = Served::start(&lap, 0, &[]);
        wait_for_image(&lap, &format!("pushed:{round}"));
        served.stop();
    }
    lap.check();
}

#[test]
fn the_memory_of_an_upload_and_a_download_is_bounded() {
    let lap = Environment::new();
    let served = Served::start(&lap, 0, &[]);
    let (_, reply) = served.request("POST /v2/app/blobs/uploads/ HTTP/1.1", b"");
    let location = format!("http://{}{}", served.address, header(&reply, "location"));
    let zeros = lap.path("zeros");
    std::fs::File::create(&zeros).and_then(|file| file.set_len(256 << 20)).expect("a large file");
    let curl =
        |arguments: &[&str]| run(Command::new(tool("curl", "curl")).args(["-s", "-S", "-f"]).args(arguments));
    curl(&["-X", "PATCH", "-T", path_text(&zeros), "-H", "Transfer-Encoding: chunked", &location]);
    // 256 MiB of zeros.
    let digest = "sha256:a6d72ac7690f53be6ae46ba88506bd97302a093f7108472bd9efc3cefda06484";
    curl(&["-X", "PUT", &format!("{location}?digest={digest}")]);
    let blob = format!("http://{}/v2/app/blobs/{digest}", served.address);
    curl(&["-o", "/dev/null", "--limit-rate", "400M", &blob]);
    let status = std::fs::read_to_string(format!("/proc/{}/status", served.child.id())).expect("a status");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    let peak: u64 = peak.trim().trim_end_matches(" kB").trim().parse().expect("a number");
    assert!(peak < 64 << 10, "{peak} KiB at most");
    served.stop();
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
    lap.lap(["serve", "context"]).failure(1, &["context cannot be used: it is not an OCI image layout"]);
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

#[test]
fn bad_input_to_serve() {
    let lap = Environment::new();
    let missing = lap.path("missing");
    let missing = path_text(&missing);
    let not_pem = lap.write("not.pem", "not a certificate");
    let not_pem = path_text(&not_pem);
    for (arguments, code, said) in [
        (vec!["--tls-cert", missing, "--tls-key", missing], 1, vec!["cannot read", "missing"]),
        (
            vec!["--tls-cert", not_pem, "--tls-key", not_pem],
            1,
            vec!["not.pem cannot be used", "no certificate"],
        ),
        (vec!["--htpasswd", not_pem], 1, vec!["not.pem cannot be used: there is no colon in line 1"]),
        (vec!["--rules", not_pem], 1, vec!["not an action"]),
        (vec!["--addr", "192.0.2.1:5000"], 1, vec!["cannot listen on 192.0.2.1:5000", "hint: no interface"]),
        (vec!["--addr", "nowhere"], 2, vec!["--addr"]),
        (vec!["--tls-cert", not_pem], 2, vec!["--tls-key"]),
        (vec!["--token-realm", "https://x"], 2, vec!["--token-keys"]),
    ] {
        lap.lap([&["serve"], arguments.as_slice()].concat()).failure(code, &said);
    }
    assert!(!Path::new(missing).exists());
}
