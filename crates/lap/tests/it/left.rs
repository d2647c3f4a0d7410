//! What a command may leave behind, and must not.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::environment::{Environment, path_text};

/// The processes that have to do with a directory: by their arguments, their environment, or what they have mounted.
pub fn processes_of(directory: &Path) -> Vec<String> {
    let marker = path_text(directory).as_bytes().to_vec();
    let has = |path: &Path| {
        std::fs::read(path).is_ok_and(|bytes| bytes.windows(marker.len()).any(|window| window == marker))
    };
    let processes = std::fs::read_dir("/proc").expect("processes").flatten().map(|process| process.path());
    processes
        .filter(|process| {
            let is_process =
                process.file_name().is_some_and(|name| name.as_encoded_bytes()[0].is_ascii_digit());
            is_process && ["cmdline", "environ", "mountinfo"].iter().any(|file| has(&process.join(file)))
        })
        .map(|process| {
            let arguments = std::fs::read(process.join("cmdline")).unwrap_or_default();
            format!("{}: {}", process.display(), String::from_utf8_lossy(&arguments).replace('\0', " "))
        })
        .collect()
}

/// The groups of processes that commands on a store were limited with, and that are still there.
pub fn cgroups(lap: &Environment) -> Vec<String> {
    let records = std::fs::read_dir(lap.store().join("cgroups")).expect("records").flatten();
    let text: String =
        records.map(|record| std::fs::read_to_string(record.path()).unwrap_or_default()).collect();
    let paths = text.lines().filter(|line| line.starts_with('/'));
    paths.filter(|path| Path::new(path).exists()).map(str::to_owned).collect()
}

/// Nothing of anybody is left: no process, no mount in any namespace, no group of processes, and once the next command has run no temporary
/// file.
pub fn assert_nothing_is_left(lap: &Environment) {
    // Who was killed takes a moment to end.
    let patience = Instant::now() + Duration::from_secs(20);
    while !processes_of(&lap.path("")).is_empty() && Instant::now() < patience {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(processes_of(&lap.path("")), [""; 0]);
    let groups = cgroups(lap);
    lap.lap(["images"]).success();
    assert!(!groups.iter().any(|group| Path::new(group).exists()), "{groups:?}");
    for directory in ["tmp", "trash", "leases", "steps", "cgroups"] {
        let left: Vec<_> = std::fs::read_dir(lap.store().join(directory)).expect("a directory").collect();
        assert!(left.is_empty(), "in {directory}: {left:?}");
    }
    let partial: Vec<_> = std::fs::read_dir(lap.path(""))
        .expect("a directory")
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.contains("partial"))
        .collect();
    assert_eq!(partial, [""; 0]);
}
