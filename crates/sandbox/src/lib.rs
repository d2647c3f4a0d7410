//! One process in isolation: mounts, namespaces, limits. Knows nothing of images.
//!
//! [`spawn()`] executes this same program again as a *runner*: a new, single-threaded process that enters new
//! mount, pid, ipc, uts, cgroup and (with [`Network::None`]) network namespaces, builds the root, and becomes the
//! parent of the contained process. The program therefore calls [`intercept`] first thing in `main`:
//!
//! ```text
//! caller ── socket ── runner ── fork ── process 1: the command
//!                     new namespaces    /proc, limits, seccomp, capabilities, user
//!                     overlay, /dev, /sys, mounts, pivot_root
//! ```
//!
//! - **Nothing stays.** Every mount lives in the runner's mount namespace; what the image lacks as a mount
//!   point is shown by one more layer in memory, so the upper directory holds what the command changed and
//!   nothing else. When the caller dies, the runner kills the process; when the runner dies, the kernel
//!   does (and the caller, for a set-user-ID command, of whose parent's death the kernel says nothing).
//! - **Nothing comes along.** Descriptors travel through the socket, not by inheritance. Of the host's mounts
//!   nothing can be reached after `pivot_root`.
//! - **Docker's defaults**: 14 capabilities, its seccomp profile, its masked paths (CT-31 … CT-36). Every
//!   mount is `nodev` but the few devices in `/dev`, which takes the place of a device cgroup.
//! - **A cgroup is made only for limits** on memory, processors and processes ([`cgroup`]); resource limits (`ulimit`) need none.
//! - **Or an installed OCI runtime** ([`Runtime`], [`Runner::runtime`]) makes the process, with the same result: see
//!   `runner::delegate`.
//! - **With one user id**, the runner answers the calls that need others: see `runner::solo`.
//! - **Without namespaces and mounts**, as in an unprivileged container, there is `Isolation::Chroot`, which isolates files only; `ways` tries what
//!   can be had.
//! - Needs Linux 5.11, and root: the machine's, a container's, or that of a user namespace ([`identity`])

mod capability;
pub mod cgroup;
mod error;
pub mod identity;
mod oci;
mod probe;
mod program;
pub mod rlimit;
mod runner;
mod running;
mod seccomp;
mod spawn;
mod spec;
mod sys;
pub mod ways;
mod wire;

pub use capability::CapabilitySet;
pub use error::Error;
pub use oci::{Runtime, RuntimeKind};
pub use probe::{Cgroups, Facts, probe};
pub use running::{CreatedMountPoint, Exit, Input, Output, OwnerClaim, Runner, Running, Status, Stdio};
pub use spawn::spawn;
pub use spec::{
    Files, Hidden, Mount, MountSource, Network, Process, Resource, Rlimit, Root, Security, SingleId, Spec,
    Terminal, User,
};
pub use ways::Isolation;

/// Becomes the runner when this process was started as one, and returns at once when it was not.
///
/// To be called first thing in `main`, while there is one thread only.
pub fn intercept() {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == runner::ARGUMENT) {
        runner::main();
    }
}
