//! What to run, and in what surroundings: the whole description of one contained process.
//!
//! A [`Spec`] is plain data. It travels to the runner as JSON, can be kept beside a container, and holds
//! nothing that depends on the process that made it (open descriptors are given to [`crate::spawn()`]).

use std::os::unix::ffi::OsStrExt;
use std::path::{Component, PathBuf};

use serde::{Deserialize, Serialize};

use crate::capability::CapabilitySet;
use crate::error::Error;
use crate::running::OwnerClaim;
use crate::ways::Isolation;

/// How long a host name is at most (`__NEW_UTS_LEN`).
const HOST_NAME: usize = 64;

/// One process in isolation, described completely.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// What the process sees as `/`.
    pub root: Root,
    /// Whether `/` itself is read-only (what is mounted into it keeps its own flag).
    #[serde(default)]
    pub read_only_root: bool,
    /// What is executed.
    pub process: Process,
    /// Further mounts, made in this order after `/proc`, `/sys`, `/dev` and the files of [`Files`].
    #[serde(default)]
    pub mounts: Vec<Mount>,
    /// The name of the machine inside.
    pub hostname: String,
    /// Which network the process sees.
    pub network: Network,
    /// How much is taken away from the process.
    #[serde(default)]
    pub security: Security,
    /// How it is contained.
    #[serde(default)]
    pub isolation: Isolation,
    /// Files whose contents the host decides, bind-mounted over what the root has.
    #[serde(default)]
    pub files: Files,
    /// There is but one user id, that of root: what would need others is answered as if there were, and told in
    /// [`crate::Exit::owners`].
    #[serde(default)]
    pub single_id: Option<SingleId>,
}

impl Spec {
    /// Says what cannot be right, before anything is started.
    pub(crate) fn validate(&self) -> Result<(), Error> {
        let invalid = |text: String| Err(Error::Invalid(text));
        if self.process.args.is_empty() {
            return invalid("no command to execute".to_owned());
        }
        if self.process.args.iter().chain(&self.process.env).any(|text| text.contains('\0')) {
            return invalid("an argument or variable contains a NUL".to_owned());
        }
        if self.hostname.len() > HOST_NAME {
            return invalid(format!("the host name is longer than {HOST_NAME} bytes"));
        }
        let targets = self.mounts.iter().map(|mount| &mount.target);
        for path in targets.clone().chain([&self.process.cwd]) {
            if !path.is_absolute() || path.as_os_str().as_bytes().contains(&0) {
                return invalid(format!("{} is not an absolute path", base::text::path(path)));
            }
        }
        for path in targets {
            let names: Vec<_> =
                path.components().filter(|part| matches!(part, Component::Normal(_))).collect();
            match names.as_slice() {
                [] => return invalid("cannot mount on / itself".to_owned()),
                [first, _, ..] if *first == Component::Normal("proc".as_ref()) => {
                    return invalid(format!(
                        "cannot mount on {}: it is inside /proc",
                        base::text::path(path)
                    ));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// What is to be known where there is only one user id.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SingleId {
    /// Whose the files of the root are that do not belong to root.
    pub owners: Vec<OwnerClaim>,
}

/// What a contained process sees as `/`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Root {
    /// An overlay, mounted in the private mount namespace only.
    Overlay {
        /// The read-only directories, the top-most first. May be empty.
        #[serde(with = "crate::wire::paths")]
        lowers: Vec<PathBuf>,
        /// Where changes go.
        #[serde(with = "crate::wire::path")]
        upper: PathBuf,
        /// An empty directory beside `upper`, on the same filesystem.
        #[serde(with = "crate::wire::path")]
        work: PathBuf,
        /// Whether the overlay's own attributes in `lowers` and `upper` begin with `user.overlay.`, as in a user namespace, instead of
        /// `trusted.overlay.`.
        user_attributes: bool,
        /// Whether syncing is left out: what was written is lost when the power goes (the caller's concern),
        /// and `work` cannot be mounted again.
        volatile: bool,
    },
    /// A directory, changed in place.
    Directory(#[serde(with = "crate::wire::path")] PathBuf),
}

/// What is executed, as whom, and with what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// The command and its arguments. A command without a slash is looked up in the `PATH` of `env`, in the
    /// root.
    pub args: Vec<String>,
    /// The whole environment: `NAME=value`.
    pub env: Vec<String>,
    /// The working directory; it has to exist in the root.
    #[serde(with = "crate::wire::path")]
    pub cwd: PathBuf,
    /// As whom.
    #[serde(default)]
    pub user: User,
    /// A terminal: the process gets a pseudo-terminal as standard input, output, error and `/dev/console`.
    #[serde(default)]
    pub terminal: Option<Terminal>,
    /// What the process may do as root.
    #[serde(default)]
    pub capabilities: CapabilitySet,
    /// Limits to set; all others are inherited. A limit that cannot be set is an error.
    #[serde(default)]
    pub rlimits: Vec<Rlimit>,
    /// The file mode creation mask.
    #[serde(default = "default_umask")]
    pub umask: u32,
    /// Whether set-user-ID programs and file capabilities lose their effect.
    #[serde(default)]
    pub no_new_privileges: bool,
    /// Whether a tiny init is process 1 and the command its child (`docker run --init`).
    ///
    /// Without, the command itself is process 1: signals that it does not handle are ignored, and nobody but it
    /// reaps orphans.
    #[serde(default)]
    pub init: bool,
}

impl Process {
    /// A process with Docker's defaults: root, no terminal, default capabilities, `/` as working directory.
    pub fn new(args: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            args: args.into_iter().map(Into::into).collect(),
            env: Vec::new(),
            cwd: PathBuf::from("/"),
            user: User::default(),
            terminal: None,
            capabilities: CapabilitySet::default(),
            rlimits: Vec::new(),
            umask: default_umask(),
            no_new_privileges: false,
            init: false,
        }
    }
}

fn default_umask() -> u32 {
    0o022
}

/// As whom a process runs: numbers, as they are inside.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The user.
    pub uid: u32,
    /// The primary group.
    pub gid: u32,
    /// The supplementary groups (all of them: the primary one is not added).
    #[serde(default)]
    pub groups: Vec<u32>,
}

/// The size of a terminal's window, in characters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terminal {
    /// Lines; 0 when it is not known.
    pub rows: u16,
    /// Characters in a line; 0 when it is not known.
    pub columns: u16,
}

