//! Who each process believes to be.
//!
//! A process is known by its number and the time of its start. One that was never seen believes what its parent
//! believes: it has inherited that, and has asked for nothing since.

use std::collections::HashMap;
use std::io::{self, Read};
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags, openat};

use super::believed::Believed;

/// How many processes are remembered before those that have ended are forgotten.
const REMEMBERED: usize = 4096;
/// How far parents are looked for: from a process to the first one inside.
const GENERATIONS: usize = 256;

type Key = (u32, u64);

/// What processes believe.
pub(super) struct Processes {
    first: Believed,
    known: HashMap<Key, Believed>,
}

impl Processes {
    /// Where the first process believes this.
    pub(super) fn new(first: Believed) -> Self {
        Self { first, known: HashMap::new() }
    }

    /// What the process of this thread believes.
    pub(super) fn find(&mut self, proc: &OwnedFd, thread: u32) -> io::Result<&mut Believed> {
        let process = field(&read(proc, thread, "status")?, "Tgid:").unwrap_or(thread);
        let key = (process, started(proc, process)?);
        if !self.known.contains_key(&key) {
            let inherited = self.inherited(proc, process);
            if self.known.len() >= REMEMBERED {
                self.known.retain(|(process, start), _| started(proc, *process).ok() == Some(*start));
            }
            self.known.insert(key, inherited);
        }
        self.known.get_mut(&key).ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))
    }

    /// What the nearest known ancestor believes.
    fn inherited(&self, proc: &OwnedFd, process: u32) -> Believed {
        let mut process = process;
        for _ in 0..GENERATIONS {
            let parent = read(proc, process, "status").ok().and_then(|status| field(&status, "PPid:"));
            let Some(parent) = parent.filter(|parent| *parent > 0) else { break };
            let Ok(start) = started(proc, parent) else { break };
            if let Some(believed) = self.known.get(&(parent, start)) {
                return believed.clone();
            }
            process = parent;
        }
        self.first.clone()
    }
}

fn read(proc: &OwnedFd, process: u32, name: &str) -> io::Result<String> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = openat(proc, format!("{process}/{name}"), flags, Mode::empty())?;
    let mut text = Vec::new();
    std::fs::File::from(file).read_to_end(&mut text)?;
    // A process chooses its name, in whatever bytes.
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// A number in `/proc/PID/status`. The kernel escapes line feeds in the name, which comes first.
fn field(status: &str, name: &str) -> Option<u32> {
    status.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

/// When a process started, in the kernel's clock ticks since boot.
fn started(proc: &OwnedFd, process: u32) -> io::Result<u64> {
    let stat = read(proc, process, "stat")?;
    start_in(&stat).ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))
}

/// The 22nd field of `/proc/PID/stat`; the second one is a name that may hold anything, also parentheses.
fn start_in(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_processes_mislead_nobody() {
        let stat = "7 (a) R 1) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 12345 0 0";
        assert_eq!(start_in(stat), Some(12_345));
        let status = "Name:\tPPid:\\n 3\nTgid:\t7\nPPid:\t1\n";
        assert_eq!((field(status, "Tgid:"), field(status, "PPid:")), (Some(7), Some(1)));
    }
}
