//! Mounting an overlay, through whichever interface the kernel has.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, openat, statat};
use rustix::io::Errno;
use rustix::mount::{FsOpenFlags, MountAttrFlags, UnmountFlags, fsconfig_set_string, fsopen, mount, unmount};

use super::mounts::{self, Filesystem};
use super::remount;
use super::scaffold::Scaffold;
use crate::error::{Doing, Error};

/// How many lower directories the kernel takes (`OVL_MAX_STACK`).
const STACK: usize = 500;

/// How many layers a root may have: two more are needed while looking for what is missing in it.
pub(super) const LOWERS: usize = STACK - 2;

/// How many bytes of options mount(2) takes; what is beyond it cuts off in silence.
const PAGE: usize = 4096;

/// Options that hold for every overlay here. Off is what lets an upper directory be read as a plain tree
/// afterwards; `xino` gives every file one inode number for its life, also where layers lie on several
/// filesystems.
const OPTIONS: [(&str, &str); 4] =
    [("xino", "on"), ("index", "off"), ("redirect_dir", "off"), ("metacopy", "off")];

/// What makes overlayfs keep its own attributes in `user.overlay.`.
const USER_ATTRIBUTES: &str = "userxattr";

/// The same where it does: then the last two are off, and may not even be named.
const USER_OPTIONS: [(&str, &str); 2] = [("xino", "on"), ("index", "off")];

fn choices(user_attributes: bool) -> &'static [(&'static str, &'static str)] {
    if user_attributes { &USER_OPTIONS } else { &OPTIONS }
}

/// What an overlay is made of; all directories are open.
pub(super) struct Layers<'a> {
    /// The top-most first; at least one.
    pub(super) lowers: Vec<BorrowedFd<'a>>,
    /// Without, it is read-only, and needs two lowers.
    pub(super) upper: Option<Upper<'a>>,
    /// Whether overlayfs' own attributes are those of `user.overlay.`.
    pub(super) user_attributes: bool,
}

/// The writable part of an overlay.
pub(super) struct Upper<'a> {
    pub(super) upper: BorrowedFd<'a>,
    pub(super) work: BorrowedFd<'a>,
    pub(super) volatile: bool,
}

/// Opens a directory that an overlay is to be made of.
pub(super) fn open(path: &Path) -> Result<OwnedFd, Error> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(CWD, path, flags, Mode::empty()).doing_to("open the layer", path)
}

/// A detached mount of an overlay.
pub(super) fn make(
    layers: &Layers<'_>,
    attributes: MountAttrFlags,
    scaffold: &Scaffold,
) -> Result<OwnedFd, Error> {
    let made = append(layers, attributes).and_then(|made| match made {
        Some(mount) => Ok(mount),
        None => page(layers, attributes, scaffold),
    });
    made.map_err(|error| match (error, &layers.upper) {
        (Error::System { action, path, detail, source }, Some(upper)) => {
            Error::System { action, path, detail: upper.complaint().or(detail), source }
        }
        (error, _) => error,
    })
}

impl Upper<'_> {
    /// What the kernel says into its own log only.
    fn complaint(&self) -> Option<String> {
        let marker = statat(self.work, "work/incompat/volatile", AtFlags::SYMLINK_NOFOLLOW);
        let text = "its work directory was used by a volatile overlay before: take a new one";
        marker.is_ok().then(|| text.to_owned())
    }
}

/// Whether this kernel takes lower directories one by one (`lowerdir+`, Linux 6.7).
///
/// Before 6.5, overlayfs takes every option as it comes, and finds out when it is mounted: so one that knows what is nonsense is asked for.
pub(crate) fn appends() -> Result<bool, Errno> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let knows = |key| fsconfig_set_string(&context, key, "/") != Err(Errno::INVAL);
    Ok(knows("lowerdir+") && !knows("nonsense"))
}

/// `None` when the kernel does not know `lowerdir+`.
fn append(layers: &Layers<'_>, attributes: MountAttrFlags) -> Result<Option<OwnedFd>, Error> {
    if !appends().doing("use the filesystem overlay")? {
        return Ok(None);
    }
    let mut overlay = Filesystem::new("overlay")?;
    for lower in &layers.lowers {
        overlay = overlay.with("lowerdir+", &path_of(lower))?;
    }
    for (key, value) in choices(layers.user_attributes) {
        overlay = overlay.with(key, value)?;
    }
    if layers.user_attributes {
        overlay = overlay.with_flag(USER_ATTRIBUTES)?;
    }
    if let Some(upper) = &layers.upper {
        overlay = overlay.with("upperdir", &path_of(&upper.upper))?.with("workdir", &path_of(&upper.work))?;
        if upper.volatile {
            overlay = overlay.with_flag("volatile")?;
        }
    }
    overlay.mount(attributes).map(Some)
}

