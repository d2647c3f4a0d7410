//! Registries: Debian's docker-registry, with skopeo as another client of it; and one that misbehaves.

mod doctor;
mod errors;
pub mod killed;
mod memory;
mod mistakes;
mod platforms;
mod real;
#[path = "../../../distribution/tests/support/mod.rs"]
#[expect(dead_code, reason = "the client's own tests use the rest")]
mod support;

use std::io::Read;
use std::process::{Command, Stdio};

use crate::environment::{Environment, Ran, path_text, tool};
use real::{DockerRegistry, Setup};
use support::{Fault, Registry};

/// Runs skopeo; it has to succeed.
fn skopeo(lap: &Environment, arguments: &[&str]) -> String {
    let policy = lap.write("policy.json", r#"{"default":[{"type":"insecureAcceptAnything"}]}"#);
    let output = Command::new(tool("skopeo", "skopeo"))
        .args(["--policy", path_text(&policy)])
        .args(arguments)
        .output()
        .expect("skopeo runs");
    Ran::of(output).success().stdout
}

/// A text without the digits of digests: some of them depend on the architecture.
fn without_digests(text: &str) -> String {
    let mut parts = text.split("sha256:");
    let mut without = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        without.push_str("sha256:…");
        without.push_str(part.trim_start_matches(|sign: char| sign.is_ascii_hexdigit()));
    }
    without
}

/// Bytes that do not compress.
fn random(count: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let random = std::fs::File::open("/dev/urandom").expect("/dev/urandom");
    random.take(count).read_to_end(&mut bytes).expect("random bytes");
    bytes
}

/// Imports an image with a file that does not compress.
pub fn import_large(lap: &Environment, name: &str, bytes: u64) {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes);
    header.set_mode(0o644);
    let mut tar = tar::Builder::new(std::fs::File::create(lap.path("large.tar")).expect("a file"));
    tar.append_data(&mut header, "large", random(bytes).as_slice()).expect("an entry");
    tar.finish().expect("a tar");
    lap.lap(["import", path_text(&lap.path("large.tar")), name]).success();
}

#[test]
fn skopeo_reads_what_is_pushed_and_what_it_pushes_is_pulled() {
    let lap = Environment::with_base();
    let registry = DockerRegistry::start(&lap, "registry", &Setup::default());
    let name = format!("{}/team/app:1", registry.host());
    lap.lap(["tag", "base:1", &name]).success();
    let pushed = lap.lap(["push", &name]).success();
    let digest = pushed.stdout.split_whitespace().nth(2).expect("a digest").to_owned();
    assert_eq!(
        skopeo(
            &lap,
            &["inspect", "--tls-verify=false", "--format", "{{.Digest}}", &format!("docker://{name}")]
        )
        .trim(),
        digest
    );
    let directory = format!("dir:{}", lap.path("copied").display());
    skopeo(&lap, &["copy", "--src-tls-verify=false", &format!("docker://{name}"), &directory]);
    let again = format!("docker://{}/skopeo/app:2", registry.host());
    skopeo(&lap, &["copy", "--dest-tls-verify=false", &directory, &again]);

    let other = Environment::new();
    let pulled = other.lap(["pull", &format!("{}/skopeo/app:2", registry.host())]).success();
    assert!(
        pulled.stdout.contains(&format!("Digest: {digest}\nStatus: Downloaded newer image for ")),
        "{}",
        pulled.stdout
    );
    assert_eq!(other.sh(&format!("{}/skopeo/app:2", registry.host()), "echo it runs"), "it runs\n");
    let again = other.lap(["pull", &format!("{}/skopeo/app:2", registry.host())]).success();
    assert!(again.stdout.contains("Status: Image is up to date for "), "{}", again.stdout);
    // By digest, and from there to a third repository: nothing has to be sent (RC-074).
    let by_digest = format!("{}/skopeo/app@{digest}", registry.host());
    let id = other.lap(["pull", "-q", &by_digest]).success().stdout;
    let third = format!("{}/third/app:3", registry.host());
    other.lap(["tag", id.trim(), &third]).success();
    let pushed = other.lap(["push", &third]).success();
    assert!(pushed.stderr.contains("taken over from skopeo/app"), "{}", pushed.stderr);
    assert!(pushed.stderr.contains(": 0B sent"), "{}", pushed.stderr);
    other.check();
}

