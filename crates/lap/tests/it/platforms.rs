//! Several platforms in one build (DF-084, DF-193, DF-194, DF-198).

use std::path::Path;

use serde_json::Value;

use crate::environment::{Environment, Ran, path_text};

/// A stage on this machine that knows for which platform it works, and images that no machine needs to be able to run.
const CROSS: &str = "\
FROM --platform=$BUILDPLATFORM base:1 AS build
RUN echo once >/once
ARG TARGETARCH
RUN echo for $TARGETARCH >/out
FROM scratch
ARG TARGETPLATFORM
LABEL platform=$TARGETPLATFORM
COPY --from=build /once /out /
";

/// The architecture of this machine, and another one.
pub fn architectures() -> (&'static str, &'static str) {
    match std::env::consts::ARCH {
        "aarch64" => ("arm64", "amd64"),
        _ => ("amd64", "arm64"),
    }
}

/// Builds for two platforms; the foreign one comes first.
fn build(lap: &Environment, dockerfile: &str, flags: &[&str]) -> Ran {
    let (host, foreign) = architectures();
    lap.write("context/Dockerfile", dockerfile);
    let platforms = format!("linux/{foreign},linux/{host}");
    let always = ["build", "--progress", "plain", "--platform", &platforms];
    lap.lap([&always[..], flags, &["context"]].concat())
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).expect("a file")).expect("JSON")
}

/// How often a step begins, by the end of its name.
fn count(ran: &Ran, step: &str) -> usize {
    let is_it = |line: &&str| line.starts_with('#') && line.ends_with(step);
    let mut steps: Vec<&str> = ran.stderr.lines().filter(is_it).collect();
    steps.sort_unstable();
    // The heading of a step is repeated when others have been told of in between.
    steps.dedup();
    steps.len()
}

#[test]
fn df_084_what_is_for_the_build_platform_is_built_once() {
    let lap = Environment::with_base();
    let (host, foreign) = architectures();
    let metadata = lap.path("metadata.json");
    let twice = format!("linux/{host}");
    let flags = ["-t", "app", "--platform", &twice, "--metadata-file", path_text(&metadata)];
    let ran = build(&lap, CROSS, &flags).success();
    for step in [
        format!("[linux/{host} build 2/3] RUN echo once >/once"),
        format!("[linux/{host} build 3/3] RUN echo for $TARGETARCH >/out"),
        format!("[linux/{host}->{foreign} build 3/3] RUN echo for $TARGETARCH >/out"),
        format!("[linux/{foreign} stage-1 1/1] COPY --from=build /once /out /"),
        format!("[linux/{host} stage-1 1/1] COPY --from=build /once /out /"),
    ] {
        assert_eq!(count(&ran, &step), 1, "{step}:\n{}", ran.stderr);
    }
    assert_eq!(count(&ran, "RUN echo once >/once"), 1, "{}", ran.stderr);
    // The name means the image for this machine, whatever comes first.
    assert_eq!(lap.inspect("app", ".Architecture"), host);
    assert_eq!(lap.inspect("app", ".Config.Labels.platform"), format!("linux/{host}"));
    let index = json(&metadata);
    assert_eq!(index["containerimage.descriptor"]["mediaType"], "application/vnd.oci.image.index.v1+json");
    assert_eq!(index["containerimage.digest"], lap.inspect("app", ".Descriptor.digest"));
    // Again nothing is executed, and it is the same index.
    let again = build(&lap, CROSS, &flags).success();
    assert!(!again.stderr.contains(" DONE "), "{}", again.stderr);
    assert_eq!(json(&metadata), index);
    // One platform alone gives the image that it has in the index.
    let id = lap.inspect("app", ".Id");
    let alone = lap.lap(["build", "-q", "context"]).success().stdout;
    assert_eq!(Value::from(alone.trim()), id);
    lap.check();
}

