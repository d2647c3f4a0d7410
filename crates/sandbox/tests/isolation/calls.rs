//! The filter of system calls, asked by a program inside that makes them.
#![expect(unsafe_code, reason = "system calls are made by number, with arguments that refer to no memory")]

use std::io::Write;

use sandbox::{Mount, Network, Status};

use crate::lab::{Case, Lab, Outcome, explain, run, runner};
use crate::same;

/// The argument with which this program makes the calls and prints what came of them.
pub const CALLER: &str = "--make-calls";

/// Name, number, first two arguments, and the error that is expected: 0 for none.
const CALLS: &[(&str, i64, [i64; 2], i32)] = &[
    ("socket(AF_UNIX)", libc::SYS_socket, [1, 1], 0),
    ("socket(AF_INET)", libc::SYS_socket, [2, 1], 0),
    ("socket(AF_ALG)", libc::SYS_socket, [38, 5], libc::EPERM),
    ("socket(AF_VSOCK)", libc::SYS_socket, [40, 1], libc::EPERM),
    ("personality(question)", libc::SYS_personality, [0xffff_ffff, 0], 0),
    ("personality(ADDR_NO_RANDOMIZE)", libc::SYS_personality, [0x0004_0000, 0], libc::EPERM),
    ("clone3", libc::SYS_clone3, [0, 0], libc::ENOSYS),
    ("clone(CLONE_NEWUSER)", libc::SYS_clone, [0x1000_0000, 0], libc::EPERM),
    ("unshare(CLONE_NEWUSER)", libc::SYS_unshare, [0x1000_0000, 0], libc::EPERM),
    ("keyctl", libc::SYS_keyctl, [0, -3], libc::EPERM),
    ("io_uring_setup", libc::SYS_io_uring_setup, [1, 0], libc::EPERM),
    ("bpf", libc::SYS_bpf, [0, 0], libc::EPERM),
    ("open_by_handle_at", libc::SYS_open_by_handle_at, [0, 0], libc::EPERM),
    ("setns", libc::SYS_setns, [-1, 0], libc::EPERM),
    ("mount", libc::SYS_mount, [0, 0], libc::EPERM),
    ("move_mount", libc::SYS_move_mount, [-1, 0], libc::EPERM),
    ("open_tree", libc::SYS_open_tree, [-1, 0], libc::EPERM),
    ("fsopen", libc::SYS_fsopen, [0, 0], libc::EPERM),
    ("pivot_root", libc::SYS_pivot_root, [0, 0], libc::EPERM),
    ("init_module", libc::SYS_init_module, [0, 0], libc::EPERM),
    ("finit_module", libc::SYS_finit_module, [-1, 0], libc::EPERM),
    ("kexec_load", libc::SYS_kexec_load, [0, 0], libc::EPERM),
    ("reboot", libc::SYS_reboot, [0, 0], libc::EPERM),
    ("swapon", libc::SYS_swapon, [0, 0], libc::EPERM),
    ("settimeofday", libc::SYS_settimeofday, [0, 0], libc::EPERM),
    ("add_key", libc::SYS_add_key, [0, 0], libc::EPERM),
    ("request_key", libc::SYS_request_key, [0, 0], libc::EPERM),
    ("userfaultfd", libc::SYS_userfaultfd, [0, 0], libc::EPERM),
    ("perf_event_open", libc::SYS_perf_event_open, [0, 0], libc::EPERM),
    ("ptrace(PTRACE_ATTACH) of a process that is not there", libc::SYS_ptrace, [16, 99_999], libc::ESRCH),
    ("ptrace(PTRACE_TRACEME)", libc::SYS_ptrace, [0, 0], 0),
    // The last two are judged otherwise by some runtime: crun refuses the first, both kill whoever makes the second.
    ("a call of the future", 1000, [0, 0], libc::ENOSYS),
    ("getpid as x32", 0x4000_0000 + 39, [0, 0], libc::ENOSYS),
];

