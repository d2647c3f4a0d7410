//! Capabilities: what a process may do as root, by number and by name.

use serde::{Deserialize, Serialize};

/// A set of capabilities, one bit each, as in `/proc/self/status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CapabilitySet(u64);

/// The names in the order of their numbers, without `CAP_` (linux/capability.h).
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

impl CapabilitySet {
    /// None.
    pub const EMPTY: Self = Self(0);
    /// Docker's fourteen (CT-33).
    pub const DOCKER: Self = Self(0xa804_25fb);
    /// Changing the root directory.
    pub const SYS_CHROOT: Self = Self(1 << 18);
    /// All; what the machine does not grant is left out when they are applied.
    pub const ALL: Self = Self((1 << NAMES.len()) - 1);

    /// The set with these bits; unknown bits are dropped.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits & Self::ALL.0)
    }

    /// Its bits.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The set without the members of another.
    pub const fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// The set of one capability, by name, with or without `CAP_`, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        let upper = name.to_ascii_uppercase();
        let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
        NAMES.iter().position(|known| *known == bare).map(|number| Self(1 << number))
    }

    /// The names of its members, with `CAP_`, in the order of their numbers.
    pub fn names(self) -> Vec<String> {
        let members = NAMES.iter().enumerate().filter(|(number, _)| self.0 & (1 << number) != 0);
        members.map(|(_, name)| format!("CAP_{name}")).collect()
    }

    /// What is in either.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in both.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What is in this and not in the other.
    #[must_use]
    pub const fn difference(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether everything in `other` is in this.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Docker's fourteen.
impl Default for CapabilitySet {
    fn default() -> Self {
        Self::DOCKER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ct_033_dockers_fourteen() {
        let names = [
            "CHOWN",
            "DAC_OVERRIDE",
            "FSETID",
            "FOWNER",
            "MKNOD",
            "NET_RAW",
            "SETGID",
            "SETUID",
            "SETFCAP",
            "SETPCAP",
            "NET_BIND_SERVICE",
            "SYS_CHROOT",
            "KILL",
            "AUDIT_WRITE",
        ];
        let sets = names.iter().map(|name| CapabilitySet::from_name(name).expect("a known name"));
        let union = sets.fold(CapabilitySet::EMPTY, CapabilitySet::union);
        assert_eq!(union, CapabilitySet::DOCKER);
        assert_eq!(CapabilitySet::default().names().len(), 14);
    }

    #[test]
    fn names_in_any_form() {
        let admin = CapabilitySet::from_name("cap_sys_admin").expect("a known name");
        assert_eq!(admin.bits(), 1 << 21);
        assert_eq!(admin.names(), ["CAP_SYS_ADMIN"]);
        assert_eq!(CapabilitySet::from_name("SYS_MAGIC"), None);
        assert!(CapabilitySet::ALL.contains(admin) && !CapabilitySet::DOCKER.contains(admin));
        assert_eq!(CapabilitySet::from_bits(u64::MAX), CapabilitySet::ALL);
    }
}
