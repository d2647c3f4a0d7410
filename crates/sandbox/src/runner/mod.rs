//! The runner: the process between the caller and the contained process.
//!
//! It is this program, executed again, so that it has one thread, and nothing of the caller's memory or
//! descriptors. It enters new namespaces, builds the root and forks; the child is process 1 of the new pid
//! namespace and becomes the contained process. The runner waits for it, and kills it when the caller is gone
//! (the kernel kills it when the runner is gone). When both have ended, the namespaces and everything mounted
//! in them end too.

mod cgroup;
mod chroot;
mod created;
mod credentials;
mod delegate;
mod device;
mod diagnosis;
mod execute;
mod init;
mod keeper;
mod kernel;
mod mounts;
mod overlay;
mod passing;
mod placed;
mod program;
mod reaper;
mod remount;
mod resolve;
mod root;
mod scaffold;
mod solo;
mod stubs;
mod supervise;
mod trial;

use std::io::{Read, Seek};
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketType, socket};
use rustix::thread::UnshareFlags;

pub(crate) use device::window;
pub(crate) use kernel::{masked_in_proc, read_only_in_proc};
pub(crate) use overlay::appends;
pub(crate) use trial::Trial;

use crate::error::{Doing, Error, Failure};
use crate::oci::Runtime;
use crate::spec::{Network, Spec};
use crate::sys;
use crate::ways::Isolation;
use crate::wire::{self, Hello, Keep, Reply};

/// The argument that says so.
pub(crate) const ARGUMENT: &str = "__lapstrake-sandbox-runner";

/// What Docker allows everybody in a network of their own (CT-35): low ports, and pings.
const NETWORK_SETTINGS: [(&str, &str); 2] =
    [("ip_unprivileged_port_start", "0"), ("ping_group_range", "0 2147483647")];

/// What the caller sent.
struct Order {
    spec: Spec,
    /// What makes the contained process instead of this one.
    runtime: Option<Runtime>,
    /// Standard input, output and error of the contained process.
    stdio: [OwnedFd; 3],
    /// The group that was made for it.
    cgroup: Option<cgroup::Made>,
    /// What is only kept open.
    _keep: Vec<OwnedFd>,
}

/// Where the contained process is going to live.
enum Place {
    /// Everything that it sees is mounted.
    Mounted(root::Built),
    /// A directory becomes its root.
    Chroot(chroot::Prepared),
}

/// Does the runner's work and ends the process.
pub(crate) fn main() -> ! {
    let Ok(socket) = take_socket() else { sys::leave(125) };
    // A panic's text goes to the caller like any other error.
    std::panic::set_hook(Box::new(|_| {}));
    let outcome = catch_unwind(AssertUnwindSafe(|| contain(&socket))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic");
        Err(Error::Internal(text.to_owned()))
    });
    if let Err(error) = outcome {
        // Without a caller there is nobody to tell.
        let _ = wire::send(&socket, &Reply::Failed(Failure::from(&error)), &[]);
    }
    sys::leave(0)
}

/// The socket is the standard input, where it was put to be inherited; it moves away from there.
fn take_socket() -> std::io::Result<OwnedFd> {
    let socket = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    discard_standard_input()?;
    Ok(socket)
}

fn discard_standard_input() -> std::io::Result<()> {
    let null = rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    Ok(rustix::stdio::dup2_stdin(&null)?)
}

fn contain(socket: &OwnedFd) -> Result<(), Error> {
    let mut order = receive(socket)?;
    // Modes are given as they are meant.
    rustix::process::umask(Mode::empty());
    // A signal to the caller's process group is for the caller, which decides what becomes of the contained
    // process.
    rustix::process::setsid().doing("start a new session")?;
    if let (Some(_), Some(what)) = (&order.runtime, delegate::unsupported(&order.spec)) {
        return Err(what);
    }
    order.cgroup = order.spec.cgroup.as_ref().map(cgroup::Made::make).transpose()?;
    if order.spec.isolation == Isolation::Chroot {
        let prepared = chroot::prepare(&order.spec)?;
        return supervise::run(socket, order, Place::Chroot(prepared), None);
    }
    match &order.cgroup {
        Some(cgroup) => cgroup.visit(|| enter_namespaces(&order.spec))?,
        None => enter_namespaces(&order.spec)?,
    }
    if let Some(runtime) = order.runtime.clone() {
        return delegate::run(socket, order, &runtime);
    }
    let solo = order.spec.single_id.is_some().then(solo::Preparation::new).transpose()?;
    let built = root::build(&order.spec)?;
    supervise::run(socket, order, Place::Mounted(built), solo)
}

fn receive(socket: &OwnedFd) -> Result<Order, Error> {
    let action = "receive the description of the process";
    let gone = || Error::Internal("the caller is gone".to_owned());
    let (hello, descriptors) = wire::receive::<Hello>(socket).doing(action)?.ok_or_else(gone)?;
    let [text, stdin, stdout, stderr]: [OwnedFd; 4] =
        descriptors.try_into().map_err(|_| Error::Internal("wrong number of descriptors".to_owned()))?;
    let mut keep = Vec::new();
    while keep.len() < hello.keep {
        let (Keep, more) = wire::receive(socket).doing(action)?.ok_or_else(gone)?;
        keep.extend(more);
    }
    let mut file = std::fs::File::from(text);
    let mut json = String::new();
    file.rewind().and_then(|()| file.read_to_string(&mut json)).doing(action)?;
    let spec: Spec = serde_json::from_str(&json).map_err(|error| Error::Internal(error.to_string()))?;
    Ok(Order { spec, runtime: hello.runtime, stdio: [stdin, stdout, stderr], cgroup: None, _keep: keep })
}

fn enter_namespaces(spec: &Spec) -> Result<(), Error> {
    let mut namespaces = UnshareFlags::NEWNS
        | UnshareFlags::NEWPID
        | UnshareFlags::NEWIPC
        | UnshareFlags::NEWUTS
        | UnshareFlags::NEWCGROUP;
    if spec.network == Network::None {
        namespaces |= UnshareFlags::NEWNET;
    }
    sys::unshare(namespaces).doing("enter new namespaces")?;
    rustix::system::sethostname(spec.hostname.as_bytes()).doing("set the host name")?;
    if spec.network == Network::None {
        let any = socket(AddressFamily::INET, SocketType::DGRAM, None).doing("open a socket")?;
        sys::bring_up_loopback(any.as_fd()).doing("switch on the loopback interface")?;
        for (name, value) in NETWORK_SETTINGS {
            // They belong to the network namespace that this process has entered. A kernel may lack them.
            let _ = std::fs::write(std::path::Path::new("/proc/sys/net/ipv4").join(name), value);
        }
    }
    Ok(())
}
