//! Several versions of `lap` on one store: what a newer one wrote is refused, passed over, or made again, and never misread or removed;
//! what this one wrote, all later ones can read.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::environment::{Environment, path_text, testdata, tool};

/// Every command that opens a store.
const COMMANDS: [&[&str]; 12] = [
    &["build", "context"],
    &["run", "--rm", "base:1", "true"],
    &["images"],
    &["tag", "base:1", "other"],
    &["rmi", "-f", "base:1"],
    &["inspect", "base:1"],
    &["history", "base:1"],
    &["save", "-o", "out.tar", "base:1"],
    &["load", "-i", "base.tar"],
    &["import", "base.tar", "other"],
    &["system", "df"],
    &["system", "prune", "-a", "-f"],
];

/// Everything in a directory, with contents.
fn everything(place: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let listed = Command::new("find").arg(place).args(["-type", "f"]).output().expect("find runs");
    let mut paths: Vec<PathBuf> =
        String::from_utf8_lossy(&listed.stdout).lines().map(PathBuf::from).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), std::fs::read(path).expect("a file"))).collect()
}

/// All files in a directory of the store, at any depth.
fn files_in(lap: &Environment, directory: &str) -> Vec<PathBuf> {
    everything(&lap.store().join(directory)).into_iter().map(|(path, _)| path).collect()
}

#[test]
fn a_store_of_a_newer_version_is_left_alone() {
    let lap = Environment::with_base();
    lap.write("context/Dockerfile", "FROM base:1\n");
    lap.write("store/version", "lapstrake store 2\n");
    let before = everything(&lap.store());
    for command in COMMANDS {
        let code = if command[0] == "run" { 125 } else { 1 };
        lap.lap(command).failure(code, &["was made by a newer version of lap", "use the newer lap"]);
    }
    lap.lap(["system", "check"]).failure(1, &["was made by a newer version of lap"]);
    assert!(everything(&lap.store()) == before);
}

#[test]
fn what_is_not_known_is_said_and_never_removed() {
    let lap = Environment::with_base();
    let layer =
        std::fs::read_dir(lap.store().join("layers")).expect("layers").next().expect("one").expect("it");
    let layer = format!("store/layers/{}", layer.file_name().to_string_lossy());
    let unknown =
        ["store/future/index", "store/index.json", "store/blobs/sha3/00", &format!("{layer}/future")];
    for path in unknown {
        lap.write(path, "of a newer version");
    }
    lap.write("context/Dockerfile", "FROM base:1\nCOPY Dockerfile /\n");
    lap.lap(["build", "-t", "app", "context"]).success();
    let check = lap.lap(["system", "check"]);
    assert_eq!(check.code, 1);
    for what in ["file future", "file index.json", "file blobs/sha3", "future"] {
        assert!(check.stdout.contains(what), "{what} is not in {}", check.stdout);
    }
    lap.lap(["system", "prune", "-f", "--derived"]).success();
    for path in unknown {
        assert_eq!(std::fs::read(lap.path(path)).expect("it is there"), b"of a newer version", "{path}");
    }
}

/// Adds a field to a JSON record, or gives it another version.
fn change_record(path: &Path, version: Option<u64>) {
    let text = std::fs::read(path).expect("a record");
    let mut record: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
    record["a field of a newer version"] = serde_json::json!({"a": [1, 2]});
    if let Some(version) = version {
        assert!(record["version"].is_u64(), "{}", path.display());
        record["version"] = version.into();
    }
    std::fs::write(path, record.to_string()).expect("written");
}

