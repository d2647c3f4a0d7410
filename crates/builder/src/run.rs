//! RUN: a command over a snapshot; what it changed becomes the layer (DF-087 … DF-093).

mod error;
mod log;
mod script;

use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::Duration;

use base::events::VertexId;
use base::{Cancel, Events};
use engine::host::HostFiles;
use engine::users::{Account, Users};
use layer::View;
use layer::packer::PackOptions;
use layer::walk::{Owners, Told, Upper};
use sandbox::{Exit, Files, OwnerClaim, Process, Root, Runner, Spec, Stdio, User};
use store::{Layer, Lease, Ownership, Store};

pub use error::RunError;
use log::{Tail, pump};

use crate::plan::RunStep;
use crate::request::Network;

/// The name of the machine inside, as BuildKit gives it (DF-090).
pub(crate) const HOSTNAME: &str = "buildkitsandbox";

/// How long a command has, when the build is cancelled, between SIGTERM and SIGKILL: nothing that it could still do would be kept.
const GRACE: Duration = Duration::ZERO;

/// Where the changes of a command go: the name of the directory within the temporary one.
const UPPER: &str = "upper";

/// What a command runs with.
pub(crate) struct Surroundings<'a> {
    pub store: &'a Store,
    pub lease: &'a Lease,
    pub runner: &'a Runner,
    pub view: &'a View,
    pub options: PackOptions,
    pub events: &'a Events,
    pub vertex: VertexId,
    pub cancel: &'a Cancel,
}

/// Runs a command: trees → user → overlay → sandbox → layer.
pub(crate) fn run(around: &Surroundings<'_>, step: &RunStep) -> Result<Layer, RunError> {
    sandbox::require()?;
    let trees = layer::forms::trees(around.store, around.lease, around.view.layers(), around.cancel)?;
    let account = Users::read(around.store, around.lease, around.view).account(&step.user)?;
    let place = around.store.temp_dir("run")?;
    let (upper, work) = (place.subdirectory(UPPER)?, place.subdirectory("work")?);
    // The root of an overlay has the attributes of its upper directory.
    let ownership = around.store.ownership();
    layer::walk::prepare_upper(around.store, &upper, around.view)?;
    engine::rootfs::ensure_directory(around.view, &upper, ownership, &step.directory).map_err(Box::new)?;
    let spec = Spec {
        // The sandbox wants the top-most layer first.
        root: Root::Overlay {
            lowers: trees.into_iter().rev().collect(),
            upper,
            work,
            user_attributes: ownership != Ownership::Host,
            volatile: true,
        },
        read_only_root: false,
        process: process(step, &account),
        mounts: script::mount(&place, step.script.as_ref())?.into_iter().collect(),
        hostname: HOSTNAME.to_owned(),
        network: match step.network {
            Network::Host => sandbox::Network::Host,
            Network::None => sandbox::Network::None,
        },
        security: sandbox::Security::Default,
        files: files(step.network)?,
        single_id: engine::rootfs::single_id(around.view, ownership),
    };
    let (exit, tail) = execute(around, &spec)?;
    around.cancel.check()?;
    if !exit.status.is_success() {
        return Err(RunError::Failed { command: step.arguments.clone(), status: exit.status, tail });
    }
    let upper =
        Upper { place, name: UPPER, below: around.view, owners: &owners(ownership, &account, exit.owners) };
    Ok(layer::walk::commit_upper(around.store, around.lease, upper, around.options, around.cancel)?)
}

/// Whose the files are that the command left.
fn owners(ownership: Ownership, account: &Account, claims: Vec<OwnerClaim>) -> Owners {
    if ownership.is_in_trees() {
        return Owners::Real;
    }
    let claim = |claim: OwnerClaim| (claim.path.into_os_string().into_vec(), (claim.user, claim.group));
    Owners::Told(Told {
        by_path: claims.into_iter().map(claim).collect(),
        default: (account.uid, account.gid),
    })
}

/// Starts the command, passes on what it writes, and waits for its end.
fn execute(around: &Surroundings<'_>, spec: &Spec) -> Result<(Exit, Vec<u8>), RunError> {
    let holds: Vec<BorrowedFd<'_>> = around.view.layers().iter().map(Layer::hold).collect();
    let mut running = sandbox::spawn(around.runner, spec, Stdio::default(), &holds)?;
    let (stdout, stderr) = (running.take_stdout(), running.take_stderr());
    let tail = Tail::default();
    let exit = std::thread::scope(|scope| {
        scope.spawn(|| pump(stdout, base::events::Stream::Stdout, around, &tail));
        scope.spawn(|| pump(stderr, base::events::Stream::Stderr, around, &tail));
        running.wait(around.cancel, GRACE)
    })?;
    Ok((exit, tail.take()))
}

fn process(step: &RunStep, account: &Account) -> Process {
    let pair = |(name, value): &(String, String)| format!("{name}={value}");
    let mut env: Vec<String> = step.environment.iter().map(pair).collect();
    env.extend(step.proxies.iter().map(pair));
    if !step.environment.iter().any(|(name, _)| name == "HOME") {
        let home = account.home.as_deref().filter(|home| !home.is_empty()).unwrap_or("/");
        env.push(format!("HOME={home}"));
    }
    Process {
        env,
        cwd: PathBuf::from(&step.directory),
        user: User { uid: account.uid, gid: account.gid, groups: groups_of(account) },
        ..Process::new(&step.arguments)
    }
}

/// The supplementary groups, the primary one among them, as containerd gives them (CVE-2022-36109).
fn groups_of(account: &Account) -> Vec<u32> {
    let others = account.groups.iter().copied().filter(|group| *group != account.gid);
    std::iter::once(account.gid).chain(others).collect()
}

/// Names are resolved as on the machine, whose network is shared.
fn files(network: Network) -> Result<Files, RunError> {
    let host = match network {
        Network::Host => HostFiles::read()?,
        Network::None => HostFiles::isolated(HOSTNAME),
    };
    Ok(Files {
        hosts: Some(host.hosts),
        resolv_conf: Some(host.resolv_conf),
        hostname: Some(format!("{HOSTNAME}\n")),
    })
}
