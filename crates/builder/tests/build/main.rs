//! Whole builds: a Dockerfile, a context and a store → an image. Needs root and busybox-static; says so when it lacks them.

mod archives;
mod cache;
mod determinism;
mod explain;
mod exports;
mod failures;
mod images;
mod lab;

use libtest_mimic::{Arguments, Trial};

fn main() {
    sandbox::intercept();
    let arguments = Arguments::from_args();
    let trials: Vec<Trial> = [
        images::trials(),
        archives::trials(),
        cache::trials(),
        determinism::trials(),
        explain::trials(),
        exports::trials(),
        failures::trials(),
    ]
    .into_iter()
    .flatten()
    .collect();
    libtest_mimic::run(&arguments, trials).exit();
}
