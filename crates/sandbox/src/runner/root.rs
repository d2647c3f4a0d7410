//! Building what the contained process sees as `/`.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, fstat, openat, unlinkat};
use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, MountPropagationFlags, UnmountFlags, mount_change, unmount};
use rustix::process::{chdir, fchdir, pivot_root};

use super::created::Created;
use super::device::{self, Pty};
use super::mounts::{self, Filesystem, INERT, READ_ONLY};
use super::overlay::{self, Layers, Upper};
use super::scaffold::Scaffold;
use super::stubs::{PointKind, Stubs};
use super::{kernel, resolve};
use crate::error::{Doing, Error};
use crate::identity;
use crate::spec::{Mount, MountSource, Process, Root, Security, Spec};

/// A root that is ready to be entered.
pub(super) struct Built {
    /// Its top directory.
    pub(super) root: OwnedFd,
    /// Where `/proc` goes; only the contained process can mount it.
    pub(super) proc: OwnedFd,
    /// The host's root, which lies on top of the root until the contained process lets go of it.
    pub(super) host: OwnedFd,
    /// Where changes go: the upper directory of an overlay, the root itself otherwise.
    pub(super) upper: OwnedFd,
    /// The terminal, when there is one.
    pub(super) pty: Option<Pty>,
    /// What had to be created.
    pub(super) created: Created,
}

/// One thing to be mounted, and where.
struct Point {
    target: PathBuf,
    kind: PointKind,
    what: What,
}

enum What {
    Proc,
    Sys,
    Dev,
    /// A copy of something of the host, and what it is to be restricted to.
    Bind {
        mount: OwnedFd,
        recursive: bool,
        attributes: MountAttrFlags,
    },
    /// What this process has of its own: mount points that it lacks can be made in it before it is restricted, and nobody has to remove them.
    Snapshot {
        mount: OwnedFd,
        attributes: MountAttrFlags,
    },
    /// What this process has made, and nobody else has.
    Detached(OwnedFd),
}

/// Builds the root of this description in the mount namespace of this process, which is a new one, and enters it.
pub(super) fn build(spec: &Spec) -> Result<Built, Error> {
    let (_, upper, filled) = assemble(spec)?;
    let host = enter(&filled.root)?;
    let Filled { root, proc, pty, created } = filled;
    Ok(Built { root, proc, host, upper, pty, created })
}

/// A root that another program can enter by its path.
pub(super) struct Shown {
    /// Its top directory.
    pub(super) root: OwnedFd,
    /// The runner's memory, at the place that was asked for; the root is [`ROOT`] in it.
    pub(super) scaffold: Scaffold,
    /// What had to be created.
    pub(super) created: Created,
}

/// Builds the root as [`build`] does, without `/proc` and without a terminal, and shows it in a directory of the host,
/// which it hides from this mount namespace.
pub(super) fn show(spec: &Spec, directory: &Path) -> Result<Shown, Error> {
    let process = Process { terminal: None, ..spec.process.clone() };
    let (scaffold, _, Filled { root, created, .. }) = assemble(&Spec { process, ..spec.clone() })?;
    device::leave_streams(&root)?;
    if identity::is_in_user_namespace() {
        leave_terminal_out(&root)?;
    }
    scaffold.move_to(directory)?;
    Ok(Shown { root, scaffold, created })
}

/// In a user namespace runc mounts the devices itself, over files that it opens first; and `/dev/tty` cannot be opened without a terminal.
fn leave_terminal_out(root: &OwnedFd) -> Result<(), Error> {
    let Some(dev) = resolve::open(root, Path::new("/dev"))? else { return Ok(()) };
    let place = format!("/proc/self/fd/{}/tty", dev.as_raw_fd());
    unmount(&*place, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW).doing("unmount /dev/tty")?;
    unlinkat(&dev, "tty", AtFlags::empty()).doing("remove /dev/tty")
}

/// The name of the root in the runner's memory.
pub(super) const ROOT: &str = "root";

