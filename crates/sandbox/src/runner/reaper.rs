//! A tiny process 1: passes signals on, reaps orphans, ends as its child ends (`docker run --init`).

use rustix::process::{DumpableBehavior, Pid, WaitOptions, set_dumpable_behavior, wait};

use crate::error::{Doing, Error};
use crate::sys;

/// Forks; returns in the child, which becomes the command. The parent stays process 1 and never returns.
pub(super) fn fork_command() -> Result<(), Error> {
    // Blocked before the fork, so that no end of a child is missed.
    sys::block_signals();
    match sys::fork().doing("fork")? {
        None => {
            sys::reset_signals();
            Ok(())
        }
        Some(child) => reap(child),
    }
}

fn reap(command: Pid) -> ! {
    // This process is still the host's program: nobody inside may look into it.
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    // Whoever waits for the command to be executed, or for the end of a stream, must not wait for this process.
    let _ = sys::close_all();
    loop {
        match sys::next_signal() {
            Ok(libc::SIGCHLD) => {
                while let Ok(Some((process, status))) = wait(WaitOptions::NOHANG) {
                    if process != command {
                        continue;
                    }
                    let code = status.terminating_signal().map(|signal| 128 + signal);
                    sys::leave(code.or(status.exit_status()).unwrap_or(125));
                }
            }
            // The command may have ended in between.
            Ok(signal) => drop(sys::kill(command, signal)),
            Err(_) => {}
        }
    }
}