/// A resource limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rlimit {
    /// Of what.
    pub resource: Resource,
    /// The limit in force; [`Rlimit::UNLIMITED`] for none.
    pub soft: u64,
    /// How far the process may raise it itself; [`Rlimit::UNLIMITED`] for no end.
    pub hard: u64,
}

impl Rlimit {
    /// No limit.
    pub const UNLIMITED: u64 = u64::MAX;
}

/// What a limit is about, named as docker's `--ulimit` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names are those of getrlimit(2)")]
pub enum Resource {
    Core,
    Cpu,
    Data,
    Fsize,
    Locks,
    Memlock,
    Msgqueue,
    Nice,
    Nofile,
    Nproc,
    Rss,
    Rtprio,
    Rttime,
    Sigpending,
    Stack,
    As,
}

impl Resource {
    /// Every resource, with its name.
    pub const ALL: [(&'static str, Resource); 16] = [
        ("as", Resource::As),
        ("core", Resource::Core),
        ("cpu", Resource::Cpu),
        ("data", Resource::Data),
        ("fsize", Resource::Fsize),
        ("locks", Resource::Locks),
        ("memlock", Resource::Memlock),
        ("msgqueue", Resource::Msgqueue),
        ("nice", Resource::Nice),
        ("nofile", Resource::Nofile),
        ("nproc", Resource::Nproc),
        ("rss", Resource::Rss),
        ("rtprio", Resource::Rtprio),
        ("rttime", Resource::Rttime),
        ("sigpending", Resource::Sigpending),
        ("stack", Resource::Stack),
    ];

    /// The resource with this name, as in `--ulimit nofile=1024`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, resource)| *resource)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, resource)| *resource == self).map_or("", |(name, _)| name)
    }
}

