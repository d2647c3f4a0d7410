//! The system calls that are answered by the runner, and the filter that hands them over.

use std::io;
use std::os::raw::c_long;

use libc::sock_filter;

use super::believed::{Believed, Kind};
use super::memory::Memory;
use crate::sys::Notice;

/// How many supplementary groups a process may have (`NGROUPS_MAX`).
const GROUPS: u64 = 65_536;

/// What a call is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Value(i64),
    Errno(i32),
    /// The kernel is to make the call.
    Kernel,
}

/// A call that arrived.
pub(super) enum Call {
    Chown(Chown),
    Stat(Stat),
    Identity(Identity),
}

/// A file is given away.
pub(super) struct Chown {
    pub target: Target,
    pub user: u32,
    pub group: u32,
}

/// A file is asked whose it is, among other things.
pub(super) struct Stat {
    pub target: Target,
    /// Where the answer goes in the caller's memory.
    pub place: u64,
    pub form: Form,
}

/// What the answer looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `struct stat`.
    Stat,
    /// `struct statx`, with flags and a mask.
    Statx { flags: i32, mask: u32 },
}

/// Which file a call is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// An open one.
    Open(i32),
    /// The one at a path, from an open directory or (`AT_FDCWD`) the working directory.
    Path { directory: i32, path: u64, follow: bool, may_be_empty: bool },
}

/// Somebody asks who he is, or becomes somebody else.
#[derive(Debug, Clone, Copy)]
pub(super) enum Identity {
    Real(Kind),
    Effective(Kind),
    All(Kind, [u64; 3]),
    Groups {
        room: u64,
        list: u64,
    },
    Set(Kind, u32),
    SetTwo(Kind, u32, u32),
    SetThree(Kind, [u32; 3]),
    /// For access to files only: it always succeeds, and says who it was before.
    SetForFiles(Kind),
    SetGroups {
        count: u64,
        list: u64,
    },
}

/// Calls by paths, which newer machines do not have.
#[cfg(target_arch = "x86_64")]
const PATHS: [c_long; 4] = [libc::SYS_chown, libc::SYS_lchown, libc::SYS_stat, libc::SYS_lstat];
#[cfg(not(target_arch = "x86_64"))]
const PATHS: [c_long; 0] = [];

const OTHERS: [c_long; 21] = [
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_getresuid,
    libc::SYS_getresgid,
    libc::SYS_getgroups,
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
    libc::SYS_setgroups,
];

impl Call {
    pub(super) fn of(notice: &Notice) -> Option<Self> {
        // The kernel takes the low half of each register for these arguments.
        let [a, b, c, d, e, _] = notice.arguments;
        let id = |argument: u64| argument as u32;
        let descriptor = |argument: u64| argument as i32;
        let chown =
            |target, user: u64, group: u64| Call::Chown(Chown { target, user: id(user), group: id(group) });
        let at = |directory: i32, path: u64, flags: i32| Target::Path {
            directory,
            path,
            follow: flags & libc::AT_SYMLINK_NOFOLLOW == 0,
            may_be_empty: flags & libc::AT_EMPTY_PATH != 0,
        };
        let stat = |target, place| Call::Stat(Stat { target, place, form: Form::Stat });
        #[cfg(target_arch = "x86_64")]
        match notice.call {
            libc::SYS_stat => return Some(stat(at(libc::AT_FDCWD, a, 0), b)),
            libc::SYS_lstat => {
                return Some(stat(at(libc::AT_FDCWD, a, libc::AT_SYMLINK_NOFOLLOW), b));
            }
            libc::SYS_chown => return Some(chown(at(libc::AT_FDCWD, a, 0), b, c)),
            libc::SYS_lchown => {
                return Some(chown(at(libc::AT_FDCWD, a, libc::AT_SYMLINK_NOFOLLOW), b, c));
            }
            _ => {}
        }
        Some(Call::Identity(match notice.call {
            libc::SYS_fstat => return Some(stat(Target::Open(descriptor(a)), b)),
            libc::SYS_newfstatat => return Some(stat(at(descriptor(a), b, descriptor(d)), c)),
            libc::SYS_statx => {
                let form = Form::Statx { flags: descriptor(c), mask: id(d) };
                let target = at(descriptor(a), b, descriptor(c));
                return Some(Call::Stat(Stat { target, place: e, form }));
            }
            libc::SYS_fchown => return Some(chown(Target::Open(descriptor(a)), b, c)),
            libc::SYS_fchownat => return Some(chown(at(descriptor(a), b, descriptor(e)), c, d)),
            libc::SYS_getuid => Identity::Real(Kind::User),
            libc::SYS_geteuid => Identity::Effective(Kind::User),
            libc::SYS_getgid => Identity::Real(Kind::Group),
            libc::SYS_getegid => Identity::Effective(Kind::Group),
            libc::SYS_getresuid => Identity::All(Kind::User, [a, b, c]),
            libc::SYS_getresgid => Identity::All(Kind::Group, [a, b, c]),
            libc::SYS_getgroups => Identity::Groups { room: a, list: b },
            libc::SYS_setuid => Identity::Set(Kind::User, id(a)),
            libc::SYS_setgid => Identity::Set(Kind::Group, id(a)),
            libc::SYS_setreuid => Identity::SetTwo(Kind::User, id(a), id(b)),
            libc::SYS_setregid => Identity::SetTwo(Kind::Group, id(a), id(b)),
            libc::SYS_setresuid => Identity::SetThree(Kind::User, [id(a), id(b), id(c)]),
            libc::SYS_setresgid => Identity::SetThree(Kind::Group, [id(a), id(b), id(c)]),
            libc::SYS_setfsuid => Identity::SetForFiles(Kind::User),
            libc::SYS_setfsgid => Identity::SetForFiles(Kind::Group),
            libc::SYS_setgroups => Identity::SetGroups { count: a, list: b },
            _ => return None,
        }))
    }
}

