//! Other tools read what is written here, and the other way round.

use std::path::Path;
use std::process::Command;

use image::ImageId;

use crate::support::*;

const POLICY: &str = r#"{"default":[{"type":"insecureAcceptAnything"}]}"#;

/// Runs skopeo in a directory; gives what it prints.
fn skopeo(directory: &Path, arguments: &[&str]) -> String {
    let policy = directory.join("policy.json");
    std::fs::write(&policy, POLICY).expect("a policy");
    run(
        Command::new("skopeo")
            .arg("--policy")
            .arg(&policy)
            .arg("--tmpdir")
            .arg(directory)
            .args(arguments)
            .current_dir(directory),
        "skopeo",
    )
}

fn run(command: &mut Command, package: &str) -> String {
    let output = command.output().unwrap_or_else(|error| {
        panic!("cannot run {command:?} ({error}): install Debian's package {package}")
    });
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {stdout}{stderr}");
    stdout.into_owned()
}

/// An archive of two images in a file; the place that it is from.
fn saved() -> (Place, [archive::save::Item; 2], Vec<image::Descriptor>) {
    let place = Place::new();
    let items = place.two_images();
    let (bytes, manifests) = place.save(&items, GZIP);
    std::fs::write(place.directory.path().join("out.tar"), bytes).expect("a file");
    (place, items, manifests)
}

#[test]
fn tar_lists_and_unpacks_what_is_saved() {
    let (place, ..) = saved();
    let directory = place.directory.path();
    let listing = run(Command::new("tar").args(["--utc", "-tvf", "out.tar"]).current_dir(directory), "tar");
    let lines: Vec<_> = listing.lines().collect();
    assert!(
        lines[0].starts_with("-rw-r--r-- 0/0") && lines[0].ends_with("1970-01-01 00:00 oci-layout"),
        "{listing}"
    );
    assert!(
        lines[3].starts_with("drwxr-xr-x 0/0") && lines[3].ends_with("1970-01-01 00:00 blobs/"),
        "{listing}"
    );
    assert_eq!(lines.len(), 11, "{listing}");
    run(Command::new("tar").args(["-xf", "out.tar"]).current_dir(directory), "tar");
    assert!(directory.join("blobs/sha256").is_dir());
}

#[test]
fn st_020_skopeo_reads_both_layouts() {
    let (place, items, manifests) = saved();
    let directory = place.directory.path();
    let digest = skopeo(directory, &["inspect", "--format", "{{.Digest}}", "oci-archive:out.tar:1"]);
    assert_eq!(digest.trim(), manifests[0].digest.to_string());
    for (source, number) in
        [("docker-archive:out.tar:app:1", 0), ("docker-archive:out.tar:@1", 1), ("oci-archive:out.tar:1", 0)]
    {
        let target = format!("dir-{}", source.replace([':', '@'], "-"));
        skopeo(directory, &["copy", source, &format!("dir:{target}")]);
        let item = &items[number];
        let config = place.config_of(&item.image);
        let copied = std::fs::read(directory.join(&target).join(item.image.0.hex())).expect("the config");
        assert_eq!(copied, config.bytes(), "{source}");
        let raw = skopeo(directory, &["inspect", "--config", "--raw", source]);
        assert_eq!(raw.trim_end(), String::from_utf8_lossy(config.bytes()), "{source}");
    }
    skopeo(directory, &["copy", "oci-archive:out.tar:1", "oci:unpacked:x"]);
}

#[test]
fn st_004_archives_of_skopeo_are_loaded() {
    let (place, items, manifests) = saved();
    let directory = place.directory.path();
    let image: ImageId = items[0].image;
    for (target, keeps_manifest, names) in [
        // Files in the order of a stream: manifest.json and repositories at the end, fully qualified names.
        ("docker-archive:copy.tar:docker.io/library/copy:2", false, &["copy:2"][..]),
        ("oci-archive:copy.tar:copy:2", true, &["copy:2"]),
        ("oci-archive:copy.tar:quay.io/x/copy:2", true, &["quay.io/x/copy:2"]),
        ("oci-archive:copy.tar", true, &[]),
    ] {
        let _ = std::fs::remove_file(directory.join("copy.tar"));
        skopeo(directory, &["copy", "oci-archive:out.tar:1", target]);
        let bytes = std::fs::read(directory.join("copy.tar")).expect("a copy");
        for bytes in [gzip(&bytes), bytes] {
            let loaded = Place::new().loaded(&bytes);
            let [loaded] = loaded.as_slice() else { panic!("{target}: {loaded:?}") };
            assert_eq!(loaded.image, image, "{target}");
            assert_eq!(loaded.manifest.digest == manifests[0].digest, keeps_manifest, "{target}");
            let found: Vec<_> = loaded.names.iter().map(image::Reference::familiar).collect();
            assert_eq!(found, names, "{target}");
        }
    }
}

#[test]
fn st_004_several_images_in_an_archive_of_skopeo() {
    let (place, items, _) = saved();
    let directory = place.directory.path();
    // The layer that both share is there once.
    skopeo(
        directory,
        &[
            "copy",
            "docker-archive:out.tar:app:1",
            "docker-archive:both.tar:app:1",
            "--additional-tag",
            "app:one",
        ],
    );
    let loaded = Place::new().loaded(&std::fs::read(directory.join("both.tar")).expect("a copy"));
    let names: Vec<_> = loaded[0].names.iter().map(image::Reference::familiar).collect();
    assert_eq!((loaded[0].image, names), (items[0].image, vec!["app:1".to_owned(), "app:one".to_owned()]));
}