/// One mount that the caller asks for.
///
/// Where the target does not exist it is shown without a trace in the upper directory where that is possible,
/// and created (and removed afterwards) where it is not; see [`crate::Exit::created_mount_points`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Where, absolute, resolved inside the root.
    #[serde(with = "crate::wire::path")]
    pub target: PathBuf,
    /// What.
    pub source: MountSource,
    /// Whether nothing can be written through it (for a recursive bind: nor through anything below it).
    #[serde(default)]
    pub read_only: bool,
    /// Whether set-user-ID programs lose their effect.
    #[serde(default)]
    pub no_suid: bool,
    /// Whether nothing on it can be executed.
    #[serde(default)]
    pub no_exec: bool,
    /// Whether device nodes on it can be opened. They cannot unless asked for.
    #[serde(default)]
    pub devices: bool,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MountSource {
    /// A file or directory of the host.
    Bind {
        /// Which; it has to exist.
        #[serde(with = "crate::wire::path")]
        path: PathBuf,
        /// Whether what is mounted below it comes along.
        recursive: bool,
        /// Whether it is the caller's alone, and lies on the filesystem of the root: where nothing can be mounted, it is moved to the target, and back
        /// when the process has ended.
        movable: bool,
    },
    /// A file or directory of a filesystem that is there for this process alone: what is written to it is thrown away by the caller.
    Snapshot {
        /// The filesystem. A directory lies on the filesystem of the root of the process: where nothing can be mounted, what is shown of it is
        /// moved to the target, and back when the process has ended.
        root: Root,
        /// What of it, from its top, without symlinks; empty for all of it.
        #[serde(with = "crate::wire::path")]
        path: PathBuf,
    },
    /// A file in memory that nothing else sees, and that cannot be written.
    Secret {
        /// What is in it.
        contents: Hidden,
        /// Its mode.
        mode: u32,
        /// Its owner.
        uid: u32,
        /// Its group.
        gid: u32,
    },
    /// Memory.
    Tmpfs {
        /// How many bytes at most; `None` for the kernel's default (half of the memory).
        size: Option<u64>,
        /// The mode of its top directory.
        mode: u32,
    },
}

impl Mount {
    /// A bind mount, recursive as docker's are, writable.
    pub fn bind(path: impl Into<PathBuf>, target: impl Into<PathBuf>) -> Self {
        Self::new(target, MountSource::Bind { path: path.into(), recursive: true, movable: false })
    }

    /// A tmpfs as docker's `--tmpfs` makes it: no set-user-ID, nothing executable, mode 1777.
    pub fn tmpfs(target: impl Into<PathBuf>, size: Option<u64>) -> Self {
        let mount = Self::new(target, MountSource::Tmpfs { size, mode: 0o1777 });
        Self { no_suid: true, no_exec: true, ..mount }
    }

    /// Anything, writable.
    pub fn new(target: impl Into<PathBuf>, source: MountSource) -> Self {
        Self {
            target: target.into(),
            source,
            read_only: false,
            no_suid: false,
            no_exec: false,
            devices: false,
        }
    }
}

/// Bytes that no message shows.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hidden(pub Vec<u8>);

impl std::fmt::Debug for Hidden {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("****")
    }
}

/// Which network a process sees.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Network {
    /// The host's.
    #[default]
    Host,
    /// A loopback interface and nothing else.
    None,
}

/// How much is taken away from a process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Security {
    /// Docker's defaults: system call filter, masked and read-only paths, no devices but the usual ones.
    #[default]
    Default,
    /// None of that (`RUN --security=insecure`, `--privileged`). Capabilities are still those of
    /// [`Process::capabilities`]: who means all of them says so.
    Insecure,
}

/// Files whose contents the host decides; they are in memory, and writable, while the process runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Files {
    /// `/etc/hosts`.
    pub hosts: Option<String>,
    /// `/etc/resolv.conf`.
    pub resolv_conf: Option<String>,
    /// `/etc/hostname`.
    pub hostname: Option<String>,
}
