//! From rules to verdicts: what happens to each number, for one set of capabilities.

use std::collections::BTreeMap;

use super::assembler::{Program, Verdict};
use super::table::{LAST, TABLE, X};
use crate::capability::CapabilitySet;

/// On what condition a call is allowed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rule {
    /// On none.
    Always,
    /// With any of these capabilities.
    AnyOf(&'static [&'static str]),
    /// Unless it enters new namespaces; always with SYS_ADMIN.
    Clone,
    /// With SYS_ADMIN. Without, it does not exist: its flags lie in memory, where no filter can look, and
    /// libraries then use `clone`.
    Clone3,
    /// For the address families that are not known to be dangerous: without AF_ALG and AF_VSOCK, which have
    /// led out of containers, and without obsolete ones.
    Socket,
    /// For the usual personalities.
    Personality,
}

/// A set of numbers and calling conventions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Machine {
    X86_64,
    I386,
    Aarch64,
    Arm,
}

impl Machine {
    /// Its number in the data that a filter sees (linux/audit.h).
    pub(super) fn audit_number(self) -> u32 {
        match self {
            Machine::X86_64 => 0xc000_003e,
            Machine::I386 => 0x4000_0003,
            Machine::Aarch64 => 0xc000_00b7,
            Machine::Arm => 0x4000_0028,
        }
    }

    fn column(self) -> usize {
        match self {
            Machine::X86_64 => 0,
            Machine::I386 => 1,
            Machine::Aarch64 => 2,
            Machine::Arm => 3,
        }
    }

    /// Arm has private calls far above all others.
    fn private(self) -> std::ops::Range<u32> {
        if self == Machine::Arm { 0xf0001..0xf0006 } else { 0..0 }
    }
}

/// Flags of `clone` that enter new namespaces.
pub(super) const NAMESPACES: u32 = 0x7e02_0000;

/// Allowed address families, as ranges.
pub(super) const FAMILIES: [std::ops::RangeInclusive<u32>; 8] =
    [0..=11, 13..=18, 21..=22, 24..=24, 26..=33, 35..=36, 39..=39, 41..=45];

/// PER_LINUX, PER_LINUX32, both with UNAME26, and the question for the present one.
pub(super) const PERSONALITIES: [std::ops::RangeInclusive<u32>; 5] =
    [0..=0, 0x8..=0x8, 0x2_0000..=0x2_0000, 0x2_0008..=0x2_0008, u32::MAX..=u32::MAX];

const REFUSED: Verdict = Verdict::Errno(libc::EPERM as u16);
const MISSING: Verdict = Verdict::Errno(libc::ENOSYS as u16);

/// The whole filter: what the machine is, then what the call is.
pub(super) fn program(machines: &[Machine], granted: CapabilitySet) -> Vec<libc::sock_filter> {
    let mut program = Program::default();
    for machine in machines {
        program.machine(machine.audit_number(), &ranges(&verdicts(*machine, granted)));
    }
    program.finish(REFUSED)
}

/// What happens to each number from where to where the next entry begins; the first one begins at 0.
fn ranges(verdicts: &BTreeMap<u32, Verdict>) -> Vec<(u32, Verdict)> {
    let mut ranges = vec![(0, REFUSED)];
    for (number, verdict) in verdicts {
        match ranges.last_mut() {
            Some(last) if last.1 == *verdict => {}
            Some(last) if last.0 == *number => last.1 = verdict.clone(),
            _ => ranges.push((*number, verdict.clone())),
        }
    }
    ranges
}

/// The verdict at each number where it may change.
fn verdicts(machine: Machine, granted: CapabilitySet) -> BTreeMap<u32, Verdict> {
    let known = TABLE.iter().filter_map(|(_, rule, numbers)| {
        let number = *numbers.get(machine.column())?;
        (number != X).then(|| (number, verdict(*rule, granted)))
    });
    let known: BTreeMap<u32, Verdict> = known.collect();
    let mut all = BTreeMap::new();
    for number in (0..=LAST).chain(machine.private()) {
        all.insert(number, known.get(&number).cloned().unwrap_or(REFUSED));
    }
    // What is newer than this table does not exist, so that programs fall back to what does. So do the calls
    // of x32, whose numbers begin at 0x4000_0000.
    all.insert(LAST + 1, MISSING);
    if !machine.private().is_empty() {
        all.insert(machine.private().end, MISSING);
    }
    all
}

fn verdict(rule: Rule, granted: CapabilitySet) -> Verdict {
    let has = |name: &str| CapabilitySet::from_name(name).is_some_and(|one| granted.contains(one));
    match rule {
        Rule::Always => Verdict::Allow,
        Rule::AnyOf(names) if names.iter().any(|name| has(name)) => Verdict::Allow,
        Rule::AnyOf(_) => REFUSED,
        Rule::Clone | Rule::Clone3 if has("SYS_ADMIN") => Verdict::Allow,
        Rule::Clone => Verdict::NoneOf(NAMESPACES),
        Rule::Clone3 => MISSING,
        Rule::Socket => Verdict::OneOf(&FAMILIES),
        Rule::Personality => Verdict::OneOf(&PERSONALITIES),
    }
}
