//! Errors of the system, injected: any write, sync, rename, creation or read may fail, and what is said of it is a sentence; the store is
//! whole, and the same command just works when it is repeated.
//!
//! `strace` injects them, for nothing else catches what is called without the C library. It counts the calls of each
//! thread by itself.

use std::collections::HashMap;
use std::process::Command;

use crate::chance::Chance;
use crate::environment::{Environment, Ran, path_text, tool};

/// Calls, and the error that they give.
const SORTS: &[(&str, &str)] = &[
    ("write,pwrite64,writev", "ENOSPC"),
    ("write,pwrite64,writev", "EDQUOT"),
    ("fsync,fdatasync,syncfs", "EIO"),
    ("rename,renameat,renameat2", "ENOSPC"),
    ("mkdir,mkdirat", "ENOSPC"),
    ("link,linkat,symlink,symlinkat,mknodat", "ENOSPC"),
    ("open,openat", "ENOSPC"),
    ("copy_file_range,sendfile,ftruncate,fallocate", "ENOSPC"),
    ("setxattr,fsetxattr,lsetxattr,chmod,fchmod,fchown,fchownat,utimensat", "ENOSPC"),
    ("unlink,unlinkat,rmdir", "EIO"),
    ("read,pread64,readv,getdents64", "EIO"),
];

/// How many calls of each sort fail in the short run: all of them would take minutes.
const SAMPLE: u64 = 2;

/// What is done to a command.
struct Blow<'a> {
    calls: &'a str,
    error: &'a str,
    /// Which calls of every thread: `7`, or `7+` for all from the seventh on.
    when: String,
}

/// A place for many attempts: the store is as it was for each.
struct Place {
    lap: Environment,
    arguments: Vec<String>,
    expected: HashMap<String, String>,
}

impl Place {
    /// With what everybody needs in the store, and the command.
    fn new(prepare: impl FnOnce(&Environment), arguments: &[&str]) -> Self {
        let lap = Environment::with_base();
        for index in 0..5 {
            lap.write(&format!("context/files/{index}"), vec![index; 30_000]);
        }
        lap.write(
            "context/Dockerfile",
            "FROM base:1 AS a\nCOPY files /files\nRUN rm /files/1; cat /files/* >/all; ln -s all /link\n\
             FROM base:1\nCOPY --from=a /files /x\nRUN rm /x/2\n",
        );
        prepare(&lap);
        copy(&lap, "store", "template");
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let mut place = Self { lap, arguments, expected: HashMap::new() };
        place.lap.lap(&place.arguments).success();
        place.expected = place.images();
        place
    }