pub fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = vec![("ct_034_calls_are_judged_by_the_kernel", calls)];
    if cfg!(target_arch = "x86_64") {
        cases.push(("ct_034_programs_of_32_bits_run", programs_of_32_bits));
    }
    cases
}

/// Makes the calls; runs inside.
pub fn make_calls() {
    let mut output = std::io::stdout().lock();
    for (name, number, [first, second], _) in CALLS.iter().copied() {
        // SAFETY: none of these calls is given an address that is not null.
        let result = unsafe { libc::syscall(number, first, second, 0, 0, 0) };
        let error = if result == -1 { std::io::Error::last_os_error().raw_os_error() } else { None };
        writeln!(output, "{name}: {}", error.unwrap_or(0)).expect("written");
    }
}

fn calls() -> Outcome {
    let lab = Lab::new()?;
    let mut spec = lab.command(&["/program", CALLER]);
    spec.network = Network::None;
    spec.mounts.push(Mount::bind(std::env::current_exe()?, "/program"));
    // The program needs the C library of the host.
    for directory in ["/lib", "/lib64", "/usr/lib"] {
        if std::path::Path::new(directory).exists() {
            spec.mounts.push(Mount { read_only: true, ..Mount::bind(directory, directory) });
        }
    }
    let with_runtime = runner().runtime.is_some();
    let count = if with_runtime { CALLS.len() - 2 } else { CALLS.len() };
    let expected: String =
        CALLS.iter().take(count).map(|(name, _, _, error)| format!("{name}: {error}\n")).collect();
    let ran = run(&spec).map_err(explain)?;
    let end = if with_runtime { Status::Signal(libc::SIGSYS) } else { Status::Code(0) };
    same!(ran.exit.status, end, "{ran:?}");
    let found = ran.stdout;
    let found = if with_runtime {
        found.lines().take(count).map(|line| format!("{line}\n")).collect()
    } else {
        found
    };
    for (found, expected) in found.lines().zip(expected.lines()) {
        same!(found, expected);
    }
    same!(found, expected);
    Ok(())
}

/// A program of 32 bits that exits with 42 does what it does outside: that, or nothing on a kernel without
/// i386.
fn programs_of_32_bits() -> Outcome {
    use std::os::unix::fs::PermissionsExt;
    let lab = Lab::new()?;
    let program = lab.path("lower/bin/small");
    std::fs::write(&program, small_program())?;
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755))?;
    let outside = std::process::Command::new(&program).status();
    match (outside, run(&lab.command(&["small"]))) {
        (Ok(outside), Ok(inside)) => {
            same!((outside.code(), inside.exit.status), (Some(42), sandbox::Status::Code(42)));
        }
        (Err(outside), Err(inside)) => {
            same!((outside.raw_os_error(), inside.exit_code()), (Some(libc::ENOEXEC), 126));
        }
        (outside, inside) => return Err(format!("outside {outside:?}, inside {inside:?}").into()),
    }
    Ok(())
}

/// An ELF header, one segment, and `exit(42)`.
fn small_program() -> Vec<u8> {
    const BASE: u32 = 0x0804_8000;
    const HEADERS: u32 = 52 + 32;
    let code = [0xb8, 1, 0, 0, 0, 0xbb, 42, 0, 0, 0, 0xcd, 0x80];
    let size = HEADERS + code.len() as u32;
    let mut bytes = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let halves =
        |bytes: &mut Vec<u8>, values: &[u16]| values.iter().for_each(|v| bytes.extend(v.to_le_bytes()));
    let words =
        |bytes: &mut Vec<u8>, values: &[u32]| values.iter().for_each(|v| bytes.extend(v.to_le_bytes()));
    halves(&mut bytes, &[2, 3]);
    words(&mut bytes, &[1, BASE + HEADERS, 52, 0, 0]);
    halves(&mut bytes, &[52, 32, 1, 0, 0, 0]);
    words(&mut bytes, &[1, 0, BASE, BASE, size, size, 5, 0x1000]);
    bytes.extend(code);
    bytes
}
