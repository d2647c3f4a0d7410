//! What other tools write is read, and what is written they read: skopeo and podman, umoci and crane where they are to be had.

use std::process::Command;

use serde_json::Value;

use super::{app, copy, names};
use crate::environment::{Environment, path_text, tool};
use crate::serve::clients::containers;
use crate::serve::{Served, on_path, run};

fn skopeo(lap: &Environment, arguments: &[&str]) -> String {
    let policy = lap.write("policy.json", r#"{"default":[{"type":"insecureAcceptAnything"}]}"#);
    let mut command = Command::new(tool("skopeo", "skopeo"));
    run(command.args(["--policy", path_text(&policy)]).args(arguments).current_dir(lap.path("")))
}

/// The digest of what a place means for skopeo.
fn digest(lap: &Environment, place: &str) -> String {
    image::Digest::sha256(skopeo_raw(lap, place).as_slice()).to_string()
}

fn skopeo_raw(lap: &Environment, place: &str) -> Vec<u8> {
    let mut command = Command::new(tool("skopeo", "skopeo"));
    let output =
        command.args(["inspect", "--raw", place]).current_dir(lap.path("")).output().expect("skopeo runs");
    assert!(output.status.success(), "{place}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn skopeo_reads_what_is_written() {
    let lap = Environment::with_base();
    app(&lap, "copied");
    let wrote = copy(&lap, &["store:app", "oci:layout:docker.io/library/app:1"]);
    copy(&lap, &["store:base:1", "oci:layout:base"]);
    assert_eq!(digest(&lap, "oci:layout:docker.io/library/app:1"), wrote);
    assert_eq!(copy(&lap, &["store:app", "oci-archive:app.tar:1"]), wrote);
    assert_eq!(digest(&lap, "oci-archive:app.tar:1"), wrote);
    copy(&lap, &["store:app", "docker-archive:docker.tar:app:1"]);
    let config: Value = serde_json::from_str(&skopeo(
        &lap,
        &["inspect", "--config", "docker-archive:docker.tar:docker.io/library/app:1"],
    ))
    .expect("JSON");
    assert_eq!(config["config"]["Cmd"], serde_json::json!(["cat", "/file"]));
    // All of it, not only the documents.
    for (number, from) in
        ["oci:layout:base", "oci-archive:app.tar", "docker-archive:docker.tar"].iter().enumerate()
    {
        skopeo(&lap, &["copy", "--quiet", from, &format!("dir:copied{number}")]);
    }
}

#[test]
fn what_skopeo_writes_is_read_and_added_to() {
    let lap = Environment::with_base();
    app(&lap, "copied");
    copy(&lap, &["store:app", "oci:ours:1"]);
    // Into its layout, and out of it again.
    skopeo(&lap, &["copy", "--quiet", "oci:ours:1", "oci:theirs:first"]);
    let first = digest(&lap, "oci:theirs:first");
    let base = copy(&lap, &["store:base:1", "oci:theirs:second"]);
    assert_eq!(
        names(&lap.path("theirs")),
        [("first".to_owned(), first.clone()), ("second".to_owned(), base)]
    );
    assert_eq!(digest(&lap, "oci:theirs:first"), first);
    skopeo(&lap, &["copy", "--quiet", "oci:ours:1", "oci:theirs:third"]);
    assert_eq!(names(&lap.path("theirs")).len(), 3);
    assert_eq!(copy(&lap, &["oci:theirs:third", "store:third"]), first);
    assert_eq!(lap.lap(["run", "--rm", "third"]).success().stdout, "copied");
    skopeo(&lap, &["copy", "--quiet", "oci:ours:1", "oci-archive:theirs.tar:x"]);
    assert_eq!(copy(&lap, &["oci-archive:theirs.tar:x", "oci:ours:2"]), first);
    // Its docker archives have plain layers and no manifest: one is made, the same that loading makes.
    skopeo(&lap, &["copy", "--quiet", "oci:ours:1", "docker-archive:docker.tar:app:1"]);
    let made = copy(&lap, &["docker-archive:docker.tar:app:1", "oci:ours:3"]);
    assert_eq!(copy(&lap, &["docker-archive:docker.tar", "oci:ours:4"]), made);
    assert_eq!(digest(&lap, "oci:ours:3"), made);
    let other = Environment::new();
    other.lap(["load", "-i", path_text(&lap.path("docker.tar"))]).success();
    assert_eq!(copy(&other, &["store:app:1", &format!("oci:{}:5", lap.path("ours").display())]), made);
    assert_eq!(copy(&lap, &["docker-archive:docker.tar:app:1", "store:docker"]), made);
    assert_eq!(lap.lap(["run", "--rm", "docker"]).success().stdout, "copied");
    lap.check();
}

#[test]
fn podman_reads_what_is_written_and_its_archives_are_read() {
    let lap = Environment::with_base();
    app(&lap, "copied");
    let digest = copy(&lap, &["store:app", "oci:layout:app"]);
    copy(&lap, &["store:app", "docker-archive:docker.tar:app:1"]);
    let id = lap.inspect("app", ".Id").as_str().expect("an ID").replace("sha256:", "");
    let podman = |arguments: &[&str]| containers("podman", &lap, arguments);
    // Older ones make a name of the directory's path, in which no capital may be.
    assert_eq!(podman(&["pull", "--quiet", "oci:layout:app"]), id);
    podman(&["pull", "--quiet", "docker-archive:docker.tar"]);
    let archive = lap.path("podman.tar");
    podman(&["save", "--quiet", "--format", "oci-archive", "-o", path_text(&archive), &id]);
    copy(&lap, &["oci-archive:podman.tar", "store:podman"]);
    assert_eq!(lap.lap(["run", "--rm", "podman"]).success().stdout, "copied");
    let legacy = lap.path("legacy.tar");
    podman(&["save", "--quiet", "--format", "docker-archive", "-o", path_text(&legacy), &id]);
    copy(&lap, &["docker-archive:legacy.tar", "oci:layout:legacy"]);
    assert_eq!(names(&lap.path("layout"))[0], ("app".to_owned(), digest));
    copy(&lap, &["oci:layout:legacy", "store:legacy"]);
    assert_eq!(lap.lap(["run", "--rm", "legacy"]).success().stdout, "copied");
    lap.check();
}

#[test]
fn umoci_lists_and_tags_what_is_written() {
    let Some(umoci) = on_path("umoci") else { return };
    let lap = Environment::with_base();
    let digest = copy(&lap, &["store:base:1", "oci:layout:1"]);
    let umoci = |arguments: &[&str]| run(Command::new(&umoci).args(arguments).current_dir(lap.path("")));
    assert_eq!(umoci(&["list", "--layout", "layout"]), "1");
    umoci(&["tag", "--image", "layout:1", "new"]);
    umoci(&["gc", "--layout", "layout"]);
    app(&lap, "copied");
    copy(&lap, &["store:app", "oci:layout:2"]);
    umoci(&["remove", "--image", "layout:1"]);
    umoci(&["gc", "--layout", "layout"]);
    assert_eq!(copy(&lap, &["oci:layout:new", "oci:again:1"]), digest);
    copy(&lap, &["oci:layout:2", "oci:again:2"]);
}

#[test]
fn crane_pushes_what_is_written_and_its_layouts_are_read() {
    let Some(crane) = on_path("crane") else { return };
    let lap = Environment::with_base();
    let digest = copy(&lap, &["store:base:1", "oci:layout:1"]);
    copy(&lap, &["store:base:1", "docker-archive:docker.tar:base:1"]);
    let served = Served::start(&lap, 0, &[]);
    let crane = |arguments: &[&str]| run(Command::new(&crane).args(arguments).current_dir(lap.path("")));
    let name = served.name("crane:1");
    crane(&["push", "layout", &name]);
    assert_eq!(crane(&["digest", &name]), digest);
    crane(&["validate", "--tarball", "docker.tar"]);
    // Its layouts have no names, its archives are called by what was pulled.
    crane(&["pull", "--format", "oci", &name, "theirs"]);
    assert_eq!(copy(&lap, &["oci:theirs", "oci:layout:2"]), digest);
    crane(&["pull", "--format", "tarball", &name, "theirs.tar"]);
    assert_eq!(copy(&lap, &[&format!("docker-archive:theirs.tar:{name}"), "oci:layout:3"]), digest);
    served.stop();
}
