//! `lap copy` with layouts and archives: every place to every other one, what was there before, and what goes wrong.

mod peers;

use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::environment::{Environment, path_text};
use crate::serve::Served;

/// Copies; gives the digest, which is what standard output says.
#[track_caller]
fn copy(lap: &Environment, arguments: &[&str]) -> String {
    let copied = lap.lap([&["copy", "-q"], arguments].concat()).success();
    copied.stdout.trim().to_owned()
}

fn index(layout: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(layout.join("index.json")).expect("an index")).expect("JSON")
}

/// Digests by names.
fn names(layout: &Path) -> Vec<(String, String)> {
    let index = index(layout);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let name = |entry: &Value| text(&entry["annotations"]["org.opencontainers.image.ref.name"]);
    let mut names: Vec<_> = index["manifests"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|entry| (name(entry), text(&entry["digest"])))
        .collect();
    names.sort();
    names
}

fn app(lap: &Environment, text: &str) {
    lap.write("context/file", text);
    lap.built("FROM base:1\nCOPY file /file\nCMD [\"cat\", \"/file\"]\n");
}

/// Puts a document or a blob into a layout, and describes it.
fn put(layout: &Path, media_type: &str, bytes: &[u8]) -> Value {
    let digest = image::Digest::sha256(bytes);
    std::fs::create_dir_all(layout.join("blobs/sha256")).expect("mkdir");
    std::fs::write(layout.join("blobs/sha256").join(digest.hex()), bytes).expect("a blob");
    json!({"mediaType": media_type, "digest": digest.to_string(), "size": bytes.len()})
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A layout with an image for two platforms called `both`, something that is about it, and a signature as cosign keeps one.
fn layout_with_referrers(layout: &Path) -> Value {
    let mut manifests = Vec::new();
    for architecture in ["amd64", "arm64"] {
        let config = json!({"os": "linux", "architecture": architecture, "rootfs": {"type": "layers", "diff_ids": []}});
        let config = put(layout, "application/vnd.oci.image.config.v1+json", config.to_string().as_bytes());
        // Written in a way of its own, to be kept to the byte.
        let manifest = format!(
            "{{ \"schemaVersion\":2,\n\"mediaType\":\"{MANIFEST}\", \"config\": {config}, \"layers\": [] }}"
        );
        let mut described = put(layout, MANIFEST, manifest.as_bytes());
        described["platform"] = json!({"os": "linux", "architecture": architecture});
        manifests.push(described);
    }
    let both = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests});
    let both = put(layout, INDEX, format!("{both:#}").as_bytes());
    let empty = put(layout, "application/vnd.oci.empty.v1+json", b"{}");
    let about = json!({"schemaVersion": 2, "mediaType": MANIFEST, "artifactType": "application/vnd.example.about",
        "config": empty, "layers": [put(layout, "text/plain", b"it is good")], "subject": both});
    let about = put(layout, MANIFEST, about.to_string().as_bytes());
    let config = put(
        layout,
        "application/vnd.oci.image.config.v1+json",
        br#"{"os":"","architecture":"","rootfs":{"type":"layers","diff_ids":[]}}"#,
    );
    let signed = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config,
        "layers": [put(layout, "application/vnd.dev.cosign.simplesigning.v1+json", b"signed")]});
    let mut signature = put(layout, MANIFEST, signed.to_string().as_bytes());
    let digest = both["digest"].as_str().expect("a digest").replace(':', "-");
    signature["annotations"] = json!({"org.opencontainers.image.ref.name": format!("{digest}.sig")});
    let mut named = both.clone();
    named["annotations"] = json!({"org.opencontainers.image.ref.name": "both"});
    let index = json!({"schemaVersion": 2, "manifests": [named, about, signature]});
    std::fs::write(layout.join("index.json"), index.to_string()).expect("an index");
    std::fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("a version");
    both
}

fn blobs(layout: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(layout.join("blobs/sha256")).expect("blobs");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("hex")).collect();
    names.sort();
    names
}