#[test]
fn rc_083_copies_arrive_as_they_are_and_skopeo_reads_them() {
    let lap = Environment::with_base();
    let (one, two) = (
        DockerRegistry::start(&lap, "one", &Setup::default()),
        DockerRegistry::start(&lap, "two", &Setup::default()),
    );
    let source = format!("{}/app:1", one.host());
    let copied = lap.lap(["copy", "-q", "store:base:1", &source]).success();
    let digest = copied.stdout.trim().to_owned();
    let mirror = format!("{}/mirror/app:2", two.host());
    let copied = lap.lap(["copy", &format!("docker://{source}"), &mirror]).success();
    assert_eq!(copied.stdout, format!("Digest: {digest}\n"));
    assert!(copied.stderr.contains("copied 1 manifest to "), "{}", copied.stderr);
    let image = format!("docker://{mirror}");
    let inspected = skopeo(&lap, &["inspect", "--tls-verify=false", "--format", "{{.Digest}}", &image]);
    assert_eq!(inspected.trim(), digest);
    let directory = format!("dir:{}", lap.path("copied").display());
    skopeo(&lap, &["copy", "--src-tls-verify=false", &image, &directory]);
    // Again, and to another repository: nothing is sent.
    let again = lap.lap(["copy", &source, &mirror]).success();
    assert!(again.stderr.contains(" is up to date"), "{}", again.stderr);
    let other = lap.lap(["copy", &mirror, &format!("{}/third:1", two.host())]).success();
    assert!(other.stderr.contains("taken over from mirror/app"), "{}", other.stderr);
    assert!(other.stderr.contains(": 0B sent"), "{}", other.stderr);
    // Into the store, under another name, where it runs.
    let fresh = Environment::new();
    fresh.lap(["copy", &mirror, "store:mine"]).success();
    assert_eq!(fresh.sh("mine", "echo it runs"), "it runs\n");
    fresh.check();
    fresh.lap(["copy", "dir:/x", &mirror]).failure(1, &["oci:PATH", "skopeo copy"]);
    fresh.lap(["copy", "--all", &mirror, "store:x"]).failure(1, &["--platform"]);
}

#[test]
fn builds_fetch_their_bases_and_push_their_results() {
    let lap = Environment::with_base();
    let registry = DockerRegistry::start(&lap, "registry", &Setup::default());
    let base = format!("{}/base:1", registry.host());
    lap.lap(["tag", "base:1", &base]).success();
    lap.lap(["push", &base]).success();

    let other = Environment::new();
    let (one, two) = (format!("{}/app:1", registry.host()), format!("{}/app:2", registry.host()));
    let dockerfile =
        format!("FROM {base}\nRUN echo hello >/greeting\nCOPY --from={base} /etc/group /groups\n");
    other.write("context/Dockerfile", dockerfile);
    let built = other.lap(["build", "--push", "-t", &one, "-t", &two, "context"]).success();
    assert!(
        built.stdout.contains("1: digest: sha256:") && built.stdout.contains("2: digest: sha256:"),
        "{}",
        built.stdout
    );
    assert!(built.stderr.contains("pull layer"), "{}", built.stderr);

    // `lap run` fetches what is missing, and only that.
    let third = Environment::new();
    assert_eq!(third.sh(&two, "cat /greeting"), "hello\n");
    third.lap(["run", "--rm", "--pull", "never", &one, "true"]).failure(125, &["there is no image"]);
    other.write("context/Dockerfile", format!("FROM {base}\nRUN echo newer >/greeting\n"));
    other.lap(["build", "--push", "-t", &two, "context"]).success();
    assert_eq!(third.sh(&two, "cat /greeting"), "hello\n");
    let always = ["run", "--rm", "--pull", "always", &two, "cat", "/greeting"];
    assert_eq!(third.lap(always).success().stdout, "newer\n");
    // --pull of a build does the same for its bases.
    third.write("context/Dockerfile", format!("FROM {two}\n"));
    third.lap(["build", "--pull", "context"]).success();
    third.check();
    other.lap(["build", "--push", "context"]).failure(2, &["--tag"]);
}

