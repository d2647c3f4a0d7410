//! Processes that really run in isolation. Needs root and busybox-static; says so when it lacks them.

mod lab;
mod process;

use libtest_mimic::{Arguments, Trial};

fn main() {
    sandbox::intercept();
    let arguments = Arguments::from_args();
    let trials: Vec<Trial> = process::trials();
    libtest_mimic::run(&arguments, trials).exit();
}
