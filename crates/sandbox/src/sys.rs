//! System calls that neither the standard library nor rustix offers in a safe form.
#![expect(unsafe_code, reason = "each function wraps one system call and says why the call is sound")]

use std::ffi::{CStr, CString, c_char, c_int, c_long};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::ptr;

use rustix::process::Pid;
use rustix::thread::UnshareFlags;

/// The result of a system call that returns -1 and sets `errno`.
fn check(result: c_long) -> io::Result<c_long> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Forks: the child's number in the parent, `None` in the child.
///
/// Only for the runner, which has one thread: a child of a process with several could do next to nothing.
pub(crate) fn fork() -> io::Result<Option<Pid>> {
    // SAFETY: the runner is single-threaded, so no lock can be held by a thread that the child lacks.
    let result = unsafe { libc::fork() };
    check(result.into())?;
    Ok(Pid::from_raw(result))
}

/// Enters new namespaces; the next child is the first process of a new pid namespace.
pub(crate) fn unshare(namespaces: UnshareFlags) -> io::Result<()> {
    // SAFETY: the file descriptor table, whose separation can surprise other threads, is not among the flags
    // used here, and the runner has no other threads.
    Ok(unsafe { rustix::thread::unshare_unsafe(namespaces) }?)
}

/// Replaces this process; returns only when that fails.
pub(crate) fn execute(program: &CStr, arguments: &[CString], environment: &[CString]) -> io::Error {
    let pointers = |strings: &[CString]| {
        strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect::<Vec<*const c_char>>()
    };
    let (arguments, environment) = (pointers(arguments), pointers(environment));
    // SAFETY: both arrays end with a null pointer, and the strings that they point to outlive the call.
    unsafe { libc::execve(program.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    io::Error::last_os_error()
}

/// Sets and clears attributes of a mount, and with `recursive` of all below it.
pub(crate) fn mount_setattr(mount: impl AsFd, recursive: bool, set: u64, clear: u64) -> io::Result<()> {
    // SAFETY: all bytes zero is a valid value of this plain structure of integers.
    let mut attributes: libc::mount_attr = unsafe { std::mem::zeroed() };
    attributes.attr_set = set;
    attributes.attr_clr = clear;
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a string with an end, and the size is that of the structure.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    })?;
    Ok(())
}

/// Joins a new anonymous session keyring, so that the contained process does not see the host's keys.
pub(crate) fn join_session_keyring() -> io::Result<()> {
    let anonymous: *const c_char = ptr::null();
    // SAFETY: a null pointer asks for an anonymous keyring.
    check(unsafe { libc::syscall(libc::SYS_keyctl, libc::KEYCTL_JOIN_SESSION_KEYRING, anonymous) })?;
    Ok(())
}

/// Gives every signal its default action and unblocks all.
///
/// Rust's runtime ignores SIGPIPE, and an ignored signal stays ignored in the program that is executed.
pub(crate) fn reset_signals() {
    // All zero: the default action, no flags, an empty mask. The C library would refuse the signals that it
    // uses itself.
    let default = [0_u64; 4];
    let previous: *mut u64 = ptr::null_mut();
    for signal in 1..=64 {
        // SAFETY: the kernel reads its `struct sigaction`, at most four words; the default action runs no
        // code of ours.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), previous, 8) };
    }
    // SAFETY: the set is initialised by `sigemptyset` before it is read.
    unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
    }
}

/// Blocks all signals, so that [`next_signal`] gets them.
pub(crate) fn block_signals() {
    // SAFETY: the set is initialised by `sigfillset` before it is read.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const all, ptr::null_mut());
    }
}

/// Waits for a signal and takes it; all signals are blocked.
pub(crate) fn next_signal() -> io::Result<c_int> {
    // SAFETY: the set is initialised by `sigfillset` before it is read, and no information is asked for.
    let signal = unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::sigwaitinfo(&raw const all, ptr::null_mut())
    };
    check(signal.into())?;
    Ok(signal)
}

/// Sends any signal, also a real-time one, by number.
pub(crate) fn kill(process: Pid, signal: c_int) -> io::Result<()> {
    // SAFETY: no memory is involved.
    check(unsafe { libc::kill(process.as_raw_nonzero().get(), signal) }.into())?;
    Ok(())
}

/// Sends any signal to the process behind a descriptor, which cannot be another one by now.
pub(crate) fn pidfd_kill(process: BorrowedFd<'_>, signal: c_int) -> io::Result<()> {
    let information: *const libc::siginfo_t = ptr::null();
    // SAFETY: a null pointer makes the kernel fill in the information that kill(2) sends.
    check(unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, process.as_raw_fd(), signal, information, 0)
    })?;
    Ok(())
}

/// Makes every descriptor above the standard ones close when a program is executed.
pub(crate) fn close_on_execute() -> io::Result<()> {
    const CLOSE_RANGE_CLOEXEC: c_int = 4;
    // SAFETY: no descriptor is closed now.
    check(unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, CLOSE_RANGE_CLOEXEC) })?;
    Ok(())
}

/// Closes every descriptor above the standard ones, for a process that will use none of them again.
pub(crate) fn close_all() -> io::Result<()> {
    // SAFETY: the one caller runs a loop that uses no descriptor, and leaves by `_exit`, which runs no
    // destructor.
    check(unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) })?;
    Ok(())
}

/// Leaves at once: no destructors, no exit handlers, which belong to the process that this one was forked from.
pub(crate) fn leave(code: c_int) -> ! {
    // SAFETY: ends the process.
    unsafe { libc::_exit(code) }
}

/// Switches the loopback interface of this network namespace on.
pub(crate) fn bring_up_loopback(socket: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: all bytes zero is a valid value of this plain structure.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo\0") {
        *to = *from as c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads the name and the flags, both set above.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request) }.into())?;
    Ok(())
}

/// Puts this process and all its children under a filter of system calls, for good.
pub(crate) fn load_seccomp(filter: &[libc::sock_filter]) -> io::Result<()> {
    const SECCOMP_SET_MODE_FILTER: c_int = 1;
    let length = u16::try_from(filter.len()).map_err(|_| io::Error::from_raw_os_error(libc::E2BIG))?;
    let program = libc::sock_fprog { len: length, filter: filter.as_ptr().cast_mut() };
    // SAFETY: the kernel copies `length` instructions from the slice, and does not write to it.
    check(unsafe { libc::syscall(libc::SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &raw const program) })?;
    Ok(())
}

/// Sets a resource limit of this process, by the kernel's number.
pub(crate) fn set_limit(resource: c_int, soft: u64, hard: u64) -> io::Result<()> {
    let limit = libc::rlimit64 { rlim_cur: soft, rlim_max: hard };
    // SAFETY: the structure is read, and the old limit is not asked for.
    let result = unsafe { libc::prlimit64(0, resource as _, &raw const limit, ptr::null_mut()) };
    check(result.into())?;
    Ok(())
}

/// Takes a capability away from this process and all its children, for good.
pub(crate) fn drop_from_bounding_set(capability: u32) -> io::Result<()> {
    // SAFETY: no memory is involved.
    check(unsafe { libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(capability), 0, 0, 0) }.into())?;
    Ok(())
}