#[test]
fn df_084_without_the_cache_it_is_built_once_too() {
    let lap = Environment::with_base();
    let dockerfile = "FROM --platform=$BUILDPLATFORM base:1 AS build\nRUN dd if=/dev/urandom bs=16 count=1 2>/dev/null | md5sum >/uuid\nFROM scratch\nCOPY --from=build /uuid /\n";
    build(&lap, dockerfile, &["--no-cache", "-o", "rootfs"]).success();
    let (host, foreign) = architectures();
    let uuid = |of: &str| std::fs::read(lap.path(&format!("rootfs/linux_{of}/uuid"))).expect("a file");
    assert_eq!(uuid(host), uuid(foreign));
}

#[test]
fn df_084_a_failure_says_for_which_platform() {
    let lap = Environment::with_base();
    let (host, foreign) = architectures();
    let dockerfile = CROSS.replace("RUN echo for", &format!("RUN test $TARGETARCH = {host} && echo for"));
    let step = format!("[linux/{host}->{foreign} build 3/3] RUN test $TARGETARCH = {host} && echo");
    build(&lap, &dockerfile, &["-t", "app"]).failure(1, &[&step]);
    // A base that is for one platform only does not become the image for another.
    let said = format!("the image for linux/{foreign} is one for linux/{host}");
    let ran = build(&lap, "FROM base:1\nRUN true\n", &["-t", "app"]).failure(1, &[&said, "Dockerfile:1"]);
    assert!(!ran.stderr.contains("] RUN true"), "it is said before anything is executed: {}", ran.stderr);
    // Files are nobody's image.
    let dockerfile = CROSS.split("FROM scratch").next().expect("a stage");
    build(&lap, dockerfile, &["-o", "rootfs"]).success();
    let out = std::fs::read_to_string(lap.path(&format!("rootfs/linux_{foreign}/out"))).expect("a file");
    assert_eq!(out, format!("for {foreign}\n"));
    build(&lap, CROSS, &["--platform", "linux/nothing/at/all"]).failure(1, &["more than three parts"]);
}

#[test]
fn df_084_warnings_are_said_once() {
    let lap = Environment::with_base();
    let dockerfile = "FROM scratch as none\nARG TARGETARCH\nLABEL a=$TARGETARCH b=$NOTHING\n";
    let ran = build(&lap, dockerfile, &["-t", "app"]).success();
    for rule in ["FromAsCasing: ", "UndefinedVar: "] {
        assert_eq!(ran.stderr.matches(rule).count(), 1, "{}", ran.stderr);
    }
    let checked = build(&lap, dockerfile, &["--check"]);
    assert_eq!((checked.code, checked.stdout.matches("UndefinedVar").count()), (1, 1), "{}", checked.stdout);
}

#[test]
fn df_193_df_194_each_platform_has_a_directory() {
    let lap = Environment::with_base();
    let (host, foreign) = architectures();
    let outputs = ["--platform", "linux/arm/v7", "-o", "rootfs", "-o", "type=tar,dest=rootfs.tar"];
    build(&lap, CROSS, &outputs).success();
    let mut expected = Vec::new();
    for (directory, architecture) in [
        (format!("linux_{host}"), host),
        (format!("linux_{foreign}"), foreign),
        ("linux_arm_v7".to_owned(), "arm"),
    ] {
        let read = |name: &str| std::fs::read_to_string(lap.path("rootfs").join(&directory).join(name));
        assert_eq!(read("out").expect("a file"), format!("for {architecture}\n"));
        expected.extend(["", "/once", "/out"].map(|name| format!("{directory}{name}")));
    }
    let mut tar = tar::Archive::new(std::fs::File::open(lap.path("rootfs.tar")).expect("a tar"));
    let path = |entry: std::io::Result<tar::Entry<'_, std::fs::File>>| {
        let entry = entry.expect("an entry");
        entry.path().expect("a path").to_string_lossy().trim_end_matches('/').to_owned()
    };
    let mut found: Vec<String> = tar.entries().expect("entries").map(path).collect();
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
    // Neither is kept in the store.
    assert_eq!(lap.lap(["images", "-q", "--all"]).success().stdout.lines().count(), 1);
}