/// A finished root, with where changes to it go.
fn assemble(spec: &Spec) -> Result<(Scaffold, OwnedFd, Filled), Error> {
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .doing("make the mounts of the new namespace private")?;
    let scaffold = Scaffold::new()?;
    let points = points(spec, &scaffold)?;
    let place = scaffold.directory(ROOT)?;
    let (root, upper) = filesystem(&spec.root, spec.security, ("stubs", &points), &scaffold)?;
    mounts::attach(&root, &place).doing("mount the root")?;
    if let Root::Directory(path) = &spec.root {
        mounts::restrict(&root, true, attributes(spec.security))
            .doing_to("restrict the mount of the root", path)?;
    }
    let filled = fill(spec, root, points)?;
    if spec.read_only_root {
        mounts::restrict(&filled.root, false, READ_ONLY).doing("make the root read-only")?;
    }
    Ok((scaffold, upper, filled))
}

/// A detached mount of a filesystem, with stubs (in a directory of this name) for the points that it lacks; and where changes go.
fn filesystem(
    root: &Root,
    security: Security,
    stubs: (&str, &[Point]),
    scaffold: &Scaffold,
) -> Result<(OwnedFd, OwnedFd), Error> {
    match root {
        Root::Directory(path) => Ok((directory_root(path)?, overlay::open(path)?)),
        Root::Overlay { lowers, .. } if lowers.len() > overlay::LOWERS => {
            let (count, most) = (lowers.len(), overlay::LOWERS);
            Err(Error::Invalid(format!("a root of {count} layers: {most} can be mounted at most")))
        }
        Root::Overlay { lowers, upper, work, user_attributes, volatile } => {
            let open = Open {
                lowers: lowers.iter().map(|lower| overlay::open(lower)).collect::<Result<_, _>>()?,
                upper: overlay::open(upper)?,
                work: overlay::open(work)?,
                user_attributes: *user_attributes,
                volatile: *volatile,
            };
            Ok((overlay_root(&open, stubs, scaffold, attributes(security))?, open.upper))
        }
    }
}

fn attributes(security: Security) -> MountAttrFlags {
    match security {
        Security::Default => MountAttrFlags::MOUNT_ATTR_NODEV,
        Security::Insecure => MountAttrFlags::empty(),
    }
}

/// Everything to be mounted, in order; what comes from the host is opened here.
fn points(spec: &Spec, scaffold: &Scaffold) -> Result<Vec<Point>, Error> {
    let directory = |target: &str, what| Point { target: target.into(), kind: PointKind::Directory, what };
    let mut points =
        vec![directory("/proc", What::Proc), directory("/dev", What::Dev), directory("/sys", What::Sys)];
    let files = [
        ("hosts", &spec.files.hosts),
        ("resolv.conf", &spec.files.resolv_conf),
        ("hostname", &spec.files.hostname),
    ];
    for (name, contents) in files {
        if let Some(contents) = contents {
            let what = What::Detached(scaffold.file(name, contents.as_bytes(), 0o644, None)?);
            points.push(Point { target: Path::new("/etc").join(name), kind: PointKind::File, what });
        }
    }
    for (number, mount) in spec.mounts.iter().enumerate() {
        points.push(asked_for(mount, number, spec, scaffold)?);
    }
    Ok(points)
}

/// A mount that the caller asks for, detached.
fn asked_for(mount: &Mount, number: usize, spec: &Spec, scaffold: &Scaffold) -> Result<Point, Error> {
    let mut attributes = MountAttrFlags::empty();
    attributes.set(MountAttrFlags::MOUNT_ATTR_NODEV, !mount.devices);
    attributes.set(MountAttrFlags::MOUNT_ATTR_NOSUID, mount.no_suid);
    attributes.set(MountAttrFlags::MOUNT_ATTR_NOEXEC, mount.no_exec);
    attributes.set(READ_ONLY, mount.read_only);
    let (what, kind) = match &mount.source {
        MountSource::Bind { path, recursive, .. } => {
            let detached = mounts::clone_path(path, *recursive).doing_to("bind-mount", path)?;
            let kind = kind_of(&detached).doing_to("examine", path)?;
            (What::Bind { mount: detached, recursive: *recursive, attributes }, kind)
        }
        MountSource::Snapshot { root, path } => {
            let mount = snapshot(root, path, number, spec.security, scaffold)?;
            let kind = kind_of(&mount).doing_to("examine, in a snapshot,", path)?;
            (What::Snapshot { mount, attributes }, kind)
        }
        MountSource::Secret { contents, mode, uid, gid } => {
            // With a single id everything is root's, and the process believes otherwise.
            let owner = spec.single_id.is_none().then_some((*uid, *gid));
            let mount = scaffold.file(&format!("secret-{number}"), &contents.0, *mode, owner)?;
            let attributes = attributes.union(READ_ONLY).union(INERT);
            (What::Bind { mount, recursive: false, attributes }, PointKind::File)
        }
        MountSource::Tmpfs { size, mode } => {
            let mut tmpfs = Filesystem::new("tmpfs")?.with("mode", &format!("{mode:o}"))?;
            if let Some(size) = size {
                tmpfs = tmpfs.with("size", &size.to_string())?;
            }
            (What::Detached(tmpfs.mount(attributes)?), PointKind::Directory)
        }
    };
    Ok(Point { target: mount.target.clone(), kind, what })
}

