//! Why a runtime could not execute the command, in the words of the built-in runner: runtimes say it each in their own.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{FileType, OFlags, fstat};
use rustix::io::Errno;

use super::execute::{self, HEAD};
use super::program::{self, ELF};
use super::resolve;
use crate::error::Error;
use crate::spec::Process;

/// Checks the working directory, which runtimes would create.
pub(super) fn working_directory(root: &OwnedFd, process: &Process) -> Result<(), Error> {
    // What lies there is mounted later.
    if process.cwd.starts_with("/proc") {
        return Ok(());
    }
    let wrong = |errno: Errno| Error::WorkingDirectory { path: process.cwd.clone(), source: errno.into() };
    let found = resolve::open(root, &process.cwd)?.ok_or_else(|| wrong(Errno::NOENT))?;
    match FileType::from_raw_mode(fstat(&found).map_err(wrong)?.st_mode) {
        FileType::Directory => Ok(()),
        _ => Err(wrong(Errno::NOTDIR)),
    }
}

/// Checks what runtimes find out only when nobody listens any more: whether the kernel can execute the program.
pub(super) fn format(root: &OwnedFd, process: &Process) -> Result<(), Error> {
    let command = process.args.first().map(String::as_str).unwrap_or_default();
    for candidate in execute::candidates(command, execute::search_path(&process.env)) {
        let path = process.cwd.join(&candidate);
        let Ok(Some(found)) = resolve::open(root, &path) else { continue };
        if !fstat(&found).is_ok_and(|stat| is_program(stat.st_mode)) {
            continue;
        }
        let Some(head) = head(root, &path) else { return Ok(()) };
        let fault = match interpreter(&head) {
            Some(interpreter) => {
                let there = resolve::open(root, &process.cwd.join(interpreter));
                matches!(there, Ok(None)).then_some(libc::ENOENT)
            }
            None => {
                let known = head.starts_with(ELF) && program::foreign(&head).is_none();
                (!known && !more_formats()).then_some(libc::ENOEXEC)
            }
        };
        return match fault {
            Some(errno) => {
                let error = io::Error::from_raw_os_error(errno);
                Err(execute::failed(command.to_owned(), &candidate, &head, error))
            }
            None => Ok(()),
        };
    }
    Ok(())
}

fn is_program(mode: u32) -> bool {
    FileType::from_raw_mode(mode) == FileType::RegularFile && mode & 0o111 != 0
}

/// The program that a script names in its first line.
fn interpreter(head: &[u8]) -> Option<&Path> {
    let line = head.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?.trim_ascii();
    let name = line.split(|byte| byte.is_ascii_whitespace()).next()?;
    Some(Path::new(OsStr::from_bytes(name)))
}

/// Whether this machine executes other formats than its own (binfmt_misc).
fn more_formats() -> bool {
    let mut entries = std::fs::read_dir("/proc/sys/fs/binfmt_misc").into_iter().flatten().flatten();
    entries.any(|entry| entry.file_name() != "register" && entry.file_name() != "status")
}

fn head(root: &OwnedFd, path: &Path) -> Option<Vec<u8>> {
    let program = resolve::open_with(root, path, OFlags::RDONLY | OFlags::CLOEXEC).ok().flatten()?;
    let mut head = Vec::new();
    std::fs::File::from(program).take(HEAD).read_to_end(&mut head).ok()?;
    Some(head)
}

/// What is wrong with the command, if that is what the runtime complains about.
pub(super) fn command(root: &OwnedFd, process: &Process, said: &str) -> Option<Error> {
    let said = said.to_lowercase();
    // The second is what crun says of a directory since 1.28.
    if !said.contains("exec") && !said.contains("not a regular file") {
        return None;
    }
    let command = process.args.first()?;
    let refused = |errno: i32, detail: Option<&str>| Error::CommandNotExecutable {
        command: command.clone(),
        detail: detail.map(str::to_owned),
        source: io::Error::from_raw_os_error(errno),
    };
    let mut first = None;
    for candidate in execute::candidates(command, execute::search_path(&process.env)) {
        let Ok(Some(found)) = resolve::open(root, &process.cwd.join(&candidate)) else { continue };
        let stat = fstat(&found).ok()?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => first = first.or_else(|| Some(refused(libc::EISDIR, None))),
            _ if stat.st_mode & 0o111 == 0 => first = first.or_else(|| Some(refused(libc::EACCES, None))),
            _ => return of_program(root, &process.cwd.join(&candidate), &candidate, command, &said),
        }
    }
    Some(first.unwrap_or_else(|| {
        let place = || format!("looked for in {}", execute::search_path(&process.env));
        Error::CommandNotFound { command: command.clone(), detail: (!command.contains('/')).then(place) }
    }))
}

/// What is wrong with a program that could be executed for all that its mode says.
fn of_program(root: &OwnedFd, path: &Path, shown: &str, command: &str, said: &str) -> Option<Error> {
    let head = head(root, path)?;
    let errno = if !head.starts_with(b"#!") && !head.starts_with(ELF) || said.contains("format error") {
        libc::ENOEXEC
    } else if said.contains("no such file") {
        libc::ENOENT
    } else if said.contains("permission denied") {
        libc::EACCES
    } else {
        return None;
    };
    Some(execute::failed(command.to_owned(), shown, &head, io::Error::from_raw_os_error(errno)))
}
