//! Processes that really run in isolation. Needs root and busybox-static; says so when it lacks them.

mod attacks;
mod calls;
mod filesystem;
mod lab;
mod life;
mod process;

use libtest_mimic::{Arguments, Trial};

fn main() {
    sandbox::intercept();
    let mut given = std::env::args_os().skip(1);
    match given.next() {
        Some(first) if first == calls::CALLER => return calls::make_calls(),
        Some(first) if first == life::VICTIM => {
            let directory = given.next().expect("a directory");
            return life::become_victim(directory.as_ref()).expect("a sandbox");
        }
        _ => {}
    }
    let arguments = Arguments::from_args();
    let trials: Vec<Trial> =
        [process::trials(), filesystem::trials(), life::trials(), calls::trials(), attacks::trials()]
            .into_iter()
            .flatten()
            .collect();
    libtest_mimic::run(&arguments, trials).exit();
}
