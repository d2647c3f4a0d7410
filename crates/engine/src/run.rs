//! Running a command in an image, in the foreground; what it changes goes away with it.

use std::os::fd::BorrowedFd;

use base::Cancel;
use image::{ImageId, Platform};
use layer::View;
use sandbox::{Files, Mount, Network, Process, Runner, Running, Spec, Stdio, Terminal, User};
use store::{Layer, Lease, Store};

use crate::error::EngineError;
use crate::host::HostFiles;
use crate::layers::layers;
use crate::merge::{Wishes, merge};
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
}

/// A container that runs. Dropping it kills the process and removes what it changed.
pub struct Container {
    /// The process: dropped before the filesystem that it uses.
    running: Running,
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
    let lease = store.lease("run")?;
    let config = store.images().config(&request.image)?;
    let config = config.value();
    runs_here(&config.platform())?;
    let command = merge(&config.config, &request.wishes)?;
    let view = View::new(&layers(store, &request.image, config)?);
    let snapshot = snapshots.prepare(store, &lease, &view, cancel)?;
    snapshot.ensure_directory(&command.working_directory)?;
    let account = Users::read(store, &lease, &view).account(&command.user)?;
    let mut env = command.env;
    if !env.iter().any(|pair| pair.starts_with("HOME=")) {
        env.push(format!("HOME={}", home(&account)));
    }
    let spec = Spec {
        root: snapshot.root(),
        read_only_root: request.read_only,
        process: Process {
            env,
            cwd: command.working_directory.into(),
            user: User { uid: account.uid, gid: account.gid, groups: account.groups },
            terminal: request.terminal,
            init: request.init,
            ..Process::new(command.args)
        },
        mounts: request.mounts.clone(),
        hostname: request.wishes.hostname.clone(),
        network: request.network,
        security: sandbox::Security::Default,
        files: files(request)?,
        single_id: snapshot.single_id(),
        isolation: snapshots.isolation(),
    };
    let holds: Vec<BorrowedFd<'_>> = view.layers().iter().map(Layer::hold).collect();
    let running = sandbox::spawn(runner, &spec, stdio, &holds)?;
    drop(holds);
    Ok(Container { running, _snapshot: snapshot, _lease: lease })
}

/// The home directory that a process finds in `HOME` (CT-12).
fn home(account: &Account) -> &str {
    account.home.as_deref().filter(|home| !home.is_empty()).unwrap_or("/")
}

fn files(request: &RunRequest) -> Result<Files, EngineError> {
    let hostname = &request.wishes.hostname;
    let host = match request.network {
        Network::Host => HostFiles::read()?,
        Network::None => HostFiles::isolated(hostname),
    };
    Ok(Files {
        hosts: Some(host.hosts),
        resolv_conf: Some(host.resolv_conf),
        hostname: Some(format!("{hostname}\n")),
    })
}

fn runs_here(of_image: &Platform) -> Result<(), EngineError> {
    let machine = Platform::host();
    if of_image.os == machine.os && of_image.architecture == machine.architecture {
        return Ok(());
    }
    Err(EngineError::Platform { of_image: of_image.to_string(), of_machine: machine.to_string() })
}
