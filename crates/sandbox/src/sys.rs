//! System calls that neither the standard library nor rustix offers in a safe form.
#![expect(unsafe_code, reason = "each function wraps one system call and says why the call is sound")]

use std::ffi::{CStr, CString, c_char, c_int, c_long, c_ulong};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use rustix::process::{Pid, WaitOptions, waitpid};
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

/// Becomes the parent of every process that a descendant leaves behind.
pub(crate) fn become_subreaper() -> io::Result<()> {
    // SAFETY: no memory is involved.
    check(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }.into())?;
    Ok(())
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

/// More descriptors than a runner has: layers, mounts, streams, a few hundred each at most.
const MOST_DESCRIPTORS: c_int = 8192;

/// Makes every descriptor above the standard ones close when a program is executed.
pub(crate) fn close_on_execute() -> io::Result<()> {
    const CLOSE_RANGE_CLOEXEC: c_int = 4;
    // SAFETY: no descriptor is closed now.
    match check(unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, CLOSE_RANGE_CLOEXEC) }) {
        // Linux 5.11 knows the flag.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            for descriptor in 3..MOST_DESCRIPTORS {
                // SAFETY: a flag of a descriptor is set, if there is one of that number.
                unsafe { libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) };
            }
            Ok(())
        }
        result => result.map(drop),
    }
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

/// Puts this process and all its children under a filter of system calls, for good; gives the descriptor where calls arrive that the filter hands
/// over (`SECCOMP_RET_USER_NOTIF`).
pub(crate) fn load_seccomp_listener(filter: &[libc::sock_filter]) -> io::Result<OwnedFd> {
    const SECCOMP_SET_MODE_FILTER: c_int = 1;
    const NEW_LISTENER: c_int = 1 << 3;
    let length = u16::try_from(filter.len()).map_err(|_| io::Error::from_raw_os_error(libc::E2BIG))?;
    let program = libc::sock_fprog { len: length, filter: filter.as_ptr().cast_mut() };
    // SAFETY: the kernel copies `length` instructions from the slice, and does not write to it.
    let listener = check(unsafe {
        libc::syscall(libc::SYS_seccomp, SECCOMP_SET_MODE_FILTER, NEW_LISTENER, &raw const program)
    })?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(listener as c_int) })
}

/// A system call that waits for an answer.
#[derive(Debug)]
pub(crate) struct Notice {
    /// Which notice.
    pub id: u64,
    /// The thread that made the call, as this process sees it.
    pub process: u32,
    /// The number of the call.
    pub call: c_long,
    /// Its arguments.
    pub arguments: [u64; 6],
}

/// The requests of seccomp_unotify(2): direction, size of the structure, `!`, number.
const NOTICE_RECEIVE: c_ulong = 0xc050_2100;
const NOTICE_ANSWER: c_ulong = 0xc018_2101;
const NOTICE_IS_VALID: c_ulong = 0x4008_2102;

/// Waits for a call, and takes it.
pub(crate) fn receive_notice(listener: &OwnedFd) -> io::Result<Notice> {
    // SAFETY: all bytes zero is a valid value of this plain structure, and the one that the kernel wants.
    let mut notice: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes one such structure, whose size is part of the request.
    check(unsafe { libc::ioctl(listener.as_raw_fd(), NOTICE_RECEIVE as _, &raw mut notice) }.into())?;
    Ok(Notice {
        id: notice.id,
        process: notice.pid,
        call: notice.data.nr.into(),
        arguments: notice.data.args,
    })
}

/// Answers a call: with a value, or with an error (negative) that is not 0.
pub(crate) fn answer_notice(listener: &OwnedFd, id: u64, value: i64, error: i32) -> io::Result<()> {
    let answer = libc::seccomp_notif_resp { id, val: value, error, flags: 0 };
    // SAFETY: the kernel reads one such structure, whose size is part of the request.
    check(unsafe { libc::ioctl(listener.as_raw_fd(), NOTICE_ANSWER as _, &raw const answer) }.into())?;
    Ok(())
}

/// Lets the kernel make a call as if nobody had been asked.
pub(crate) fn let_notice_continue(listener: &OwnedFd, id: u64) -> io::Result<()> {
    const CONTINUE: u32 = 1;
    let answer = libc::seccomp_notif_resp { id, val: 0, error: 0, flags: CONTINUE };
    // SAFETY: the kernel reads one such structure, whose size is part of the request.
    check(unsafe { libc::ioctl(listener.as_raw_fd(), NOTICE_ANSWER as _, &raw const answer) }.into())?;
    Ok(())
}

