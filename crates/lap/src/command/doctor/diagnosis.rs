//! Facts → findings: what is good, what could be better, and the command that makes it so.

use base::Finding;
use engine::snapshot::SnapshotKind;
use sandbox::{Cgroups, Isolation};

use super::facts::{Facts, User};
use crate::units;

/// Linux 5.11 is needed.
const OLDEST: (u32, u32) = (5, 11);

/// What the facts mean.
pub fn diagnose(facts: &Facts) -> Vec<Finding> {
    let mut findings =
        vec![kernel(facts), user(facts), isolation(facts), snapshots(facts), filter(facts), store(facts)];
    findings.extend(reflinks(facts));
    findings.push(runtimes(facts));
    findings.push(cgroups(facts));
    findings.extend(facts.container.map(|name| Finding::ok("container", format!("this runs inside {name}"))));
    findings
}

fn kernel(facts: &Facts) -> Finding {
    let release = base::text::bytes(facts.kernel.as_bytes());
    let mut numbers =
        facts.kernel.split(|sign: char| !sign.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let (major, minor) = OLDEST;
    if version < OLDEST {
        return Finding::missing(
            "kernel",
            format!("Linux {release}; {major}.{minor} or newer is needed"),
            None,
        );
    }
    match facts.overlay {
        Some(true) => Finding::ok("kernel", format!("Linux {release}, overlays of up to 498 layers")),
        Some(false) => {
            Finding::ok("kernel", format!("Linux {release}, overlays of up to some 200 layers (6.7: 498)"))
        }
        // Where nothing can be mounted, nothing is known of overlays.
        None if facts.namespaces.is_err() => Finding::ok("kernel", format!("Linux {release}")),
        None => Finding::better(
            "kernel",
            format!("Linux {release}, overlays cannot be mounted"),
            Some("as root of the machine: modprobe overlay".to_owned()),
        ),
    }
}

fn user(facts: &Facts) -> Finding {
    match &facts.user {
        User::Root => Finding::ok("user", "root"),
        User::Mapped { ids } => {
            Finding::ok("user", format!("an ordinary user with subordinate ids: {ids} in all"))
        }
        User::Single { shortage } => Finding::better(
            "user",
            format!("an ordinary user with one id ({shortage}): owners are recorded, not real"),
            Some(shortage.remedy()),
        ),
        User::Ordinary { obstacle } => Finding::missing(
            "user",
            format!("an ordinary user without user namespaces: {obstacle}"),
            Some(obstacle.remedy().to_owned()),
        ),
        User::Broken(refusal) => Finding::missing("user", refusal.why.clone(), refusal.remedy.clone()),
    }
}

fn isolation(facts: &Facts) -> Finding {
    match (&facts.isolation, &facts.namespaces) {
        (Ok(Isolation::Namespaces), _) => Finding::ok("isolation", "namespaces of its own for each command"),
        (Ok(isolation), namespaces) => {
            let why = namespaces.as_ref().err().map(String::as_str).unwrap_or_default();
            let remedy = match facts.container {
                Some("kubernetes") => {
                    "securityContext: capabilities.add [SYS_ADMIN], seccompProfile Unconfined"
                }
                Some(_) => {
                    "docker run --cap-add SYS_ADMIN --security-opt seccomp=unconfined --security-opt apparmor=unconfined"
                }
                None => "run lap with CAP_SYS_ADMIN",
            };
            Finding::better(
                "isolation",
                format!("{} only ({why})", isolation.name()),
                Some(remedy.to_owned()),
            )
        }
        (Err(refusal), _) => Finding::missing("isolation", refusal.why.clone(), refusal.remedy.clone()),
    }
}

fn snapshots(facts: &Facts) -> Finding {
    match (&facts.snapshots, &facts.overlay_here) {
        (Ok(SnapshotKind::Overlay), _) => {
            Finding::ok("snapshots", "overlays: a command costs what it changes")
        }
        (Ok(SnapshotKind::Copy), _) if facts.namespaces.is_err() => {
            Finding::better("snapshots", "copies of the whole filesystem, since nothing can be mounted", None)
        }
        (Ok(SnapshotKind::Copy), why) => {
            let why = why.as_ref().err().map(String::as_str).unwrap_or_default();
            let remedy = match &facts.store {
                Ok(store) if store.filesystem == "overlay" => {
                    "a store on a real filesystem: in a container, a volume and --root, or LAPSTRAKE_ROOT"
                }
                _ => "a store on ext4, XFS or Btrfs: --root, or LAPSTRAKE_ROOT",
            };
            Finding::better(
                "snapshots",
                format!("copies of the whole filesystem ({why})"),
                Some(remedy.to_owned()),
            )
        }
        (Err(refusal), _) => Finding::missing("snapshots", refusal.why.clone(), refusal.remedy.clone()),
    }
}

fn filter(facts: &Facts) -> Finding {
    match facts.seccomp {
        true => Finding::ok("filter", "system calls are filtered as docker does (seccomp)"),
        false => Finding::missing(
            "filter",
            "this kernel cannot filter system calls",
            Some("a kernel with CONFIG_SECCOMP_FILTER".to_owned()),
        ),
    }
}

fn store(facts: &Facts) -> Finding {
    let store = match &facts.store {
        Ok(store) => store,
        Err(refusal) => return Finding::missing("store", refusal.why.clone(), refusal.remedy.clone()),
    };
    let place = base::text::path(&store.root);
    let text = format!("{place} on {}, {} free", store.filesystem, units::size(store.free));
    if store.attributes {
        return Finding::ok("store", text);
    }
    Finding::better(
        "store",
        format!("{text}; its files cannot have extended attributes"),
        Some("a store on ext4, XFS or Btrfs: --root, or LAPSTRAKE_ROOT".to_owned()),
    )
}

/// Sharing blocks matters where filesystems are copied.
fn reflinks(facts: &Facts) -> Option<Finding> {
    let store = facts.store.as_ref().ok()?;
    match (&facts.snapshots, store.reflinks) {
        (_, true) => Some(Finding::ok("reflinks", "copies share their blocks")),
        (Ok(SnapshotKind::Copy), false) => Some(Finding::better(
            "reflinks",
            format!("{} cannot share blocks: copies take room", store.filesystem),
            Some("a store on Btrfs or XFS: --root, or LAPSTRAKE_ROOT".to_owned()),
        )),
        _ => None,
    }
}

fn runtimes(facts: &Facts) -> Finding {
    let installed: Vec<String> = facts
        .runtimes
        .iter()
        .map(|runtime| format!("{} {} ({})", runtime.name, runtime.version, base::text::path(&runtime.path)))
        .collect();
    match installed.as_slice() {
        [] => Finding::ok("runtimes", "no OCI runtime is installed (none is needed; --runtime uses one)"),
        some => Finding::ok("runtimes", format!("for --runtime: {}", some.join(", "))),
    }
}

fn cgroups(facts: &Facts) -> Finding {
    let text = match facts.cgroups {
        Cgroups::None => "none",
        Cgroups::V1 => "version 1",
        Cgroups::Hybrid => "version 1, with a version 2 beside it",
        Cgroups::V2 => "version 2",
        _ => "of an unknown version",
    };
    let refused = facts.limits.iter().find_map(|(_, outcome)| outcome.as_ref().err());
    let names = |can: bool| {
        let names = facts.limits.iter().filter(|(_, outcome)| outcome.is_ok() == can).map(|(name, _)| *name);
        names.collect::<Vec<_>>().join(", ")
    };
    match refused {
        None => Finding::ok("cgroups", format!("{text}; commands can be limited in {}", names(true))),
        Some(refusal) => Finding::better(
            "cgroups",
            format!("{text}; commands cannot be limited in {} ({})", names(false), refusal.why),
            refusal.remedy.clone(),
        ),
    }
}