#[test]
fn rc_034_logins_are_checked_kept_and_forgotten() {
    let lap = Environment::with_base();
    let registry = DockerRegistry::start(&lap, "registry", &Setup { login: true, ..Setup::default() });
    let (host, home) = (registry.host(), lap.path("home"));
    let file = home.join(".docker/config.json");
    let run = |arguments: &[&str], input: &[u8]| {
        let mut child = lap
            .command(arguments)
            .env("HOME", &home)
            .env_remove("DOCKER_CONFIG")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("lap runs");
        // Whoever does not read it is not at fault.
        let _ = std::io::Write::write_all(&mut child.stdin.take().expect("a pipe"), input);
        Ran::of(child.wait_with_output().expect("lap ends"))
    };
    let name = format!("{host}/app:1");
    lap.lap(["tag", "base:1", &name]).success();
    run(&["push", &name], b"").failure(1, &["anybody without a login", &format!("lap login {host}")]);
    let wrong = run(&["login", "-u", "anna", "--password-stdin", &host], b"wr0ng\n");
    assert!(!wrong.stderr.contains("wr0ng"));
    wrong.failure(1, &[&format!("{host} does not accept the login as anna"), "check user and password"]);
    assert!(!file.exists());
    let right = run(&["login", "-u", "anna", "--password-stdin", &host], b"s3cret\n").success();
    assert!(
        right.stdout.contains("Login Succeeded") && right.stderr.contains("unencrypted"),
        "{}",
        right.stderr
    );
    run(&["push", &name], b"").success();
    let there = run(&["login", &host], b"").success();
    assert!(there.stdout.contains("Login Succeeded: as anna"), "{}", there.stdout);
    // skopeo reads what was kept.
    let skopeo = Command::new(tool("skopeo", "skopeo"))
        .args(["inspect", "--tls-verify=false", "--authfile", path_text(&file), &format!("docker://{name}")])
        .output()
        .expect("skopeo runs");
    assert!(skopeo.status.success(), "{}", String::from_utf8_lossy(&skopeo.stderr));
    run(&["logout", &host], b"").success();
    run(&["pull", &name], b"").failure(1, &["anybody without a login"]);
    run(&["registry", "catalog", &host], b"")
        .failure(1, &["anybody without a login to list its repositories"]);
    assert!(run(&["logout", &host], b"").success().stderr.contains("Not logged in"));
}

#[test]
fn rc_110_rc_112_a_registry_is_looked_at_and_tags_are_deleted_alone() {
    let lap = Environment::with_base();
    let registry = DockerRegistry::start(&lap, "registry", &Setup::default());
    let name = |rest: &str| format!("{}/{rest}", registry.host());
    for tag in ["team/app:1.9", "team/app:1.10", "team/app:old"] {
        lap.lap(["tag", "base:1", &name(tag)]).success();
        lap.lap(["push", &name(tag)]).success();
    }
    let said = |arguments: &[&str]| lap.lap(arguments).success().stdout;
    let repository = name("team/app");
    assert_eq!(said(&["registry", "tags", "--sort", "natural", &repository]), "1.9\n1.10\nold\n");
    assert_eq!(said(&["registry", "ls", "--limit", "1", &repository]).lines().count(), 1);
    let listed: serde_json::Value =
        serde_json::from_str(&said(&["registry", "tags", "--format", "json", &repository])).expect("JSON");
    assert_eq!(
        (&listed["Repository"], listed["Tags"].as_array().map(Vec::len)),
        (&repository.as_str().into(), Some(3))
    );
    assert_eq!(said(&["registry", "catalog", &registry.host()]), "team/app\n");
    assert!(said(&["search", &name("app")]).contains(&repository));
    assert!(said(&["search", &registry.host()]).contains(&repository));

    let digest = said(&["registry", "digest", &name("team/app:old")]);
    let manifest = said(&["registry", "manifest", &name("team/app:old")]);
    assert_eq!(digest.trim(), image_digest(manifest.as_bytes()));
    assert_eq!(said(&["registry", "referrers", &name("team/app:old")]), "ARTIFACT TYPE   DIGEST   SIZE\n");

    assert_eq!(
        said(&["registry", "delete", &name("team/app:old")]),
        format!("Untagged: {}\n", name("team/app:old"))
    );
    assert_eq!(said(&["registry", "tags", "--sort", "natural", &repository]), "1.9\n1.10\n");
    assert_eq!(said(&["registry", "digest", &name("team/app:1.9")]), digest);
    said(&["registry", "delete", &format!("{repository}@{}", digest.trim())]);
    lap.lap(["registry", "digest", &name("team/app:1.9")]).failure(1, &["does not exist"]);
    lap.lap(["registry", "delete", &repository]).failure(1, &["has neither tag nor digest"]);
}

