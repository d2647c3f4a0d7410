//! Limits that take a cgroup, with version 1 and 2: `--memory`, `--cpus`, `--pids-limit` and the like.

use std::process::Stdio;

use crate::environment::{Environment, tool};
use crate::left::{assert_nothing_is_left, cgroups, processes_of};

/// Shows limits as either version has them.
const SHOW: &str = "cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes memory.max pids/pids.max pids.max \
    cpuset/cpuset.cpus cpuset.cpus 2>/dev/null; \
    if [ -e cpu.max ]; then cat cpu.max; else echo $(cat cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us); fi";

#[test]
fn df_107_commands_have_the_limits_that_were_asked_for() {
    let lap = Environment::with_base();
    let run = ["run", "--rm", "-m", "64m", "--pids-limit", "50", "--cpuset-cpus", "0", "--cpus", "0.5"];
    let expected = "67108864\n50\n0\n50000 100000\n";
    tool("runc", "runc");
    tool("crun", "crun");
    for runtime in ["", "runc", "crun"] {
        let flags = if runtime.is_empty() { vec![] } else { vec!["--runtime", runtime] };
        let seen = lap.lap([&run[..], &flags, &["base:1", "sh", "-c", SHOW]].concat()).success();
        assert_eq!(seen.stdout, expected, "{runtime}");
    }
    lap.write("context/Dockerfile", format!("FROM base:1\nRUN ( {SHOW} ) >/limits\n"));
    let flags =
        ["-m", "1g", "--cpu-quota", "20000", "--cpu-period", "40000", "--cpuset-cpus", "0", "-c", "512"];
    lap.lap([&["build", "-t", "app"], &flags[..], &["context"]].concat()).success();
    let limits = lap.sh("app", "cat /limits");
    assert!(limits.starts_with("1073741824\n") && limits.ends_with("0\n20000 40000\n"), "{limits}");
    // They do not belong to what a step is.
    let again = lap.lap(["build", "--progress", "plain", "-m", "2g", "context"]).success();
    assert!(again.stderr.contains("#2 CACHED"), "{}", again.stderr);
    assert_nothing_is_left(&lap);
}

#[test]
fn df_107_limits_that_make_no_sense_are_refused() {
    let lap = Environment::with_base();
    for (flags, said) in [
        (&["-m", "1m"][..], "at least 6m"),
        (&["-m", "64m", "--memory-swap", "32m"], "at least that of --memory"),
        (&["--cpu-period", "10"], "from 1000 to 1000000"),
        (&["--cpu-shares", "1"], "from 2 to 262144"),
        (&["--cpuset-cpus", "x"], "numbers and ranges"),
        (&["--cpus", "0"], "number of processors"),
        (&["--cgroup-parent", "/../x"], "without . and .."),
        (&["--cgroup-parent", "/no/such/group"], "there is no cgroup /no/such/group"),
        (&["--cpuset-cpus", "4000"], "cannot write the limit 4000 into "),
    ] {
        lap.lap([&["run", "--rm"], flags, &["base:1", "true"]].concat()).failure(125, &[said]);
    }
    lap.lap(["run", "--rm", "--memory-swap", "64m", "base:1"]).failure(2, &["--memory <SIZE>"]);
    assert_nothing_is_left(&lap);
}

#[test]
fn df_091_out_of_memory_is_named() {
    let lap = Environment::with_base();
    let eat = ["base:1", "tail", "/dev/zero"];
    for runtime in [&[][..], &["--runtime", "runc"]] {
        let ran = lap.lap([&["run", "--rm", "-m", "32m"], runtime, &eat].concat());
        ran.failure(137, &["note: out of memory", "33554432 bytes of --memory"]);
    }
    lap.write("context/Dockerfile", "FROM base:1\nRUN tail /dev/zero\n");
    lap.lap(["build", "-m", "32m", "context"])
        .failure(1, &["RUN tail /dev/zero", "exit code: 137", "out of memory", "give it more with --memory"]);
    // Enough memory, and a command that fails.
    lap.write("context/Dockerfile", "FROM base:1\nRUN exit 137\n");
    let failed = lap.lap(["build", "-m", "32m", "context"]).failure(1, &["exit code: 137"]);
    assert!(!failed.stderr.contains("out of memory"), "{}", failed.stderr);
    assert_nothing_is_left(&lap);
}

#[test]
fn a_group_that_a_killed_command_left_is_cleared_and_said() {
    use std::io::BufRead;
    let lap = Environment::with_base();
    let flags = ["run", "--rm", "--pids-limit", "50", "base:1", "sh", "-c", "echo ready; sleep 1000"];
    let mut run = lap.command(flags).stdout(Stdio::piped()).spawn().expect("lap runs");
    let mut line = String::new();
    std::io::BufReader::new(run.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
    assert_eq!(line, "ready\n");
    // Whoever else opens the store meanwhile leaves it alone.
    assert_eq!(lap.lap(["images"]).success().stderr, "");
    let groups = cgroups(&lap);
    assert!(!groups.is_empty());
    run.kill().expect("it is killed");
    run.wait().expect("it ends");
    while !processes_of(&lap.path("")).is_empty() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert_eq!(cgroups(&lap), groups, "nobody was there to remove it");
    let said = lap.lap(["images"]).success().stderr;
    assert!(
        said.contains("cleared what an interrupted lap left behind: ") && said.contains("1 cgroup"),
        "{said}"
    );
    assert_nothing_is_left(&lap);
}
