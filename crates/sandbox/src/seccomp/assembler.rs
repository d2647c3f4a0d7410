//! Instructions for the kernel's packet filter machine, as far as a filter of system calls needs them.
//!
//! Numbers are looked up in a binary tree: some nine comparisons for each call. Jumps of the machine's
//! conditions reach 255 instructions, so a condition only decides whether the long jump after it is taken.

use std::ops::RangeInclusive;

use libc::sock_filter;

/// What happens to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is made.
    Allow,
    /// It fails with this error.
    Errno(u16),
    /// It is made when its first argument is in one of these ranges, and fails with EPERM otherwise.
    OneOf(&'static [RangeInclusive<u32>]),
    /// It is made when its first argument has none of these bits, and fails with EPERM otherwise.
    NoneOf(u32),
}

const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const JUMP: u16 = (libc::BPF_JMP | libc::BPF_JA) as u16;
const JUMP_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const JUMP_GREATER_OR_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
const JUMP_BITS: u16 = (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

/// Offsets in `struct seccomp_data`; both machines have the low half of an argument first.
const NUMBER: u32 = 0;
const MACHINE: u32 = 4;
const ARGUMENT_LOW: u32 = 16;
const ARGUMENT_HIGH: u32 = 20;

/// A filter that is being assembled.
#[derive(Default)]
pub(super) struct Program(Vec<sock_filter>);

impl Program {
    /// Adds what happens on one machine: verdicts with the number where each begins, the first at 0.
    pub(super) fn machine(&mut self, machine: u32, verdicts: &[(u32, Verdict)]) {
        let leaves: Vec<_> = verdicts.iter().map(|(start, verdict)| (*start, leaf(verdict))).collect();
        let mut body = vec![load(NUMBER)];
        body.extend(tree(&leaves));
        self.0.push(load(MACHINE));
        self.0.extend([branch(JUMP_EQUAL, machine, 1, 0), jump(body.len())]);
        self.0.extend(body);
    }

    /// Ends it, with what happens on any other machine.
    pub(super) fn finish(mut self, otherwise: Verdict) -> Vec<sock_filter> {
        self.0.extend(leaf(&otherwise));
        self.0
    }
}

/// Instructions that find the last entry whose start is not greater than what is loaded.
fn tree(leaves: &[(u32, Vec<sock_filter>)]) -> Vec<sock_filter> {
    let (left, right) = leaves.split_at(leaves.len() / 2);
    let [(start, first), ..] = right else { return Vec::new() };
    if left.is_empty() {
        return first.clone();
    }
    let left = tree(left);
    let mut code = vec![branch(JUMP_GREATER_OR_EQUAL, *start, 0, 1), jump(left.len())];
    code.extend(left);
    code.extend(tree(right));
    code
}

fn leaf(verdict: &Verdict) -> Vec<sock_filter> {
    let refused = give(libc::SECCOMP_RET_ERRNO | libc::EPERM as u32);
    let allowed = give(libc::SECCOMP_RET_ALLOW);
    match verdict {
        Verdict::Allow => vec![allowed],
        Verdict::Errno(errno) => vec![give(libc::SECCOMP_RET_ERRNO | u32::from(*errno))],
        Verdict::NoneOf(bits) => {
            vec![load(ARGUMENT_LOW), branch(JUMP_BITS, *bits, 0, 1), refused, allowed]
        }
        Verdict::OneOf(allowed_ranges) => {
            let mut leaves = Vec::new();
            for range in *allowed_ranges {
                if leaves.is_empty() && *range.start() > 0 {
                    leaves.push((0, vec![refused]));
                }
                leaves.push((*range.start(), vec![allowed]));
                if let Some(next) = range.end().checked_add(1) {
                    leaves.push((next, vec![refused]));
                }
            }
            let mut code =
                vec![load(ARGUMENT_HIGH), branch(JUMP_EQUAL, 0, 1, 0), refused, load(ARGUMENT_LOW)];
            code.extend(tree(&leaves));
            code
        }
    }
}

fn load(offset: u32) -> sock_filter {
    sock_filter { code: LOAD, jt: 0, jf: 0, k: offset }
}

fn branch(code: u16, operand: u32, then: u8, otherwise: u8) -> sock_filter {
    sock_filter { code, jt: then, jf: otherwise, k: operand }
}

/// Skips this many instructions.
fn jump(length: usize) -> sock_filter {
    // A filter has at most 4096 instructions; the kernel refuses longer ones.
    sock_filter { code: JUMP, jt: 0, jf: 0, k: u32::try_from(length).unwrap_or(u32::MAX) }
}

fn give(result: u32) -> sock_filter {
    sock_filter { code: RETURN, jt: 0, jf: 0, k: result }
}