impl Identity {
    /// Answers from, and changes, what the process believes.
    pub(super) fn answer(self, believed: &mut Believed, memory: &Memory) -> io::Result<Answer> {
        let changed = match self {
            Identity::Real(kind) => return Ok(Answer::Value(believed.ids(kind).real.into())),
            Identity::Effective(kind) | Identity::SetForFiles(kind) => {
                return Ok(Answer::Value(believed.ids(kind).effective.into()));
            }
            Identity::All(kind, places) => {
                let ids = believed.ids(kind);
                for (place, id) in places.into_iter().zip([ids.real, ids.effective, ids.saved]) {
                    memory.write(place, &id.to_ne_bytes())?;
                }
                Ok(())
            }
            Identity::Groups { room, list } => {
                let count = believed.groups.len();
                if room as u32 != 0 {
                    if (room as u32 as usize) < count {
                        return Ok(Answer::Errno(libc::EINVAL));
                    }
                    let bytes: Vec<u8> =
                        believed.groups.iter().flat_map(|group| group.to_ne_bytes()).collect();
                    memory.write(list, &bytes)?;
                }
                return Ok(Answer::Value(i64::try_from(count).unwrap_or(i64::MAX)));
            }
            Identity::Set(kind, id) => believed.set(kind, id),
            Identity::SetTwo(kind, real, effective) => believed.set_two(kind, real, effective),
            Identity::SetThree(kind, asked) => believed.set_three(kind, asked),
            Identity::SetGroups { count, .. } if count as u32 as u64 > GROUPS => Err(libc::EINVAL),
            Identity::SetGroups { count, list } => {
                let bytes = memory.read(list, count as u32 as usize * 4)?;
                let groups =
                    bytes.chunks_exact(4).filter_map(|id| Some(u32::from_ne_bytes(id.try_into().ok()?)));
                believed.set_groups(groups.collect())
            }
        };
        Ok(changed.map_or_else(Answer::Errno, |()| Answer::Value(0)))
    }
}

/// Hands the calls over, when they are made in the way of this machine; a program for another one gets the kernel's own answers.
pub(super) fn filter() -> Vec<sock_filter> {
    const MACHINE: u32 = if cfg!(target_arch = "x86_64") { 0xC000_003E } else { 0xC000_00B7 };
    let statement = |code: u32, k: u32| sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let load = |offset: u32| statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset);
    let unless_equal =
        |k: u32| sock_filter { code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16, jt: 0, jf: 1, k };
    let give = |result: u32| statement(libc::BPF_RET | libc::BPF_K, result);
    let mut program = vec![load(4)];
    program.push(sock_filter { jt: 1, jf: 0, ..unless_equal(MACHINE) });
    program.push(give(libc::SECCOMP_RET_ALLOW));
    program.push(load(0));
    for call in PATHS.into_iter().chain(OTHERS) {
        // Numbers of calls are small and not negative.
        program.push(unless_equal(call as u32));
        program.push(give(libc::SECCOMP_RET_USER_NOTIF));
    }
    program.push(give(libc::SECCOMP_RET_ALLOW));
    program
}
