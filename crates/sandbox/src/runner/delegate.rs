//! With an OCI runtime: the runner makes the files, the runtime makes the process.
//!
//! ```text
//! caller ── socket ── runner ── fork ── keeper ── runtime create, start ── the command
//!                     new namespaces,   process 1 of a pid      its own mount and pid
//!                     the root          namespace: waits        namespaces, filter, user
//! ```
//!
//! The root is the same, made by the same code: it lies in the runner's memory, which is shown at a directory of the
//! host, in the private mount namespace only, together with the bundle and the runtime's state. The runtime may be
//! killed at any time, and so may the runner: with the keeper everything in its pid namespace ends, and with the last
//! of them the mount namespace.

use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid, fchown, fstat, openat, statat};
use rustix::io::retry_on_intr;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::keeper::{self, Task};
use super::mounts::{self, Filesystem, INERT, READ_ONLY};
use super::passing::Passing;
use super::root::{self, Shown};
use super::{Order, cgroup, credentials, diagnosis, init, supervise};
use crate::cgroup::Hierarchy;
use crate::error::{Doing, Error};
use crate::oci::{self, Runtime, RuntimeKind};
use crate::running::Status;
use crate::spec::Spec;
use crate::sys;
use crate::ways::Isolation;
use crate::wire::{self, Reply};

/// Where the runner's memory is shown: what holds neither programs nor their libraries. The first one that exists and
/// does not hold the runtime is taken.
const PLACES: [&str; 4] = ["/run", "/mnt", "/media", "/tmp"];

/// Where cgroups are.
const CGROUPS: &str = "/sys/fs/cgroup";

/// How much of the runtime's log is read.
const LOG: u64 = 64 << 10;

/// The files of one run.
pub(super) struct Files {
    /// With `config.json`.
    pub(super) bundle: PathBuf,
    /// What the runtime notes about its containers.
    pub(super) state: PathBuf,
    /// What it says.
    pub(super) log: PathBuf,
    /// Where it writes the number of the process.
    pub(super) number: PathBuf,
    /// Where it sends the terminal.
    pub(super) console: PathBuf,
}

/// Runs the contained process to its end.
pub(super) fn run(socket: &OwnedFd, order: Order, runtime: &Runtime) -> Result<(), Error> {
    let Order { spec, stdio, cgroup, _keep, .. } = order;
    let place = place(&runtime.path)?;
    let granted = credentials::granted(spec.process.capabilities)?;
    let config = oci::config(&spec, granted, &place.join(root::ROOT))?;
    let shown = root::show(&spec, place)?;
    refuse_links(&shown.root)?;
    diagnosis::working_directory(&shown.root, &spec.process)?;
    diagnosis::format(&shown.root, &spec.process)?;
    let files = write_bundle(&shown, place, &config)?;
    leave_cgroups_alone(runtime.kind)?;
    let mut errors = None;
    let task = Task {
        runtime,
        files: &files,
        process: &spec.process,
        security: spec.security,
        cgroup: cgroup.as_ref(),
    };
    let outcome = execute(socket, &spec, stdio, task, &mut errors);
    let outcome = outcome.map_err(|error| match error {
        Error::Runtime { runtime, said } => {
            let said =
                message(&files.log).or_else(|| errors.as_ref().and_then(Passing::held)).unwrap_or(said);
            diagnosis::command(&shown.root, &spec.process, &said).unwrap_or(Error::Runtime { runtime, said })
        }
        error => error,
    });
    let mut created = Vec::new();
    if !shown.created.is_empty() {
        let host = root::enter(&shown.root)?;
        root::leave_host(&host)?;
        created = supervise::clean_up(&shown.root, spec.read_only_root, shown.created);
    }
    let out_of_memory = cgroup.as_ref().is_some_and(cgroup::Made::ran_out_of_memory);
    // Nobody to tell is no error.
    let _ = wire::send(socket, &Reply::Exited { status: outcome?, created, out_of_memory }, &[]);
    Ok(())
}

/// A runtime puts things into `/dev` by its path, before it enters the root: a link there would lead it through the host's directories.
fn refuse_links(root: &OwnedFd) -> Result<(), Error> {
    for name in ["dev", "proc", "sys"] {
        let stat = statat(root, name, AtFlags::SYMLINK_NOFOLLOW).doing_to("examine, in the root,", name)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            return Err(Error::Unsupported {
                what: format!("an OCI runtime for an image whose /{name} is a link"),
                hint: "the built-in runner stays inside of the image: leave the runtime out".to_owned(),
            });
        }
    }
    Ok(())
}

