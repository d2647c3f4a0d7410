//! `lap`: builds, keeps, moves and runs container images. One binary, no daemon.

mod cli;
mod command;
mod environment;
mod excerpt;
mod exit;
mod failure;
mod identity;
mod json;
mod natural;
mod network;
mod printer;
mod progress;
mod room;
mod signals;
mod table;
mod template;
mod units;

use std::process::ExitCode;

fn main() -> ExitCode {
    // A runner of the sandbox is this same program, started by itself: it must be recognised before anything else happens.
    sandbox::intercept();
    cli::main()
}
