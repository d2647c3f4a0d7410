//! Flags that limit what commands may use, and that say what they find of the machine.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::IpAddr;
use std::path::PathBuf;

use base::Kind;
use engine::devices::{CDI_DIRECTORIES, DeviceRequest};
use engine::host::ExtraHost;
use engine::resources::Resources;
use sandbox::cgroup::{Limits, MemorySwap};
use sandbox::{Resource, Rlimit};

use crate::failure::{Failure, Outcome};
use crate::units;

/// The least memory, as docker has it: nothing starts with less.
const MIN_MEMORY: u64 = 6 << 20;

/// What the kernel takes as a period, in microseconds.
const PERIODS: std::ops::RangeInclusive<u64> = 1_000..=1_000_000;

/// The period that `--cpus` counts in, in microseconds.
const PERIOD: u64 = 100_000;

/// The least quota, in microseconds.
const MIN_QUOTA: u64 = 1_000;

/// The weights of version 1 of cgroups.
const SHARES: std::ops::RangeInclusive<u64> = 2..=262_144;

/// What `lap build` and `lap run` have in common. The names are docker's.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Limits")]
#[group(skip)]
pub struct Args {
    /// A resource limit, -1 for none; may be repeated: nofile=1024:4096
    #[arg(long, value_name = "NAME=SOFT[:HARD]")]
    ulimit: Vec<String>,
    /// The size of /dev/shm (64m when not given)
    #[arg(long, value_name = "SIZE")]
    shm_size: Option<String>,
    /// Another name in /etc/hosts; the address host-gateway is this machine
    #[arg(long, value_name = "NAME:IP")]
    add_host: Vec<String>,
    /// A device of this machine, or a name of the Container Device Interface (VENDOR/CLASS=NAME)
    #[arg(long, value_name = "PATH[:PATH]|NAME")]
    device: Vec<String>,
    /// Where the specifications of such names lie, as JSON; may be repeated
    #[arg(long, value_name = "DIR", default_values = CDI_DIRECTORIES)]
    cdi_spec_dir: Vec<PathBuf>,
    /// The most memory: 512m, 2g
    #[arg(short, long, value_name = "SIZE")]
    memory: Option<String>,
    /// The most memory and swap together; -1 for as much swap as there is (twice the memory when not given)
    #[arg(long, value_name = "SIZE", requires = "memory", allow_hyphen_values = true)]
    memory_swap: Option<String>,
    /// The length of the scheduler's period, in microseconds
    #[arg(long, value_name = "MICROSECONDS")]
    cpu_period: Option<u64>,
    /// How long the processes may run in one period, in microseconds, all processors together
    #[arg(long, value_name = "MICROSECONDS")]
    cpu_quota: Option<u64>,
    /// The weight relative to others: 2 to 262144 (1024 when not given)
    #[arg(short, long, value_name = "WEIGHT")]
    cpu_shares: Option<u64>,
    /// The processors to run on: 0-2,7
    #[arg(long, value_name = "LIST")]
    cpuset_cpus: Option<String>,
    /// The memory nodes to use: 0,1
    #[arg(long, value_name = "LIST")]
    cpuset_mems: Option<String>,
    /// The cgroup in which those of limits are made (it has to exist): a path from the top
    #[arg(long, value_name = "PATH")]
    cgroup_parent: Option<String>,
}

/// What `lap run` has besides.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Limits")]
#[group(skip)]
pub struct RunArgs {
    /// How many processors it may keep busy: 1.5
    #[arg(long, value_name = "COUNT", conflicts_with_all = ["cpu_period", "cpu_quota"])]
    cpus: Option<f64>,
    /// The most processes and threads; -1 for any number
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true)]
    pids_limit: Option<i64>,
}