/// What a runtime is not used for.
pub(super) fn unsupported(spec: &Spec) -> Option<Error> {
    let how = match (spec.isolation, spec.single_id.is_some()) {
        (Isolation::Chroot, _) => "without namespaces (chroot)",
        (_, true) => "with a single user id",
        _ => return None,
    };
    Some(Error::Unsupported {
        what: format!("an OCI runtime {how}"),
        hint: "the built-in runner does it: leave the runtime out".to_owned(),
    })
}

fn place(runtime: &Path) -> Result<&'static Path, Error> {
    let fits = |place: &&Path| place.is_dir() && !runtime.starts_with(place);
    PLACES.iter().map(Path::new).find(fits).ok_or_else(|| Error::Unsupported {
        what: format!("an OCI runtime on a machine without {}", PLACES.join(", ")),
        hint: "make one of these directories".to_owned(),
    })
}

fn write_bundle(shown: &Shown, place: &Path, config: &serde_json::Value) -> Result<Files, Error> {
    for name in ["bundle", "state"] {
        shown.scaffold.directory(name)?;
    }
    let files = Files {
        bundle: place.join("bundle"),
        state: place.join("state"),
        log: place.join("log"),
        number: place.join("number"),
        console: place.join("console"),
    };
    let path = files.bundle.join("config.json");
    std::fs::write(&path, config.to_string()).doing_to("write", &path)?;
    Ok(files)
}

/// Keeps the runtime from making a cgroup, which a kill would leave behind: in this mount namespace, nothing can be
/// made there. crun refuses to see version 2 beside version 1; it makes none, so it need not see any.
fn leave_cgroups_alone(kind: RuntimeKind) -> Result<(), Error> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(place) = rustix::fs::open(CGROUPS, flags, Mode::empty()) else { return Ok(()) };
    if kind == RuntimeKind::Crun && Hierarchy::all() != [Hierarchy::Unified] {
        let nothing = Filesystem::new("tmpfs")?.with("mode", "755")?.mount(INERT)?;
        return mounts::attach(&nothing, &place).doing_to("hide", CGROUPS);
    }
    match mounts::restrict(&place, true, READ_ONLY) {
        // No cgroups are mounted there.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(()),
        result => result.doing_to("make read-only, in the new mount namespace,", CGROUPS),
    }
}

/// Forks the keeper, and watches it, the caller, and what is written to standard error.
fn execute(
    socket: &OwnedFd,
    spec: &Spec,
    stdio: [OwnedFd; 3],
    task: Task<'_>,
    errors: &mut Option<Passing>,
) -> Result<Status, Error> {
    let (here, there) = wire::pair().doing("open a pair of sockets")?;
    let (alive_reader, _alive_writer) = pipe_with(PipeFlags::CLOEXEC).doing("open a pipe")?;
    // The keeper will hide this process's own view of itself.
    let numbers = rustix::fs::open(
        "/proc/self/fdinfo",
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    );
    let numbers = numbers.doing("open /proc/self/fdinfo")?;
    let [stdin, stdout, stderr] = stdio;
    let terminal = spec.process.terminal.is_some();
    let (passing, written) = Passing::new((!terminal).then_some(stderr)).doing("open a pipe")?;
    let errors = errors.insert(passing);
    let streams = match terminal {
        true => {
            let null = rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
            let copy = written.try_clone().doing("duplicate a descriptor")?;
            [null.doing("open /dev/null")?, copy, written]
        }
        false => [stdin, stdout, written],
    };
    init::own_pipes(&streams, &spec.process.user)?;
    let owners = Owners::of(&streams)?;
    let Some(child) = sys::fork().doing("fork")? else {
        drop(here);
        keeper::run(task, streams, there, &alive_reader);
    };
    drop(there);
    let keeper = pidfd_open(child, PidfdFlags::empty()).doing("watch the keeper")?;
    let mut streams = Some(streams);
    let begun = |descriptors: Vec<OwnedFd>| {
        // The other ends of pipes must close when the contained process closes them.
        let streams = streams.take();
        owners.restore(streams.iter().flatten());
        begin(socket, spec, child, &keeper, descriptors, &numbers)
    };
    let said = watch(socket, &here, &keeper, errors, begun);
    if said.is_err() {
        let _ = sys::pidfd_kill(keeper.as_fd(), libc::SIGKILL);
    }
    // With it, the kernel ends whoever is left in its pid namespace.
    let status = supervise::wait(child)?;
    drop(streams);
    errors.drain();
    match said? {
        Some(Reply::Exited { status, .. }) => Ok(status),
        Some(Reply::Failed(failure)) => Err(failure.into()),
        // It was killed, with all the others.
        _ => Ok(status),
    }
}

