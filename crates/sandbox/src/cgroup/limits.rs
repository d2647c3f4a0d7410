//! What can be limited, and how each version of cgroups is told.

use serde::{Deserialize, Serialize};

use super::plan::Setting;

/// The controllers, as the kernel names them.
pub(crate) const MEMORY: &str = "memory";
pub(crate) const CPU: &str = "cpu";
pub(crate) const CPUSET: &str = "cpuset";
pub(crate) const PIDS: &str = "pids";

/// The period that the kernel has when none is said, in microseconds.
const PERIOD: u64 = 100_000;

/// Limits of a contained process; what is not said is not limited.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Memory, in bytes.
    pub memory: Option<u64>,
    /// Memory and swap together. With [`memory`](Self::memory) alone it is twice as much, where swap is counted at all.
    pub memory_swap: Option<MemorySwap>,
    /// The length of a period of the scheduler, in microseconds.
    pub cpu_period: Option<u64>,
    /// How long the processes may run in one period, in microseconds, all processors together.
    pub cpu_quota: Option<u64>,
    /// The weight, relative to others, from 2 to 262144; what nobody says is 1024.
    pub cpu_shares: Option<u64>,
    /// The processors, as the kernel lists them: `0-3,7`.
    pub cpuset_cpus: Option<String>,
    /// The nodes of memory, listed likewise.
    pub cpuset_mems: Option<String>,
    /// How many processes and threads there can be.
    pub pids: Option<u64>,
    /// The group that the new one is made in: a path from the top of the hierarchies. It has to exist.
    pub parent: Option<String>,
}

/// Memory and swap together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MemorySwap {
    /// As much swap as there is.
    Unlimited,
    /// So many bytes.
    Bytes(u64),
}

impl Limits {
    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The controllers that are needed, each with the flag of docker that needs it.
    pub(crate) fn controllers(&self) -> Vec<(&'static str, &'static str)> {
        let mut needed = Vec::new();
        needed.extend(self.memory.is_some().then_some((MEMORY, "--memory")));
        let cpu = [
            (self.cpu_quota.is_some(), "--cpu-quota"),
            (self.cpu_period.is_some(), "--cpu-period"),
            (self.cpu_shares.is_some(), "--cpu-shares"),
        ];
        needed.extend(cpu.iter().find(|(asked, _)| *asked).map(|(_, flag)| (CPU, *flag)));
        let cpuset =
            [(self.cpuset_cpus.is_some(), "--cpuset-cpus"), (self.cpuset_mems.is_some(), "--cpuset-mems")];
        needed.extend(cpuset.iter().find(|(asked, _)| *asked).map(|(_, flag)| (CPUSET, *flag)));
        needed.extend(self.pids.is_some().then_some((PIDS, "--pids-limit")));
        needed
    }

    /// What is written for a controller into a group of version 1.
    pub(crate) fn first(&self, controller: &str) -> Vec<Setting> {
        let settings = match controller {
            MEMORY => vec![
                said("memory.limit_in_bytes", self.memory),
                self.swap_said("memory.memsw.limit_in_bytes", "-1", |all| all),
            ],
            CPU => vec![
                said("cpu.cfs_period_us", self.cpu_period),
                said("cpu.cfs_quota_us", self.cpu_quota),
                said("cpu.shares", self.cpu_shares),
            ],
            // A process can enter only when both are said.
            CPUSET => vec![
                said("cpuset.cpus", self.cpuset_cpus.as_ref())
                    .or_else(|| Some(Setting::inherited("cpuset.cpus"))),
                said("cpuset.mems", self.cpuset_mems.as_ref())
                    .or_else(|| Some(Setting::inherited("cpuset.mems"))),
            ],
            _ => vec![said("pids.max", self.pids)],
        };
        settings.into_iter().flatten().collect()
    }

    /// What is written for a controller into a group of version 2.
    pub(crate) fn second(&self, controller: &str) -> Vec<Setting> {
        let settings = match controller {
            MEMORY => vec![
                said("memory.max", self.memory),
                // Version 2 counts swap alone.
                self.swap_said("memory.swap.max", "max", |all| {
                    all.saturating_sub(self.memory.unwrap_or_default())
                }),
            ],
            CPU => vec![
                said("cpu.max", self.quota_and_period()),
                said("cpu.weight", self.cpu_shares.map(weight)),
            ],
            CPUSET => vec![
                said("cpuset.cpus", self.cpuset_cpus.as_ref()),
                said("cpuset.mems", self.cpuset_mems.as_ref()),
            ],
            _ => vec![said("pids.max", self.pids)],
        };
        settings.into_iter().flatten().collect()
    }