/// What stat(2) says of a file, in the kernel's own form, with another owner.
pub(crate) fn stat_of_another(file: &OwnedFd, user: u32, group: u32) -> io::Result<Vec<u8>> {
    // SAFETY: all bytes zero is a valid value of this plain structure.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: the path is a string with an end, and the kernel writes one such structure.
    check(
        unsafe { libc::fstatat(file.as_raw_fd(), c"".as_ptr(), &raw mut stat, libc::AT_EMPTY_PATH) }.into(),
    )?;
    (stat.st_uid, stat.st_gid) = (user, group);
    Ok(bytes_of(&stat))
}

/// What statx(2) says of a file, in the kernel's own form, with another owner.
pub(crate) fn statx_of_another(
    file: &OwnedFd,
    flags: c_int,
    mask: u32,
    user: u32,
    group: u32,
) -> io::Result<Vec<u8>> {
    // SAFETY: all bytes zero is a valid value of this plain structure.
    let mut stat: libc::statx = unsafe { std::mem::zeroed() };
    let flags = (flags & !libc::AT_SYMLINK_NOFOLLOW) | libc::AT_EMPTY_PATH;
    // SAFETY: the path is a string with an end, and the kernel writes one such structure.
    check(unsafe { libc::statx(file.as_raw_fd(), c"".as_ptr(), flags, mask, &raw mut stat) }.into())?;
    (stat.stx_uid, stat.stx_gid) = (user, group);
    Ok(bytes_of(&stat))
}

/// The bytes of one of the kernel's structures, which were all zeros before the kernel wrote it.
fn bytes_of<T: Copy>(value: &T) -> Vec<u8> {
    // SAFETY: the value is plain and was zeroed, so that all of its bytes, padding too, are initialised.
    unsafe { std::slice::from_raw_parts(ptr::from_ref(value).cast::<u8>(), size_of::<T>()) }.to_vec()
}

/// Whether a call still waits: if so, its thread has not ended meanwhile.
pub(crate) fn is_notice_valid(listener: &OwnedFd, id: u64) -> bool {
    // SAFETY: the kernel reads one number.
    unsafe { libc::ioctl(listener.as_raw_fd(), NOTICE_IS_VALID as _, &raw const id) == 0 }
}

/// Sets a resource limit of this process, by the kernel's number.
pub(crate) fn set_limit(resource: c_int, soft: u64, hard: u64) -> io::Result<()> {
    let limit = libc::rlimit64 { rlim_cur: soft, rlim_max: hard };
    // SAFETY: the structure is read, and the old limit is not asked for.
    let result = unsafe { libc::prlimit64(0, resource as _, &raw const limit, ptr::null_mut()) };
    check(result.into())?;
    Ok(())
}

/// The hard limit of this process, by the kernel's number.
pub(crate) fn hard_limit(resource: c_int) -> io::Result<u64> {
    let mut limit = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the structure is written, and no limit is set.
    let result = unsafe { libc::prlimit64(0, resource as _, ptr::null(), &raw mut limit) };
    check(result.into())?;
    Ok(limit.rlim_max)
}

/// Which of these hard limits (by the kernel's numbers) is the first that a child of this process may not set.
pub(crate) fn refused_hard_limit(limits: &[(c_int, u64)]) -> io::Result<Option<usize>> {
    if limits.is_empty() {
        return Ok(None);
    }
    // SAFETY: there may be other threads. So the child only makes system calls, on memory that it has: it allocates nothing, takes no lock, and
    // leaves without destructors.
    let child = unsafe { libc::fork() };
    check(child.into())?;
    let Some(child) = Pid::from_raw(child) else {
        let refused = limits.iter().position(|(resource, hard)| set_limit(*resource, *hard, *hard).is_err());
        // There are fewer resources than exit codes.
        leave(refused.map_or(0, |index| index as c_int + 1));
    };
    let ended = rustix::io::retry_on_intr(|| waitpid(Some(child), WaitOptions::empty()))?;
    match ended.and_then(|(_, status)| status.exit_status()) {
        Some(0) => Ok(None),
        Some(code) => Ok(usize::try_from(code - 1).ok()),
        None => Err(io::Error::other("the process that tried it was killed")),
    }
}

/// Takes a capability away from this process and all its children, for good.
pub(crate) fn drop_from_bounding_set(capability: u32) -> io::Result<()> {
    // SAFETY: no memory is involved.
    check(unsafe { libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(capability), 0, 0, 0) }.into())?;
    Ok(())
}
