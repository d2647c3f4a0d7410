//! Changing the attributes of mounts before Linux 5.12, which has no mount_setattr(2).
//!
//! mount(2) sets all attributes of one mount anew, by a path, and only of a mount that is attached in this namespace. So what is below is found in
//! `/proc/self/mountinfo`, and each mount is reached through a descriptor.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use rustix::fs::{
    AtFlags, Mode, OFlags, ResolveFlags, StatVfsMountFlags, StatxFlags, openat2, statvfs, statx,
};
use rustix::mount::{MountAttrFlags, MountFlags, mount_remount};

/// What of a mount's attributes has to be said again, for else it is taken away (or, in a user namespace, refused).
const KEPT: [(StatVfsMountFlags, MountFlags); 4] = [
    (StatVfsMountFlags::RDONLY, MountFlags::RDONLY),
    (StatVfsMountFlags::NODEV, MountFlags::NODEV),
    (StatVfsMountFlags::NOSUID, MountFlags::NOSUID),
    (StatVfsMountFlags::NOEXEC, MountFlags::NOEXEC),
];

/// Adds attributes to an attached mount, and with `recursive` to all below it.
pub(super) fn restrict(mount: BorrowedFd<'_>, recursive: bool, attributes: MountAttrFlags) -> io::Result<()> {
    remount(mount, attributes)?;
    if recursive {
        for below in below(mount)? {
            remount(below.as_fd(), attributes)?;
        }
    }
    Ok(())
}

/// The same attributes, as mount(2) names them.
pub(super) fn flags(attributes: MountAttrFlags) -> MountFlags {
    let names = [
        (MountAttrFlags::MOUNT_ATTR_RDONLY, MountFlags::RDONLY),
        (MountAttrFlags::MOUNT_ATTR_NODEV, MountFlags::NODEV),
        (MountAttrFlags::MOUNT_ATTR_NOSUID, MountFlags::NOSUID),
        (MountAttrFlags::MOUNT_ATTR_NOEXEC, MountFlags::NOEXEC),
    ];
    names.iter().filter(|(name, _)| attributes.contains(*name)).map(|(_, flag)| *flag).collect()
}

fn remount(mount: BorrowedFd<'_>, attributes: MountAttrFlags) -> io::Result<()> {
    restrict_at(&format!("/proc/self/fd/{}", mount.as_raw_fd()), attributes)
}

/// Adds attributes to the mount that a path leads to: for where `/proc` does not show this process.
pub(super) fn restrict_at(path: &str, attributes: MountAttrFlags) -> io::Result<()> {
    let present = statvfs(path)?.f_flag;
    let kept: MountFlags =
        KEPT.iter().filter(|(name, _)| present.contains(*name)).map(|(_, flag)| *flag).collect();
    Ok(mount_remount(path, MountFlags::BIND | kept | flags(attributes), "")?)
}

/// The mounts below this one that can be reached.
fn below(mount: BorrowedFd<'_>) -> io::Result<Vec<OwnedFd>> {
    let id = statx(mount, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?.stx_mnt_id;
    let text = std::fs::read("/proc/thread-self/mountinfo")?;
    let lines: Vec<Line> = text.split(|byte| *byte == b'\n').filter_map(Line::parse).collect();
    let Some(top) = lines.iter().find(|line| line.id == id) else { return Ok(Vec::new()) };
    // Whatever is mounted on something is listed after it, unless it was moved: so until nothing is found any more.
    let mut inside = vec![id];
    let mut found = Vec::new();
    loop {
        let next = lines.iter().find(|line| inside.contains(&line.parent) && !inside.contains(&line.id));
        let Some(line) = next else { return Ok(found) };
        inside.push(line.id);
        let Ok(path) = line.place.strip_prefix(&top.place) else { continue };
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
        let opened = openat2(mount, path, flags, Mode::empty(), resolve)?;
        // What lies below another mount cannot be reached, from inside either.
        if statx(&opened, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?.stx_mnt_id == line.id {
            found.push(opened);
        }
    }
}

/// A line of `/proc/self/mountinfo`.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    id: u64,
    parent: u64,
    place: PathBuf,
}

impl Line {
    fn parse(line: &[u8]) -> Option<Self> {
        let mut fields = line.split(|byte| *byte == b' ');
        let mut number = || std::str::from_utf8(fields.next()?).ok()?.parse().ok();
        let (id, parent) = (number()?, number()?);
        Some(Self { id, parent, place: unescape(fields.nth(2)?) })
    }
}

/// Blanks, backslashes and ends of lines are written as `\` and three octal digits.
fn unescape(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let code =
            after.get(..3).filter(|_| *first == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    std::ffi::OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use rustix::fs::fstatvfs;
    use rustix::io::Errno;
    use rustix::mount::{MountPropagationFlags, mount_change};
    use rustix::thread::UnshareFlags;

    use super::*;
    use crate::runner::mounts::{self, Filesystem, INERT, READ_ONLY};
    use crate::runner::scaffold::Scaffold;
    use crate::sys;

    #[test]
    fn lines_of_mountinfo() {
        let line = br"36 35 98:0 /mnt1 /mnt\0402/a\134b rw,noatime master:1 - ext3 /dev/root rw";
        let expected = Line { id: 36, parent: 35, place: r"/mnt 2/a\b".into() };
        assert_eq!(Line::parse(line), Some(expected));
        assert_eq!(Line::parse(b""), None);
    }

    #[test]
    fn all_below_is_restricted_and_nothing_is_given_back() {
        // The mount namespace is that of the thread, and ends with it.
        std::thread::scope(|scope| scope.spawn(look).join()).expect("no panic");
    }

    fn look() {
        sys::unshare(UnshareFlags::NEWNS).expect("this test needs root (CAP_SYS_ADMIN)");
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).expect("private");
        let scaffold = Scaffold::new().expect("memory");
        let memory = || Filesystem::new("tmpfs").expect("tmpfs").mount(INERT).expect("mounted");
        let (upper, lower) = (memory(), memory());
        mounts::attach(&upper, scaffold.directory("with blank").expect("made")).expect("attached");
        rustix::fs::mkdirat(&upper, "low er", Mode::from(0o755)).expect("made");
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let place = rustix::fs::openat(&upper, "low er", flags, Mode::empty()).expect("opened");
        mounts::attach(&lower, place).expect("attached");

        restrict(upper.as_fd(), true, READ_ONLY).expect("restricted");
        for mount in [&upper, &lower] {
            let made = rustix::fs::mkdirat(mount, "new", Mode::from(0o755));
            assert_eq!(made, Err(Errno::ROFS));
            let present = fstatvfs(mount).expect("attributes").f_flag;
            let all = StatVfsMountFlags::NODEV | StatVfsMountFlags::NOSUID | StatVfsMountFlags::NOEXEC;
            assert!(present.contains(all | StatVfsMountFlags::RDONLY), "{present:?}");
        }

        let before = statvfs("/").expect("attributes").f_flag;
        restrict_at("/", MountAttrFlags::MOUNT_ATTR_NODEV).expect("restricted");
        let after = statvfs("/").expect("attributes").f_flag;
        assert!(after.contains(before | StatVfsMountFlags::NODEV), "{before:?}, {after:?}");
    }
}
