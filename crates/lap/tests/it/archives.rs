//! save, load, import, and the outputs of build.

use std::process::Command;

use crate::environment::{Environment, path_text, tool};

const APP: &str = "FROM base:1\nENV A=1\nCOPY file /file\nRUN echo made >/made && ln -s made /link && chmod 4755 /made\nCMD [\"cat\", \"/file\", \"/made\"]\n";

fn app() -> Environment {
    let lap = Environment::with_base();
    lap.write("context/file", "copied\n");
    lap.built(APP);
    lap
}

#[test]
fn an_image_travels_to_an_empty_store() {
    let lap = app();
    let archive = lap.path("app.tar");
    lap.lap(["save", "-o", path_text(&archive), "app"]).success();
    let other = Environment::new();
    let loaded = other.lap(["load", "-i", path_text(&archive)]).success();
    assert_eq!(loaded.stdout, "Loaded image: app:latest\n");
    assert_eq!(other.lap(["run", "--rm", "app"]).success().stdout, "copied\nmade\n");
    assert_eq!(lap.inspect("app", ".Id"), other.inspect("app", ".Id"));
    lap.check();
    other.check();
}

#[test]
fn saving_twice_gives_the_same_bytes() {
    let lap = app();
    let archives: Vec<Vec<u8>> =
        (0..2).map(|_| lap.command(["save", "app", "base:1"]).output().expect("lap runs").stdout).collect();
    assert!(archives[0].len() > 1000);
    assert!(archives[0] == archives[1], "two saves of the same images differ");
    let loaded = Environment::new().lap_with_input(["load"], &archives[0]).success();
    assert_eq!(loaded.stdout, "Loaded image: app:latest\nLoaded image: base:1\n");
}

#[test]
fn a_damaged_archive_is_refused_and_nothing_stays() {
    let lap = app();
    let archive = lap.command(["save", "app"]).output().expect("lap runs").stdout;
    let other = Environment::new();
    let cut = &archive[..archive.len() / 2];
    other.lap_with_input(["load"], cut).failure(1, &["error:"]);
    let mut flipped = archive.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    other.lap_with_input(["load"], &flipped).failure(1, &["error:"]);
    other.lap_with_input(["load"], b"this is no archive").failure(1, &["error:"]);
    assert_eq!(other.lap(["images", "-aq"]).success().stdout, "");
    other.check();
}

#[test]
fn outputs_of_a_build() {
    let lap = app();
    let directory = lap.path("rootfs");
    lap.lap(["build", "-o", path_text(&directory), "context"]).success();
    assert_eq!(std::fs::read_to_string(directory.join("made")).expect("a file"), "made\n");
    assert_eq!(std::fs::read_link(directory.join("link")).expect("a link").to_str(), Some("made"));

    for kind in ["oci", "docker", "tar"] {
        let archive = lap.path(&format!("{kind}.tar"));
        let output = format!("type={kind},dest={}", path_text(&archive));
        lap.lap(["build", "-t", "out", "-o", &output, "context"]).success();
        let listed = Command::new(tool("tar", "tar")).arg("tf").arg(&archive).output().expect("tar runs");
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        match kind {
            "oci" => assert!(listed.contains("oci-layout") && listed.contains("index.json"), "{listed}"),
            "docker" => assert!(listed.contains("manifest.json"), "{listed}"),
            _ => assert!(listed.lines().any(|line| line == "made"), "{listed}"),
        }
    }
    // Only what was asked for: no name in the store.
    lap.lap(["inspect", "out"]).failure(1, &["there is no image out"]);
    lap.lap(["build", "-o", "type=zip,dest=x", "context"]).failure(1, &["the type zip is not supported"]);
}
