//! SIGKILL at any instant: the store is whole, nothing stays, and the next command just works.

use std::process::Stdio;
use std::time::Duration;

use crate::environment::{Environment, path_text};

/// How often each command is killed.
fn rounds() -> u32 {
    if std::env::var_os("LAP_TEST_ALL").is_some() { 40 } else { 4 }
}

/// Starts the command again and again, and kills it a little later each time.
fn kill_often(lap: &Environment, arguments: &[&str], whole: Duration) {
    for round in 0..rounds() {
        let mut child =
            lap.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("lap runs");
        std::thread::sleep(whole * (round + 1) / (rounds() + 1));
        // It may have ended by itself; then there is nothing to kill.
        let _ = child.kill();
        child.wait().expect("lap ends");
    }
}

fn mounts_of(lap: &Environment) -> String {
    let mounts = std::fs::read_to_string("/proc/self/mounts").expect("mounts");
    let directory = lap.path("").display().to_string();
    mounts.lines().filter(|line| line.contains(directory.trim_end_matches('/'))).collect()
}

/// The processes whose command line has this in it, once those that were killed have had a moment to end.
fn processes_of(marker: &str) -> String {
    let find = || -> String {
        let processes = std::fs::read_dir("/proc").expect("processes").flatten();
        let lines = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
        lines
            .map(|line| String::from_utf8_lossy(&line).into_owned())
            .filter(|line| line.contains(marker))
            .collect()
    };
    for _ in 0..50 {
        if find().is_empty() {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    find()
}

#[test]
fn build_load_import_prune_and_run() {
    let lap = Environment::with_base();
    for index in 0..200 {
        lap.write(&format!("context/files/{index}"), vec![index as u8; 20_000]);
    }
    // What steps run says whose it is, so that a process that stays can be found.
    let marker = lap.path("").display().to_string();
    let steps = format!("RUN : {marker}; cp -r /files /again && sync\nRUN : {marker}; rm -r /files\n");
    lap.write("context/Dockerfile", format!("FROM base:1\nCOPY files /files\n{steps}"));
    let build = ["build", "-t", "app", "--no-cache", "context"];
    let started = std::time::Instant::now();
    lap.lap(build).success();
    let whole = started.elapsed();
    kill_often(&lap, &build, whole);
    lap.lap(build).success();
    lap.check();

    let archive = lap.path("app.tar");
    lap.lap(["save", "-o", path_text(&archive), "app"]).success();
    let other = Environment::new();
    kill_often(&other, &["load", "-i", path_text(&archive)], whole);
    other.lap(["load", "-i", path_text(&archive)]).success();
    let script = format!(": {marker}; cp -r /again /more; sleep 5");
    kill_often(&other, &["run", "--rm", "app", "sh", "-c", &script], whole);
    kill_often(&other, &["system", "prune", "-f", "--derived"], Duration::from_millis(100));
    kill_often(&other, &["import", path_text(&archive), "imported"], Duration::from_millis(100));
    assert_eq!(other.sh("app", "ls /again | wc -l"), "200\n");
    other.check();

    assert_eq!(processes_of(&marker), "");
    assert_eq!(mounts_of(&lap), "");
    assert_eq!(mounts_of(&other), "");
    for environment in [&lap, &other] {
        let left: Vec<_> = std::fs::read_dir(environment.store().join("tmp")).expect("tmp").collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn a_signal_in_the_middle_of_a_step_leaves_nothing() {
    use std::io::BufRead;
    let lap = Environment::with_base();
    lap.write("context/Dockerfile", "FROM base:1\nRUN trap '' INT TERM HUP; echo read''y; sleep 1000\n");
    for signal in ["INT", "TERM", "HUP"] {
        // Whoever runs the tests may ignore hangups (nohup), and lap respects that.
        let program = env!("CARGO_BIN_EXE_lap");
        let mut build = std::process::Command::new("env")
            .args(["--default-signal=HUP", program, "build", "--progress", "plain", "context"])
            .current_dir(lap.path(""))
            .env("LAPSTRAKE_ROOT", lap.store())
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("env runs lap");
        let mut log = std::io::BufReader::new(build.stderr.take().expect("a pipe"));
        let mut line = String::new();
        while !line.contains("ready") {
            line.clear();
            assert_ne!(log.read_line(&mut line).expect("a line"), 0, "it never said so");
        }
        let killed =
            std::process::Command::new("kill").args(["-s", signal, &build.id().to_string()]).status();
        assert!(killed.expect("kill").success());
        let rest = std::io::read_to_string(log).expect("the rest");
        assert_eq!(build.wait().expect("an end").code(), Some(130), "{signal}: {rest}");
        assert!(rest.contains("cancelled"), "{rest}");
        let left: Vec<_> = std::fs::read_dir(lap.store().join("tmp")).expect("tmp").collect();
        assert!(left.is_empty(), "{signal}: {left:?}");
    }
    assert_eq!(mounts_of(&lap), "");
}