fn kind_of(mount: &OwnedFd) -> Result<PointKind, Errno> {
    let is_directory = FileType::from_raw_mode(fstat(mount)?.st_mode) == FileType::Directory;
    Ok(if is_directory { PointKind::Directory } else { PointKind::File })
}

/// A detached mount of something in a filesystem besides the root.
fn snapshot(
    root: &Root,
    path: &Path,
    number: usize,
    security: Security,
    scaffold: &Scaffold,
) -> Result<OwnedFd, Error> {
    let (mount, _) = filesystem(root, security, (&format!("stubs-{number}"), &[]), scaffold)?;
    // What is to be copied in part has to be attached somewhere, before Linux 6.15.
    mounts::attach(&mount, &scaffold.directory(&format!("snapshot-{number}"))?).doing("mount a snapshot")?;
    let missing = || Error::system("open, in a snapshot,", Some(path), Errno::NOENT);
    let found = resolve::open(&mount, path)?.ok_or_else(missing)?;
    mounts::clone_at(&found, "", false).doing_to("bind-mount, in a snapshot,", path)
}

fn directory_root(path: &Path) -> Result<OwnedFd, Error> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = openat(CWD, path, flags, Mode::empty()).doing_to("open the root", path)?;
    mounts::clone_at(&directory, "", true).doing_to("bind-mount the root", path)
}

/// The directories of an overlay, open.
struct Open {
    lowers: Vec<OwnedFd>,
    upper: OwnedFd,
    work: OwnedFd,
    user_attributes: bool,
    volatile: bool,
}

/// Mounts the overlay, with a layer of stubs for the mount points that it lacks.
fn overlay_root(
    open: &Open,
    (name, points): (&str, &[Point]),
    scaffold: &Scaffold,
    attributes: MountAttrFlags,
) -> Result<OwnedFd, Error> {
    let mut stubs = Stubs::new(scaffold.directory(name)?);
    if !points.is_empty() {
        fill_stubs(&mut stubs, open, points, scaffold)?;
    }
    let mut lowers = Vec::with_capacity(open.lowers.len() + 1);
    if !stubs.is_empty() || open.lowers.is_empty() {
        lowers.push(stubs.layer());
    }
    lowers.extend(open.lowers.iter().map(AsFd::as_fd));
    let upper = Upper { upper: open.upper.as_fd(), work: open.work.as_fd(), volatile: open.volatile };
    let layers = Layers { lowers, upper: Some(upper), user_attributes: open.user_attributes };
    overlay::make(&layers, attributes, scaffold)
}

/// Looks through all layers, without changing any, for what is missing.
fn fill_stubs(stubs: &mut Stubs, open: &Open, points: &[Point], scaffold: &Scaffold) -> Result<(), Error> {
    let nothing = scaffold.directory("nothing")?;
    let mut layers = vec![open.upper.as_fd()];
    layers.extend(open.lowers.iter().map(AsFd::as_fd));
    layers.push(nothing.as_fd());
    let view = overlay::make(
        &Layers { lowers: layers, upper: None, user_attributes: open.user_attributes },
        READ_ONLY,
        scaffold,
    )?;
    for point in points {
        let place = resolve::place(&view, &point.target)?;
        let hidden = ["proc", "dev", "sys"]
            .iter()
            .any(|top| place.path.starts_with(top) && place.path.as_os_str() != *top);
        if !place.exists() && !hidden {
            stubs.add(view.as_fd(), &place, point.kind)?;
        }
    }
    stubs.finish()
}

