//! The first SIGINT, SIGTERM or SIGHUP stops gracefully, the second kills. SIGBUS ends with a message.

use base::{Cancel, Kind};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};

use crate::failure::{Failure, Outcome};

/// A flag that the first SIGINT, SIGTERM or SIGHUP (the terminal is gone) sets; a second one ends the process at once.
pub fn cancel_on_signal() -> Outcome<Cancel> {
    begin().map(|(cancel, _)| cancel)
}

/// The same for a part of a command: afterwards others can handle signals.
pub fn cancel_during<T>(work: impl FnOnce(&Cancel) -> T) -> Outcome<T> {
    let (cancel, handle) = begin()?;
    let result = work(&cancel);
    handle.close();
    Ok(result)
}

fn begin() -> Outcome<(Cancel, Handle)> {
    let cancel = Cancel::new();
    let hangup = (!is_ignored(SIGHUP)).then_some(SIGHUP);
    let mut signals = Signals::new([SIGINT, SIGTERM].into_iter().chain(hangup))
        .map_err(|error| Failure::new(Kind::Internal, format!("cannot handle signals: {error}")))?;
    let handle = signals.handle();
    let flag = cancel.clone();
    std::thread::spawn(move || {
        for signal in signals.forever() {
            if flag.is_cancelled() {
                std::process::exit(128 + signal);
            }
            flag.cancel();
        }
    });
    Ok((cancel, handle))
}

/// What is said when a mapped file cannot be read. Which one it is, nobody knows at that moment.
const UNREADABLE: &str = "
error: cannot go on: a table of the store (layers/*/table), which is mapped into memory, cannot be read any more: its disk fails, or the file was cut short
hint: `lap system check` names every damage, and what to do about it
";

/// From now on, a mapped file of the store that cannot be read ends the process with a message and this exit code, as an error would.
pub fn tell_of_unreadable_maps(exit_code: u8) -> Outcome<()> {
    store::end_when_a_map_is_unreadable(UNREADABLE, exit_code)
        .map_err(|error| Failure::new(Kind::Internal, format!("cannot handle signals: {error}")))
}

/// Whether the process was started with a signal ignored, as nohup does.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}
