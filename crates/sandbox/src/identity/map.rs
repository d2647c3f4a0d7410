//! Writing the ids of a user namespace.

use std::path::{Path, PathBuf};
use std::process::Command;

use base::{IdMap, IdRange};

use super::subordinate::Shortage;
use crate::error::Error;

/// Where distributions put set-user-ID programs. `PATH` is not asked: what is executed here decides about ids.
const DIRECTORIES: [&str; 6] =
    ["/usr/bin", "/bin", "/usr/sbin", "/sbin", "/usr/local/bin", "/run/wrappers/bin"];

/// The two programs that may write ids that are not the user's own.
pub(super) struct Programs {
    users: PathBuf,
    groups: PathBuf,
}

impl Programs {
    /// Finds them.
    pub fn find() -> Result<Self, Error> {
        let missing = |name| Error::Ids { said: format!("{name} is not installed") };
        Ok(Self {
            users: find("newuidmap").ok_or_else(|| missing("newuidmap"))?,
            groups: find("newgidmap").ok_or_else(|| missing("newgidmap"))?,
        })
    }

    /// Whether both are there.
    pub fn shortage() -> Option<Shortage> {
        ["newuidmap", "newgidmap"].into_iter().find(|name| find(name).is_none()).map(Shortage::Program)
    }

    /// Writes the ids of a process's namespace; what the programs say when they refuse.
    pub fn write(&self, process: u32, ids: &IdMap) -> Result<(), String> {
        execute(&self.users, process, &ids.users)?;
        execute(&self.groups, process, &ids.groups)
    }
}

fn find(name: &str) -> Option<PathBuf> {
    DIRECTORIES.iter().map(|directory| Path::new(directory).join(name)).find(|path| path.is_file())
}

fn execute(program: &Path, process: u32, ranges: &[IdRange]) -> Result<(), String> {
    let numbers = ranges.iter().flat_map(|range| [range.inside, range.outside, range.count]);
    let output = Command::new(program)
        .arg(process.to_string())
        .args(numbers.map(|number| number.to_string()))
        .env_clear()
        .output()
        .map_err(|error| format!("{}: {error}", program.display()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(if said.is_empty() { format!("{} failed ({})", program.display(), output.status) } else { said })
}

/// The ranges as `/proc/PID/uid_map` takes them.
pub(super) fn lines(ranges: &[IdRange]) -> String {
    let line = |range: &IdRange| format!("{} {} {}\n", range.inside, range.outside, range.count);
    ranges.iter().map(line).collect()
}
