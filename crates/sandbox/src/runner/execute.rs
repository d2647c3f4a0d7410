//! Finding the command in the root, and executing it.

use std::ffi::CString;
use std::io::{self, Read};

use super::program;
use crate::error::Error;
use crate::spec::Process;
use crate::sys;

/// Where commands are looked for when the environment does not say.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How much of a program is looked at: the kernel looks at as much for a first line with an interpreter.
pub(super) const HEAD: u64 = 256;

/// Executes the command; returns only when that fails.
pub(super) fn run(process: &Process) -> Error {
    match try_run(process) {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

fn try_run(process: &Process) -> Result<std::convert::Infallible, Error> {
    let strings =
        |strings: &[String]| strings.iter().map(|string| text(string)).collect::<Result<Vec<_>, _>>();
    let (arguments, environment) = (strings(&process.args)?, strings(&process.env)?);
    let command = process.args.first().map(String::as_str).unwrap_or_default();
    let mut refused = None;
    for candidate in candidates(command, search_path(&process.env)) {
        let error = sys::execute(text(&candidate)?.as_c_str(), &arguments, &environment);
        match error.raw_os_error() {
            Some(libc::ENOENT | libc::ENOTDIR) if !std::path::Path::new(&candidate).is_file() => {}
            _ => {
                refused.get_or_insert((candidate, error));
            }
        }
    }
    let command = command.to_owned();
    Err(match refused {
        None if command.contains('/') => Error::CommandNotFound { command, detail: None },
        None => Error::CommandNotFound {
            command,
            detail: Some(format!("looked for in {}", search_path(&process.env))),
        },
        Some((path, error)) => failed(command, &path, &head(&path), error),
    })
}

/// The beginning of a program, as far as it can be read.
fn head(path: &str) -> Vec<u8> {
    let mut head = Vec::new();
    let _ = std::fs::File::open(path).and_then(|file| file.take(HEAD).read_to_end(&mut head));
    head
}

/// The command exists, begins so, and could not be executed.
pub(super) fn failed(command: String, path: &str, head: &[u8], source: io::Error) -> Error {
    if let (Some(machine), Some(libc::ENOEXEC | libc::ENOENT)) =
        (program::foreign(head), source.raw_os_error())
    {
        let missing = source.raw_os_error() == Some(libc::ENOENT);
        return Error::Foreign { command, machine, emulator_is_missing: missing };
    }
    let interpreter = "the interpreter that it names in its first line, or the dynamic loader that it needs";
    let (kind, detail) = match source.raw_os_error() {
        Some(libc::ENOENT | libc::ENOTDIR) => {
            let detail = format!("{path} exists, {interpreter} does not");
            return Error::CommandNotFound { command, detail: Some(detail) };
        }
        Some(libc::ENOEXEC) => (source, "neither a program for this machine nor a script with #!"),
        Some(libc::EACCES) if std::path::Path::new(path).is_dir() => {
            (io::Error::from_raw_os_error(libc::EISDIR), "")
        }
        _ => (source, ""),
    };
    let detail = (!detail.is_empty()).then(|| detail.to_owned());
    Error::CommandNotExecutable { command, detail, source: kind }
}

pub(super) fn search_path(environment: &[String]) -> &str {
    let found = environment.iter().rev().find_map(|variable| variable.strip_prefix("PATH="));
    found.unwrap_or(DEFAULT_PATH)
}

/// The paths that a command may mean. An empty part of the search path is the working directory.
pub(super) fn candidates(command: &str, path: &str) -> Vec<String> {
    if command.is_empty() || command.contains('/') {
        return vec![command.to_owned()];
    }
    let place = |directory: &str| match directory {
        "" => format!("./{command}"),
        directory => format!("{}/{command}", directory.trim_end_matches('/')),
    };
    path.split(':').map(place).collect()
}

fn text(string: &str) -> Result<CString, Error> {
    CString::new(string).map_err(|_| Error::Invalid("an argument or variable contains a NUL".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_looked_for_as_the_shell_does() {
        let cases = [
            ("sh", "/usr/bin:/bin/", vec!["/usr/bin/sh", "/bin/sh"]),
            ("./sh", "/bin", vec!["./sh"]),
            ("/bin/sh", "/usr/bin", vec!["/bin/sh"]),
            ("sh", ":/bin", vec!["./sh", "/bin/sh"]),
            ("", "/bin", vec![""]),
        ];
        for (command, path, expected) in cases {
            assert_eq!(candidates(command, path), expected, "{command} in {path}");
        }
        let environment = ["PATH=/a".to_owned(), "X=PATH=/c".to_owned(), "PATH=/b".to_owned()];
        assert_eq!(search_path(&environment), "/b");
        assert_eq!(search_path(&[]), DEFAULT_PATH);
    }
}