    /// Names and IDs.
    fn images(&self) -> HashMap<String, String> {
        let said = self.lap.lap(["images", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"]);
        let lines = said.success().stdout;
        lines
            .lines()
            .filter_map(|line| line.split_once(' '))
            .map(|(name, id)| (name.into(), id.into()))
            .collect()
    }

    fn reset(&self) {
        std::fs::remove_dir_all(self.lap.store()).expect("the store is removed");
        copy(&self.lap, "template", "store");
    }

    fn traced(&self, options: &[&str]) -> Ran {
        let plain = self.lap.command(&self.arguments);
        let mut strace = Command::new(tool("strace", "strace"));
        strace.args(["-f", "-qq", "-o", path_text(&self.lap.path("trace"))]).args(options);
        strace.arg(plain.get_program()).args(plain.get_args()).current_dir(self.lap.path(""));
        for (name, value) in plain.get_envs() {
            match value {
                Some(value) => strace.env(name, value),
                None => strace.env_remove(name),
            };
        }
        Ran::of(strace.stdin(std::process::Stdio::null()).output().expect("strace runs"))
    }

    /// How many such calls the busiest thread makes.
    fn count(&self, calls: &str) -> u64 {
        self.reset();
        self.traced(&["-e", &format!("trace={calls}"), "-e", "signal=none"]).success();
        let trace = std::fs::read(self.lap.path("trace")).expect("a trace");
        let mut counts: HashMap<String, u64> = HashMap::new();
        for line in String::from_utf8_lossy(&trace).lines().filter(|line| !line.contains(" resumed>")) {
            *counts.entry(line.split(' ').next().unwrap_or_default().to_owned()).or_default() += 1;
        }
        counts.into_values().max().unwrap_or(0)
    }

    /// Lets the command fail, or not notice, and gives what is wrong with how that went.
    fn try_one(&self, blow: &Blow<'_>) -> Option<String> {
        let Blow { calls, error, when } = blow;
        self.reset();
        let inject = format!("inject={calls}:error={error}:when={when}");
        let ran = self.traced(&["-e", &format!("trace={calls}"), "-e", &inject, "-e", "signal=none"]);
        let failed = || format!("{:?} with {inject}: code {}\n{}", self.arguments, ran.code, ran.stderr);
        if ran.code == 127 && ran.stderr.contains("shared librar") {
            // It was not started at all.
            return None;
        }
        let wrong = wrong_with(&ran, blow).map(|reason| format!("{reason}: {}", failed()));
        let check = self.lap.lap(["system", "check"]);
        if check.code != 0 {
            return Some(format!("the store is damaged: {}{}\n{}", check.stdout, check.stderr, failed()));
        }
        let again = self.lap.lap(&self.arguments);
        if again.code != 0 || self.images() != self.expected {
            return Some(format!("it does not work again: {}\n{}", again.stderr, failed()));
        }
        for directory in ["tmp", "trash", "leases", "steps"] {
            if std::fs::read_dir(self.lap.store().join(directory)).expect("a directory").count() > 0 {
                return Some(format!("something stays in {directory}: {}", failed()));
            }
        }
        wrong
    }

    /// Tries many, and says all that is wrong.
    #[expect(clippy::print_stdout, reason = "shown when the test fails, or when asked for")]
    fn try_all(&self) {
        let mut chance = Chance::new();
        let all = std::env::var_os("LAP_TEST_ALL").is_some();
        let mut wrong = Vec::new();
        let mut tried = 0;
        for (calls, error) in SORTS {
            let count = self.count(calls);
            let numbers: Vec<u64> = match all {
                true => (1..=count).collect(),
                false => (0..SAMPLE.min(count)).map(|_| 1 + chance.below(count)).collect(),
            };
            for number in numbers {
                for when in [number.to_string(), format!("{number}+")] {
                    if all || chance.below(2) == 0 {
                        wrong.extend(self.try_one(&Blow { calls, error, when }));
                        tried += 1;
                    }
                }
            }
        }
        println!("{:?}: {tried} errors injected", self.arguments);
        assert!(wrong.is_empty(), "{} of {tried}:\n{}", wrong.len(), wrong.join("\n\n"));
    }
}

fn copy(lap: &Environment, from: &str, to: &str) {
    let copied = Command::new("cp").args(["-a", from, to]).current_dir(lap.path("")).status();
    assert!(copied.expect("cp runs").success());
}

/// What is wrong with how a command ended: it has to say what failed, where and why, and what to do.
fn wrong_with(ran: &Ran, blow: &Blow<'_>) -> Option<&'static str> {
    if ran.stderr.contains("panicked") || !matches!(ran.code, 0 | 1 | 125 | 126 | 127) {
        return Some("not an error that was thought of");
    }
    // Where everything that is written fails, nothing can be said.
    let is_mute = blow.calls.contains("write") && !ran.stderr.contains("error: ");
    // A program of the image says itself what it cannot do.
    let is_inside = ran.stderr.contains("exit code: ");
    if ran.code == 0 || is_mute || is_inside {
        return None;
    }
    let Some(line) = ran.stderr.lines().find(|line| line.starts_with("error: ")) else {
        return Some("no error is said");
    };
    if !line.contains("cannot ") {
        return Some("it does not say what it could not do");
    }
    let is_full = line.contains("No space left") || line.contains("quota exceeded");
    if is_full && !ran.stderr.contains("hint: ") {
        return Some("it does not say what to do");
    }
    None
}

#[test]
fn any_call_of_a_build_fails() {
    Place::new(
        |_| {},
        &["build", "--no-cache", "--reproducible", "--progress", "plain", "-t", "app", "context"],
    )
    .try_all();
}

#[test]
fn any_call_of_a_load_fails() {
    let prepare = |lap: &Environment| {
        lap.built("FROM base:1\nCOPY files /\n");
        lap.lap(["save", "-o", "app.tar", "app"]).success();
        lap.lap(["rmi", "-f", "app"]).success();
        lap.lap(["system", "prune", "-f"]).success();
    };
    Place::new(prepare, &["load", "-i", "app.tar"]).try_all();
}

#[test]
fn any_call_of_an_import_fails() {
    Place::new(|_| {}, &["import", "-m", "other", "base.tar", "base:2"]).try_all();
}

#[test]
fn any_call_of_a_save_fails() {
    Place::new(|_| {}, &["save", "-o", "out.tar", "base:1"]).try_all();
}

#[test]
fn any_call_of_a_run_fails() {
    Place::new(|_| {}, &["run", "--rm", "base:1", "sh", "-c", "echo a >/b; mkdir /c"]).try_all();
}

#[test]
fn any_call_of_removing_fails() {
    let prepare = |lap: &Environment| lap.built("FROM base:1\nCOPY files /\nRUN rm /1\n");
    Place::new(prepare, &["system", "prune", "-a", "-f"]).try_all();
    Place::new(prepare, &["rmi", "-f", "app"]).try_all();
    Place::new(prepare, &["tag", "app", "again"]).try_all();
}
