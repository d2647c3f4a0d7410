//! SIGKILL at random moments, while others work on the same store: the store is whole, nothing stays, and the same command just works.

mod copies;

use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::scope;
use std::time::{Duration, Instant};

use crate::chance::Chance;
use crate::environment::{Environment, Ran, path_text, program};
use crate::left::{assert_nothing_is_left, processes_of};

/// How many commands are hit; how many are tried in a row with the same others at work.
fn kills() -> usize {
    if std::env::var_os("LAP_TEST_ALL").is_some() { 220 } else { 20 }
}
const BATCH: usize = 6;

/// A command that is killed.
struct Victim {
    arguments: Vec<String>,
    /// How long it takes when nobody kills it.
    whole: Duration,
    /// What comes of it.
    result: Trace,
    /// What came of it when nobody disturbed it.
    expected: String,
}

/// How to see what came of a command.
enum Trace {
    /// The ID of an image.
    Image(&'static str),
    /// The digest of a file.
    File(&'static str),
    /// Its standard output.
    Said,
    /// Nothing that lasts.
    Nothing,
}

impl Victim {
    fn new(lap: &Environment, arguments: &[&str], result: Trace) -> Self {
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let mut victim = Self { arguments, whole: Duration::ZERO, result, expected: String::new() };
        let started = Instant::now();
        let ran = lap.lap(&victim.arguments).success();
        victim.whole = started.elapsed();
        victim.expected = victim.outcome(lap, &ran);
        victim
    }

    fn outcome(&self, lap: &Environment, ran: &Ran) -> String {
        match self.result {
            Trace::Image(name) => lap.inspect(name, ".Id").to_string(),
            Trace::File(name) => sha256(&std::fs::read(lap.path(name)).expect("the file is there")),
            Trace::Said => ran.stdout.clone(),
            Trace::Nothing => String::new(),
        }
    }
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A store with images, contexts and archives for everybody.
fn place() -> Environment {
    let lap = Environment::with_base();
    for index in 0..100 {
        lap.write(&format!("copies/files/{}/{index}", index % 7), vec![index as u8; 50_000]);
        lap.write(&format!("stages/files/{index}"), vec![index as u8; 9_000]);
    }
    lap.write(
        "copies/Dockerfile",
        "FROM base:1\nCOPY files /one\nCOPY --chown=1:1 files /two\nCOPY files/3 /three\n",
    );
    // What steps run says whose it is, so that a process that stays can be found.
    let marker = lap.path("").display().to_string();
    lap.write(
        "steps/Dockerfile",
        format!(
            "FROM base:1\nRUN : {marker}; cp -r /bin /again && mkdir -p /a/b/c\n\
             RUN : {marker}; rm -r /again/cat && seq 20000 >/numbers && sync\nRUN : {marker}; rm -r /a && sleep 0.02\n"
        ),
    );
    lap.write(
        "stages/Dockerfile",
        format!(
            "FROM base:1 AS a\nCOPY files /files\nRUN : {marker}; cat /files/* >/all\n\
             FROM base:1 AS b\nRUN : {marker}; seq 9999 >/numbers\n\
             FROM base:1\nCOPY --from=a /all /all\nCOPY --from=b /numbers /numbers\nRUN : {marker}; rm /numbers\n"
        ),
    );
    lap.write(
        "others/Dockerfile",
        "FROM base:1\nARG X\nCOPY Dockerfile /d\nRUN echo $X >/x\nCOPY --from=base:1 /etc /more\n",
    );
    lap
}

fn victims(lap: &Environment) -> Vec<Victim> {
    let build = |name: &'static str| {
        let arguments = ["build", "--no-cache", "--reproducible", "-t", name, name];
        Victim::new(lap, &arguments, Trace::Image(name))
    };
    let builds = [build("copies"), build("steps"), build("stages")];
    let archive = path_text(&lap.path("archive.tar")).to_owned();
    lap.lap(["save", "-o", &archive, "stages"]).success();
    let rootfs = path_text(&lap.path("base.tar")).to_owned();
    let script = format!(": {}; cp -r /bin /more; ls /more | wc -l; sleep 0.05", lap.path("").display());
    let mut victims = vec![
        Victim::new(lap, &["load", "-i", &archive], Trace::Image("stages")),
        Victim::new(lap, &["import", &rootfs, "imported"], Trace::Image("imported")),
        Victim::new(lap, &["save", "-o", "saved.tar", "copies", "base:1"], Trace::File("saved.tar")),
        Victim::new(lap, &["run", "--rm", "base:1", "sh", "-c", &script], Trace::Said),
        Victim::new(lap, &["tag", "base:1", "tagged"], Trace::Image("tagged")),
        Victim::new(lap, &["rmi", "-f", "tagged", "imported", "nothing"], Trace::Nothing),
        Victim::new(lap, &["system", "prune", "-f", "--derived"], Trace::Nothing),
    ];
    victims.extend(builds);
    victims
}

/// What others do meanwhile; all of it has to succeed.
const OTHERS: [&[&str]; 8] = [
    &["build", "-q", "-t", "other", "--build-arg", "X=1", "others"],
    &["build", "-q", "-t", "other", "--no-cache", "others"],
    &["run", "--rm", "base:1", "true"],
    &["images"],
    &["save", "-o", "other.tar", "base:1"],
    &["system", "prune", "-f"],
    &["system", "df"],
    &["import", "base.tar", "another"],
];

/// Does what others do until it is told to stop. Gives what was said.
fn work(lap: &Environment, seed: u64, stop: &AtomicBool) -> String {
    let mut chance = Chance::with_seed(seed);
    let mut said = String::new();
    while !stop.load(Ordering::Relaxed) {
        let mut arguments: Vec<String> =
            chance.one_of(&OTHERS).iter().map(|text| (*text).to_owned()).collect();
        if arguments[0] == "save" {
            arguments[2] = format!("other-{seed}.tar");
        }
        said.push_str(&lap.lap(&arguments).success().stderr);
    }
    said
}

/// Kills the command itself, or now and then what it has started.
fn kill(child: &mut Child, chance: &mut Chance) {
    let id = child.id();
    let children = std::fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
    let children: Vec<String> = children
        .filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|text| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    if !children.is_empty() && chance.below(4) == 0 {
        // It may have ended by itself since.
        let _ = std::process::Command::new("kill")
            .args(["-9", chance.one_of(&children).as_str()])
            .stderr(Stdio::null())
            .status();
    } else {
        // The same here.
        let _ = child.kill();
    }
}

#[test]
fn st_094_anything_is_killed_while_others_work() {
    let mut chance = Chance::new();
    let lap = place();
    let victims = victims(&lap);
    let (mut done, mut said, mut hits) = (0, String::new(), 0);
    while hits < kills() {
        let stop = AtomicBool::new(false);
        let others: Vec<u64> = (0..=chance.below(3)).map(|_| chance.below(u64::MAX)).collect();
        scope(|threads| {
            let others: Vec<_> =
                others.iter().map(|seed| threads.spawn(|| work(&lap, *seed, &stop))).collect();
            let killed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                for round in done..done + BATCH {
                    // Everything has its turn.
                    let victim = &victims[(round + done / victims.len()) % victims.len()];
                    hits += usize::from(kill_once(&lap, victim, &mut chance, &mut said));
                }
            }));
            stop.store(true, Ordering::Relaxed);
            for other in others {
                said.push_str(&other.join().expect("what others do succeeds"));
            }
            killed.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        });
        done += BATCH;
        assert!(hits * 4 > done, "too many ended before they were killed: {hits} of {done} were hit");
        assert_nothing_is_left(&lap);
    }
    let check = lap.lap(["system", "check"]).success();
    said.push_str(&check.stderr);
    assert!(said.contains("note: cleared what an interrupted lap left behind: "), "{said}");
}

