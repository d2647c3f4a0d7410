//! Disks that are full in any phase, or cannot be written.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::environment::{Environment, Ran, path_text, program};
use crate::registries::import_large;
use crate::serve::Served;

/// Something that is mounted as long as this lives.
struct Mount(PathBuf);

impl Mount {
    fn new(arguments: &[&str], place: &Path) -> Self {
        std::fs::create_dir_all(place).expect("a directory");
        mount(arguments, place);
        Self(place.to_owned())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Whatever happened in the test matters more.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn mount(arguments: &[&str], place: &Path) {
    let mounted = Command::new("mount").args(arguments).arg(place).status();
    assert!(mounted.expect("this test needs mount, and to be root").success(), "{arguments:?}");
}

/// Commands that write a lot, in an order in which each needs the one before.
const COMMANDS: [&[&str]; 6] = [
    &["import", "base.tar", "base:1"],
    &["build", "--no-cache", "-t", "copied", "copied"],
    &["build", "--no-cache", "-t", "app", "context"],
    &["save", "-o", "small/out.tar", "app"],
    &["run", "--rm", "app", "sh", "-c", "cp /bin/busybox /other"],
    &["load", "-i", "base-saved.tar"],
];

fn environment() -> Environment {
    let lap = Environment::with_base();
    for index in 0..60 {
        lap.write(&format!("context/files/{index}"), vec![index; 9_000]);
        lap.write(&format!("copied/files/{index}"), vec![index; 9_000]);
    }
    lap.write("copied/Dockerfile", "FROM base:1\nCOPY files /files\n");
    lap.write("context/Dockerfile", "FROM base:1\nCOPY files /files\nRUN cp -r /files /again; rm /files/1\n");
    lap.lap(["save", "-o", "base-saved.tar", "base:1"]).success();
    lap
}

impl Environment {
    /// Runs the command on the store in `small`.
    fn in_small(&self, arguments: &[&str]) -> Ran {
        self.lap([&["--root", "small/store"], arguments].concat())
    }
}

/// It works, or says in a sentence that there is no room, and what to do.
fn works_or_is_full(ran: &Ran, what: &str) -> bool {
    if ran.code == 0 {
        return false;
    }
    assert!(matches!(ran.code, 1 | 125), "{what}: code {}\n{}", ran.code, ran.stderr);
    let missing =
        ["there is no image", "base:1 is not in the store", "cannot get the base image", "cannot reach "];
    if missing.iter().any(|words| ran.stderr.contains(words)) {
        // What makes it met the full disk.
        return true;
    }
    if ran.stderr.contains("exit code: ") || what.starts_with("run") && ran.code == 1 {
        // What a command of the image says of its full disk.
        assert!(ran.stderr.contains("No space left on device"), "{what}: {}", ran.stderr);
        return true;
    }
    let said =
        ["error: cannot ", "No space left on device", " on the disk of ", "lap system prune", "--root"];
    let excerpt = ran.stderr.contains("Dockerfile:");
    for words in said.iter().skip(usize::from(excerpt)) {
        assert!(ran.stderr.contains(words), "{what}: {words:?} is not in:\n{}", ran.stderr);
    }
    true
}

#[test]
fn a_disk_that_is_full_in_any_phase() {
    let lap = environment();
    let small = lap.path("small");
    let sizes: &[u32] = match std::env::var_os("LAP_TEST_ALL") {
        Some(_) => &[
            16, 64, 256, 1000, 1900, 2100, 2300, 2600, 2900, 3200, 3600, 4000, 4400, 4800, 5200, 5600, 6500,
            7500, 9000,
        ],
        None => &[16, 256, 1900, 2300, 2900, 3600, 4400, 5600, 7500],
    };
    let mut full = 0;
    for size in sizes {
        let _mount = Mount::new(&["-t", "tmpfs", "-o", &format!("size={size}k"), "none"], &small);
        for command in COMMANDS {
            let ran = lap.in_small(command);
            full += u32::from(works_or_is_full(&ran, &format!("{} in {size}k", command.join(" "))));
            let check = lap.in_small(&["system", "check"]);
            works_or_is_full(&check, "check");
            assert!(!check.stderr.contains("damage"), "{}{}", check.stdout, check.stderr);
        }
        mount(&["-o", "remount,size=64m"], &small);
        for command in COMMANDS {
            lap.in_small(command).success();
        }
        lap.in_small(&["system", "check"]).success();
    }
    assert!(full > 20, "only {full} commands met a full disk");
}

#[test]
fn st_033_a_layout_on_a_full_disk_stays_whole() {
    let lap = environment();
    let small = lap.path("small");
    let _mount = Mount::new(&["-t", "tmpfs", "-o", "size=300k", "none"], &small);
    lap.write("context/Dockerfile", "FROM scratch\nCOPY files/1 /file\n");
    lap.lap(["build", "-t", "little", "context"]).success();
    lap.lap(["copy", "store:little", "oci:small/layout:1"]).success();
    let index = || std::fs::read(small.join("layout/index.json")).expect("an index");
    let before = index();
    let on_small = format!("are free on the disk of {}", small.display());
    lap.lap(["copy", "store:base:1", "oci-archive:small/base.tar"]).failure(
        1,
        &["cannot write the archive: cannot write small/base.tar: No space left on device", &on_small],
    );
    let said =
        ["cannot write the OCI image layout small/layout", "No space left on device", "free some room"];
    lap.lap(["copy", "store:base:1", "oci:small/layout:2"]).failure(1, &said);
    assert_eq!(index(), before);
    lap.lap(["copy", "oci:small/layout:1", "store:again"]).success();
    mount(&["-o", "remount,size=64m"], &small);
    lap.lap(["copy", "store:base:1", "oci:small/layout:2"]).success();
    assert_ne!(index(), before);
}

#[test]
fn a_disk_without_room_for_another_file() {
    let lap = environment();
    let small = lap.path("small");
    let _mount = Mount::new(&["-t", "tmpfs", "-o", "size=64m,nr_inodes=60", "none"], &small);
    lap.in_small(COMMANDS[0]).success();
    let built = lap.in_small(COMMANDS[2]);
    built.failure(
        1,
        &["No space left on device", " of 60 files are free on the disk of ", "lap system prune"],
    );
    lap.in_small(&["system", "check"]).success();
    // What is to give room again must not need any.
    let mut fillers = 0;
    while std::fs::write(small.join(format!("filler-{fillers}")), "").is_ok() {
        fillers += 1;
    }
    lap.in_small(&["images"]).success();
    lap.in_small(&["system", "df"]).success();
    lap.in_small(&["system", "prune", "-a", "-f"]).success();
    assert_eq!(std::fs::read_dir(small.join("store/blobs/sha256")).expect("blobs").count(), 0);
    assert_eq!(std::fs::read_dir(small.join("store/trash")).expect("trash").count(), 0);
    lap.in_small(&["system", "check"]).success();
}

#[test]
fn a_full_disk_can_be_pruned() {
    let lap = environment();
    let small = lap.path("small");
    let _mount = Mount::new(&["-t", "tmpfs", "-o", "size=24m", "none"], &small);
    for command in COMMANDS {
        lap.in_small(command).success();
    }
    let filled = std::fs::write(small.join("filler"), vec![1; 24 << 20]);
    assert_eq!(filled.expect_err("no room").kind(), std::io::ErrorKind::StorageFull);
    let mut byte = 0;
    while std::fs::write(small.join(format!("filler-{byte}")), [1]).is_ok() {
        byte += 1;
    }
    for command in [&["images"][..], &["system", "df"], &["inspect", "app"], &["history", "app"]] {
        lap.in_small(command).success();
    }
    works_or_is_full(&lap.in_small(COMMANDS[2]), "a build");
    lap.in_small(&["system", "prune", "-a", "-f"]).success();
    lap.in_small(COMMANDS[0]).success();
    lap.in_small(&["system", "check"]).success();
}

#[test]
fn a_read_only_store_can_be_read_and_says_why_it_cannot_be_written() {
    let lap = environment();
    lap.lap(COMMANDS[2]).success();
    let store = lap.store();
    let _mount = Mount::new(&["--bind", path_text(&store)], &store);
    mount(&["-o", "remount,bind,ro"], &store);
    let reading: [&[&str]; 7] = [
        &["images"],
        &["inspect", "app"],
        &["history", "app"],
        &["system", "df"],
        &["system", "check"],
        &["save", "--compression", "uncompressed", "-o", "read.tar", "base:1"],
        &["system", "prune", "--dry-run"],
    ];
    for command in reading {
        lap.lap(command).success();
    }
    let writing: [(&[&str], i32); 7] = [
        (&["build", "--no-cache", "context"], 1),
        (&["load", "-i", "base-saved.tar"], 1),
        (&["import", "-m", "new", "base.tar", "base:2"], 1),
        (&["tag", "app", "other"], 1),
        (&["rmi", "-f", "app"], 1),
        (&["system", "prune", "-f"], 1),
        (&["run", "--rm", "app", "true"], 125),
    ];
    for (command, code) in writing {
        let ran = lap.lap(command);
        assert!(ran.stderr.contains("Read-only file system"), "{command:?}: {}", ran.stderr);
        ran.failure(code, &["cannot ", "--root"]);
    }
}

#[test]
fn a_store_of_somebody_else_is_one_sentence() {
    let lap = environment();
    let place = lap.path("public");
    std::fs::create_dir(&place).expect("a directory");
    for directory in [lap.path(""), place.clone()] {
        std::fs::set_permissions(directory, PermissionsExt::from_mode(0o755)).expect("a mode");
    }
    std::fs::copy(program(), place.join("lap")).expect("a copy");
    for command in [&["images"][..], &["import", "base.tar", "x"], &["system", "prune", "-f"]] {
        let mut other = Command::new(place.join("lap"));
        other.args(command).env("LAPSTRAKE_ROOT", lap.store()).current_dir(lap.path(""));
        let ran = Ran::of(other.uid(65534).gid(65534).output().expect("lap runs"));
        ran.failure(1, &["error: cannot ", "/store", "Permission denied"]);
    }
    lap.check();
}

#[test]
fn a_pull_onto_a_full_disk_names_the_file_and_the_disk() {
    let lap = Environment::new();
    let served = Served::start(&lap, 0, &[]);
    import_large(&lap, "large", 20_000_000);
    let small = lap.path("small");
    let _mount = Mount::new(&["-t", "tmpfs", "-o", "size=8m", "tmpfs"], &small);
    let pulled = lap.in_small(&["pull", "-q", &served.name("large")]);
    assert!(!pulled.stderr.contains("a blob of the layer"), "{}", pulled.stderr);
    let on_small = format!("are free on the disk of {}", small.display());
    pulled.failure(1, &[": cannot write ", "/small/store/partial/", "No space left on device", &on_small]);
    served.stop();
}

#[test]
fn a_registry_that_is_full_says_so_to_who_pushes_and_goes_on_when_there_is_room() {
    let lap = Environment::with_base();
    let small = lap.path("small");
    let _mount = Mount::new(&["-t", "tmpfs", "-o", "size=8m", "tmpfs"], &small);
    let served = Served::start(&lap, 0, &["--root", "small/store"]);
    let name = served.name("large:1");
    import_large(&lap, "large", 20_000_000);
    lap.lap(["tag", "large", &name]).success();
    let refused = lap.lap(["push", "-q", &name]);
    let said = refused.stderr.replace(served.name("").trim_end_matches('/'), "HOST");
    let error: String =
        said.lines().filter(|line| line.starts_with("error: ") || line.starts_with("hint: ")).collect();
    for words in ["HOST", "507", "hint: the registry has no room for it"] {
        assert!(error.contains(words), "{words:?} is not in:\n{said}");
    }
    assert_eq!(refused.code, 1, "{said}");
    // What is there can be read still, and a smaller image finds room.
    let other = served.name("base:1");
    lap.lap(["tag", "base:1", &other]).success();
    mount(&["-o", "remount,size=64m"], &small);
    lap.lap(["push", "-q", &other]).success();
    lap.lap(["push", "-q", &name]).success();
}
