//! Indexes of several platforms: what is pushed, what others see of it, and what builds stand on.

use serde_json::Value;

use super::real::{DockerRegistry, Setup};
use super::skopeo;
use crate::environment::{Environment, path_text};
use crate::platforms::architectures;

/// Images for this machine and for another one, each with a file that says which.
const CROSS: &str = "\
FROM --platform=$BUILDPLATFORM base:1 AS build
ARG TARGETARCH
RUN echo for $TARGETARCH >/out
FROM scratch
COPY --from=build /out /
";

fn platforms() -> String {
    let (host, foreign) = architectures();
    format!("linux/{host},linux/{foreign}")
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

/// The architectures of an index, in its order.
fn architectures_of(index: &Value) -> Vec<&str> {
    let manifests = index["manifests"].as_array().expect("manifests");
    manifests.iter().map(|entry| entry["platform"]["architecture"].as_str().expect("text")).collect()
}

#[test]
fn df_198_an_index_is_pushed_with_its_images() {
    let lap = Environment::with_base();
    let registry = DockerRegistry::start(&lap, "registry", &Setup::default());
    let (host, foreign) = architectures();
    let name = format!("{}/team/app:1", registry.host());
    lap.write("context/Dockerfile", CROSS);
    let metadata = lap.path("metadata.json");
    let flags = ["--platform", &platforms(), "--metadata-file", path_text(&metadata)];
    lap.lap([&["build", "-t", &name, "--push"], &flags[..], &["context"]].concat()).success();
    let digest = json(&std::fs::read_to_string(metadata).expect("a file"))["containerimage.digest"].clone();
    let image = format!("docker://{name}");
    let index = json(&skopeo(&lap, &["inspect", "--tls-verify=false", "--raw", &image]));
    assert_eq!(architectures_of(&index), [host, foreign]);
    let by_digest = format!("docker://{}/team/app@{}", registry.host(), digest.as_str().expect("a digest"));
    let again = skopeo(&lap, &["inspect", "--tls-verify=false", "--raw", &by_digest]);
    assert_eq!(json(&again), index, "the file says what was pushed");
    // Everything is there, and a push of the name sends nothing more.
    let directory = format!("dir:{}", lap.path("copied").display());
    skopeo(&lap, &["copy", "--all", "--src-tls-verify=false", &image, &directory]);
    let pushed = lap.lap(["push", &name]).success();
    assert!(pushed.stderr.contains(": 0B sent"), "{}", pushed.stderr);
    assert!(pushed.stdout.contains(digest.as_str().expect("a digest")), "{}", pushed.stdout);
    // One of it is pulled elsewhere; pushed again, it is that image alone.
    let other = Environment::new();
    other.lap(["pull", "--platform", &format!("linux/{foreign}"), &name]).success();
    assert_eq!(other.inspect(&name, ".Architecture"), foreign);
    let copy = format!("{}/team/one:1", registry.host());
    other.lap(["tag", &name, &copy]).success();
    other.lap(["push", &copy]).success();
    let raw = |name: &str| {
        json(&skopeo(&lap, &["inspect", "--tls-verify=false", "--raw", &format!("docker://{name}")]))
    };
    assert!(raw(&copy)["config"].is_object());
    // One of it is copied, when it is asked for.
    let chosen = format!("{}/team/chosen:1", registry.host());
    let store = format!("store:{name}");
    lap.lap(["copy", "--platform", &format!("linux/{foreign}"), &store, &chosen]).success();
    let wanted = index["manifests"][1]["digest"].clone();
    assert_eq!(lap.lap(["registry", "digest", &chosen]).success().stdout.trim(), wanted);
    lap.lap(["copy", "--platform", "linux/s390x", &store, &chosen]).failure(1, &["linux/s390x", foreign]);
    lap.check();
}

#[test]
fn df_198_skopeo_reads_an_archive_of_several_platforms() {
    let lap = Environment::with_base();
    let (host, foreign) = architectures();
    lap.write("context/Dockerfile", CROSS);
    lap.lap(["build", "-t", "app", "--platform", &platforms(), "context"]).success();
    lap.lap(["save", "--format", "oci-archive", "-o", "app.tar", "app"]).success();
    let archive = format!("oci-archive:{}", lap.path("app.tar").display());
    let index = json(&skopeo(&lap, &["inspect", "--raw", &archive]));
    assert_eq!(architectures_of(&index), [host, foreign]);
    let directory = lap.path("copied");
    skopeo(&lap, &["copy", "--all", &archive, &format!("dir:{}", directory.display())]);
    for entry in index["manifests"].as_array().expect("manifests") {
        let digest = entry["digest"].as_str().expect("a digest").trim_start_matches("sha256:");
        assert!(directory.join(format!("{digest}.manifest.json")).is_file(), "{digest}");
    }
    // A copy out of the store is the same index.
    lap.lap(["copy", "store:app", "oci:layout:1"]).success();
    let layout = format!("oci:{}:1", lap.path("layout").display());
    assert_eq!(json(&skopeo(&lap, &["inspect", "--raw", &layout])), index);
}

#[test]
fn df_084_each_platform_stands_on_its_own_image_of_a_base() {
    let lap = Environment::with_base();
    let registry = DockerRegistry::start(&lap, "registry", &Setup::default());
    let (host, foreign) = architectures();
    let base = format!("{}/base:1", registry.host());
    lap.write("context/Dockerfile", CROSS);
    let more = format!("{},linux/s390x", platforms());
    lap.lap(["build", "-t", &base, "--push", "--platform", &more, "context"]).success();

    let other = Environment::new();
    // Pulled before for this machine alone.
    other.lap(["pull", &base]).success();
    other.write("context/Dockerfile", format!("FROM {base}\nCOPY --from={base} /out /copied\n"));
    let build = |flags: &[&str]| {
        let arguments = ["build", "--progress", "plain", "-o", "rootfs"];
        let ran = other.lap([&arguments[..], flags, &["context"]].concat()).success();
        assert!(!ran.stderr.contains("InvalidBaseImagePlatform"), "{}", ran.stderr);
        ran
    };
    let check = || {
        for architecture in [host, foreign] {
            for file in ["out", "copied"] {
                let path = other.path(&format!("rootfs/linux_{architecture}/{file}"));
                assert_eq!(std::fs::read_to_string(path).expect("a file"), format!("for {architecture}\n"));
            }
        }
        std::fs::remove_dir_all(other.path("rootfs")).expect("it goes");
    };
    build(&["--platform", &platforms()]);
    check();
    assert_eq!(other.inspect(&base, ".Architecture"), host, "the name means what it has meant");
    // Both are kept, and nobody is asked again.
    other.lap(["system", "prune", "--force"]).success();
    drop(registry);
    build(&["--platform", &platforms()]);
    check();
    // An index of which one image is missing is saved as the image for this machine.
    other.lap(["save", "--format", "oci-archive", "-o", "base.tar", &base]).success();
    let archive = format!("oci-archive:{}", other.path("base.tar").display());
    assert!(json(&skopeo(&lap, &["inspect", "--raw", &archive]))["config"].is_object());
    // One platform alone, which is not this machine's, gets the image for it, too.
    build(&["--platform", &format!("linux/{foreign}")]);
    let path = other.path("rootfs/out");
    assert_eq!(std::fs::read_to_string(path).expect("a file"), format!("for {foreign}\n"));
    other.check();
}

#[test]
fn df_084_a_base_of_another_version_is_used_and_gets_no_name() {
    let lap = Environment::with_base();
    let registry = DockerRegistry::start(&lap, "registry", &Setup::default());
    let (host, foreign) = architectures();
    let base = format!("{}/base:1", registry.host());
    let push = |dockerfile: &str| {
        lap.write("context/Dockerfile", dockerfile);
        lap.lap(["build", "-t", &base, "--push", "--platform", &platforms(), "context"]).success();
    };
    push(CROSS);
    let other = Environment::new();
    other.lap(["pull", &base]).success();
    let meant = other.inspect(&base, ".Id");
    push(&CROSS.replace("for $TARGETARCH", "newer for $TARGETARCH"));
    other.write("context/Dockerfile", format!("FROM {base}\nCOPY Dockerfile /\n"));
    let ran = other.lap(["build", "-o", "rootfs", "--platform", &platforms(), "context"]).success();
    assert!(ran.stderr.contains("another version on this machine"), "{}", ran.stderr);
    let out =
        |of: &str| std::fs::read_to_string(other.path(&format!("rootfs/linux_{of}/out"))).expect("a file");
    assert_eq!((out(host), out(foreign)), (format!("for {host}\n"), format!("newer for {foreign}\n")));
    assert_eq!(other.inspect(&base, ".Id"), meant);
    // Both come anew when that is asked for.
    let ran = other.lap(["build", "--pull", "-o", "rootfs", "--platform", &platforms(), "context"]).success();
    assert!(!ran.stderr.contains("another version"), "{}", ran.stderr);
    assert_eq!((out(host), out(foreign)), (format!("newer for {host}\n"), format!("newer for {foreign}\n")));
    other.check();
}