#[test]
fn rc_120_a_config_and_blobs_are_read_without_a_pull() {
    let (lap, registry) = (Environment::new(), Registry::start());
    let image = support::image(&[1000]);
    image.put(&registry, "app", "1");
    let name = |rest: &str| format!("{}/app{rest}", registry.host());
    let config = lap.lap(["registry", "config", &name(":1")]).success();
    assert_eq!(config.stdout.as_bytes(), image.config);
    let file = lap.path("layer");
    let layer = name(&format!("@{}", image_digest(&image.layers[0])));
    let written = lap.lap(["registry", "blob", "-o", path_text(&file), &layer]).success();
    assert_eq!(
        (written.stdout.as_str(), std::fs::read(&file).expect("the file")),
        ("", image.layers[0].clone())
    );
    let config = lap.lap(["registry", "blob", &name(&format!("@{}", image_digest(&image.config)))]).success();
    assert_eq!(config.stdout.as_bytes(), image.config);

    lap.lap(["registry", "blob", &name(":1")])
        .failure(1, &["does not say which blob", "lap registry manifest"]);
    lap.lap(["registry", "config", "--platform", "windows/amd64", &name(":2")])
        .failure(1, &["does not exist"]);
    lap.lap(["registry", "blob", &name(&format!("@{}", image_digest(b"nothing")))])
        .failure(1, &["does not exist"]);
    // Wrong bytes give no file.
    registry.rule("GET", "/blobs/", usize::MAX, Fault::WrongBytes);
    std::fs::remove_file(&file).expect("the file");
    lap.lap(["registry", "blob", "-o", path_text(&file), &layer]).failure(1, &["sha256:"]);
    assert!(!file.exists());
}

/// A digest, as it is printed.
fn image_digest(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    let hex: String = sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

#[test]
fn rc_113_what_a_registry_wants_to_be_known_is_said_once() {
    let (lap, registry) = (Environment::new(), Registry::start());
    support::image(&[1000, 2000]).put(&registry, "app", "1");
    registry.rule(
        "GET",
        "/v2/app/",
        usize::MAX,
        Fault::Header("Warning", r#"299 - "app moves to \"other\"""#),
    );
    let name = format!("{}/app:1", registry.host());
    let said = format!("{} says: app moves to \"other\"", registry.host());
    for arguments in [&["pull", &name][..], &["pull", "-q", &name], &["registry", "manifest", &name]] {
        let ran = lap.lap(arguments).success();
        assert_eq!(
            ran.stderr.matches(&format!("warning: {said}")).count(),
            1,
            "{arguments:?}: {}",
            ran.stderr
        );
    }
    let ran = lap.lap(["pull", "--progress", "json", &name]).success();
    let lines: Vec<serde_json::Value> =
        ran.stderr.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(
        lines.iter().filter(|line| line.to_string().contains("app moves to")).count(),
        1,
        "{}",
        ran.stderr
    );
}
