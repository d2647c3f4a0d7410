//! What a plan is: stages of steps, everything expanded, nothing executed.

use dockerfile::Span;
use dockerfile::mount::Sharing;
use engine::resources::Resources;
use image::{Config, ImageId, Platform};

use crate::copy::CopyStep;
use crate::outcome::BuildWarning;
use crate::outline::Outline;
use crate::request::Network;

/// What is to be done: the stages that the target needs, in the order of the file.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The stages. [`Base::Stage`], [`CopyFrom::Stage`] and [`ShownFrom::Stage`] are places in this list; they refer to earlier ones only.
    pub stages: Vec<Stage>,
    /// The images that COPY --from and RUN --mount take files from, each once.
    pub images: Vec<BaseImage>,
    /// What becomes an image: a stage for each platform that was asked for, in that order.
    pub targets: Vec<Target>,
    /// No time that is written is later than this.
    pub epoch: Option<i64>,
    /// What looks like a mistake.
    pub warnings: Vec<BuildWarning>,
    /// What the target takes.
    pub outline: Outline,
}

/// A stage that becomes an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The platform that the image is for.
    pub platform: Platform,
    /// The place of the stage. What it needs comes before it, and after the targets before.
    pub stage: usize,
}

impl Plan {
    /// For which of several platforms a stage was planned first; none when there is only one.
    pub fn platform_of(&self, stage: usize) -> Option<&Platform> {
        let target = self.targets.iter().find(|target| target.stage >= stage)?;
        (self.targets.len() > 1).then_some(&target.platform)
    }
}

/// One stage.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// What it is called in the Dockerfile.
    pub name: Option<String>,
    /// What it stands on.
    pub base: Base,
    /// How progress names its beginning; stages that stand on nothing or on another stage have no such vertex.
    pub from: Option<String>,
    /// The FROM instruction.
    pub span: Span,
    /// What is executed, in order.
    pub steps: Vec<Step>,
    /// The image's config as far as it is known before anything is executed: with the history and the layers of a base *image* only, and without a time.
    pub config: Config,
    /// What its instructions add to the history.
    pub history: Vec<HistoryEntry>,
}

/// What a stage stands on.
#[derive(Debug, Clone, PartialEq)]
pub enum Base {
    /// Nothing.
    Scratch,
    /// The stage at this place of the plan.
    Stage(usize),
    /// An image of the store.
    Image(Box<BaseImage>),
}

/// An image that is built on, or copied from.
#[derive(Debug, Clone, PartialEq)]
pub struct BaseImage {
    /// How it was named.
    pub name: String,
    /// For which platform it was wanted.
    pub platform: Platform,
    /// Its identity.
    pub id: ImageId,
    /// Its config.
    pub config: Config,
}

/// One entry of the history that is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryEntry {
    /// The text (DF-164).
    pub created_by: String,
    /// The step that makes its layer; its place in the stage.
    pub step: Option<usize>,
}

/// One thing to execute: it gives a layer, or (WORKDIR) perhaps none.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// How progress names it: `[build 2/3] RUN make`.
    pub name: String,
    /// The instruction.
    pub span: Span,
    /// The platform of its stage.
    pub platform: Platform,
    /// What is done.
    pub operation: Operation,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq)]
pub enum Operation {
    /// RUN.
    Run(RunStep),
    /// COPY and ADD.
    Copy(CopyStep, CopyFrom),
    /// WORKDIR.
    Workdir(WorkdirStep),
}

/// A command to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunStep {
    /// The command and its arguments, with the shell.
    pub arguments: Vec<String>,
    /// A heredoc that is executed itself (DF-035).
    pub script: Option<Script>,
    /// The environment, without what is not part of the step's identity.
    pub environment: Vec<(String, String)>,
    /// Proxies: they are in the environment too, and not part of the step's identity (DF-061).
    pub proxies: Vec<(String, String)>,
    /// The working directory, absolute.
    pub directory: String,
    /// The user as USER says it; empty for root.
    pub user: String,
    /// The network.
    pub network: Network,
    /// Whether nothing is taken away from it: all capabilities, no filter of system calls.
    pub insecure: bool,
    /// Limits, and what it finds besides its filesystem.
    pub resources: Box<Resources>,
    /// What is mounted, by target.
    pub mounts: Vec<RunMount>,
}

/// One thing that a command sees besides its root filesystem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunMount {
    /// Where, absolute; none for a secret that is a variable only.
    pub target: Option<String>,
    /// The mount in the Dockerfile.
    pub span: Span,
    /// What.
    pub kind: MountKind,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountKind {
    /// Memory.
    Tmpfs {
        /// How many bytes it holds at most.
        size: Option<u64>,
        /// Whether it cannot be written.
        read_only: bool,
    },
    /// A secret.
    Secret {
        /// Which.
        id: String,
        /// The variable that has it.
        env: Option<String>,
        /// Whether it has to be there.
        required: bool,
        /// The file's mode.
        mode: u32,
        /// Its owner.
        uid: u32,
        /// Its group.
        gid: u32,
    },
    /// Files of a stage or an image.
    Bind {
        /// Which.
        shown: Shown,
        /// Whether they cannot be written. What is written is thrown away.
        read_only: bool,
    },
    /// A directory that outlives the build.
    Cache(Cache),
    /// The socket of an SSH agent.
    Agent(Agent),
}

/// A directory that outlives the build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cache {
    /// Which.
    pub id: String,
    /// What is in it when it is new.
    pub first: Option<Shown>,
    /// Who may use it at the same time.
    pub sharing: Sharing,
    /// Its mode when it is new, if it was said.
    pub mode: Option<u32>,
    /// Its owner when it is new, if it was said.
    pub uid: Option<u32>,
    /// Its group when it is new, if it was said.
    pub gid: Option<u32>,
    /// Whether it cannot be written.
    pub read_only: bool,
}

/// The socket of an SSH agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// Which agent.
    pub id: String,
    /// Whether there has to be one.
    pub required: bool,
    /// Whether `SSH_AUTH_SOCK` names this socket.
    pub is_named: bool,
    /// The socket's mode.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

/// What a mount shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Of what. What is shown of a context is a stage: one that no FROM begins, and that copies it.
    pub from: ShownFrom,
    /// A path in it: absolute, without `..`.
    pub path: String,
}

/// What a mount shows files of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShownFrom {
    /// The stage at this place of the plan.
    Stage(usize),
    /// The image at this place of the plan's images.
    Image(usize),
}

impl RunStep {
    /// What its mounts show, in their order.
    pub fn shown(&self) -> impl Iterator<Item = (&RunMount, &Shown)> {
        self.mounts.iter().filter_map(|mount| match &mount.kind {
            MountKind::Bind { shown, .. } | MountKind::Cache(Cache { first: Some(shown), .. }) => {
                Some((mount, shown))
            }
            _ => None,
        })
    }
}

/// A script that is shown to a command as a read-only file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// Where: `/dev/pipes/EOF`.
    pub path: String,
    /// What it says.
    pub content: String,
}

/// Where COPY and ADD take files from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopyFrom {
    /// From nowhere: no source is a path, or it is `scratch`.
    Nothing,
    /// From the context of this name; the main one's is empty.
    Context(String),
    /// From the stage at this place of the plan.
    Stage(usize),
    /// From the image at this place of the plan's images.
    Image(usize),
}

/// A directory that has to be there (DF-151).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkdirStep {
    /// Which, absolute.
    pub path: String,
    /// Whose it is when it is made; empty for root.
    pub user: String,
}
