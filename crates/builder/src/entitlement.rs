//! What a Dockerfile may only do when whoever builds it allows it (`--allow`, DF-213).

use std::fmt;

/// Something that takes isolation away from RUN steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Entitlement {
    /// `RUN --network=host` in a build that has not got the machine's network.
    NetworkHost,
    /// `RUN --security=insecure`.
    SecurityInsecure,
    /// `RUN --device`.
    Device,
}

impl Entitlement {
    /// All of them.
    pub const ALL: [Entitlement; 3] =
        [Entitlement::NetworkHost, Entitlement::SecurityInsecure, Entitlement::Device];

    /// Its name in `--allow`, which is BuildKit's.
    pub fn name(self) -> &'static str {
        match self {
            Entitlement::NetworkHost => "network.host",
            Entitlement::SecurityInsecure => "security.insecure",
            Entitlement::Device => "device",
        }
    }

    /// The entitlement with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|entitlement| entitlement.name() == name)
    }
}

impl fmt::Display for Entitlement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
