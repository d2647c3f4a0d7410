//! The calls that no safe interface exists for.
#![expect(
    unsafe_code,
    reason = "memory maps of files, the signal of one that cannot be read, and sync_file_range, which rustix does not have"
)]

use std::ffi::{c_int, c_void};
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::ptr;
use std::sync::OnceLock;

use memmap2::Mmap;

/// Maps a file of the store that never changes. Where its bytes are read and cannot be had, because the disk fails or somebody has cut the file
/// short, the kernel sends SIGBUS: see [`end_when_a_map_is_unreadable`].
pub(crate) fn map(file: &File) -> io::Result<Mmap> {
    // SAFETY: only tables are mapped. They are written beside their place, renamed to it, and never changed or truncated
    // afterwards; removing one only unlinks it, and the map keeps the inode. The store belongs to one user (its root
    // has mode 0700), so nobody else can reach the file.
    unsafe { Mmap::map(file) }
}

/// What is said, and the exit code, when a map cannot be read.
static LAST_WORDS: OnceLock<(&str, c_int)> = OnceLock::new();

/// From now on, when a mapped file cannot be read, the process ends with these words on standard error and this exit code, and not without a word.
///
/// Only the first call counts. It is for the process that is the command, as the disposition of a signal is its whole process's.
pub fn end_when_a_map_is_unreadable(words: &'static str, exit_code: u8) -> io::Result<()> {
    LAST_WORDS.get_or_init(|| (words, exit_code.into()));
    let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) = on_bus_error;
    // SAFETY: all bytes zero is a valid value of this plain structure: no flags, an empty mask, the default action.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = handler as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    // SAFETY: the structure is read, and the handler does what a handler may do (see there).
    match unsafe { libc::sigaction(libc::SIGBUS, &raw const action, ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Runs in the middle of whatever was interrupted: nothing here allocates, locks, or does anything but system calls.
extern "C" fn on_bus_error(signal: c_int, about: *mut libc::siginfo_t, _: *mut c_void) {
    // SAFETY: the kernel gives a handler with SA_SIGINFO a valid structure.
    let code = unsafe { (*about).si_code };
    match LAST_WORDS.get() {
        // There is no page where there should be one. (The others: alignment, broken memory, and whoever sent the signal.)
        Some((words, exit_code)) if code == libc::BUS_ADRERR => {
            // SAFETY: writes bytes that live as long as the process, and ends it, without destructors and exit handlers.
            unsafe {
                libc::write(libc::STDERR_FILENO, words.as_ptr().cast(), words.len());
                libc::_exit(*exit_code)
            }
        }
        // What would have happened without this handler, once it has returned.
        // SAFETY: takes numbers only.
        _ => unsafe {
            libc::signal(signal, libc::SIG_DFL);
            libc::raise(signal);
        },
    }
}

/// Asks the kernel to begin writing a part of a file to the disk, without waiting. It is an optimisation: what it
/// answers does not matter, the sync at the end says whether all is well.
pub(crate) fn begin_writeback(file: &File, offset: u64, length: u64) {
    let (Ok(offset), Ok(length)) = (i64::try_from(offset), i64::try_from(length)) else { return };
    // SAFETY: takes numbers only; the descriptor is open while `file` is borrowed.
    unsafe {
        libc::sync_file_range(file.as_raw_fd(), offset, length, libc::SYNC_FILE_RANGE_WRITE);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, Output};

    use super::*;

    /// Says to the test that it is the child, and what it is to do.
    const CHILD: &str = "LAP_TEST_BUS_ERROR";

    /// Runs one test of this program as a process of its own.
    fn child(task: &str) -> Output {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["--exact", "sys::tests::a_map_that_cannot_be_read", "--nocapture"]);
        command.env(CHILD, task).output().expect("the child runs")
    }

    #[test]
    fn a_map_that_cannot_be_read() {
        match std::env::var(CHILD).as_deref() {
            Ok("read") => {
                let file = tempfile::tempfile().expect("a file");
                file.set_len(8192).expect("extended");
                let map = map(&file).expect("a map");
                assert_eq!(map.get(5000), Some(&0));
                end_when_a_map_is_unreadable("last words\n", 42).expect("a handler");
                // As another process would do it.
                file.set_len(10).expect("cut short");
                panic!("read {:?}", map.get(5000));
            }
            Ok("sent") => {
                end_when_a_map_is_unreadable("last words\n", 42).expect("a handler");
                let own = rustix::process::getpid();
                rustix::process::kill_process(own, rustix::process::Signal::BUS).expect("a signal");
                // Another thread may be the one that hears it.
                std::thread::sleep(std::time::Duration::from_secs(30));
                panic!("it was not heard");
            }
            _ => {
                let said = child("read");
                let words = String::from_utf8_lossy(&said.stderr);
                assert_eq!((said.status.code(), words.as_ref()), (Some(42), "last words\n"));
                // What somebody sends has nothing to do with maps.
                let said = child("sent");
                assert_eq!(said.status.signal(), Some(libc::SIGBUS));
                assert_eq!(String::from_utf8_lossy(&said.stderr), "");
            }
        }
    }
}
