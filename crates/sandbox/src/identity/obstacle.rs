//! Why a user namespace cannot be had.

use std::fmt;
use std::fs;

/// What forbids user namespaces, so far as it can be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// `kernel.unprivileged_userns_clone` (Debian, Arch).
    Forbidden,
    /// `kernel.apparmor_restrict_unprivileged_userns` (Ubuntu).
    AppArmor,
    /// `user.max_user_namespaces` is 0.
    None,
    /// The kernel was built without.
    Missing,
    /// Nothing that could be seen: a filter of system calls, as containers have.
    Unknown,
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Obstacle::Forbidden => "kernel.unprivileged_userns_clone is 0",
            Obstacle::AppArmor => {
                "AppArmor restricts them (kernel.apparmor_restrict_unprivileged_userns is 1)"
            }
            Obstacle::None => "user.max_user_namespaces is 0",
            Obstacle::Missing => "this kernel has none",
            Obstacle::Unknown => "something forbids them, probably the container that this runs in",
        })
    }
}

impl Obstacle {
    /// What takes it away.
    pub fn remedy(self) -> &'static str {
        match self {
            Obstacle::Forbidden => "as root: sysctl -w kernel.unprivileged_userns_clone=1",
            Obstacle::AppArmor => "as root: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
            Obstacle::None => "as root: sysctl -w user.max_user_namespaces=15000",
            Obstacle::Missing => "run lap as root, or take a kernel with CONFIG_USER_NS",
            Obstacle::Unknown => "run lap as root; or allow them (docker: --security-opt seccomp=unconfined)",
        }
    }
}

/// What can be seen to forbid user namespaces to who is not root; `None` when nothing is.
pub fn obstacle() -> Option<Obstacle> {
    let number = |path: &str| fs::read_to_string(path).ok().and_then(|text| text.trim().parse::<u64>().ok());
    if !fs::exists("/proc/self/ns/user").unwrap_or(false) {
        return Some(Obstacle::Missing);
    }
    if number("/proc/sys/kernel/unprivileged_userns_clone") == Some(0) {
        return Some(Obstacle::Forbidden);
    }
    if number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == Some(1) {
        return Some(Obstacle::AppArmor);
    }
    (number("/proc/sys/user/max_user_namespaces") == Some(0)).then_some(Obstacle::None)
}