impl Args {
    /// What was asked for.
    pub fn resources(&self) -> Outcome<Resources> {
        let size = |flag: &str, text: &String| {
            units::parse_size(text).ok_or_else(|| wrong(flag, text, "it is not a size, such as 64m"))
        };
        let memory = self.memory.as_ref().map(|text| size("--memory", text)).transpose()?;
        if let Some(bytes) = memory.filter(|bytes| *bytes < MIN_MEMORY) {
            return Err(wrong("--memory", bytes, "it has to be at least 6m"));
        }
        let memory_swap = match self.memory_swap.as_deref() {
            None => None,
            Some("-1") => Some(MemorySwap::Unlimited),
            Some(text) => {
                let bytes = size("--memory-swap", &text.to_owned())?;
                if memory.is_some_and(|memory| bytes < memory) {
                    let reason = "it counts memory, too, so it has to be at least that of --memory";
                    return Err(wrong("--memory-swap", text, reason));
                }
                Some(MemorySwap::Bytes(bytes))
            }
        };
        let within = |flag: &str, value: Option<u64>, range: std::ops::RangeInclusive<u64>| match value {
            Some(value) if !range.contains(&value) => {
                Err(wrong(flag, value, &format!("it has to be from {} to {}", range.start(), range.end())))
            }
            value => Ok(value),
        };
        let shared_memory = self.shm_size.as_ref().map(|text| size("--shm-size", text)).transpose()?;
        if shared_memory == Some(0) {
            return Err(wrong("--shm-size", 0, "it has to be more than nothing"));
        }
        let limits = Limits {
            memory,
            memory_swap,
            cpu_period: within("--cpu-period", self.cpu_period, PERIODS)?,
            cpu_quota: within("--cpu-quota", self.cpu_quota, MIN_QUOTA..=u64::MAX / PERIOD)?,
            cpu_shares: within("--cpu-shares", self.cpu_shares, SHARES)?,
            cpuset_cpus: list("--cpuset-cpus", self.cpuset_cpus.as_deref())?,
            cpuset_mems: list("--cpuset-mems", self.cpuset_mems.as_deref())?,
            pids: None,
            parent: self.cgroup_parent.as_deref().map(parent).transpose()?,
        };
        Ok(Resources {
            rlimits: ulimits(&self.ulimit)?,
            shared_memory,
            devices: self.device.iter().map(|text| device(text)).collect::<Outcome<_>>()?,
            cdi_directories: self.cdi_spec_dir.clone(),
            hosts: self.add_host.iter().map(|text| host(text)).collect::<Outcome<_>>()?,
            limits,
        })
    }
}

impl RunArgs {
    /// Adds what was asked for.
    pub fn add(&self, limits: &mut Limits) -> Outcome {
        if let Some(cpus) = self.cpus {
            let quota = (cpus * PERIOD as f64).round();
            if !quota.is_finite() || quota < MIN_QUOTA as f64 || quota > (u32::MAX as f64) * PERIOD as f64 {
                return Err(wrong("--cpus", cpus, "it has to be a number of processors, from 0.01"));
            }
            limits.cpu_period = Some(PERIOD);
            limits.cpu_quota = Some(quota as u64);
        }
        // Docker takes 0 for any number, too.
        limits.pids = self.pids_limit.and_then(|count| u64::try_from(count).ok()).filter(|count| *count > 0);
        Ok(())
    }
}

fn wrong(flag: &str, value: impl Display, reason: &str) -> Failure {
    let value = value.to_string();
    Failure::new(Kind::Invalid, format!("invalid {flag} {}: {reason}", base::text::bytes(value.as_bytes())))
}

/// Each resource once: the last one counts.
fn ulimits(texts: &[String]) -> Outcome<Vec<Rlimit>> {
    let mut limits = BTreeMap::new();
    for text in texts {
        let limit = ulimit(text)?;
        limits.insert(limit.resource.name(), limit);
    }
    Ok(limits.into_values().collect())
}