    /// As version 2 has them, in one line.
    fn quota_and_period(&self) -> Option<String> {
        let quota = self.cpu_quota.map_or_else(|| "max".to_owned(), |quota| quota.to_string());
        let is_asked = self.cpu_quota.is_some() || self.cpu_period.is_some();
        is_asked.then(|| format!("{quota} {}", self.cpu_period.unwrap_or(PERIOD)))
    }

    /// Memory and swap together: twice the memory when nothing else is said, as docker has it.
    fn swap(&self) -> Option<MemorySwap> {
        let twice = || self.memory.map(|bytes| MemorySwap::Bytes(bytes.saturating_mul(2)));
        self.memory_swap.or_else(twice)
    }

    /// The limit of swap. Kernels that do not count swap lack the file: an error only for who has asked for it.
    fn swap_said(
        &self,
        file: &'static str,
        unlimited: &str,
        counted: impl Fn(u64) -> u64,
    ) -> Option<Setting> {
        let value = match self.swap()? {
            MemorySwap::Unlimited => unlimited.to_owned(),
            MemorySwap::Bytes(all) => counted(all).to_string(),
        };
        Some(Setting { may_be_missing: self.memory_swap.is_none(), ..Setting::new(file, value) })
    }
}

fn said(file: &'static str, value: Option<impl ToString>) -> Option<Setting> {
    value.map(|value| Setting::new(file, value.to_string()))
}

/// The weight of version 2 (1 to 10000, 100 when nobody says) for shares of version 1 (2 to 262144, 1024 when nobody says), as runc and crun compute it: least, usual
/// and most become each other.
fn weight(shares: u64) -> u64 {
    let logarithm = (shares.clamp(2, 262_144) as f64).log2();
    let exponent = (logarithm * logarithm + 125.0 * logarithm) / 612.0 - 7.0 / 34.0;
    // What is a whole number is not to become the next one by an error in the last digit.
    (10_f64.powf(exponent) - 1e-6).ceil() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(settings: &[Setting]) -> Vec<String> {
        settings
            .iter()
            .map(|it| format!("{} {}", it.file, it.value.as_deref().unwrap_or("(above)")))
            .collect()
    }

    #[test]
    fn df_107_what_is_written_for_each_limit() {
        let all = Limits {
            memory: Some(64 << 20),
            cpu_period: Some(50_000),
            cpu_quota: Some(25_000),
            cpu_shares: Some(512),
            cpuset_cpus: Some("0-1".to_owned()),
            pids: Some(10),
            ..Limits::default()
        };
        let names: Vec<&str> = all.controllers().iter().map(|(name, _)| *name).collect();
        assert_eq!(names, [MEMORY, CPU, CPUSET, PIDS]);
        let first: Vec<String> = names.iter().flat_map(|name| written(&all.first(name))).collect();
        assert_eq!(
            first,
            [
                "memory.limit_in_bytes 67108864",
                "memory.memsw.limit_in_bytes 134217728",
                "cpu.cfs_period_us 50000",
                "cpu.cfs_quota_us 25000",
                "cpu.shares 512",
                "cpuset.cpus 0-1",
                "cpuset.mems (above)",
                "pids.max 10",
            ]
        );
        let second: Vec<String> = names.iter().flat_map(|name| written(&all.second(name))).collect();
        assert_eq!(
            second,
            [
                "memory.max 67108864",
                "memory.swap.max 67108864",
                "cpu.max 25000 50000",
                "cpu.weight 59",
                "cpuset.cpus 0-1",
                "pids.max 10",
            ]
        );
    }

    #[test]
    fn df_107_swap_is_what_is_more_than_memory() {
        let with = |swap| Limits { memory: Some(100), memory_swap: Some(swap), ..Limits::default() };
        for (swap, first, second) in [
            (MemorySwap::Unlimited, "-1", "max"),
            (MemorySwap::Bytes(100), "100", "0"),
            (MemorySwap::Bytes(150), "150", "50"),
        ] {
            let limits = with(swap);
            assert_eq!(limits.first(MEMORY)[1].value.as_deref(), Some(first));
            assert_eq!(limits.second(MEMORY)[1].value.as_deref(), Some(second));
            assert!(!limits.first(MEMORY)[1].may_be_missing);
        }
        let plain = Limits { memory: Some(100), ..Limits::default() };
        assert!(plain.first(MEMORY)[1].may_be_missing && plain.second(MEMORY)[1].may_be_missing);
    }

    #[test]
    fn weights_of_both_versions_mean_the_same() {
        for (shares, expected) in [(0, 1), (2, 1), (512, 59), (1024, 100), (2048, 174), (262_144, 10_000)] {
            assert_eq!(weight(shares), expected, "{shares}");
        }
    }
}
