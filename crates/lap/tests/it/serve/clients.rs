//! Clients that read and write as real ones do: skopeo, buildah, podman; crane and oras where they are to be had.

use std::process::Command;

use super::{Served, certificate, htpasswd, on_path, run, skopeo, wait_for_image};
use crate::environment::{Environment, path_text, tool};

/// buildah or podman with a store of their own.
pub fn containers(program: &str, lap: &Environment, arguments: &[&str]) -> String {
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
        .current_dir(lap.path(""))
        .env("PODMAN_IGNORE_CGROUPSV1_WARNING", "1")
        .env_remove("DOCKER_CONFIG");
    let (first, rest) = arguments.split_first().expect("a command");
    command.arg(first);
    if matches!(*first, "pull" | "push" | "from" | "commit") {
        command.args(["--signature-policy", path_text(&policy)]);
    }
    run(command.args(rest))
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
    // RS-028: layers that another repository has are mounted; skopeo sends a config in any case.
    let between = format!("docker://{}", served.name("other:1"));
    let pushed = served.metric("blobs_pushed_total");
    skopeo(&["copy", "--quiet", "--src-tls-verify=false", "--dest-tls-verify=false", &to, &between]);
    assert_eq!(served.metric("blobs_pushed_total"), pushed + 1);
    skopeo(&["delete", "--tls-verify=false", &to]);
    lap.lap(["inspect", "team/app:2"]).failure(1, &["there is no image"]);
    let (_, reply) = served.request("GET /v2/_catalog HTTP/1.1", b"");
    assert!(reply.ends_with(r#"{"repositories":["app","base","other"]}"#), "{reply}");
    served.stop();
    lap.check();
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

#[test]
fn buildah_pushes_indexes_and_podman_searches() {
    let lap = Environment::with_base();
    lap.built("FROM base:1\nRUN echo made >/made\n");
    let served = Served::start(&lap, 0, &[]);
    let buildah = |arguments: &[&str]| containers("buildah", &lap, arguments);
    buildah(&["manifest", "create", "both"]);
    for name in ["app:latest", "base:1"] {
        let image = format!("docker://{}", served.name(name));
        buildah(&["manifest", "add", "--tls-verify=false", "both", &image]);
    }
    let to = format!("docker://{}", served.name("team/both:1"));
    buildah(&["manifest", "push", "--all", "--tls-verify=false", "both", &to]);
    let raw = skopeo(&["inspect", "--raw", "--tls-verify=false", &to]);
    let index: serde_json::Value = serde_json::from_str(&raw).expect("JSON");
    assert_eq!(index["manifests"].as_array().map(Vec::len), Some(2), "{index}");
    // RS-050, RS-051: tags, and what there is.
    let search = |arguments: &[&str]| {
        containers("podman", &lap, &[&["search", "--tls-verify=false"], arguments].concat())
    };
    let tags = search(&["--list-tags", &served.name("team/both")]);
    assert_eq!(tags.split_whitespace().collect::<Vec<_>>(), ["NAME", "TAG", &served.name("team/both"), "1"]);
    let found = search(&[&served.name("team")]);
    assert!(found.contains(&served.name("team/both")) && !found.contains("base"), "{found}");
    skopeo(&["delete", "--tls-verify=false", &to]);
    assert_eq!(served.request("GET /v2/team/both/manifests/1 HTTP/1.1", b"").0, 404);
    served.stop();
    lap.check();
}

#[test]
fn rs_110_clients_with_a_login_and_tls() {
    let lap = Environment::with_base();
    let (certificate, key) = certificate(&lap);
    let trusted = lap.path("trusted");
    std::fs::create_dir(&trusted).expect("mkdir");
    std::fs::copy(&certificate, trusted.join("ca.crt")).expect("a copy");
    let (users, trusted) = (htpasswd(&lap, "ann", "s3cret"), path_text(&trusted));
    let options = ["--tls-cert", path_text(&certificate), "--tls-key", path_text(&key), "--htpasswd"];
    let served = Served::start(&lap, 0, &[&options[..], &[path_text(&users)]].concat());
    let login = ["--cert-dir", trusted, "--creds", "ann:s3cret"];
    let from = served.name("base:1");
    let pull = [&["pull", "--quiet"], &login[..], &[&from]].concat();
    for program in ["buildah", "podman"] {
        let id = containers(program, &lap, &pull);
        let to = served.name(&format!("pushed/{program}:1"));
        containers(program, &lap, &[&["push", "--quiet"], &login[..], &[&id, &to]].concat());
        wait_for_image(&lap, &format!("pushed/{program}:1"));
    }
    let to = format!("docker://{}", served.name("pushed/podman"));
    assert!(skopeo(&[&["list-tags"], &login[..], &[&to]].concat()).contains("\"1\""));
    skopeo(&[&["delete"], &login[..], &[&format!("{to}:1")]].concat());
    lap.lap(["inspect", "pushed/podman:1"]).failure(1, &["there is no image"]);
    served.stop();
    lap.check();
}