#[test]
fn df_198_an_index_is_kept_listed_and_removed_as_one() {
    let lap = Environment::with_base();
    build(&lap, CROSS, &["-t", "app"]).success();
    let listed = |flags: &[&str]| {
        let ran = lap.lap([&["images", "--format", "{{.Repository}}"], flags].concat()).success();
        let mut names: Vec<String> = ran.stdout.lines().map(str::to_owned).collect();
        names.sort_unstable();
        names
    };
    assert_eq!(listed(&[]), ["app", "base"]);
    assert_eq!(listed(&["--all"]), ["app", "app", "base"], "no image is without a name");
    lap.lap(["system", "prune", "--force"]).success();
    lap.lap(["tag", "app", "other:2"]).success();
    lap.lap(["rmi", "app"]).success();
    assert_eq!(listed(&["--all"]), ["base", "other", "other"]);
    lap.lap(["save", "-o", "other.tar", "other:2"]).success();
    let id = lap.lap(["images", "--all", "--no-trunc", "-q", "other"]).success().stdout;
    let meant = lap.inspect("other:2", ".Id");
    let foreign = id.lines().find(|id| meant != **id).expect("the other image");
    lap.lap(["rmi", foreign]).failure(1, &["other:2"]);
    let removed = lap.lap(["rmi", "other:2"]).success().stdout;
    assert_eq!(removed.matches("Deleted: ").count(), 2, "{removed}");
    assert_eq!(listed(&["--all"]), ["base"]);
    lap.check();
}

#[test]
fn df_198_an_archive_holds_the_index_and_gives_each_machine_its_image() {
    let lap = Environment::with_base();
    let (host, foreign) = architectures();
    build(&lap, CROSS, &["-t", "app", "-o", "type=oci,dest=app.tar", "-o", "type=image"]).success();
    lap.lap(["save", "-o", "saved.tar", "app"]).success();
    let bytes = |name: &str| std::fs::read(lap.path(name)).expect("a tar");
    assert!(bytes("app.tar") == bytes("saved.tar"), "an output is what a save gives");
    let other = Environment::new();
    other.lap(["load", "-i", path_text(&lap.path("app.tar"))]).success();
    assert_eq!(other.inspect("app", ".Id"), lap.inspect("app", ".Id"));
    // All of it has come, and goes on as it came.
    other.lap(["save", "-o", "again.tar", "app"]).success();
    assert!(std::fs::read(other.path("again.tar")).expect("a tar") == bytes("app.tar"));
    let one = Environment::new();
    let platform = format!("linux/{foreign}");
    one.lap(["load", "--platform", &platform, "-i", path_text(&lap.path("app.tar"))]).success();
    assert_eq!(one.inspect("app", ".Architecture"), foreign);
    one.lap(["load", "--platform", "windows/amd64", "-i", path_text(&lap.path("app.tar"))])
        .failure(1, &[&platform]);
    one.check();
    // A layout as a base: each platform stands on its own image of it.
    lap.lap(["copy", "store:app", "oci:layout:1"]).success();
    let layout = format!("x=oci-layout://{}:1", path_text(&lap.path("layout")));
    let dockerfile = "FROM x\nCOPY --from=x /out /copied\n";
    build(&other, dockerfile, &["--build-context", &layout, "-o", "rootfs"]).success();
    for architecture in [host, foreign] {
        for file in ["out", "copied"] {
            let path = other.path(&format!("rootfs/linux_{architecture}/{file}"));
            assert_eq!(std::fs::read_to_string(path).expect("a file"), format!("for {architecture}\n"));
        }
    }
    other.check();
}
