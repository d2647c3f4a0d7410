//! OCI runtimes that are installed on this machine, and what they are told.
//!
//! With one of them, the runner goes on making everything that the process sees as its files, since nothing of that
//! may leave a trace; the runtime makes the process.

mod config;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};

pub(crate) use config::config;

use crate::error::Error;

/// What is looked for when somebody asks what there is.
const KNOWN: [&str; 3] = ["crun", "runc", "youki"];

/// Where runtimes lie besides `PATH`: that of an ordinary user leaves out what they need all the same.
const DIRECTORIES: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// How much of what a program says about itself is kept.
const VERSION: usize = 100;

/// An OCI runtime: a program that takes `create --bundle DIRECTORY ID` and `start ID`, as runc does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runtime {
    /// The program, without symlinks.
    #[serde(with = "crate::wire::path")]
    pub path: PathBuf,
    /// Which one it is.
    pub kind: RuntimeKind,
    /// What it says of itself: "runc version 1.1.5".
    pub version: String,
}

/// Runtimes that need to be told to leave cgroups alone, each in its own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RuntimeKind {
    /// The reference implementation.
    Runc,
    /// The one in C.
    Crun,
    /// Any other with runc's command line.
    Other,
}

impl Runtime {
    /// Finds a runtime by path, or by name in a search path (as in `PATH`), and asks it what it is.
    pub fn find(asked: &str, search: &OsStr) -> Result<Self, Error> {
        let missing = |reason: &str| Error::NoRuntime {
            asked: asked.to_owned(),
            reason: reason.to_owned(),
            installed: Self::installed(search).into_iter().map(|found| found.version).collect(),
        };
        let path = match asked.contains('/') {
            true => PathBuf::from(asked),
            false => on_path(asked, search).ok_or_else(|| missing("it is not on PATH"))?,
        };
        Self::examine(&path).map_err(|reason| missing(&reason))
    }

    /// The runtimes in a search path (as in `PATH`) that can be executed.
    pub fn installed(search: &OsStr) -> Vec<Self> {
        let found = KNOWN.iter().filter_map(|name| on_path(name, search));
        found.filter_map(|path| Self::examine(&path).ok()).collect()
    }

    fn examine(path: &Path) -> Result<Self, String> {
        let path = path.canonicalize().map_err(|error| error.to_string())?;
        let output = Command::new(&path).arg("--version").env_clear().output();
        let output = output.map_err(|error| format!("it cannot be executed: {error}"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let version: String = text.lines().next().unwrap_or_default().chars().take(VERSION).collect();
        if !output.status.success() || version.is_empty() {
            return Err(format!("it does not say its version ({})", output.status));
        }
        Ok(Self { path, kind: RuntimeKind::of(&version), version })
    }
}

impl RuntimeKind {
    fn of(version: &str) -> Self {
        match version.split_whitespace().next() {
            Some("runc") => RuntimeKind::Runc,
            Some("crun") => RuntimeKind::Crun,
            _ => RuntimeKind::Other,
        }
    }

    /// What it is told so that it makes no cgroup: nothing of this sandbox needs one, and whoever is killed could not
    /// remove it.
    pub(crate) fn without_cgroup(self) -> &'static [&'static str] {
        match self {
            // With cgroups that cannot be written to, it goes on without.
            RuntimeKind::Runc => &["--rootless=true"],
            RuntimeKind::Crun => &["--cgroup-manager=disabled"],
            RuntimeKind::Other => &[],
        }
    }
}

fn on_path(name: &str, search: &OsStr) -> Option<PathBuf> {
    let directories = std::env::split_paths(search).chain(DIRECTORIES.iter().map(PathBuf::from));
    directories.filter(|directory| directory.is_absolute()).map(|directory| directory.join(name)).find(
        |path| {
            use std::os::unix::fs::PermissionsExt;
            path.metadata()
                .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
        },
    )
}

/// The search path of the machine, with what [`Runtime::find`] looks through besides.
pub(crate) fn directories() -> OsString {
    let all = ["/usr/local/bin", "/usr/bin", "/bin"].into_iter().chain(DIRECTORIES);
    all.collect::<Vec<_>>().join(":").into()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn runtimes_are_known_by_what_they_say() {
        let directory = tempfile::tempdir().expect("a directory");
        for (name, said, kind) in [
            ("runc", "runc version 1.1.5+ds1", RuntimeKind::Runc),
            ("crun", "crun version 1.8.1", RuntimeKind::Crun),
            ("youki", "youki version 0.5.0", RuntimeKind::Other),
        ] {
            let program = directory.path().join(name);
            std::fs::write(&program, format!("#!/bin/sh\necho '{said}'\necho more\n")).expect("written");
            std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).expect("a mode");
            let found = Runtime::find(name, directory.path().as_os_str()).expect("found");
            assert_eq!((found.version.as_str(), found.kind), (said, kind));
            assert_eq!(Runtime::find(program.to_str().expect("text"), OsStr::new("")).expect("found"), found);
        }
        assert_eq!(Runtime::installed(directory.path().as_os_str()).len(), 3);
    }

    #[test]
    fn what_is_no_runtime_is_refused_with_what_there_is() {
        let directory = tempfile::tempdir().expect("a directory");
        let program = directory.path().join("runc");
        std::fs::write(&program, "#!/bin/sh\nexit 3\n").expect("written");
        let search = directory.path().as_os_str();
        let said = |asked: &str| Runtime::find(asked, search).expect_err("none").to_string();
        assert_eq!(said("nonesuch"), "cannot use the OCI runtime nonesuch: it is not on PATH");
        let path = program.to_str().expect("text");
        assert!(said(path).contains("it cannot be executed: Permission denied"), "{}", said(path));
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).expect("a mode");
        assert!(said(path).contains("it does not say its version (exit status: 3)"), "{}", said(path));
    }
}
