//! Devices for commands: nodes of this machine, and what the Container Device Interface makes of a name (DF-106, CT-36).

use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use base::{Classified, Kind};
use sandbox::Mount;

use crate::cdi::Specifications;

/// Where specifications of the Container Device Interface lie; the later ones win.
pub const CDI_DIRECTORIES: [&str; 2] = ["/etc/cdi", "/var/run/cdi"];

/// A device that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceRequest {
    /// `--device /dev/x[:/dev/y]`.
    Node {
        /// The device of this machine.
        host: PathBuf,
        /// Where the command sees it, absolute.
        target: PathBuf,
    },
    /// A name of the Container Device Interface.
    Cdi {
        /// `VENDOR/CLASS=NAME`, `VENDOR/CLASS=*`, `VENDOR/CLASS` (the first one), or the class that devices say in their annotations.
        name: String,
        /// Whether it is an error that there is none.
        required: bool,
    },
}

/// What devices add to a command.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeviceEdits {
    /// Nodes and files.
    pub mounts: Vec<Mount>,
    /// Variables, `NAME=value`.
    pub env: Vec<String>,
    /// Further groups of the user.
    pub groups: Vec<u32>,
}

/// Why a device cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// The path leads to no device.
    #[error("{} is not a device", base::text::path(.0))]
    NotADevice(PathBuf),
    /// There is nothing at the path.
    #[error("cannot use the device {}", base::text::path(.path))]
    Node {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No specification has it.
    #[error("there is no CDI device {}{}", base::text::bytes(.name.as_bytes()), not_read(.unread))]
    NoDevice {
        /// The name.
        name: String,
        /// Where it was looked for.
        directories: Vec<PathBuf>,
        /// Files that may have it, and that are not read.
        unread: Vec<PathBuf>,
    },
    /// Two specifications that count the same have it.
    #[error("the CDI device {} is in several specifications: {} and {}", base::text::bytes(.name.as_bytes()), base::text::path(.first), base::text::path(.second))]
    Ambiguous {
        /// The name.
        name: String,
        /// One.
        first: PathBuf,
        /// Another.
        second: PathBuf,
    },
    /// A specification cannot be used.
    #[error("cannot use the CDI specification {}: {}", base::text::path(.path), base::text::line(.reason))]
    Specification {
        /// Which.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
}

fn not_read(files: &[PathBuf]) -> String {
    match files {
        [] => String::new(),
        [first, ..] => {
            format!(" in a JSON file, and {} is not read: YAML is not supported", base::text::path(first))
        }
    }
}

impl Classified for DeviceError {
    fn kind(&self) -> Kind {
        match self {
            DeviceError::NotADevice(_) | DeviceError::Ambiguous { .. } => Kind::Invalid,
            DeviceError::Node { source, .. } => Kind::of_io(source),
            DeviceError::NoDevice { .. } => Kind::NotFound,
            DeviceError::Specification { .. } => Kind::Unsupported,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            DeviceError::NoDevice { unread, .. } if !unread.is_empty() => {
                Some("write the specification as JSON (nvidia-ctk cdi generate --format=json)".to_owned())
            }
            DeviceError::NoDevice { directories, .. } => {
                let names: Vec<String> =
                    directories.iter().map(|path| base::text::path(path).to_string()).collect();
                Some(format!("specifications of devices lie in {}", names.join(" and ")))
            }
            DeviceError::Ambiguous { .. } => Some("remove one of them".to_owned()),
            _ => None,
        }
    }
}

/// Finds devices; specifications are looked for in these directories.
pub fn resolve(requests: &[DeviceRequest], directories: &[PathBuf]) -> Result<DeviceEdits, DeviceError> {
    let mut edits = DeviceEdits::default();
    // Who asks for no name does not depend on files that may be wrong.
    let by_name = requests.iter().any(|request| matches!(request, DeviceRequest::Cdi { .. }));
    let specifications = Specifications::read(if by_name { directories } else { &[] })?;
    for request in requests {
        match request {
            DeviceRequest::Node { host, target } => edits.mounts.push(node(host, target)?),
            DeviceRequest::Cdi { name, required } => specifications.resolve(name, *required, &mut edits)?,
        }
    }
    Ok(edits)
}

/// A device of this machine, which can be opened also where nothing else can.
pub(crate) fn node(host: &Path, target: &Path) -> Result<Mount, DeviceError> {
    let metadata = std::fs::metadata(host);
    let metadata = metadata.map_err(|source| DeviceError::Node { path: host.to_owned(), source })?;
    if !metadata.file_type().is_char_device() && !metadata.file_type().is_block_device() {
        return Err(DeviceError::NotADevice(host.to_owned()));
    }
    Ok(Mount { devices: true, ..Mount::bind(host, target) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn df_106_nodes_have_to_be_devices() {
        let node = |host: &str| DeviceRequest::Node { host: host.into(), target: "/dev/x".into() };
        let edits = resolve(&[node("/dev/null")], &[]).expect("a device");
        assert_eq!((edits.mounts.len(), edits.mounts[0].devices), (1, true));
        for (path, kind) in
            [("/dev", Kind::Invalid), ("/etc/passwd", Kind::Invalid), ("/dev/nonesuch", Kind::NotFound)]
        {
            assert_eq!(resolve(&[node(path)], &[]).expect_err("refused").kind(), kind, "{path}");
        }
    }
}
