//! The filter of system calls: Docker's default profile as a program for the kernel's packet filter machine
//! (CT-34).
//!
//! [`table`] says what is allowed, [`profile`] turns that into verdicts for one set of capabilities and one
//! machine, [`assembler`] into instructions.

mod assembler;
mod oci;
mod profile;
mod table;
#[cfg(test)]
mod tests;

pub(crate) use oci::oci;

use crate::capability::CapabilitySet;
use crate::error::Error;
use profile::Machine;

/// The filter for a process with these capabilities on this machine; `None` for a machine that is not known.
pub(crate) fn filter(granted: CapabilitySet) -> Option<Vec<libc::sock_filter>> {
    let machines: &[Machine] = if cfg!(target_arch = "x86_64") {
        &[Machine::X86_64, Machine::I386]
    } else if cfg!(target_arch = "aarch64") {
        &[Machine::Aarch64, Machine::Arm]
    } else {
        return None;
    };
    Some(profile::program(machines, granted))
}

/// There is no filter for this machine.
pub(crate) fn unsupported() -> Error {
    Error::Unsupported {
        what: "a system call filter for this kind of processor".to_owned(),
        hint: "run with security turned off (insecure) where you trust the command".to_owned(),
    }
}
