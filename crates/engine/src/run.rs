//! Running a command in an image, in the foreground; what it changes goes away with it.

use std::os::fd::BorrowedFd;

use base::Cancel;
use image::{ImageId, Platform};
use layer::View;
use sandbox::{Mount, Network, Process, Runner, Running, Spec, Stdio, Terminal, User};
use store::{CgroupRecord, Layer, Lease, Store};

use crate::error::EngineError;
use crate::host;
use crate::layers::layers;
use crate::merge::{Wishes, merge};
use crate::resources::{self, Resources};
use crate::snapshot::{Snapshot, Snapshots};
use crate::users::{Account, Users};

/// A container to be run.
#[derive(Debug, Clone)]
pub struct RunRequest {
    /// Of which image.
    pub image: ImageId,
    /// What the user asked for.
    pub wishes: Wishes,
    /// `-v`, as mounts.
    pub mounts: Vec<Mount>,
    /// The network.
    pub network: Network,
    /// `-t`: the size of the terminal.
    pub terminal: Option<Terminal>,
    /// `--init`.
    pub init: bool,
    /// `--read-only`.
    pub read_only: bool,
    /// Limits, and what is found besides the image.
    pub resources: Resources,
}

/// A container that runs. Dropping it kills the process and removes what it changed.
pub struct Container {
    /// The process: dropped before the filesystem that it uses.
    running: Running,
    _cgroup: Option<CgroupRecord>,
    _snapshot: Snapshot,
    _lease: Lease,
}

impl Container {
    /// The process.
    pub fn running(&self) -> &Running {
        &self.running
    }
}

/// Starts a container: config → wishes → user → trees → sandbox.
pub fn start(
    store: &Store,
    snapshots: &Snapshots,
    request: &RunRequest,
    runner: &Runner,
    stdio: Stdio,
    cancel: &Cancel,
) -> Result<Container, EngineError> {
    let plan = request.resources.plan()?;
    let devices = request.resources.find_devices()?;
    let lease = store.lease("run")?;
    let config = store.images().config(&request.image)?;
    let config = config.value();
    runs_here(&config.platform())?;
    let command = merge(&config.config, &request.wishes)?;
    let view = View::new(&layers(store, &request.image, config)?);
    let snapshot = snapshots.prepare(store, &lease, &view, cancel)?;
    snapshot.ensure_directory(&command.working_directory)?;
    let mut account = Users::read(store, &lease, &view).account(&command.user)?;
    account.groups.extend(devices.groups);
    let mut env = command.env;
    env.extend(devices.env);
    if !env.iter().any(|pair| pair.starts_with("HOME=")) {
        env.push(format!("HOME={}", home(&account)));
    }
    let (group, cgroup) = resources::group(store, plan.as_ref())?.unzip();
    let spec = Spec {
        root: snapshot.root(),
        read_only_root: request.read_only,
        process: Process {
            env,
            cwd: command.working_directory.into(),
            user: User { uid: account.uid, gid: account.gid, groups: account.groups },
            terminal: request.terminal,
            init: request.init,
            rlimits: request.resources.rlimits.clone(),
            ..Process::new(command.args)
        },
        mounts: devices.mounts.into_iter().chain(request.mounts.iter().cloned()).collect(),
        hostname: request.wishes.hostname.clone(),
        network: request.network,
        security: sandbox::Security::Default,
        files: host::files(request.network, &request.wishes.hostname, &request.resources.hosts)?,
        cgroup: group,
        shared_memory: request.resources.shared_memory,
        single_id: snapshot.single_id(),
        isolation: snapshots.isolation(),
    };
    let record = cgroup.as_ref().and_then(CgroupRecord::hold);
    let holds: Vec<BorrowedFd<'_>> = view.layers().iter().map(Layer::hold).chain(record).collect();
    let running = sandbox::spawn(runner, &spec, stdio, &holds)?;
    drop(holds);
    Ok(Container { running, _cgroup: cgroup, _snapshot: snapshot, _lease: lease })
}

/// The home directory that a process finds in `HOME` (CT-12).
fn home(account: &Account) -> &str {
    account.home.as_deref().filter(|home| !home.is_empty()).unwrap_or("/")
}

/// Whether this kernel can be asked. Programs for another architecture run where it has an emulator for them.
fn runs_here(of_image: &Platform) -> Result<(), EngineError> {
    let machine = Platform::host();
    if of_image.os == machine.os {
        return Ok(());
    }
    Err(EngineError::Platform { of_image: of_image.to_string(), of_machine: machine.to_string() })
}