#[test]
fn fields_that_are_not_known_are_passed_over() {
    let lap = Environment::with_base();
    lap.write("context/Dockerfile", "FROM base:1\nCOPY Dockerfile /\nRUN true >/file\n");
    let build = ["build", "--progress", "plain", "-t", "app", "context"];
    lap.lap(build).success();
    lap.lap(["save", "-o", "app.tar", "app"]).success();
    let records: Vec<PathBuf> =
        ["images", "names", "cache"].iter().flat_map(|directory| files_in(&lap, directory)).collect();
    assert!(records.len() > 5, "{records:?}");
    records.iter().for_each(|path| change_record(path, None));
    lap.check();
    assert_eq!(lap.lap(build).success().stderr.matches("CACHED").count(), 3, "the cache is still known");
    lap.lap(["save", "-o", "again.tar", "app"]).success();
    let read = |name: &str| std::fs::read(lap.path(name)).expect("an archive");
    assert!(read("app.tar") == read("again.tar"));
    lap.lap(["run", "--rm", "app", "cat", "/file"]).success();
}

#[test]
fn records_of_a_newer_version_are_refused_or_made_again() {
    // What says what an image is: refused, for nobody here knows what it needs.
    for directory in ["images", "names"] {
        let lap = Environment::with_base();
        files_in(&lap, directory).iter().for_each(|path| change_record(path, Some(99)));
        let before = everything(&lap.store().join("blobs"));
        for command in [&["images"][..], &["run", "--rm", "base:1", "true"], &["system", "prune", "-f"]] {
            let ran = lap.lap(command);
            assert!(ran.code != 0 && ran.stderr.contains("newer version"), "{command:?}: {}", ran.stderr);
        }
        assert!(everything(&lap.store().join("blobs")) == before, "nothing was removed");
    }
    // What can be made again: as if it were not there.
    let lap = Environment::with_base();
    lap.write("context/Dockerfile", "FROM base:1\nCOPY Dockerfile /\nRUN true >/file\n");
    let build = ["build", "--progress", "plain", "--reproducible", "-q", "-t", "app", "context"];
    let expected = lap.lap(build).success().stdout;
    files_in(&lap, "cache").iter().for_each(|path| change_record(path, Some(99)));
    for path in files_in(&lap, "contexts") {
        let mut bytes = std::fs::read(&path).expect("digests");
        bytes[8..12].copy_from_slice(&99u32.to_le_bytes());
        std::fs::write(path, bytes).expect("written");
    }
    lap.check();
    assert_eq!(lap.lap(build).success().stdout, expected);
    lap.check();
}

#[test]
fn a_table_of_a_newer_version_is_refused() {
    let lap = Environment::with_base();
    lap.write("context/Dockerfile", "FROM base:1\nCOPY --from=base:1 /etc /other\n");
    for path in files_in(&lap, "layers").iter().filter(|path| path.ends_with("table")) {
        let mut bytes = std::fs::read(path).expect("a table");
        assert_eq!(&bytes[..8], b"LAPTABLE");
        bytes[8..12].copy_from_slice(&99u32.to_le_bytes());
        std::fs::remove_file(path).expect("removed");
        std::fs::write(path, bytes).expect("written");
    }
    lap.lap(["build", "context"]).failure(1, &["newer version of lap", "use the newer lap"]);
    lap.lap(["run", "--rm", "base:1", "true"]).failure(125, &["newer version of lap"]);
    lap.lap(["import", "base.tar", "again"]).failure(1, &["newer version of lap"]);
}

/// The images of the recorded store, and their IDs.
const RECORDED: [(&str, &str); 3] = [
    ("tiny:1", "sha256:fc9f957ede9eaf5d13020639b6e6cabdb9f34ef64860f9c5bf4a540fb77cee1e"),
    ("copied:1", "sha256:1c9ee99cbcc51220317707473ee77b41f308e6885f7a1fed55cb89c9c9f78546"),
    ("ran:1", "sha256:8ec3a692c8a97b2a137386b97fe6591cf4213773c0c39a4c60a3c2ac05eb1104"),
];
/// A program that needs nothing, and leaves a directory, a file and a whiteout.
const PROGRAM: &str = r#"
static long call(long number, long a, long b, long c) {
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
    return result;
}
void _start(void) {
    call(83, (long)"/made", 0755, 0);
    call(88, (long)"made", (long)"/link", 0);
    call(87, (long)"/files/gone", 0, 0);
    call(1, 1, (long)"it works\n", 9);
    call(60, 0, 0, 0);
}
"#;