/// The same through mount(2), which takes one page of options: paths through `/proc` are short, and hold
/// nothing that would have to be escaped.
fn page(layers: &Layers<'_>, attributes: MountAttrFlags, scaffold: &Scaffold) -> Result<OwnedFd, Error> {
    let lowers: Vec<String> = layers.lowers.iter().map(path_of).collect();
    let mut options = format!("lowerdir={}", lowers.join(":"));
    for (key, value) in choices(layers.user_attributes) {
        options.push_str(&format!(",{key}={value}"));
    }
    if layers.user_attributes {
        options.push_str(&format!(",{USER_ATTRIBUTES}"));
    }
    if let Some(upper) = &layers.upper {
        let (upperdir, workdir) = (path_of(&upper.upper), path_of(&upper.work));
        let volatile = if upper.volatile { ",volatile" } else { "" };
        options.push_str(&format!(",upperdir={upperdir},workdir={workdir}{volatile}"));
    }
    if options.len() >= PAGE {
        let count = layers.lowers.len();
        return Err(Error::Unsupported {
            what: format!("a root of {count} layers: this kernel takes about 200"),
            hint: format!("Linux 6.7 takes {LOWERS}; or make the image anew with fewer steps"),
        });
    }
    let options = std::ffi::CString::new(options).map_err(|error| Error::Internal(error.to_string()))?;
    let target = scaffold.scratch()?;
    mount("overlay", path_of(&target), "overlay", remount::flags(attributes), options.as_c_str())
        .doing("mount overlay")?;
    let mounted = scaffold.scratch()?;
    let detached = mounts::clone_at(&mounted, "", false).doing("bind-mount the overlay")?;
    unmount(path_of(&mounted), UnmountFlags::DETACH).doing("unmount the overlay's first place")?;
    Ok(detached)
}

fn path_of(directory: &impl AsFd) -> String {
    format!("/proc/self/fd/{}", directory.as_fd().as_raw_fd())
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use rustix::mount::{MountPropagationFlags, mount_change};
    use rustix::thread::UnshareFlags;

    use super::*;
    use crate::runner::resolve;
    use crate::sys;

    /// Both interfaces make the same overlay; kernels before 6.7 have the second one only.
    #[test]
    fn through_both_interfaces() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name);
        for name in LOWERS_WITH_NAMES.iter().chain(&["upper0", "work0", "upper1", "work1"]) {
            std::fs::create_dir(at(name)).expect("made");
            std::fs::write(at(name).join(name), name).expect("written");
        }
        // The mount namespace is that of the thread, and ends with it.
        std::thread::scope(|scope| scope.spawn(|| mount_both(directory.path())).join()).expect("no panic");
    }

    /// One name has all that mount(2) would want escaped.
    const LOWERS_WITH_NAMES: [&str; 2] = ["high", "low,with:odd\\name"];

    fn mount_both(directory: &Path) {
        sys::unshare(UnshareFlags::NEWNS).expect("this test needs root (CAP_SYS_ADMIN)");
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).expect("private");
        let scaffold = Scaffold::new().expect("memory");
        let open = |name: &str| open(&directory.join(name)).expect("opened");
        for (index, through_page) in [true, false].into_iter().enumerate() {
            let lowers = LOWERS_WITH_NAMES.map(open);
            let (upper, work) = (open(&format!("upper{index}")), open(&format!("work{index}")));
            let upper = Upper { upper: upper.as_fd(), work: work.as_fd(), volatile: true };
            let lowers = lowers.iter().map(AsFd::as_fd).collect();
            let layers = Layers { lowers, upper: Some(upper), user_attributes: false };
            let attributes = MountAttrFlags::MOUNT_ATTR_NODEV;
            let mount = match through_page {
                true => page(&layers, attributes, &scaffold).expect("mounted"),
                false => match append(&layers, attributes).expect("mounted") {
                    Some(mount) => mount,
                    // This kernel has the first one only.
                    None => {
                        assert!(!appends().expect("overlays"));
                        return;
                    }
                },
            };
            for name in LOWERS_WITH_NAMES {
                let found = resolve::open(&mount, Path::new(name)).expect("looked");
                assert!(found.is_some(), "{name}");
            }
        }
    }
}
