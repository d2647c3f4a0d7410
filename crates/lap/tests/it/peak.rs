//! How much memory a process has had at most.

use std::io::Write;
use std::process::Child;
use std::time::Duration;

/// What it is until now, in bytes; `None` when the process has ended.
pub fn of(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kilobytes << 10)
}

/// Asserts a bound. With all tests, the figure is told as well (docs/performance.md has them).
#[track_caller]
pub fn assert_below(bound: u64, peak: u64, what: &str) {
    const MIB: f64 = (1 << 20) as f64;
    if std::env::var_os("LAP_TEST_ALL").is_some() {
        let _ = writeln!(std::io::stderr(), "memory of {what}: {:.1} MiB", peak as f64 / MIB);
    }
    assert!(peak < bound, "{what}: {:.1} MiB of memory", peak as f64 / MIB);
}

/// Waits until a process has ended. (What it has had in its last milliseconds may be missing.)
pub fn until_end(child: &mut Child) -> u64 {
    let mut peak = 0;
    while child.try_wait().expect("it can be waited for").is_none() {
        peak = of(child.id()).unwrap_or(peak);
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(peak > 0, "it ended before anybody could look");
    peak
}