/// Tells the caller that the command runs.
fn begin(
    socket: &OwnedFd,
    spec: &Spec,
    child: Pid,
    keeper: &OwnedFd,
    descriptors: Vec<OwnedFd>,
    numbers: &OwnedFd,
) -> Result<(), Error> {
    let [process, more @ ..] = descriptors.as_slice() else {
        return Err(Error::Internal("the process came without a descriptor".to_owned()));
    };
    // Signals for a command with an init go through that.
    let (process, number) = match spec.process.init {
        true => (keeper, child.as_raw_nonzero().get().unsigned_abs()),
        false => (process, number_of(process, numbers)?),
    };
    let descriptors: Vec<_> = std::iter::once(process).chain(more).map(AsFd::as_fd).collect();
    if wire::send(socket, &Reply::Started { process: number }, &descriptors).is_err() {
        // The caller is gone.
        let _ = sys::pidfd_kill(keeper.as_fd(), libc::SIGKILL);
    }
    Ok(())
}

/// The number of a process in the pid namespace of this one: it was opened in another.
fn number_of(process: &OwnedFd, numbers: &OwnedFd) -> Result<u32, Error> {
    let action = "find the number of the contained process";
    let name = process.as_raw_fd().to_string();
    let file = openat(numbers, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).doing(action)?;
    let text = std::io::read_to_string(std::fs::File::from(file)).doing(action)?;
    let number = text.lines().find_map(|line| line.strip_prefix("Pid:")?.trim().parse().ok());
    // A process that has ended already has none.
    Ok(number.unwrap_or(0))
}

/// Waits for the keeper's end, and brings it about when the caller's end of the socket closes. Gives the last that the
/// keeper said.
fn watch(
    caller: &OwnedFd,
    talk: &OwnedFd,
    keeper: &OwnedFd,
    errors: &mut Passing,
    begun: impl FnOnce(Vec<OwnedFd>) -> Result<(), Error>,
) -> Result<Option<Reply>, Error> {
    let action = "wait for the contained process";
    let (mut begun, mut last) = (Some(begun), None);
    let mut caller_lives = true;
    loop {
        let mut fds = vec![PollFd::new(talk, PollFlags::IN)];
        let reader = errors.reader();
        fds.extend(reader.map(|reader| PollFd::new(reader, PollFlags::IN)));
        fds.extend(caller_lives.then(|| PollFd::new(caller, PollFlags::IN)));
        retry_on_intr(|| poll(&mut fds, None)).doing(action)?;
        let mut ready = fds.iter().map(|fd| !fd.revents().is_empty());
        let said = ready.next() == Some(true);
        let written = reader.is_some() && ready.next() == Some(true);
        let gone = caller_lives && ready.next() == Some(true);
        if gone {
            caller_lives = false;
            // It may have ended by itself in the meantime.
            let _ = sys::pidfd_kill(keeper.as_fd(), libc::SIGKILL);
        }
        if written {
            errors.step();
        }
        if !said {
            continue;
        }
        match wire::receive::<Reply>(talk).doing(action)? {
            Some((Reply::Started { .. }, descriptors)) => {
                if let Some(begun) = begun.take() {
                    begun(descriptors)?;
                    errors.begin();
                }
            }
            Some((reply, _)) => last = Some(reply),
            None => return Ok(last),
        }
    }
}

/// Who owns the standard streams: a runtime gives them to the user of the process, also files and terminals of the
/// caller, which get their owners back.
struct Owners(Vec<Option<(Uid, Gid)>>);

impl Owners {
    fn of(streams: &[OwnedFd]) -> Result<Self, Error> {
        let owner = |stream| {
            let stat = fstat(stream).doing("examine a standard stream")?;
            Ok(Some((Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid))))
        };
        Ok(Self(streams.iter().map(owner).collect::<Result<_, Error>>()?))
    }

    fn restore<'a>(&self, streams: impl Iterator<Item = &'a OwnedFd>) {
        for (stream, owner) in streams.zip(&self.0) {
            let now = fstat(stream).ok().map(|stat| (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid)));
            if let (true, Some((user, group))) = (now != *owner, owner) {
                // What cannot be changed now could not be changed by the runtime either.
                let _ = fchown(stream, Some(*user), Some(*group));
            }
        }
    }
}

/// The last error in a runtime's log.
fn message(log: &Path) -> Option<String> {
    let mut text = String::new();
    std::fs::File::open(log).ok()?.take(LOG).read_to_string(&mut text).ok()?;
    let values = serde_json::Deserializer::from_str(&text).into_iter::<serde_json::Value>();
    let errors =
        values.map_while(Result::ok).filter(|value| value["level"] != "warning" && value["level"] != "debug");
    errors.last().and_then(|value| Some(value["msg"].as_str()?.to_owned()))
}
