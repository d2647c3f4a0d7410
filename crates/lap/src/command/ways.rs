//! Flags that say how commands are contained, and get their filesystems.

use engine::snapshot::{SnapshotKind, Ways};
use sandbox::Isolation;

use crate::environment;

/// What nobody says is found out: the best way that this machine allows.
#[derive(Debug, clap::Args)]
#[group(id = "ways")]
pub struct Args {
    /// How commands are contained
    #[arg(long, value_name = "WAY", default_value = "auto", env = environment::ISOLATION, hide_env_values = true,
        value_parser = ["auto", "namespaces", "chroot"])]
    isolation: String,
    /// How commands get their filesystems
    #[arg(long, value_name = "KIND", default_value = "auto", env = environment::SNAPSHOT, hide_env_values = true,
        value_parser = ["auto", "overlay", "copy"])]
    snapshot: String,
}

impl Args {
    /// What was asked for.
    pub fn ways(&self) -> Ways {
        Ways {
            isolation: named(&Isolation::ALL, &self.isolation),
            snapshots: named(&SnapshotKind::ALL, &self.snapshot),
        }
    }
}

fn named<T: Copy>(all: &[(&str, T)], name: &str) -> Option<T> {
    all.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
}
