//! RUN: a command over a snapshot; what it changed becomes the layer (DF-087 … DF-093).

mod error;
mod log;
mod mounts;
mod script;
mod ssh;

use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::time::Duration;

use base::events::VertexId;
use base::{Cancel, Events};
use engine::snapshot::Snapshots;
use engine::users::{Account, Users};
use engine::{host, resources};
use layer::View;
use layer::packer::PackOptions;
use sandbox::cgroup::Plan;
use sandbox::{CapabilitySet, Exit, Process, Runner, Security, Spec, Stdio, User};
use store::table::ContentDigest;
use store::{CgroupRecord, Layer, Lease, StepKey, Store};

pub use error::RunError;
use log::{Output, Written, pump};
use mounts::{Held, Mounts};

use crate::plan::RunStep;
use crate::request::Network;
use crate::session::Session;

/// The name of the machine inside, as BuildKit gives it (DF-090).
pub(crate) const HOSTNAME: &str = "buildkitsandbox";

/// How long a command has, when the build is cancelled, between SIGTERM and SIGKILL: nothing that it could still do would be kept.
const GRACE: Duration = Duration::ZERO;

/// What a mount shows of a stage or an image.
pub(crate) struct ShownFiles {
    /// The filesystem.
    pub view: View,
    /// A path in it, without links; empty for all of it.
    pub path: Vec<u8>,
    /// The identity of what is there.
    pub content: ContentDigest,
}

/// What a command runs with.
pub(crate) struct Surroundings<'a> {
    pub store: &'a Store,
    pub lease: &'a Lease,
    pub runner: &'a Runner,
    pub snapshots: &'a Snapshots,
    /// Where its cgroup is made, if it has limits.
    pub cgroups: Option<&'a Plan>,
    pub view: &'a View,
    /// What its mounts show, in their order.
    pub shown: &'a [ShownFiles],
    pub options: PackOptions,
    pub session: &'a dyn Session,
    pub events: &'a Events,
    pub vertex: VertexId,
    pub cancel: &'a Cancel,
    /// What the log is kept under.
    pub key: StepKey,
}

/// Runs a command: snapshot → user → sandbox → layer.
pub(crate) fn run(around: &Surroundings<'_>, step: &RunStep) -> Result<Layer, RunError> {
    let (store, lease, snapshots) = (around.store, around.lease, around.snapshots);
    let account = Users::read(store, lease, around.view).account(&step.user)?;
    let snapshot = snapshots.prepare(store, lease, around.view, around.cancel).map_err(Box::new)?;
    snapshot.ensure_directory(&step.directory).map_err(Box::new)?;
    // Before caches are waited for.
    let devices = step.resources.find_devices()?;
    let Mounts { mounts, env, held, owners } = mounts::prepare(around, &step.mounts)?;
    let mut process = process(step, &account);
    process.env.extend(env);
    process.env.extend(devices.env);
    process.user.groups.extend(devices.groups);
    process.rlimits.clone_from(&step.resources.rlimits);
    let (group, record) = resources::group(store, around.cgroups)?.unzip();
    let script = script::mount(snapshot.place(), step.script.as_ref())?;
    let single_id = snapshot.single_id().map(|mut single| {
        single.owners.extend(owners);
        single
    });
    let network = match step.network {
        Network::Host => sandbox::Network::Host,
        Network::None => sandbox::Network::None,
    };
    let spec = Spec {
        root: snapshot.root(),
        read_only_root: false,
        process,
        mounts: script.into_iter().chain(devices.mounts).chain(mounts).collect(),
        hostname: HOSTNAME.to_owned(),
        network,
        security: if step.insecure { Security::Insecure } else { Security::Default },
        files: host::files(network, HOSTNAME, &step.resources.hosts)?,
        cgroup: group,
        shared_memory: step.resources.shared_memory,
        isolation: snapshots.isolation(),
        single_id,
    };
    let (exit, written) = execute(around, &spec, &held, record.as_ref())?;
    drop((held, record));
    around.cancel.check()?;
    if !exit.status.is_success() {
        let Written { tail, whole } = written;
        let used_up = step.resources.limits.memory.filter(|_| exit.out_of_memory);
        return Err(RunError::Failed {
            command: step.arguments.clone(),
            status: exit.status,
            used_up,
            tail,
            whole,
        });
    }
    let owners = snapshot.owners(exit.owners, (account.uid, account.gid));
    let made = snapshots.commit(store, lease, snapshot, &owners, around.options, around.cancel);
    Ok(made.map_err(Box::new)?)
}

/// Starts the command, passes on what it writes, and waits for its end.
fn execute(
    around: &Surroundings<'_>,
    spec: &Spec,
    held: &Held,
    cgroup: Option<&CgroupRecord>,
) -> Result<(Exit, Written), RunError> {
    let layers = around.view.layers().iter().map(Layer::hold);
    let holds: Vec<BorrowedFd<'_>> =
        layers.chain(held.holds()).chain(cgroup.and_then(CgroupRecord::hold)).collect();
    let mut running = sandbox::spawn(around.runner, spec, Stdio::default(), &holds)?;
    let (stdout, stderr) = (running.take_stdout(), running.take_stderr());
    let output = Output::to(around.store.logs().begin()?);
    let exit = std::thread::scope(|scope| {
        scope.spawn(|| pump(stdout, base::events::Stream::Stdout, around, &output));
        scope.spawn(|| pump(stderr, base::events::Stream::Stderr, around, &output));
        running.wait(around.cancel, GRACE)
    })?;
    around.cancel.check()?;
    Ok((exit, output.end(around.store, &around.key)?))
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
        capabilities: if step.insecure { CapabilitySet::ALL } else { CapabilitySet::DOCKER },
        ..Process::new(&step.arguments)
    }
}

/// The supplementary groups, the primary one among them, as containerd gives them (CVE-2022-36109).
fn groups_of(account: &Account) -> Vec<u32> {
    let others = account.groups.iter().copied().filter(|group| *group != account.gid);
    std::iter::once(account.gid).chain(others).collect()
}
