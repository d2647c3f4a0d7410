//! The group of the contained process: made by the runner, entered by the process.
//!
//! The runner itself stays outside: what it needs is not the command's, and nobody kills it for want of memory. It goes in for a moment while it
//! enters the new cgroup namespace, the top of which is the group that a process is in at that moment.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use rustix::process::Pid;

use crate::cgroup::{Group, Place, Setting};
use crate::error::{Doing, Error};

/// A group that was made; its directories stay.
pub(super) struct Made {
    parts: Vec<Part>,
}

/// Its directory in one hierarchy.
struct Part {
    directory: PathBuf,
    /// Where processes are put into it. Open, since no path leads there from the new root.
    door: File,
    /// Where processes are put into the group that the runner comes from.
    home: File,
    /// What counts the processes that were killed for want of memory.
    kills: Option<File>,
}

impl Made {
    /// Makes the group, and sets its limits.
    pub(super) fn make(group: &Group) -> Result<Self, Error> {
        let parts = group.plan.places.iter().map(|place| make(place, &group.name));
        Ok(Self { parts: parts.collect::<Result<_, _>>()? })
    }

    /// Puts this process into the group.
    pub(super) fn enter(&self) -> Result<(), Error> {
        self.parts.iter().try_for_each(|part| {
            // 0 is the process that writes it.
            (&part.door).write_all(b"0").doing_to("enter the cgroup", &part.directory)
        })
    }

    /// Puts another process into the group, by its number in the pid namespace of this one.
    pub(super) fn put(&self, process: Pid) -> Result<(), Error> {
        let number = process.as_raw_nonzero().to_string();
        self.parts.iter().try_for_each(|part| {
            (&part.door)
                .write_all(number.as_bytes())
                .doing_to("put the command into the cgroup", &part.directory)
        })
    }

    /// Does something in the group.
    pub(super) fn visit(&self, doing: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
        self.enter()?;
        doing()?;
        for part in &self.parts {
            // Kernels before 5.16 let nobody out of a cgroup namespace where systemd has mounted cgroups (nsdelegate): there the runner
            // stays in the group. It is small.
            let _ = (&part.home).write_all(b"0");
        }
        Ok(())
    }

    /// Whether the kernel has killed something since the memory of the group was used up.
    pub(super) fn ran_out_of_memory(&self) -> bool {
        self.parts.iter().filter_map(|part| part.kills.as_ref()).any(|file| kills(file) > 0)
    }
}

fn make(place: &Place, name: &str) -> Result<Part, Error> {
    let parent = &place.parent;
    if !place.enabled.is_empty() {
        let control = parent.join("cgroup.subtree_control");
        let controllers: Vec<String> = place.enabled.iter().map(|name| format!("+{name}")).collect();
        fs::write(&control, controllers.join(" ")).doing_to("hand cgroup controllers down with", &control)?;
    }
    let directory = parent.join(name);
    fs::create_dir(&directory).doing_to("make the cgroup", &directory)?;
    for setting in &place.settings {
        set(parent, &directory, setting)?;
    }
    let door = open(&directory, "cgroup.procs")?;
    let home = open(&place.own, "cgroup.procs")?;
    let kills = match &place.kills {
        Some(file) => Some(File::open(directory.join(file)).doing_to("open", directory.join(file))?),
        None => None,
    };
    Ok(Part { directory, door, home, kills })
}

fn open(directory: &Path, name: &str) -> Result<File, Error> {
    let path = directory.join(name);
    File::options().write(true).open(&path).doing_to("open", &path)
}

fn set(parent: &Path, directory: &Path, setting: &Setting) -> Result<(), Error> {
    let path = directory.join(&setting.file);
    let value = match &setting.value {
        Some(value) => value.clone(),
        None => {
            let above = parent.join(&setting.file);
            fs::read_to_string(&above).doing_to("read", &above)?
        }
    };
    // Not made where it is missing.
    match File::options().write(true).open(&path).and_then(|mut file| file.write_all(value.as_bytes())) {
        Err(error) if setting.may_be_missing && is_missing(&error) => Ok(()),
        result => result.doing_to(&format!("write the limit {} into", value.trim()), &path),
    }
}

/// A file that is not there, or one of a kernel that does not count swap.
fn is_missing(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::EOPNOTSUPP)
}

/// The line `oom_kill N` of `memory.events`, and of `memory.oom_control`.
fn kills(mut file: &File) -> u64 {
    let mut text = String::new();
    // A file that cannot be read counts nothing.
    let _ = file.seek(SeekFrom::Start(0)).and_then(|_| file.read_to_string(&mut text));
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kills_are_counted_in_both_versions() {
        let file = |text: &str| {
            let mut file = tempfile::tempfile().expect("a file");
            file.write_all(text.as_bytes()).expect("written");
            file
        };
        assert_eq!(kills(&file("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n")), 3);
        assert_eq!(kills(&file("low 0\nhigh 0\nmax 9\noom 1\noom_kill 1\noom_group_kill 0\n")), 1);
        assert_eq!(kills(&file("max 9\noom 1\n")), 0);
    }

    #[test]
    fn a_limit_that_the_kernel_lacks_is_an_error_unless_it_may_be_missing() {
        let directory = tempfile::tempdir().expect("a directory");
        let swap = Setting::new("memory.swap.max", "5".to_owned());
        let may = Setting { may_be_missing: true, ..swap.clone() };
        set(directory.path(), directory.path(), &may).expect("left out");
        let error = set(directory.path(), directory.path(), &swap).expect_err("missing").to_string();
        assert!(
            error.starts_with("cannot write the limit 5 into ") && error.ends_with("memory.swap.max"),
            "{error}"
        );
    }
}
