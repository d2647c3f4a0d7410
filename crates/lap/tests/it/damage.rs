//! What is in the store and cannot be read any more: it is said, with its place, while `lap` works as well as when it begins.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::environment::{Environment, Ran, path_text};

/// Waits for a file of this name somewhere below a directory.
pub fn appears(directory: &Path, name: &str) -> PathBuf {
    let began = Instant::now();
    loop {
        if let Some(found) = find(directory, name) {
            return found;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "no {name} below {}", directory.display());
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn find(directory: &Path, name: &str) -> Option<PathBuf> {
    // Much of what is looked through comes and goes meanwhile, or is somebody else's.
    for entry in std::fs::read_dir(directory).ok()?.flatten() {
        let path = entry.path();
        if entry.file_name() == name {
            return Some(path);
        }
        if entry.file_type().is_ok_and(|kind| kind.is_dir())
            && let Some(found) = find(&path, name)
        {
            return Some(found);
        }
    }
    None
}

/// As a failing disk would, or a program that has no business in the store.
fn cut_short(file: &Path) {
    std::fs::set_permissions(file, PermissionsExt::from_mode(0o600)).expect("a mode");
    std::fs::File::options().write(true).open(file).and_then(|file| file.set_len(0)).expect("cut short");
}

/// Tables are mapped: what cannot be read of them is a signal while `lap` works, and an error when they are opened.
#[test]
fn a_table_that_is_cut_short() {
    let lap = Environment::with_base();
    let table = find(&lap.store().join("layers"), "table").expect("the base's table");
    lap.write("context/file", "x");
    lap.write(
        "context/Dockerfile",
        "FROM base:1\nRUN --mount=type=cache,target=/c touch /c/ready; until [ -e /c/go ]; do sleep 0.05; done\n\
         COPY --chown=app file /file\n",
    );
    let build = lap
        .command(["build", "--progress", "plain", "context"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("lap runs");
    let ready = appears(&lap.store(), "ready");
    cut_short(&table);
    std::fs::write(ready.with_file_name("go"), "").expect("a file");
    let ran = Ran::of(build.wait_with_output().expect("lap ends"));
    ran.failure(1, &["error: cannot go on: a table of the store", "hint: `lap system check`"]);
    let path = path_text(&table);
    lap.lap(["run", "--rm", "base:1", "true"]).failure(125, &["too short", path, "hint: `lap system check`"]);
    lap.lap(["build", "context"]).failure(1, &["too short", path]);
    let check = lap.lap(["system", "check"]);
    assert_eq!(check.code, 1, "{}{}", check.stdout, check.stderr);
    assert!(check.stdout.contains("table"), "{}", check.stdout);
}
