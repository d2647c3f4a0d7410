//! Limits: of groups, of `/dev/shm`.

use std::path::PathBuf;

use sandbox::cgroup::{Group, Limits, Plan};
use sandbox::{Resource, Rlimit, Spec, Status};

use crate::lab::{Case, Lab, Outcome, Ran, explain, output, run};
use crate::same;

pub fn cases() -> Vec<Case> {
    vec![
        ("df_107_memory_that_is_used_up_is_said", memory_is_used_up),
        ("df_107_processes_are_counted", processes_are_counted),
        ("df_107_a_group_is_the_top_of_what_is_seen", group_is_the_top),
        ("df_107_shared_memory_has_its_size", shared_memory),
        ("ct_037_limits_that_cannot_be_had_are_known_before", limits_are_known_before),
    ]
}

/// Removes the directories of a group at the end.
struct Removed(Vec<PathBuf>);

impl Drop for Removed {
    fn drop(&mut self) {
        for directory in &self.0 {
            std::fs::remove_dir(directory).expect("an empty group");
        }
    }
}

/// Puts a process into a new group.
fn limit(spec: &mut Spec, limits: &Limits) -> Result<Removed, libtest_mimic::Failed> {
    let plan = Plan::find(limits).map_err(explain)?.ok_or("no limits")?;
    let unique = std::time::SystemTime::UNIX_EPOCH.elapsed()?.as_nanos();
    let group = Group { plan, name: format!("lapstrake-test-{unique}") };
    let removed = Removed(group.directories());
    spec.cgroup = Some(group);
    Ok(removed)
}

fn run_with(lab: &Lab, script: &str, limits: &Limits) -> Result<Ran, libtest_mimic::Failed> {
    let mut spec = lab.script(script);
    let removed = limit(&mut spec, limits)?;
    let ran = run(&spec).map_err(explain);
    drop(removed);
    ran
}

fn memory_is_used_up() -> Outcome {
    let lab = Lab::new()?;
    let limits = Limits { memory: Some(32 << 20), ..Limits::default() };
    let ran = run_with(&lab, "tail /dev/zero; echo $?", &limits)?;
    same!((ran.stdout.as_str(), ran.exit.out_of_memory), ("137\n", true), "{}", ran.stderr);
    let ran = run_with(&lab, "exec tail /dev/zero", &limits)?;
    same!((ran.exit.status, ran.exit.out_of_memory), (Status::Signal(9), true), "{}", ran.stderr);
    let ran = run_with(&lab, "echo enough", &limits)?;
    same!((ran.stdout.as_str(), ran.exit.out_of_memory), ("enough\n", false), "{}", ran.stderr);
    Ok(())
}

fn processes_are_counted() -> Outcome {
    let lab = Lab::new()?;
    let limits = Limits { pids: Some(5), ..Limits::default() };
    let script = "for i in 1 2 3 4 5 6 7 8; do sleep 5 & done; echo started";
    let ran = run_with(&lab, script, &limits)?;
    same!(ran.stderr.contains("can't fork"), true, "{ran:?}");
    let ran = run_with(&lab, "for i in 1 2 3; do sleep 0 & done; wait; echo all", &limits)?;
    same!(ran.stdout, "all\n");
    Ok(())
}

fn group_is_the_top() -> Outcome {
    let lab = Lab::new()?;
    let limits = Limits { memory: Some(64 << 20), pids: Some(50), ..Limits::default() };
    let script = "grep -c lapstrake /proc/self/cgroup; \
        cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; \
        cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null; true";
    same!(run_with(&lab, script, &limits)?.stdout, "0\n67108864\n50\n");
    Ok(())
}

fn shared_memory() -> Outcome {
    let lab = Lab::new()?;
    let size = "df -k /dev/shm | tail -n 1 | tr -s ' ' | cut -d ' ' -f 2";
    same!(lab.output(size)?, "65536\n");
    let mut spec = lab.script(size);
    spec.shared_memory = Some(1 << 20);
    same!(output(&spec)?, "1024\n");
    Ok(())
}

fn limits_are_known_before() -> Outcome {
    let limit = |hard| Rlimit { resource: Resource::Nofile, soft: 10, hard };
    sandbox::rlimit::check(&[limit(10)]).map_err(explain)?;
    // No kernel goes that far (fs.nr_open).
    let Err(error) = sandbox::rlimit::check(&[limit(1 << 40)]) else { return Err("it can be had".into()) };
    let said = error.to_string();
    same!(
        said.starts_with("cannot set --ulimit nofile=10:1099511627776: lap itself has the hard limit "),
        true,
        "{said}"
    );
    Ok(())
}
