//! What commands may use, and what they find of the machine: what `lap build` and `lap run` are told alike.

use std::path::PathBuf;

use sandbox::Rlimit;
use sandbox::cgroup::{Group, Limits, Plan};
use store::{CgroupRecord, Store, StoreError};

use crate::devices::{self, DeviceEdits, DeviceError, DeviceRequest};
use crate::host::ExtraHost;

/// Limits, and what is found besides the image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resources {
    /// `--ulimit`, each resource once.
    pub rlimits: Vec<Rlimit>,
    /// `--shm-size`: the size of `/dev/shm`, in bytes.
    pub shared_memory: Option<u64>,
    /// `--add-host`.
    pub hosts: Vec<ExtraHost>,
    /// `--device`.
    pub devices: Vec<DeviceRequest>,
    /// Where specifications of the Container Device Interface lie; later ones win.
    pub cdi_directories: Vec<PathBuf>,
    /// What takes a cgroup.
    pub limits: Limits,
}

impl Resources {
    /// Finds out whether all of it can be had, before anything runs; and where the cgroups of commands are made, if that is needed.
    pub fn plan(&self) -> Result<Option<Plan>, sandbox::Error> {
        sandbox::rlimit::check(&self.rlimits)?;
        Plan::find(&self.limits)
    }

    /// Finds the devices.
    pub fn find_devices(&self) -> Result<DeviceEdits, DeviceError> {
        devices::resolve(&self.devices, &self.cdi_directories)
    }
}

/// A group for one command: its description for the sandbox, and the record that removes it at the end.
pub fn group(store: &Store, plan: Option<&Plan>) -> Result<Option<(Group, CgroupRecord)>, StoreError> {
    let Some(plan) = plan else { return Ok(None) };
    let record = store.cgroup(|name| plan.directories(name))?;
    Ok(Some((Group { plan: plan.clone(), name: record.name().to_owned() }, record)))
}