#[test]
fn rc_083_every_place_copies_to_every_other_one_byte_for_byte() {
    let lap = Environment::with_base();
    app(&lap, "copied");
    let served_by = Environment::new();
    let served = Served::start(&served_by, 0, &[]);
    let places = |number: &str| {
        [
            served.name(&format!("app{number}:1")),
            format!("oci:layout{number}:1"),
            format!("oci-archive:oci{number}.tar:1"),
            format!("docker-archive:docker{number}.tar:app:1"),
        ]
    };
    let firsts = places("");
    let digest = copy(&lap, &["store:app", &firsts[0]]);
    for to in &firsts[1..] {
        assert_eq!(copy(&lap, &["store:app", to]), digest, "{to}");
    }
    for (number, from) in firsts.iter().enumerate() {
        for to in &places(&format!("-{number}")) {
            assert_eq!(copy(&lap, &[from, to]), digest, "{from} to {to}");
        }
        let store = format!("store:came{number}");
        assert_eq!(copy(&lap, &[from, &store]), digest, "{from}");
        let other = Environment::new();
        let input = lap.path("").join(from.split(':').nth(1).unwrap_or_default());
        let from = match number {
            0 => from.clone(),
            _ => from.replacen(from.split(':').nth(1).unwrap_or_default(), path_text(&input), 1),
        };
        assert_eq!(copy(&other, &[&from, "store:came"]), digest, "{from}");
        assert_eq!(other.lap(["run", "--rm", "came"]).success().stdout, "copied", "{from}");
        other.check();
    }
    // The same archive from wherever it comes, and `lap load` takes it.
    for kind in ["oci", "docker"] {
        let bytes = |name: String| std::fs::read(lap.path(&name)).expect("an archive");
        let first = bytes(format!("{kind}-0.tar"));
        for number in 1..4 {
            assert!(bytes(format!("{kind}-{number}.tar")) == first, "{kind}-{number}.tar");
        }
        let loaded = Environment::new().lap_with_input(["load"], &first).success();
        assert!(loaded.stdout.contains("Loaded image"), "{}", loaded.stdout);
    }
    served.stop();
    lap.check();
    served_by.check();
}

#[test]
fn st_033_a_layout_is_added_to_and_what_is_there_stays() {
    let lap = Environment::with_base();
    let layout = lap.path("layout");
    let first = copy(&lap, &["store:base:1", "oci:layout:1"]);
    let mut changed = index(&layout);
    changed["x-unknown"] = json!({"kept": true});
    changed["manifests"][0]["x-note"] = json!("kept");
    changed["manifests"].as_array_mut().expect("a list").push(
        json!({"mediaType": "application/x-unknown", "digest": format!("sha256:{}", "0".repeat(64)), "size": 1}),
    );
    std::fs::write(layout.join("index.json"), changed.to_string()).expect("an index");
    std::fs::write(layout.join("other"), "stays").expect("a file");
    let written = |name: &str| {
        layout.join("blobs/sha256").join(name).metadata().and_then(|file| file.modified()).expect("a time")
    };
    let before: Vec<_> = blobs(&layout).into_iter().map(|name| (written(&name), name)).collect();
    app(&lap, "one");
    let second = lap.lap(["copy", "store:app", "oci:layout:2"]).success();
    assert!(second.stderr.contains("copied 1 manifest to oci:layout:2: "), "{}", second.stderr);
    for (time, name) in &before {
        assert_eq!(written(name), *time, "{name} was written again");
    }
    let after = index(&layout);
    assert_eq!(
        (&after["x-unknown"], &after["manifests"][0], &after["manifests"][1]),
        (&changed["x-unknown"], &changed["manifests"][0], &changed["manifests"][1])
    );
    // Again: nothing happens, not even to the index.
    let again = lap.lap(["copy", "store:app", "oci:layout:2"]).success();
    assert!(again.stderr.contains("oci:layout:2 is up to date"), "{}", again.stderr);
    // The same name for something else: the older one is without it, and the others keep theirs.
    app(&lap, "two");
    let third = copy(&lap, &["store:app", "oci:layout:2"]);
    let second = second.stdout.trim_start_matches("Digest: ").trim().to_owned();
    assert_ne!(second, third);
    let named: Vec<_> = names(&layout).into_iter().filter(|(name, _)| !name.is_empty()).collect();
    assert_eq!(named, [("1".to_owned(), first), ("2".to_owned(), third)]);
    assert_eq!(std::fs::read(layout.join("other")).expect("a file"), b"stays");
    lap.check();
}

