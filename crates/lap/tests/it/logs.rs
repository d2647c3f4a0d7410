//! What steps write: shown whole, kept whole, in little memory.

use std::fs::{self, File};

use crate::environment::Environment;
use crate::peak;

/// How much a step writes.
const BYTES: u64 = 100_000_000;

/// The logs that the store has.
fn logs(lap: &Environment) -> Vec<std::path::PathBuf> {
    let files = fs::read_dir(lap.store().join("logs")).expect("the logs");
    files.map(|file| file.expect("a file").path()).collect()
}

#[test]
fn df_109_a_hundred_megabytes_are_shown_and_kept_whole() {
    let lap = Environment::with_base();
    // Without an end of a line but at the end: the worst for who shows lines.
    lap.write(
        "context/Dockerfile",
        format!("FROM base:1\nRUN head -c {BYTES} /dev/zero; echo last; false\n"),
    );
    let shown = lap.path("shown");
    let mut command = lap.command(["build", "--progress", "plain", "context"]);
    command.stderr(File::create(&shown).expect("a file"));
    let mut child = command.spawn().expect("lap runs");
    let peak = peak::until_end(&mut child);
    assert_eq!(child.wait().expect("lap ends").code(), Some(1));
    peak::assert_below(64 << 20, peak, "a build of which a step writes much");
    assert!(fs::metadata(&shown).expect("a file").len() > BYTES, "all of it is shown");

    let kept = logs(&lap);
    assert_eq!(kept.len(), 1);
    assert_eq!(fs::metadata(&kept[0]).expect("a log").len(), BYTES + 5, "all of it is kept");
    let said = fs::read(&shown).expect("a file");
    let end = String::from_utf8_lossy(&said[said.len() - 32_000..]).into_owned();
    assert!(end.contains(&format!("all of its output: {}", kept[0].display())), "{end}");

    lap.check();
    lap.lap(["system", "prune", "-f"]).success();
    assert!(logs(&lap).is_empty(), "it goes with the cache");
}

#[test]
fn df_109_logs_stay_as_long_as_their_steps() {
    let lap = Environment::with_base();
    lap.built("FROM base:1\nRUN echo out; echo err >&2\nRUN true\n");
    let kept = logs(&lap);
    assert_eq!(kept.len(), 1, "what says nothing has no log");
    let text = fs::read_to_string(&kept[0]).expect("a log");
    assert!(text == "out\nerr\n" || text == "err\nout\n", "{text}");
    // A failure that shows everything needs no place.
    let failed = lap.build("FROM base:1\nRUN echo short; false\n");
    assert!(
        failed.stderr.contains("short") && !failed.stderr.contains("all of its output"),
        "{}",
        failed.stderr
    );
    lap.check();
    lap.lap(["system", "prune", "-f"]).success();
    assert!(logs(&lap).is_empty());
}
