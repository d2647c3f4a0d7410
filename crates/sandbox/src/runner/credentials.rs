//! Who the contained process is and what it may do: limits, system call filter, capabilities, user.

use rustix::fs::Mode;
use rustix::process::{Gid, Uid};
use rustix::thread::{
    CapabilitySet as Bits, CapabilitySets, capabilities, clear_ambient_capability_set, set_capabilities,
    set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

use crate::capability::CapabilitySet;
use crate::error::{Doing, Error};
use crate::spec::{Process, Security, Spec};
use crate::ways::Isolation;
use crate::{rlimit, seccomp, sys};

/// Takes on everything, in the one order that works: each step still needs what the next ones take away.
///
/// With a single id, who the process is stays as it is: the runner answers who it believes to be.
///
/// In a changed root alone, a process may not change it again, which would lead out of it; and what the system around forbids is left out.
pub(super) fn apply(spec: &Spec) -> Result<(), Error> {
    let Spec { process, security, .. } = spec;
    let (single_id, in_chroot) = (spec.single_id.is_some(), spec.isolation == Isolation::Chroot);
    for limit in &process.rlimits {
        rlimit::set(*limit)?;
    }
    rustix::process::umask(Mode::from_raw_mode(process.umask));
    if process.no_new_privileges {
        set_no_new_privs(true).doing("set no-new-privileges")?;
    }
    let asked = match in_chroot {
        true => process.capabilities.without(CapabilitySet::SYS_CHROOT),
        false => process.capabilities,
    };
    let granted = granted(asked)?;
    if *security == Security::Default {
        let filter = seccomp::filter(granted).ok_or_else(seccomp::unsupported)?;
        match sys::load_seccomp(&filter) {
            Err(error) if in_chroot && is_denied(&error) => {}
            result => result.doing("load the system call filter")?,
        }
    }
    match drop_from_bounding_set(granted) {
        Err(Error::System { source, .. }) if in_chroot && is_denied(&source) => {}
        result => result?,
    }
    clear_ambient_capability_set().doing("clear the ambient capabilities")?;
    if !single_id {
        become_user(process)?;
    }
    let sets = match process.user.uid {
        _ if single_id => granted,
        0 => granted,
        _ => CapabilitySet::EMPTY,
    };
    let bits = Bits::from_bits_retain(sets.bits());
    let sets = CapabilitySets { effective: bits, permitted: bits, inheritable: Bits::empty() };
    set_capabilities(None, sets).doing("set the capabilities")
}

fn is_denied(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::PermissionDenied
}

/// What is asked for and can be given.
pub(super) fn granted(asked: CapabilitySet) -> Result<CapabilitySet, Error> {
    let own = capabilities(None).doing("read the capabilities")?;
    Ok(asked.intersection(CapabilitySet::from_bits(own.permitted.bits())))
}

fn drop_from_bounding_set(granted: CapabilitySet) -> Result<(), Error> {
    for number in 0..u64::BITS {
        if granted.bits() & (1 << number) != 0 {
            continue;
        }
        match sys::drop_from_bounding_set(number) {
            // This kernel has no more.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => break,
            result => result.doing("drop capabilities")?,
        }
    }
    Ok(())
}

fn become_user(process: &Process) -> Result<(), Error> {
    let user = &process.user;
    let groups: Vec<Gid> = user.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    set_thread_groups(&groups).doing("set the groups")?;
    set_thread_res_gid(gid, gid, gid).doing("set the group")?;
    set_thread_res_uid(uid, uid, uid).doing("set the user")
}
