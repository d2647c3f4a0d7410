//! Resource limits (setrlimit(2)): setting them, and knowing before whether that can be done.

use std::ffi::c_int;

use crate::error::{Doing, Error};
use crate::spec::{Resource, Rlimit};
use crate::sys;

/// Makes sure that a contained process can have these limits: they are at most the hard limits of this process, or this process may raise those.
///
/// Who may is known by trying, in a child: limits are those of the whole process, and other threads go on meanwhile.
pub fn check(limits: &[Rlimit]) -> Result<(), Error> {
    let mut raised = Vec::new();
    for limit in limits {
        let action = format!("read the limit {}", limit.resource.name());
        let hard = sys::hard_limit(number(limit.resource)).doing(&action)?;
        if limit.hard > hard {
            raised.push((limit, hard));
        }
    }
    let asked: Vec<_> = raised.iter().map(|(limit, _)| (number(limit.resource), limit.hard)).collect();
    let refused = sys::refused_hard_limit(&asked).doing("find out which limits can be raised")?;
    let Some((limit, hard)) = refused.and_then(|index| raised.get(index)) else { return Ok(()) };
    let hard = shown(*hard);
    Err(Error::Limit {
        limit: format!("--ulimit {}={}:{}", limit.resource.name(), shown(limit.soft), shown(limit.hard)),
        reason: format!("lap itself has the hard limit {hard}, and may not raise it"),
        hint: format!(
            "ask for at most {hard}, or start lap with a higher limit (ulimit -H), or with CAP_SYS_RESOURCE"
        ),
    })
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn nothing_is_to_be_seen_of_a_check_meanwhile() {
        let resource = Resource::Sigpending;
        let hard = || sys::hard_limit(number(resource)).expect("a limit");
        let before = hard();
        let more = [Rlimit { resource, soft: 0, hard: before.checked_add(1).expect("it is limited") }];
        // Who lacks CAP_SYS_RESOURCE may not raise it, and is told so each time.
        let may = check(&more).is_ok();
        let done = AtomicBool::new(false);
        std::thread::scope(|threads| {
            let looking = threads.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    assert_eq!(hard(), before);
                }
            });
            let same = (0..100).all(|_| check(&more).is_ok() == may);
            done.store(true, Ordering::Relaxed);
            assert!(same);
            looking.join().expect("the limit is what it was");
        });
    }

    #[test]
    fn the_first_limit_that_cannot_be_had_is_named() {
        let limit = |resource, hard| Rlimit { resource, soft: 0, hard };
        // More than `fs.nr_open` can have nobody.
        let limits =
            [limit(Resource::Core, 0), limit(Resource::Sigpending, 1), limit(Resource::Nofile, 1 << 40)];
        let error = check(&limits).expect_err("too much").to_string();
        assert!(error.contains("--ulimit nofile=0:1099511627776"), "{error}");
        assert!(check(&limits[..2]).is_ok());
    }
}