/// A root in which everything is mounted.
struct Filled {
    root: OwnedFd,
    proc: OwnedFd,
    pty: Option<Pty>,
    created: Created,
}

/// Mounts everything into the root.
fn fill(spec: &Spec, root: OwnedFd, points: Vec<Point>) -> Result<Filled, Error> {
    let mut created = Created::default();
    let mut proc = None;
    let mut pty = None;
    let mut snapshots = Vec::new();
    for point in points {
        refuse_useless(&root, &point)?;
        let place = created.open(&root, &point.target, point.kind)?;
        match point.what {
            What::Proc => proc = Some(place),
            What::Dev => {
                pty = device::mount(&place, spec)?;
                created.mounted(&root, &point.target, true)?;
            }
            What::Sys => {
                kernel::mount_sys(&place, &root, spec.security)?;
                if spec.security == Security::Default {
                    kernel::protect(&root, "/sys")?;
                }
            }
            What::Bind { mount, recursive, attributes } => {
                mounts::attach(&mount, &place).doing_to("mount on, in the root,", &point.target)?;
                mounts::restrict(&mount, recursive, attributes)
                    .doing_to("restrict the mount on", &point.target)?;
                created.mounted(&root, &point.target, false)?;
            }
            What::Snapshot { mount, attributes } => {
                mounts::attach(&mount, &place).doing_to("mount on, in the root,", &point.target)?;
                created.mounted(&root, &point.target, true)?;
                snapshots.push((mount, attributes, point.target));
            }
            What::Detached(mount) => {
                mounts::attach(&mount, &place).doing_to("mount on, in the root,", &point.target)?;
                created.mounted(&root, &point.target, true)?;
            }
        }
    }
    for (mount, attributes, target) in snapshots {
        mounts::restrict(&mount, false, attributes).doing_to("restrict the mount on", &target)?;
    }
    let proc = proc.ok_or_else(|| Error::Internal("no place for /proc".to_owned()))?;
    Ok(Filled { root, proc, pty, created })
}

/// Whoever asks for a mount, and links of the image, may lead one to where it would hide everything, or be hidden itself.
fn refuse_useless(root: &OwnedFd, point: &Point) -> Result<(), Error> {
    let place = resolve::place(root, &point.target)?.path;
    // It is mounted last, wherever it is.
    let proc = resolve::place(root, Path::new("/proc"))?.path;
    let why = match place {
        place if place.as_os_str().is_empty() => "in the root, it leads to / itself",
        place if place == proc && !matches!(point.what, What::Proc) => "processes are shown there",
        place if place != proc && place.starts_with(&proc) => "in the root, it leads into /proc",
        _ => return Ok(()),
    };
    Err(Error::Invalid(format!("cannot mount on {}: {why}", base::text::path(&point.target))))
}

/// Makes the root this process's root; gives the host's, which is still there: the root of a user namespace may mount `/proc` only where one
/// can be seen already.
pub(super) fn enter(root: &OwnedFd) -> Result<OwnedFd, Error> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let host = openat(CWD, "/", flags, Mode::empty()).doing("open the host's root")?;
    fchdir(root).doing("enter the root")?;
    pivot_root(".", ".").doing("change the root (pivot_root)")?;
    Ok(host)
}

/// Lets go of the host's root: after this nothing of it can be reached.
pub(super) fn leave_host(host: &OwnedFd) -> Result<(), Error> {
    fchdir(host).doing("go back to the host's root")?;
    unmount(".", UnmountFlags::DETACH).doing("unmount the host's root")?;
    // Whether the first call takes the scaffold, which lies on top, or all at once, depends on the kernel's
    // version.
    while unmount(".", UnmountFlags::DETACH).is_ok() {}
    chdir("/").doing("enter the root")
}