#[test]
fn st_033_several_at_once_lose_no_name() {
    let lap = Environment::with_base();
    let running: Vec<_> = (0..8)
        .map(|number| {
            let to = format!("oci:layout:{number}");
            let mut command = lap.command(["copy", "-q", "store:base:1", &to]);
            command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("lap runs")
        })
        .collect();
    for child in running {
        let ran = child.wait_with_output().expect("an end");
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    }
    let found: Vec<_> = names(&lap.path("layout")).into_iter().map(|(name, _)| name).collect();
    assert_eq!(found, (0..8).map(|number| number.to_string()).collect::<Vec<_>>());
    // Nothing else is left of it.
    let mut left: Vec<_> = std::fs::read_dir(lap.path("layout"))
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    left.sort();
    assert_eq!(left, ["blobs", "index.json", "oci-layout"]);
}

#[test]
fn rc_094_indexes_and_what_refers_to_them_go_through_every_place() {
    let lap = Environment::new();
    let layout = lap.path("layout");
    let both = layout_with_referrers(&layout);
    let digest = both["digest"].as_str().expect("a digest");
    let served = Served::start(&lap, 0, &[]);
    let registry = served.name("team/both:1");
    let ways = [
        ("oci:layout:both", registry.as_str()),
        (&registry, "oci:second:again"),
        ("oci:second:again", "oci-archive:third.tar:both"),
        ("oci-archive:third.tar:both", "oci:fourth:both"),
    ];
    for (from, to) in ways {
        assert_eq!(copy(&lap, &["--referrers", from, to]), digest, "{from} to {to}");
    }
    for copied in ["second", "fourth"] {
        assert_eq!(blobs(&lap.path(copied)), blobs(&layout), "{copied}");
        let entries = names(&lap.path(copied));
        assert_eq!(entries.len(), 3, "{entries:?}");
        assert!(entries.iter().any(|(name, _)| name.ends_with(".sig")), "{entries:?}");
    }
    // Without being asked for they stay behind; of one platform there is less.
    assert_eq!(copy(&lap, &["oci:layout:both", "oci:alone"]), digest);
    assert_eq!(names(&lap.path("alone")), [(String::new(), digest.to_owned())]);
    assert_eq!(blobs(&lap.path("alone")).len(), 5);
    let one = copy(&lap, &["--platform", "linux/arm64", "oci:layout:both", "oci:arm:1"]);
    assert_eq!(blobs(&lap.path("arm")).len(), 2);
    // A manifest inside an index has no name, and a digest.
    assert_eq!(copy(&lap, &[&format!("oci:layout@{one}"), "oci-archive:arm.tar"]), one);
    assert_eq!(copy(&lap, &["oci-archive:arm.tar:@0", "oci:arm:2"]), one);
    // Signatures are no images to `lap load`.
    let archive = std::fs::read(lap.path("third.tar")).expect("an archive");
    let loaded = Environment::new().lap_with_input(["load"], &archive).success();
    assert_eq!(loaded.stdout, "Loaded image: both:latest\n");
    served.stop();
}

