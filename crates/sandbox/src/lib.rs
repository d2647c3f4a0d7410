//! One process in isolation: mounts, namespaces, limits. Knows nothing of images.
//!
//! [`spawn`] executes this same program again as a *runner*: a new, single-threaded process that enters new
//! namespaces, mounts, and becomes the parent of the contained process. The program therefore calls [`intercept`] first
//! thing in `main`.

mod capability;
mod error;
mod program;
mod runner;
mod running;
mod seccomp;
mod spawn;
mod spec;
mod sys;
mod wire;

pub use capability::CapabilitySet;
pub use error::Error;
pub use running::{CreatedMountPoint, Exit, Input, Output, Runner, Running, Status, Stdio};
pub use spawn::spawn;
pub use spec::{
    Files, IdMap, IdRange, Mount, MountSource, Network, Process, Resource, Rlimit, Root, Security, Spec,
    Terminal, User,
};

/// Becomes the runner when this process was started as one, and returns at once when it was not.
///
/// To be called first thing in `main`, while there is one thread only.
pub fn intercept() {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == runner::ARGUMENT) {
        runner::main();
    }
}
