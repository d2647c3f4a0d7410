//! Processes that really run in isolation: made by the built-in runner, and by each of [`RUNTIMES`], with the same result.
//! Needs root, busybox-static, runc and crun; says so when it lacks them.

mod attacks;
mod calls;
mod filesystem;
mod lab;
mod life;
mod limits;
mod process;

use lab::Case;
use libtest_mimic::{Arguments, Trial};

/// Runtimes that every test is done with, besides the built-in runner.
const RUNTIMES: [&str; 2] = ["runc", "crun"];

fn main() {
    sandbox::intercept();
    let mut given = std::env::args_os().skip(1);
    match given.next() {
        Some(first) if first == calls::CALLER => return calls::make_calls(),
        Some(first) if first == life::VICTIM => {
            let directory = given.next().expect("a directory");
            lab::use_runtime(
                given.next().map(|name| lab::runtime(&name.to_string_lossy()).expect("a runtime")),
            );
            return life::become_victim(directory.as_ref()).expect("a sandbox");
        }
        _ => {}
    }
    let arguments = Arguments::from_args();
    let cases: Vec<Case> = [
        process::cases(),
        filesystem::cases(),
        life::cases(),
        limits::cases(),
        calls::cases(),
        attacks::cases(),
    ]
    .into_iter()
    .flatten()
    .collect();
    let mut trials: Vec<Trial> = cases.iter().map(|(name, run)| Trial::test(*name, *run)).collect();
    for runtime in RUNTIMES {
        trials.extend(cases.iter().map(|(name, run)| with_runtime(runtime, name, *run)));
    }
    libtest_mimic::run(&arguments, trials).exit();
}

fn with_runtime(runtime: &'static str, name: &str, run: fn() -> lab::Outcome) -> Trial {
    Trial::test(format!("{runtime}_{name}"), move || {
        lab::use_runtime(Some(lab::runtime(runtime)?));
        run()
    })
}
