//! What this machine can do for a sandbox, for messages and for choosing between implementations.

use std::fs;

use crate::cgroup::Hierarchy;
use crate::identity::obstacle;

/// What [`probe`] found out. Nothing is mounted or started for it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Facts {
    /// The kernel's release.
    pub kernel: String,
    /// Whether this process is root.
    pub root: bool,
    /// Whether this process may mount overlays.
    pub overlay: bool,
    /// Whether overlays take layers one by one (Linux 6.7): up to 498 of them. Otherwise there is room for
    /// some 200.
    pub overlay_append: bool,
    /// Whether somebody who is not root can enter a user namespace.
    pub user_namespaces: bool,
    /// Which cgroups there are.
    pub cgroups: Cgroups,
    /// Whether the kernel filters system calls.
    pub seccomp: bool,
}

/// Which version of cgroups a machine uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cgroups {
    /// None.
    None,
    /// Version 1 only.
    V1,
    /// Version 1 with a version 2 beside it.
    Hybrid,
    /// Version 2 only.
    V2,
}

/// Finds out what this machine can do.
pub fn probe() -> Facts {
    let overlay = overlay();
    Facts {
        kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        root: rustix::process::geteuid().is_root(),
        overlay: overlay.is_some(),
        overlay_append: overlay == Some(true),
        user_namespaces: obstacle().is_none(),
        cgroups: cgroups(&Hierarchy::all()),
        seccomp: fs::exists("/proc/sys/kernel/seccomp/actions_avail").unwrap_or(false),
    }
}

/// Whether overlays take layers one by one; `None` when there are no overlays.
fn overlay() -> Option<bool> {
    // Whoever is root in a user namespace may mount in mount namespaces that belong to it: a thread enters one, and takes it along.
    let try_it = || {
        crate::sys::unshare(rustix::thread::UnshareFlags::NEWNS).ok()?;
        crate::runner::appends().ok()
    };
    std::thread::spawn(try_it).join().ok().flatten()
}

fn cgroups(hierarchies: &[Hierarchy]) -> Cgroups {
    let unified = hierarchies.contains(&Hierarchy::Unified);
    let others = hierarchies.iter().any(|hierarchy| *hierarchy != Hierarchy::Unified);
    match (unified, others) {
        (false, false) => Cgroups::None,
        (false, true) => Cgroups::V1,
        (true, true) => Cgroups::Hybrid,
        (true, false) => Cgroups::V2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cgroups_are_told_apart() {
        let first = Hierarchy::Controllers("cpu".to_owned());
        let cases: [(&[Hierarchy], Cgroups); 4] = [
            (&[], Cgroups::None),
            (std::slice::from_ref(&first), Cgroups::V1),
            (&[Hierarchy::Unified], Cgroups::V2),
            (&[first.clone(), Hierarchy::Unified], Cgroups::Hybrid),
        ];
        for (hierarchies, expected) in cases {
            assert_eq!(cgroups(hierarchies), expected);
        }
    }

    #[test]
    fn this_machine_says_something() {
        let facts = probe();
        assert!(facts.kernel.contains('.'), "{facts:?}");
        // Whoever can mount an overlay is privileged.
        assert!(facts.overlay || !facts.overlay_append, "{facts:?}");
    }
}