/// Kills a command once, and lets it work the second time. Whether it was hit.
fn kill_once(lap: &Environment, victim: &Victim, chance: &mut Chance, said: &mut String) -> bool {
    let mut child =
        lap.command(&victim.arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("lap runs");
    std::thread::sleep(victim.whole.mul_f64(chance.below(1000) as f64 / 1000.0));
    kill(&mut child, chance);
    let ended = child.wait().expect("it ends");
    let quick: &[&str] = if chance.below(4) == 0 { &[] } else { &["--quick"] };
    let check = lap.lap([&["system", "check"], quick].concat());
    assert_eq!(check.code, 0, "after {:?}:\n{}{}", victim.arguments, check.stdout, check.stderr);
    said.push_str(&check.stderr);
    let again = lap.lap(&victim.arguments);
    assert_eq!(again.code, 0, "{:?}\n{}", victim.arguments, again.stderr);
    said.push_str(&again.stderr);
    assert_eq!(victim.outcome(lap, &again), victim.expected, "{:?}", victim.arguments);
    ended.signal() == Some(9) || !ended.success()
}

#[test]
fn a_store_that_is_just_being_made() {
    let mut chance = Chance::new();
    for _ in 0..kills() {
        let lap = Environment::new();
        let making: Vec<Child> =
            (0..=chance.below(2)).map(|_| lap.command(["images", "-q"]).spawn().expect("lap runs")).collect();
        std::thread::sleep(Duration::from_micros(chance.below(12_000)));
        for mut making in making {
            // It may be done.
            let _ = making.kill();
            making.wait().expect("it ends");
        }
        lap.lap(["images"]).success();
        lap.check();
        assert_nothing_is_left(&lap);
    }
}

/// Starts a build whose step waits, and kills it there.
fn killed_in_a_step(lap: &Environment) {
    use std::io::BufRead;
    lap.write("context/Dockerfile", "FROM base:1\nRUN seq 9 >/left; echo read''y; sleep 1000\n");
    let mut build = lap
        .command(["build", "--progress", "plain", "context"])
        .stderr(Stdio::piped())
        .spawn()
        .expect("lap runs");
    let mut log = std::io::BufReader::new(build.stderr.take().expect("a pipe"));
    let mut line = String::new();
    while !line.contains("ready") {
        line.clear();
        assert_ne!(log.read_line(&mut line).expect("a line"), 0, "it never said so");
    }
    build.kill().expect("it is killed");
    build.wait().expect("it ends");
    drop(log);
    while !processes_of(&lap.path("")).is_empty() {
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn the_next_command_says_once_what_it_cleared() {
    let lap = Environment::with_base();
    const WORDS: &str = "cleared what an interrupted lap left behind: ";
    killed_in_a_step(&lap);
    let first = lap.lap(["images"]).success();
    assert_eq!(first.stderr.matches(&format!("note: {WORDS}")).count(), 1, "{}", first.stderr);
    assert_eq!(lap.lap(["images"]).success().stderr, "");
    for quiet in [&["images", "-q"][..], &["load", "-q", "-i", "app.tar"], &["build", "-q", "empty"]] {
        if !lap.path("app.tar").exists() {
            lap.write("empty/Dockerfile", "FROM base:1\nLABEL a=b\n");
            lap.lap(["save", "-o", "app.tar", "base:1"]).success();
        }
        killed_in_a_step(&lap);
        assert_eq!(lap.lap(quiet).success().stderr, "", "{quiet:?}");
    }
    killed_in_a_step(&lap);
    let json = lap.lap(["import", "--progress", "json", "base.tar", "base:2"]).success().stderr;
    let lines: Vec<serde_json::Value> =
        json.lines().map(|line| serde_json::from_str(line).expect("nothing but JSON")).collect();
    assert!(lines[0]["note"]["text"].as_str().expect("a note").starts_with(WORDS), "{json}");
    assert_nothing_is_left(&lap);
}

#[test]
fn a_signal_in_the_middle_of_a_step_leaves_nothing() {
    use std::io::BufRead;
    let lap = Environment::with_base();
    lap.write("context/Dockerfile", "FROM base:1\nRUN trap '' INT TERM HUP; echo read''y; sleep 1000\n");
    for signal in ["INT", "TERM", "HUP"] {
        // Whoever runs the tests may ignore hangups (nohup), and lap respects that.
        let mut build = std::process::Command::new("env")
            .arg("--default-signal=HUP")
            .arg(program())
            .args(["build", "--progress", "plain", "context"])
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
    assert_nothing_is_left(&lap);
}
