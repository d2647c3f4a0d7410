//! The filter, run by a small machine of our own.

use libc::sock_filter;

use super::profile::{Machine, NAMESPACES, program};
use super::table::{LAST, TABLE, X};
use crate::capability::CapabilitySet;

const ALLOWED: u32 = libc::SECCOMP_RET_ALLOW;
const REFUSED: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
const MISSING: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;

/// Runs a filter as the kernel does.
fn judge(filter: &[sock_filter], machine: u32, number: u32, argument: u64) -> u32 {
    let data = |offset: u32| match offset {
        0 => number,
        4 => machine,
        16 => argument as u32,
        20 => (argument >> 32) as u32,
        other => panic!("offset {other}"),
    };
    let (mut at, mut loaded) = (0_usize, 0);
    // More steps than there are instructions would be a loop, which the machine cannot make.
    for _ in 0..=filter.len() {
        let instruction = filter[at];
        at += 1;
        let decide = |condition| usize::from(if condition { instruction.jt } else { instruction.jf });
        match instruction.code {
            0x20 => loaded = data(instruction.k),
            0x05 => at += instruction.k as usize,
            0x15 => at += decide(loaded == instruction.k),
            0x35 => at += decide(loaded >= instruction.k),
            0x45 => at += decide(loaded & instruction.k != 0),
            0x06 => return instruction.k,
            other => panic!("instruction {other:#x}"),
        }
    }
    panic!("no end");
}

fn number(name: &str, column: usize) -> u32 {
    let row = TABLE.iter().find(|(known, ..)| *known == name);
    row.unwrap_or_else(|| panic!("{name} is not in the table")).2[column]
}

const X86: [Machine; 2] = [Machine::X86_64, Machine::I386];
const ARM: [Machine; 2] = [Machine::Aarch64, Machine::Arm];

fn capability(name: &str) -> CapabilitySet {
    CapabilitySet::from_name(name).expect("a capability")
}

#[test]
fn ct_034_what_is_allowed_without_conditions() {
    for (column, machine, pair) in [
        (0, Machine::X86_64, X86),
        (1, Machine::I386, X86),
        (2, Machine::Aarch64, ARM),
        (3, Machine::Arm, ARM),
    ] {
        let filter = program(&pair, CapabilitySet::DOCKER);
        assert!(filter.len() < 4096, "{} instructions", filter.len());
        for name in
            ["read", "openat", "execve", "ptrace", "clock_gettime", "chroot", "close_range", "seccomp"]
        {
            let number = number(name, column);
            assert_eq!(judge(&filter, machine.audit_number(), number, 0), ALLOWED, "{name} on {machine:?}");
        }
        for name in ["mount", "unshare", "setns", "bpf", "open_by_handle_at", "reboot", "syslog", "fsopen"] {
            let number = number(name, column);
            assert_eq!(judge(&filter, machine.audit_number(), number, 0), REFUSED, "{name} on {machine:?}");
        }
        let unknown = [LAST + 1, 0x4000_0000, 0x4000_0001, u32::MAX];
        for number in unknown {
            assert_eq!(judge(&filter, machine.audit_number(), number, 0), MISSING, "{number} on {machine:?}");
        }
        // keyctl, kexec_load and io_uring_setup are in no rule.
        assert_eq!(judge(&filter, machine.audit_number(), 425, 0), REFUSED, "{machine:?}");
        assert_eq!(judge(&filter, 0x1234, number("read", column), 0), REFUSED, "another machine");
    }
    let arm = program(&ARM, CapabilitySet::DOCKER);
    assert_eq!(judge(&arm, Machine::Arm.audit_number(), 0xf0005, 0), ALLOWED, "set_tls");
    assert_eq!(judge(&arm, Machine::Arm.audit_number(), 0xf0006, 0), MISSING);
}

#[test]
fn ct_034_every_row_gives_its_verdict() {
    for (capabilities, machines) in [CapabilitySet::EMPTY, CapabilitySet::DOCKER, CapabilitySet::ALL]
        .into_iter()
        .flat_map(|set| [(set, X86), (set, ARM)])
    {
        let filter = program(&machines, capabilities);
        for (name, rule, numbers) in &TABLE {
            let columns = if machines == X86 { [0, 1] } else { [2, 3] };
            for (machine, column) in machines.iter().zip(columns) {
                if numbers[column] == X {
                    continue;
                }
                let expected = match rule {
                    super::profile::Rule::AnyOf(names) => {
                        let any = names.iter().any(|name| capabilities.contains(capability(name)));
                        if any { ALLOWED } else { REFUSED }
                    }
                    super::profile::Rule::Clone3 if !capabilities.contains(capability("SYS_ADMIN")) => {
                        MISSING
                    }
                    _ => ALLOWED,
                };
                let found = judge(&filter, machine.audit_number(), numbers[column], 0);
                assert_eq!(found, expected, "{name} on {machine:?} with {:#x}", capabilities.bits());
            }
        }
    }
}

#[test]
fn ct_034_conditions_on_arguments() {
    let filter = program(&X86, CapabilitySet::DOCKER);
    let judge =
        |name: &str, argument: u64| judge(&filter, Machine::X86_64.audit_number(), number(name, 0), argument);
    for (family, expected) in [
        (libc::AF_UNIX, ALLOWED),
        (libc::AF_INET6, ALLOWED),
        (libc::AF_NETLINK, ALLOWED),
        (libc::AF_ALG, REFUSED),
        (libc::AF_VSOCK, REFUSED),
        (12, REFUSED),
        (45, ALLOWED),
        (46, REFUSED),
    ] {
        assert_eq!(judge("socket", family as u64), expected, "family {family}");
        assert_eq!(judge("socket", family as u64 | 1 << 32), REFUSED, "family {family} with high bits");
    }
    for (personality, expected) in [
        (0, ALLOWED),
        (8, ALLOWED),
        (0x20008, ALLOWED),
        (0xffff_ffff, ALLOWED),
        (0x0040_0000, REFUSED),
        (1, REFUSED),
    ] {
        assert_eq!(judge("personality", personality), expected, "{personality:#x}");
    }
    let threads = 0x003d_0f00;
    assert_eq!(judge("clone", threads), ALLOWED);
    for bit in (0..32).filter(|bit| NAMESPACES & (1 << bit) != 0) {
        assert_eq!(judge("clone", threads | 1 << bit), REFUSED, "bit {bit}");
    }
    assert_eq!(judge("clone3", 0), MISSING);
}

#[test]
fn ct_034_capabilities_open_what_belongs_to_them() {
    let admin = program(&X86, capability("SYS_ADMIN"));
    let judge = |name: &str, argument| {
        super::tests::judge(&admin, Machine::X86_64.audit_number(), number(name, 0), argument)
    };
    for name in ["mount", "unshare", "clone3", "bpf", "syslog", "perf_event_open"] {
        assert_eq!(judge(name, 0), ALLOWED, "{name}");
    }
    assert_eq!(judge("clone", u64::from(NAMESPACES)), ALLOWED);
    for name in ["reboot", "chroot", "iopl"] {
        assert_eq!(judge(name, 0), REFUSED, "{name}");
    }
}

#[test]
fn no_number_is_given_twice_with_different_rules() {
    for column in 0..4 {
        let mut seen = std::collections::HashMap::new();
        for (name, rule, numbers) in &TABLE {
            let number = numbers[column];
            if number == X {
                continue;
            }
            let rule = format!("{rule:?}");
            let before = seen.insert(number, rule.clone());
            assert!(before.is_none_or(|before| before == rule), "{name} in column {column}");
        }
    }
}
