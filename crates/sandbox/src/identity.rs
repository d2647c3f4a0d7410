//! Becoming root in a user namespace, for who is not root.
//!
//! [`enter`] moves this whole process into a new user namespace, in which the user is root and the subordinate
//! ids that the administrator has set aside for the user are everybody else. All that follows (stores, trees,
//! sandboxes) is done by that root, and needs to know next to nothing of it. Without subordinate ids there is
//! one id, and owners can only be written down.
//!
//! ```text
//! lap ── fork ── helper, outside:  newuidmap PID 0 UID 1 1 100000 65536; newgidmap …
//!  │ unshare(NEWUSER)    ▲
//!  └── "now" ────────────┘ ── "done" ──▶ lap goes on, as root of the namespace
//! ```

mod map;
mod obstacle;
mod subordinate;

use std::io::{Read, Write};
use std::path::PathBuf;

use base::IdMap;
use rustix::io::retry_on_intr;
use rustix::process::{DumpableBehavior, WaitOptions, getegid, geteuid, set_dumpable_behavior, waitpid};
use rustix::thread::UnshareFlags;

pub use obstacle::{Obstacle, obstacle};
pub use subordinate::{Shortage, Subordinate};

use crate::error::{Doing, Error};
use crate::sys;

/// Who this process is after [`enter`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// Root, as it was before.
    Root,
    /// Root of a user namespace with these ids.
    Mapped(IdMap),
    /// Root of a user namespace with one id only, and why there are no more.
    Single(Shortage),
    /// An ordinary user, since no user namespace can be had.
    Ordinary(Obstacle),
}

/// Enters a user namespace, unless this process is root. With the ids that are asked for, when there are any: those of an existing store; else
/// with all that this user has.
///
/// Only for a process with one thread: to be called before any other is started.
pub fn enter(asked: Option<&IdMap>) -> Result<Identity, Error> {
    if geteuid().is_root() {
        return Ok(Identity::Root);
    }
    if !can_enter()? {
        return Ok(Identity::Ordinary(obstacle().unwrap_or(Obstacle::Unknown)));
    }
    let (user, group) = (geteuid().as_raw(), getegid().as_raw());
    let (ids, shortage) = match asked {
        // Why the store has no more: because the user had none, most often.
        Some(asked) if asked.is_single() => {
            (asked.clone(), Some(Subordinate::of(user).err().unwrap_or(Shortage::Store)))
        }
        Some(asked) => (asked.clone(), None),
        None => match Subordinate::of(user) {
            Ok(subordinate) => (subordinate.map(user, group), None),
            Err(shortage) => (IdMap::single(user, group), Some(shortage)),
        },
    };
    match &shortage {
        None => with_helpers(&ids)?,
        Some(_) => alone(&ids)?,
    }
    // The kernel takes this away when credentials change; without, our own /proc/self would not be ours.
    set_dumpable_behavior(DumpableBehavior::Dumpable).doing("stay readable in /proc")?;
    Ok(match shortage {
        None => Identity::Mapped(ids),
        Some(shortage) => Identity::Single(shortage),
    })
}

/// Whether this process is in a user namespace, and not the machine's own.
pub fn is_in_user_namespace() -> bool {
    let read =
        |name: &str| std::fs::read_to_string(PathBuf::from("/proc/self").join(name)).unwrap_or_default();
    IdMap::parse(&read("uid_map"), &read("gid_map")).is_some_and(|ids| !ids.is_identity())
}

/// Whether a user namespace can be entered that is worth it: one whose root may mount. Tried in a child, since there is no way back.
fn can_enter() -> Result<bool, Error> {
    let ids = IdMap::single(geteuid().as_raw(), getegid().as_raw());
    let Some(child) = sys::fork().doing("fork")? else {
        let entered = alone(&ids).is_ok() && sys::unshare(UnshareFlags::NEWNS).is_ok();
        sys::leave(i32::from(!entered));
    };
    let ended = retry_on_intr(|| waitpid(Some(child), WaitOptions::empty())).doing("wait for a child")?;
    Ok(ended.is_some_and(|(_, status)| status.exit_status() == Some(0)))
}

/// Enters a namespace whose ids are written by newuidmap and newgidmap.
fn with_helpers(ids: &IdMap) -> Result<(), Error> {
    let programs = map::Programs::find()?;
    let own = std::process::id();
    let (mut go_reader, mut go_writer) = std::io::pipe().doing("open a pipe")?;
    let (mut said_reader, mut said_writer) = std::io::pipe().doing("open a pipe")?;
    let Some(child) = sys::fork().doing("fork")? else {
        drop((go_writer, said_reader));
        let mut go = [0];
        // Nothing comes when the namespace was not entered.
        if go_reader.read_exact(&mut go).is_ok() {
            let said = programs.write(own, ids).err().unwrap_or_default();
            let _ = said_writer.write_all(said.as_bytes());
            let _ = said_writer.write_all(b"\0");
        }
        sys::leave(0);
    };
    drop((go_reader, said_writer));
    sys::unshare(UnshareFlags::NEWUSER).doing("enter a user namespace")?;
    go_writer.write_all(b"!").doing("talk to the helper")?;
    drop(go_writer);
    let mut said = String::new();
    said_reader.read_to_string(&mut said).doing("talk to the helper")?;
    // Its end is of no interest; that it ended is.
    let _ = retry_on_intr(|| waitpid(Some(child), WaitOptions::empty()));
    match said.as_str() {
        "\0" => Ok(()),
        "" => Err(Error::Internal("the helper that writes the ids died".to_owned())),
        said => Err(Error::Ids { said: said.trim_end_matches('\0').to_owned() }),
    }
}

/// Enters a namespace with this user alone, which needs nobody's permission.
fn alone(ids: &IdMap) -> Result<(), Error> {
    sys::unshare(UnshareFlags::NEWUSER).doing("enter a user namespace")?;
    let write = |name: &str, text: &str| {
        let path = PathBuf::from("/proc/self").join(name);
        std::fs::write(&path, text).doing_to("write", &path)
    };
    // Groups could be used to lose permissions that exclude somebody; so they are given up first.
    write("setgroups", "deny")?;
    write("uid_map", &map::lines(&ids.users))?;
    write("gid_map", &map::lines(&ids.groups))
}
