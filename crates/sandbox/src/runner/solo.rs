//! One user who plays all users.
//!
//! In a user namespace with a single id, root is the only user, and chown(2) and setuid(2) to anybody else fail. Here
//! these calls do not reach the kernel: a filter hands them to the runner (seccomp_unotify(2)), which answers as
//! the kernel would answer root. Whom a file was given to is remembered by its inode, and told at the end by path. Who a process believes to
//! be is remembered by process, and inherited by its children.
//!
//! stat(2) shows files as belonging to whom they were given to, in this command or in a layer below. All the same it
//! is make-believe: a process that became somebody else still has root's rights, and what it creates is seen as root's until the command has
//! ended. What a package manager or an installer does works; what defends one user of the image from another does not.

mod believed;
mod calls;
mod inodes;
mod memory;
mod processes;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags, openat};

pub(super) use inodes::Upper;

use crate::error::{Doing, Error};
use crate::running::OwnerClaim;
use crate::spec::User;
use crate::sys::{self, Notice};
use believed::Believed;
use calls::{Answer, Call, Form, Stat};
use inodes::Inodes;
use memory::Memory;
use processes::Processes;

/// What is opened while the host can still be seen.
pub(super) struct Preparation {
    /// The host's `/proc`, which knows processes by the numbers that notices have.
    proc: OwnedFd,
}

impl Preparation {
    /// To be made before the root is entered.
    pub(super) fn new() -> Result<Self, Error> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let proc = openat(CWD, "/proc", flags, Mode::empty()).doing("open /proc")?;
        Ok(Self { proc })
    }
}

/// Puts this process and its children under the filter; gives the descriptor where their calls arrive.
///
/// From then on none of [`calls`] may be made before somebody answers.
pub(super) fn install() -> io::Result<OwnedFd> {
    sys::load_seccomp_listener(&calls::filter())
}

/// Who answers.
pub(super) struct Supervisor {
    listener: OwnedFd,
    proc: OwnedFd,
    processes: Processes,
    inodes: Inodes,
}

impl Supervisor {
    /// For processes of which the first one believes to be `user`.
    ///
    /// `owners` says whose the files in `root` are that are not root's.
    pub(super) fn new(
        preparation: Preparation,
        listener: OwnedFd,
        user: &User,
        owners: &[OwnerClaim],
        root: BorrowedFd<'_>,
    ) -> Self {
        let processes = Processes::new(Believed::new(user));
        Self { listener, proc: preparation.proc, processes, inodes: Inodes::new(owners, root) }
    }

    /// Where calls arrive.
    pub(super) fn listener(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }

    /// Answers one call.
    pub(super) fn serve(&mut self) -> io::Result<()> {
        let notice = match sys::receive_notice(&self.listener) {
            // The caller was killed, or interrupted, between its call and now.
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EINTR)) => return Ok(()),
            result => result?,
        };
        let answer = self
            .answer(&notice)
            .unwrap_or_else(|error| Answer::Errno(error.raw_os_error().unwrap_or(libc::EPERM)));
        let answered = match answer {
            Answer::Value(value) => sys::answer_notice(&self.listener, notice.id, value, 0),
            Answer::Errno(errno) => sys::answer_notice(&self.listener, notice.id, 0, -errno),
            Answer::Kernel => sys::let_notice_continue(&self.listener, notice.id),
        };
        match answered {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
            result => result,
        }
    }

    fn answer(&mut self, notice: &Notice) -> io::Result<Answer> {
        let Some(call) = Call::of(notice) else { return Ok(Answer::Errno(libc::ENOSYS)) };
        let memory = Memory::open(&self.proc, notice.process)?;
        // The number may be another process's by now: then it was not the caller's memory that was opened.
        if !sys::is_notice_valid(&self.listener, notice.id) {
            return Ok(Answer::Errno(libc::EPERM));
        }
        match call {
            Call::Stat(stat) => {
                // Whatever is strange about the file, the kernel says it best.
                let shown = self.show(notice.process, &memory, &stat).unwrap_or(false);
                Ok(if shown { Answer::Value(0) } else { Answer::Kernel })
            }
            Call::Chown(chown) => {
                if !self.processes.find(&self.proc, notice.process)?.may_chown(chown.user, chown.group) {
                    return Ok(Answer::Errno(libc::EPERM));
                }
                let file = memory.open_target(&self.proc, notice.process, &chown.target)?;
                self.inodes.give(&file, chown.user, chown.group)?;
                Ok(Answer::Value(0))
            }
            Call::Identity(identity) => {
                identity.answer(self.processes.find(&self.proc, notice.process)?, &memory)
            }
        }
    }

    /// Shows a file that belongs to somebody else than root as that; `false` when it does not.
    fn show(&self, process: u32, memory: &Memory, stat: &Stat) -> io::Result<bool> {
        let file = memory.open_target(&self.proc, process, &stat.target)?;
        let Some((user, group)) = self.inodes.owner(&file)? else { return Ok(false) };
        let bytes = match stat.form {
            Form::Stat => sys::stat_of_another(&file, user, group)?,
            Form::Statx { flags, mask } => sys::statx_of_another(&file, flags, mask, user, group)?,
        };
        memory.write(stat.place, &bytes)?;
        Ok(true)
    }

    /// Whom the files that are left were given to: those in the upper directory, by what is seen of them in the root.
    pub(super) fn claims(&self, upper: Upper<'_>) -> Result<Vec<OwnerClaim>, Error> {
        self.inodes.claims(upper)
    }
}
