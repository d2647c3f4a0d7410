//! Processes that really run in isolation. Needs root and busybox-static; says so when it lacks them.

mod filesystem;
mod lab;
mod life;
mod process;

use libtest_mimic::{Arguments, Trial};

fn main() {
    sandbox::intercept();
    let mut given = std::env::args_os().skip(1);
    if given.next().is_some_and(|first| first == life::VICTIM) {
        let directory = given.next().expect("a directory");
        life::become_victim(directory.as_ref()).expect("a sandbox");
        return;
    }
    let arguments = Arguments::from_args();
    let trials: Vec<Trial> =
        [process::trials(), filesystem::trials(), life::trials()].into_iter().flatten().collect();
    libtest_mimic::run(&arguments, trials).exit();
}