#[test]
fn st_031_what_is_not_there_is_said_with_what_is() {
    let lap = Environment::new();
    layout_with_referrers(&lap.path("layout"));
    let fails = |arguments: &[&str], said: &[&str]| {
        lap.lap([&["copy"], arguments].concat()).failure(1, said);
    };
    let to = "oci:new:1";
    fails(
        &["oci:layout:other", to],
        &[
            "no image with the name other in the OCI image layout layout",
            "; it has both, @1, sha256-",
            "name one of those",
        ],
    );
    fails(&["oci:layout:@7", to], &["no image @7"]);
    fails(&[&format!("oci:layout@sha256:{}", "0".repeat(64)), to], &["no image sha256:0000"]);
    fails(&["oci:nowhere:1", to], &["cannot open nowhere"]);
    lap.write("directory/file", "x");
    fails(
        &["oci:directory:1", to],
        &["directory is not an OCI image layout: it has no file oci-layout", "oci-archive:"],
    );
    fails(
        &["oci:layout:both", "oci:directory:1"],
        &["directory is not an OCI image layout: it is not empty"],
    );
    fails(&["oci:layout:both", "oci:new:no name"], &["no name is not a name for an image", "letters"]);
    fails(&["oci:layout:both", "oci:new:@1"], &["@1 says which image is read"]);
    fails(&["oci:layout:both", &format!("oci:new@sha256:{}", "0".repeat(64))], &["wants sha256:0000"]);
    fails(&["oci:layout:both", "docker-archive:x.tar:UPPER"], &["UPPER"]);
    fails(&["--all", "oci:layout:both", "docker-archive:x.tar"], &["--platform"]);
    fails(&["oci:layout:@1", "docker-archive:x.tar"], &["it is no image"]);
    assert!(!lap.path("x.tar").exists());
    let file = lap.write("no.tar", "this is no archive");
    fails(
        &[&format!("oci-archive:{}", path_text(&file)), to],
        &["the archive", "no.tar is refused: it is not a tar"],
    );
    fails(&["docker-archive:layout", to], &["layout is not a file"]);
    // Two images, and nothing says which.
    copy(&lap, &["--platform", "linux/arm64", "oci:layout:both", "oci:two:arm"]);
    copy(&lap, &["--platform", "linux/amd64", "oci:layout:both", "oci:two:amd"]);
    fails(
        &["oci:two", to],
        &["several images of the OCI image layout two may be meant; it has arm, amd", "@N"],
    );
}

#[test]
fn a_damaged_layout_is_named_and_gives_nothing() {
    let lap = Environment::with_base();
    copy(&lap, &["store:base:1", "oci:layout:1"]);
    let layout = lap.path("layout");
    let manifest = index(&layout)["manifests"][0]["digest"].as_str().expect("a digest").to_owned();
    let place = |digest: &str| layout.join("blobs").join(digest.replace(':', "/"));
    let parsed: Value =
        serde_json::from_slice(&std::fs::read(place(&manifest)).expect("a manifest")).expect("JSON");
    let layer = place(parsed["layers"][0]["digest"].as_str().expect("a digest"));
    let whole = std::fs::read(&layer).expect("a layer");
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    let served = Served::start(&lap, 0, &[]);
    let registry = served.name("damaged:1");
    for to in ["oci:new:1", "oci-archive:new.tar", "docker-archive:new.tar", &registry] {
        for (bytes, said) in [
            (Some(&flipped[..]), "is damaged: the blob sha256:"),
            (Some(&whole[..9]), " has 9 bytes, and should have "),
            (None, " is not in it"),
        ] {
            match bytes {
                Some(bytes) => std::fs::write(&layer, bytes).expect("a layer"),
                None => std::fs::remove_file(&layer).expect("a layer"),
            }
            lap.lap(["copy", "oci:layout:1", to])
                .failure(1, &["the OCI image layout layout", said, "copy the image there again"]);
        }
    }
    assert!(!lap.path("new.tar").exists() && !lap.path("new/index.json").exists());
    lap.lap(["copy", &registry, "oci:other:1"]).failure(1, &["does not exist"]);
    // Copied again, it is whole again.
    copy(&lap, &["store:base:1", "oci:layout:1"]);
    assert!(std::fs::read(&layer).expect("a layer") == whole);
    // The manifest, too.
    std::fs::write(place(&manifest), "{}").expect("a manifest");
    lap.lap(["copy", "oci:layout:1", "oci:new:1"])
        .failure(1, &["the OCI image layout layout is damaged", "2 bytes"]);
    served.stop();
}