fn recording() -> PathBuf {
    testdata().join("store-1.tar.zst")
}

/// Records the store that [`a_store_of_format_1_can_be_read`] opens. Only to be run when a store has another format, under another name.
#[test]
#[ignore = "records a store"]
#[expect(clippy::print_stdout, reason = "what to write down")]
fn record_a_store() {
    let lap = Environment::new();
    let source = lap.write("tiny.c", PROGRAM);
    lap.write("root/files/gone", "gone");
    lap.write("root/files/stays", "stays");
    let options = [
        "-static",
        "-nostdlib",
        "-s",
        "-Os",
        "-fno-stack-protector",
        "-Wl,--build-id=none,-z,noseparate-code",
        "-o",
    ];
    let compiled =
        Command::new(tool("gcc", "gcc")).args(options).args([&lap.path("root/tiny"), &source]).status();
    assert!(compiled.expect("gcc runs").success());
    let packed = Command::new("tar")
        .args([
            "--sort=name",
            "--owner=0",
            "--group=0",
            "--mtime=@1000000000",
            "-cf",
            "root.tar",
            "-C",
            "root",
            ".",
        ])
        .current_dir(lap.path(""))
        .status();
    assert!(packed.expect("tar runs").success());
    lap.lap(["import", "--platform", "linux/amd64", "-c", "CMD [\"/tiny\"]", "root.tar", "tiny:1"]).success();
    lap.write("context/file", "copied");
    lap.write(
        "context/Dockerfile",
        "FROM tiny:1 AS copied\nCOPY file /file\nLABEL a=b\nFROM copied\nRUN [\"/tiny\"]\n",
    );
    lap.lap(["build", "--reproducible", "--target", "copied", "-t", "copied:1", "context"]).success();
    lap.lap(["build", "--reproducible", "-t", "ran:1", "context"]).success();
    lap.lap(["save", "-o", "ran.tar", "ran:1"]).success();
    let packed = Command::new("tar")
        .args([
            "--zstd",
            "--xattrs",
            "--xattrs-include=*",
            "--sort=name",
            "-cf",
            path_text(&recording()),
            "store",
        ])
        .current_dir(lap.path(""))
        .status();
    assert!(packed.expect("tar runs").success());
    for name in ["tiny:1", "copied:1", "ran:1"] {
        println!("{name} {}", lap.inspect(name, ".Id"));
    }
}

#[test]
fn a_store_of_format_1_can_be_read() {
    let lap = Environment::new();
    let unpacked = Command::new("tar")
        .args(["--zstd", "--xattrs", "--xattrs-include=*", "-xpf", path_text(&recording())])
        .current_dir(lap.path(""))
        .status();
    assert!(unpacked.expect("this test needs tar and zstd, and to be root").success());
    lap.check();
    for (name, id) in RECORDED {
        assert_eq!(lap.inspect(name, ".Id"), id, "{name}");
        lap.lap(["save", "-o", "saved.tar", name]).success();
        let other = Environment::new();
        other.lap(["load", "-i", path_text(&lap.path("saved.tar"))]).success();
        assert_eq!(other.inspect(name, ".Id"), id, "{name}, elsewhere");
    }
    if cfg!(target_arch = "x86_64") {
        assert_eq!(lap.lap(["run", "--rm", "ran:1"]).success().stdout, "it works\n");
        lap.write(
            "context/Dockerfile",
            "FROM ran:1\nCOPY --from=tiny:1 /files/gone /back\nRUN [\"/tiny\"]\n",
        );
        lap.lap(["build", "-t", "new", "context"]).success();
    }
    lap.check();
    lap.lap(["system", "prune", "-a", "-f"]).success();
    lap.check();
    assert_eq!(std::fs::read_dir(lap.store().join("layers")).expect("layers").count(), 0);
}