/// `NAME=SOFT[:HARD]`; `-1` is no limit (CT-37).
fn ulimit(text: &str) -> Outcome<Rlimit> {
    let invalid = |reason: &str| wrong("--ulimit", text, reason);
    let (name, values) = text.split_once('=').ok_or_else(|| invalid("it has to be NAME=SOFT[:HARD]"))?;
    let resource = Resource::from_name(name).ok_or_else(|| {
        let names: Vec<&str> = Resource::ALL.iter().map(|(name, _)| *name).collect();
        invalid("there is no such limit").hint(format!("the limits are {}", names.join(", ")))
    })?;
    let number = |text: &str| match text {
        "-1" => Ok(Rlimit::UNLIMITED),
        text => text.parse().map_err(|_| invalid("a value has to be a number, or -1 for none")),
    };
    let (soft, hard) = match values.split_once(':') {
        Some((soft, hard)) => (number(soft)?, number(hard)?),
        None => (number(values)?, number(values)?),
    };
    if soft > hard {
        return Err(invalid("the soft limit has to be at most the hard one"));
    }
    Ok(Rlimit { resource, soft, hard })
}

/// `NAME:IP` or `NAME=IP`, the address of version 6 also in brackets.
fn host(text: &str) -> Outcome<ExtraHost> {
    let invalid = |reason: &str| wrong("--add-host", text, reason);
    let place = text.find([':', '=']).ok_or_else(|| invalid("it has to be NAME:IP"))?;
    let (name, address) = (&text[..place], &text[place + 1..]);
    let plain = |sign: char| sign.is_ascii_alphanumeric() || matches!(sign, '-' | '.' | '_');
    if name.is_empty() || !name.chars().all(plain) {
        return Err(invalid("that is not a host's name"));
    }
    let address = match address {
        "host-gateway" => None,
        address => {
            let inner = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
            let parsed: Result<IpAddr, _> = inner.parse();
            Some(parsed.map_err(|_| invalid("that is not an address, nor host-gateway"))?)
        }
    };
    Ok(ExtraHost { name: name.to_owned(), address })
}

/// `/dev/x[:/dev/y[:rwm]]`, or a name of the Container Device Interface.
fn device(text: &str) -> Outcome<DeviceRequest> {
    let invalid = |reason: &str| wrong("--device", text, reason);
    if !text.starts_with('/') {
        if !text.contains('/') || !text.contains('=') {
            return Err(invalid("it has to be an absolute path, or VENDOR/CLASS=NAME"));
        }
        return Ok(DeviceRequest::Cdi { name: text.to_owned(), required: true });
    }
    let mut parts: Vec<&str> = text.split(':').collect();
    let is_rights = |part: &str| !part.is_empty() && part.chars().all(|right| "rwm".contains(right));
    if parts.len() > 1
        && let Some(rights) = parts.pop_if(|last| is_rights(last))
        && !matches!(rights, "rw" | "rwm")
    {
        return Err(Failure::new(
            Kind::Unsupported,
            format!(
                "--device {}: a device with less rights than rw is not supported",
                base::text::line(text)
            ),
        )
        .hint("change the permissions of the device itself"));
    }
    let (host, target) = match parts.as_slice() {
        [host] => (*host, *host),
        [host, target] if target.starts_with('/') => (*host, *target),
        _ => return Err(invalid("it has to be PATH[:PATH[:rwm]], with absolute paths")),
    };
    Ok(DeviceRequest::Node { host: host.into(), target: target.into() })
}

/// A list of numbers and ranges, as the kernel takes it.
fn list(flag: &str, text: Option<&str>) -> Outcome<Option<String>> {
    let Some(text) = text else { return Ok(None) };
    let number = |text: &str| text.parse::<u16>().ok();
    let is_part = |part: &str| match part.split_once('-') {
        Some((first, last)) => number(first).zip(number(last)).is_some_and(|(first, last)| first <= last),
        None => number(part).is_some(),
    };
    if !text.split(',').all(is_part) {
        return Err(wrong(flag, text, "it has to be a list of numbers and ranges: 0-2,7"));
    }
    Ok(Some(text.to_owned()))
}

