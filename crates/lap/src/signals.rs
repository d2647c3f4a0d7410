//! The first SIGINT or SIGTERM stops gracefully, the second kills.

use base::{Cancel, Kind};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::failure::{Failure, Outcome};

/// A flag that the first SIGINT or SIGTERM sets; a second one ends the process at once.
pub fn cancel_on_signal() -> Outcome<Cancel> {
    let cancel = Cancel::new();
    let mut signals = Signals::new([SIGINT, SIGTERM])
        .map_err(|error| Failure::new(Kind::Internal, format!("cannot handle signals: {error}")))?;
    let flag = cancel.clone();
    std::thread::spawn(move || {
        for signal in signals.forever() {
            if flag.is_cancelled() {
                std::process::exit(128 + signal);
            }
            flag.cancel();
        }
    });
    Ok(cancel)
}
