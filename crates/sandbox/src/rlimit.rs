//! Resource limits (setrlimit(2)): setting them, and knowing before whether that can be done.

use std::ffi::c_int;

use crate::error::{Doing, Error};
use crate::spec::{Resource, Rlimit};
use crate::sys;

/// Makes sure that a contained process can have these limits: they are at most the hard limits of this process, or this process may raise those.
///
/// Who may is known by trying: the hard limit is raised, and set back.
pub fn check(limits: &[Rlimit]) -> Result<(), Error> {
    for limit in limits {
        let resource = number(limit.resource);
        let name = limit.resource.name();
        let (soft, hard) = sys::limit(resource).doing(&format!("read the limit {name}"))?;
        if limit.hard <= hard {
            continue;
        }
        if sys::set_limit(resource, soft, limit.hard).is_err() {
            return Err(Error::Limit {
                limit: format!("--ulimit {name}={}:{}", shown(limit.soft), shown(limit.hard)),
                reason: format!("lap itself has the hard limit {}, and may not raise it", shown(hard)),
                hint: format!(
                    "ask for at most {}, or start lap with a higher limit (ulimit -H), or with CAP_SYS_RESOURCE",
                    shown(hard)
                ),
            });
        }
        sys::set_limit(resource, soft, hard).doing(&format!("set the limit {name} back"))?;
    }
    Ok(())
}

/// A limit as docker's flags take it.
fn shown(value: u64) -> String {
    if value == Rlimit::UNLIMITED { "-1".to_owned() } else { value.to_string() }
}

pub(crate) fn set(limit: Rlimit) -> Result<(), Error> {
    let action = format!("set the limit {} to {}:{}", limit.resource.name(), limit.soft, limit.hard);
    sys::set_limit(number(limit.resource), limit.soft, limit.hard).doing(&action)
}

fn number(resource: Resource) -> c_int {
    let number = match resource {
        Resource::As => libc::RLIMIT_AS,
        Resource::Core => libc::RLIMIT_CORE,
        Resource::Cpu => libc::RLIMIT_CPU,
        Resource::Data => libc::RLIMIT_DATA,
        Resource::Fsize => libc::RLIMIT_FSIZE,
        Resource::Locks => libc::RLIMIT_LOCKS,
        Resource::Memlock => libc::RLIMIT_MEMLOCK,
        Resource::Msgqueue => libc::RLIMIT_MSGQUEUE,
        Resource::Nice => libc::RLIMIT_NICE,
        Resource::Nofile => libc::RLIMIT_NOFILE,
        Resource::Nproc => libc::RLIMIT_NPROC,
        Resource::Rss => libc::RLIMIT_RSS,
        Resource::Rtprio => libc::RLIMIT_RTPRIO,
        Resource::Rttime => libc::RLIMIT_RTTIME,
        Resource::Sigpending => libc::RLIMIT_SIGPENDING,
        Resource::Stack => libc::RLIMIT_STACK,
    };
    number as c_int
}