fn parent(text: &str) -> Outcome<String> {
    if text.is_empty() || text.contains('\n') || text.split('/').any(|part| part == ".." || part == ".") {
        return Err(wrong("--cgroup-parent", text, "it has to be a path from the top, without . and .."));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ct_37_ulimits() {
        let none = Rlimit::UNLIMITED;
        for (text, soft, hard) in
            [("nofile=99:100", 99, 100), ("nofile=7", 7, 7), ("core=0:-1", 0, none), ("core=-1", none, none)]
        {
            let limit = ulimit(text).expect("a limit");
            assert_eq!((limit.soft, limit.hard), (soft, hard), "{text}");
        }
        for (text, reason) in [
            ("nofile", "NAME=SOFT"),
            ("files=1", "no such limit"),
            ("nofile=x", "a number"),
            ("nofile=-2", "a number"),
            ("nofile=1:", "a number"),
            ("nofile=2:1", "at most the hard one"),
            ("core=-1:5", "at most the hard one"),
        ] {
            let said = ulimit(text).expect_err("an error").message();
            assert!(said.contains(reason), "{text}: {said}");
        }
        let last = ulimits(&["core=1".to_owned(), "cpu=3".to_owned(), "core=2".to_owned()]).expect("limits");
        assert_eq!(last.iter().map(|limit| limit.soft).collect::<Vec<_>>(), [2, 3]);
    }

    #[test]
    fn df_107_hosts() {
        let parsed = |text: &str| {
            let host = host(text).expect("a host");
            (host.name, host.address.map(|address| address.to_string()))
        };
        for (text, name, address) in [
            ("db:10.0.0.1", "db", Some("10.0.0.1")),
            ("db=10.0.0.1", "db", Some("10.0.0.1")),
            ("a.b-c:::1", "a.b-c", Some("::1")),
            ("db:[2001:db8::1]", "db", Some("2001:db8::1")),
            ("machine:host-gateway", "machine", None),
        ] {
            assert_eq!(parsed(text), (name.to_owned(), address.map(str::to_owned)), "{text}");
        }
        for text in ["db", ":1.2.3.4", "db:", "db:x", "a b:1.2.3.4", "db:1.2.3.4\n5.6.7.8 evil"] {
            assert!(host(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn df_106_devices() {
        let node =
            |host: &str, target: &str| DeviceRequest::Node { host: host.into(), target: target.into() };
        for (text, expected) in [
            ("/dev/fuse", node("/dev/fuse", "/dev/fuse")),
            ("/dev/fuse:rwm", node("/dev/fuse", "/dev/fuse")),
            ("/dev/sda:/dev/xvda", node("/dev/sda", "/dev/xvda")),
            ("/dev/sda:/dev/xvda:rw", node("/dev/sda", "/dev/xvda")),
            ("v.com/gpu=all", DeviceRequest::Cdi { name: "v.com/gpu=all".to_owned(), required: true }),
        ] {
            assert_eq!(device(text).expect("a device"), expected, "{text}");
        }
        for text in ["fuse", "/dev/sda:r", "/dev/sda:xvda", "/dev/sda:/a:/b", "/dev/sda:", "v.com/gpu"] {
            assert!(device(text).is_err(), "{text}");
        }
    }

    #[test]
    fn df_107_lists_and_parents() {
        for (text, good) in
            [("0", true), ("0-2,7", true), ("", false), ("2-1", false), ("a", false), ("0,", false)]
        {
            assert_eq!(list("--cpuset-cpus", Some(text)).is_ok(), good, "{text}");
        }
        for (text, good) in [("/a/b", true), ("a", true), ("", false), ("../a", false), ("/a/../b", false)] {
            assert_eq!(parent(text).is_ok(), good, "{text}");
        }
    }
}
