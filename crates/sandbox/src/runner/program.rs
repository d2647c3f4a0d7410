//! For which machine a program is, as its header says (ELF).

/// How programs for a kernel itself begin.
pub(super) const ELF: &[u8] = b"\x7fELF";

/// Where the header says which machine it is for.
const MACHINE: usize = 18;

/// Machines by the kernel's number, and by the name that platforms of images have.
const MACHINES: [(u16, &str); 11] = [
    (3, "386"),
    (8, "mips"),
    (20, "ppc"),
    (21, "ppc64"),
    (22, "s390x"),
    (40, "arm"),
    (62, "amd64"),
    (183, "arm64"),
    (243, "riscv64"),
    (247, "bpf"),
    (258, "loong64"),
];

/// Which of them this kernel may execute without help: its own, and its predecessor's.
const NATIVE: &[u16] = match std::env::consts::ARCH.as_bytes() {
    b"x86_64" => &[62, 3],
    b"aarch64" => &[183, 40],
    b"riscv64" => &[243],
    b"s390x" => &[22],
    b"powerpc64" => &[21, 20],
    b"loongarch64" => &[258],
    _ => &[],
};

/// The machine that a program is for, when that is another one than this.
pub(super) fn foreign(head: &[u8]) -> Option<String> {
    let [first, second, ..] = head.get(MACHINE..)? else { return None };
    // The sixth byte says in which order numbers are.
    let number = match head.strip_prefix(ELF)?.get(1)? {
        2 => u16::from_be_bytes([*first, *second]),
        _ => u16::from_le_bytes([*first, *second]),
    };
    if NATIVE.is_empty() || NATIVE.contains(&number) {
        return None;
    }
    let name = MACHINES.iter().find(|(known, _)| *known == number).map(|(_, name)| *name);
    Some(name.map_or_else(|| format!("a machine with the number {number}"), str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn df_108_programs_say_which_machine_they_are_for() {
        let head = |order: u8, machine: [u8; 2]| {
            let mut head = [ELF, &[2, order, 1], &[0; 9], &[2, 0], &machine].concat();
            head.resize(64, 0);
            head
        };
        assert_eq!(
            foreign(&head(2, [0, 22])).as_deref(),
            (std::env::consts::ARCH != "s390x").then_some("s390x")
        );
        assert_eq!(foreign(&head(1, [0xED, 0xFE])).as_deref(), Some("a machine with the number 65261"));
        let own = std::fs::read("/proc/self/exe").expect("this program");
        assert_eq!(foreign(&own), None);
        for text in [&b""[..], b"#!/bin/sh\n", ELF, &[0; 64]] {
            assert_eq!(foreign(text), None);
        }
    }
}
