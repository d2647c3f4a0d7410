//! A clock that is wrong, or jumps: nobody's life depends on it, and nothing in a digest does.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::environment::{Environment, Ran, path_text, tool};

/// Gives programs another clock: the standard library asks the C library for the time, so this catches all of it.
const SHIM: &str = r#"
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t clock, struct timespec *time) {
    static long calls;
    long result = syscall(SYS_clock_gettime, clock, time);
    const char *offset = getenv("LAP_TEST_CLOCK");
    if (clock != CLOCK_REALTIME || !offset) return result;
    if (!strcmp(offset, "stopped")) { time->tv_sec = 1000000000; time->tv_nsec = 0; }
    else if (!strcmp(offset, "jumps")) time->tv_sec += ++calls % 2 ? 1000000000 : -1000000000;
    else time->tv_sec += atoll(offset);
    return result;
}
"#;

/// Clocks: seconds from the right time, or what the shim knows by name.
const CLOCKS: [&str; 8] =
    ["-3600", "3600", "-1000000000", "-9000000000", "100000000000", "1000000000000000", "jumps", "stopped"];

struct Clock {
    lap: Environment,
    shim: PathBuf,
}

impl Clock {
    fn new() -> Self {
        let lap = Environment::with_base();
        let (source, shim) = (lap.write("shim.c", SHIM), lap.path("shim.so"));
        let compiled = Command::new(tool("gcc", "gcc"))
            .args(["-shared", "-fPIC", "-O1", "-o", path_text(&shim), path_text(&source)])
            .status();
        assert!(compiled.expect("gcc runs").success());
        Self { lap, shim }
    }

    fn command(&self, clock: &str, arguments: &[&str]) -> Command {
        let mut command = self.lap.command(arguments);
        command.env("LD_PRELOAD", &self.shim).env("LAP_TEST_CLOCK", clock);
        command
    }

    fn lap(&self, clock: &str, arguments: &[&str]) -> Ran {
        Ran::of(self.command(clock, arguments).output().expect("lap runs"))
    }
}

#[test]
fn the_same_images_whatever_the_clock_says() {
    let clock = Clock::new();
    let lap = &clock.lap;
    // Times of files that no sane clock gives; a filesystem may keep something nearer.
    for (index, time) in
        ["-1000000000", "0", "1", "4294967296", "253402300800", "1000000000000000"].iter().enumerate()
    {
        let file = lap.write(&format!("context/files/{index}"), format!("file {index}"));
        let touched = Command::new("touch").args(["-d", &format!("@{time}"), path_text(&file)]).status();
        assert!(touched.expect("touch runs").success() || index == 5, "{time}");
    }
    lap.write("context/Dockerfile", "FROM base:1\nCOPY files /files\nRUN seq 99 >/numbers; rm /files/0\n");
    let build = ["build", "--reproducible", "--no-cache", "-q", "-t", "app", "context"];
    let expected = lap.lap(build).success().stdout;
    lap.lap(["save", "-o", "app.tar", "app"]).success();
    let saved = std::fs::read(lap.path("app.tar")).expect("an archive");
    for time in CLOCKS {
        let json = clock.lap(time, &["import", "--progress", "json", "base.tar", "other"]).success().stderr;
        let event: serde_json::Value =
            serde_json::from_str(json.lines().next().expect("an event")).expect("JSON");
        let said = event["vertex"]["started"].as_f64().expect("a time");
        let now =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("now").as_secs_f64();
        assert!((said - now).abs() > 3000.0, "the clock is not another one: {json}");
        assert_eq!(clock.lap(time, &build).success().stdout, expected, "{time}");
        let cached = clock.lap(time, &["build", "--reproducible", "-q", "-t", "app", "context"]);
        assert_eq!(cached.success().stdout, expected, "{time}");
        clock.lap(time, &["save", "-o", "again.tar", "app"]).success();
        assert!(std::fs::read(lap.path("again.tar")).expect("an archive") == saved, "{time}");
        for arguments in [
            &["run", "--rm", "app", "ls", "/files"][..],
            &["images"],
            &["history", "app"],
            &["load", "-i", "app.tar"],
            &["tag", "app", "again"],
            &["system", "df"],
            &["system", "prune", "-f", "--derived"],
            &["system", "check"],
        ] {
            clock.lap(time, arguments).success();
        }
        // What was written with a wrong clock is read with the right one.
        lap.lap(["images"]).success();
        lap.check();
    }
}

#[test]
fn who_lives_is_not_decided_by_clocks() {
    use std::io::BufRead;
    let clock = Clock::new();
    let lap = &clock.lap;
    lap.write("waiting/Dockerfile", "FROM base:1\nCOPY one /\nRUN echo read''y; sleep 1; test -e /one\n");
    lap.write("waiting/one", "1");
    for (time, others) in
        [("-1000000000", "1000000000"), ("1000000000", "-1000000000"), ("stopped", "stopped")]
    {
        let mut build = clock
            .command(time, &["build", "--no-cache", "--progress", "plain", "-t", "late", "waiting"])
            .stderr(Stdio::piped())
            .spawn()
            .expect("lap runs");
        let mut log = std::io::BufReader::new(build.stderr.take().expect("a pipe"));
        let mut line = String::new();
        while !line.contains("ready") {
            line.clear();
            assert_ne!(log.read_line(&mut line).expect("a line"), 0, "it never said so");
        }
        let pruned = clock.lap(others, &["system", "prune", "-f", "--derived"]).success();
        assert!(!pruned.stderr.contains("interrupted"), "{}", pruned.stderr);
        clock.lap(others, &["images"]).success();
        let rest = std::io::read_to_string(log).expect("the rest");
        assert!(build.wait().expect("an end").success(), "{rest}");
        assert_eq!(lap.sh("late", "cat /one"), "1");
        lap.check();
    }
}

#[test]
fn a_changed_file_is_seen_whatever_the_clock_says() {
    let clock = Clock::new();
    let lap = &clock.lap;
    lap.write("context/Dockerfile", "FROM base:1\nCOPY file /\n");
    let file = lap.path("context/file");
    for (round, time) in
        ["-3600", "3600", "-100000000", "stopped", "jumps", "0"].iter().cycle().take(24).enumerate()
    {
        // The same size, and the same time.
        std::fs::write(&file, format!("{round:4}")).expect("written");
        let touched = Command::new("touch").args(["-d", "@1000000000", path_text(&file)]).status();
        assert!(touched.expect("touch runs").success());
        clock.lap(time, &["build", "-t", "app", "context"]).success();
        assert_eq!(lap.sh("app", "cat /file"), format!("{round:4}"), "{time}");
    }
}