#[test]
fn archives_stream_out_and_are_read_here_and_there() {
    let lap = Environment::with_base();
    let written =
        lap.command(["copy", "store:base:1", "docker-archive:-:piped:1"]).output().expect("lap runs");
    assert!(written.status.success());
    let said = String::from_utf8_lossy(&written.stderr).into_owned();
    assert!(said.contains("Digest: sha256:"), "{said}");
    let loaded = Environment::new().lap_with_input(["load"], &written.stdout).success();
    assert_eq!(loaded.stdout, "Loaded image: piped:1\n");
    // A file as standard input can be read here and there, a pipe cannot.
    let file = lap.write("piped.tar", &written.stdout);
    let mut command = lap.command(["copy", "docker-archive:-:piped:1", "oci:layout:1"]);
    let input = std::fs::File::open(&file).expect("a file");
    assert!(command.stdin(input).output().expect("lap runs").status.success());
    lap.lap_with_input(["copy", "docker-archive:-", "oci:layout:2"], b"")
        .failure(1, &["/dev/stdin is not a file", "lap load"]);
    let mut compressed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut compressed, &written.stdout).expect("gzip");
    lap.write("piped.tar.gz", compressed.finish().expect("gzip"));
    lap.lap(["copy", "docker-archive:piped.tar.gz", "oci:layout:2"])
        .failure(1, &["piped.tar.gz is compressed as a whole", "gunzip"]);
    // One that ends too early.
    lap.write("cut.tar", &written.stdout[..written.stdout.len() / 2]);
    lap.lap(["copy", "docker-archive:cut.tar", "oci:layout:2"])
        .failure(1, &["the archive ends in the middle of"]);
    lap.lap(["copy", "docker-archive:piped.tar:other", "oci:layout:2"])
        .failure(1, &["no image with the name other in the archive piped.tar; it has piped:1"]);
    // No room at all.
    lap.lap(["copy", "store:base:1", "oci-archive:/dev/full"])
        .failure(1, &["No space left on device", "free some room"]);
    assert_eq!(names(&lap.path("layout")).len(), 1);
}

#[test]
fn rc_099_a_copy_is_annotated() {
    let lap = Environment::with_base();
    app(&lap, "one");
    let layout = lap.path("layout");
    let to = format!("oci:{}:app", path_text(&layout));
    let notes = ["--annotation", "a=1", "--annotation", "manifest:b=x=y", "--label", "c=2"];
    let digest = copy(&lap, &[&notes[..], &["store:app", &to]].concat());
    let document = |digest: &str| -> Value {
        let path = layout.join("blobs/sha256").join(digest.trim_start_matches("sha256:"));
        serde_json::from_slice(&std::fs::read(path).expect("a blob")).expect("JSON")
    };
    let manifest = document(&digest);
    assert_eq!(manifest["annotations"], json!({"a": "1", "b": "x=y"}));
    let config = document(manifest["config"]["digest"].as_str().unwrap_or_default());
    assert_eq!(config["config"]["Labels"], json!({"c": "2"}));
    let again = format!("oci:{}:again", path_text(&layout));
    let told = lap.lap(["copy", "--annotation", "a=", &to, &again]).success();
    assert!(told.stderr.contains(&digest), "{}", told.stderr);

    let wrong = |flag: &str, text: &str, to: &str, words: &str| {
        lap.lap(["copy", flag, text, "store:app", to]).failure(if to == again { 2 } else { 1 }, &[words]);
    };
    wrong("--annotation", "platform:a=b", &again, "manifest, index or manifest-descriptor");
    wrong("--annotation", "index:=b", &again, "no key");
    wrong("--label", "a", &again, "KEY=VALUE is expected");
    wrong("--label", "a=b", "store:other:1", "--label is for registries");
}
