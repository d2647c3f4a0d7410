//! The Container Device Interface: files that say what makes a device usable in a container. JSON only.
//!
//! What a file asks for and is not done here (hooks, owners of nodes) is an error: a device that works by half is worse than none.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use sandbox::Mount;
use serde::Deserialize;

use crate::devices::{DeviceEdits, DeviceError, node};

/// Far more than the specification of any machine has.
const MAX_SIZE: u64 = 4 << 20;

/// The annotation by which BuildKit finds devices of a class.
const CLASS: &str = "org.mobyproject.buildkit.device.class";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Specification {
    cdi_version: String,
    kind: String,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    #[serde(default)]
    devices: Vec<Device>,
    #[serde(default)]
    container_edits: Edits,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Device {
    name: String,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    #[serde(default)]
    container_edits: Edits,
}

/// What this does not know, it does not do: so it is an error.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Edits {
    #[serde(default)]
    env: Vec<String>,
    #[serde(default)]
    device_nodes: Vec<Node>,
    #[serde(default)]
    mounts: Vec<Bind>,
    #[serde(default, rename = "additionalGids")]
    groups: Vec<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Node {
    path: PathBuf,
    host_path: Option<PathBuf>,
    // Of the node on this machine, which is mounted as it is.
    #[serde(rename = "type")]
    _kind: Option<String>,
    #[serde(rename = "major")]
    _major: Option<i64>,
    #[serde(rename = "minor")]
    _minor: Option<i64>,
    permissions: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Bind {
    host_path: PathBuf,
    container_path: PathBuf,
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    options: Vec<String>,
}

/// A device, and the file that says it.
struct Found<'a> {
    path: &'a Path,
    /// The place of its directory: later ones win.
    directory: usize,
    specification: &'a Specification,
    device: &'a Device,
}

/// The specifications of a machine, each read once.
pub(crate) struct Specifications<'a> {
    directories: &'a [PathBuf],
    /// In the order of the directories, each with the place of its own.
    files: Vec<(usize, PathBuf, Specification)>,
    /// Files that may be some, and are not read.
    unread: Vec<PathBuf>,
}

impl<'a> Specifications<'a> {
    /// Reads all of them.
    pub(crate) fn read(directories: &'a [PathBuf]) -> Result<Self, DeviceError> {
        let (mut files, mut unread) = (Vec::new(), Vec::new());
        for (number, directory) in directories.iter().enumerate() {
            let entries = match std::fs::read_dir(directory) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                entries => entries.map_err(|error| unusable(directory, &error))?,
            };
            let mut paths = Vec::new();
            for entry in entries {
                paths.push(entry.map_err(|error| unusable(directory, &error))?.path());
            }
            paths.sort();
            for path in paths {
                match path.extension().and_then(|extension| extension.to_str()) {
                    Some("json") => {
                        let specification = parse(&path)?;
                        files.push((number, path, specification));
                    }
                    Some("yaml" | "yml") => unread.push(path),
                    _ => {}
                }
            }
        }
        Ok(Self { directories, files, unread })
    }

    /// Adds what the devices of a name need.
    pub(crate) fn resolve(
        &self,
        name: &str,
        required: bool,
        edits: &mut DeviceEdits,
    ) -> Result<(), DeviceError> {
        let mut chosen: BTreeMap<(&str, &str), Found<'_>> = BTreeMap::new();
        for (directory, path, specification) in &self.files {
            for device in specification.devices.iter().filter(|device| is_meant(name, specification, device))
            {
                let found = Found { path, directory: *directory, specification, device };
                let key = (specification.kind.as_str(), device.name.as_str());
                match chosen.get(&key) {
                    Some(other) if other.directory == found.directory => {
                        return Err(DeviceError::Ambiguous {
                            name: format!("{}={}", specification.kind, device.name),
                            first: other.path.to_owned(),
                            second: path.clone(),
                        });
                    }
                    // Directories come in order, so this one wins.
                    _ => drop(chosen.insert(key, found)),
                }
            }
        }
        if chosen.is_empty() {
            // What may be in a file that is not read cannot be said not to be there.
            if !required && self.unread.is_empty() {
                return Ok(());
            }
            return Err(DeviceError::NoDevice {
                name: name.to_owned(),
                directories: self.directories.to_vec(),
                unread: self.unread.clone(),
            });
        }
        // A kind alone means one device of it, whichever.
        let is_kind = name.contains('/') && !name.contains('=');
        let mut done: Vec<&Path> = Vec::new();
        for found in chosen.into_values().take(if is_kind { 1 } else { usize::MAX }) {
            if !done.contains(&found.path) {
                done.push(found.path);
                apply(found.path, &found.specification.container_edits, edits)?;
            }
            apply(found.path, &found.device.container_edits, edits)?;
        }
        Ok(())
    }
}

fn is_meant(name: &str, specification: &Specification, device: &Device) -> bool {
    match name.split_once('=') {
        Some((kind, "*")) => specification.kind == kind,
        Some((kind, own)) => specification.kind == kind && device.name == own,
        None if name.contains('/') => specification.kind == name,
        None => {
            let class = device.annotations.get(CLASS).or_else(|| specification.annotations.get(CLASS));
            class.is_some_and(|class| class == name)
        }
    }
}

fn parse(path: &Path) -> Result<Specification, DeviceError> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| unusable(path, &error))?;
    file.take(MAX_SIZE + 1).read_to_end(&mut bytes).map_err(|error| unusable(path, &error))?;
    if bytes.len() as u64 > MAX_SIZE {
        return Err(unusable(path, &format!("it is larger than {MAX_SIZE} bytes")));
    }
    let specification: Specification =
        serde_json::from_slice(&bytes).map_err(|error| unusable(path, &error))?;
    if !specification.cdi_version.starts_with("0.") && !specification.cdi_version.starts_with("1.") {
        return Err(unusable(path, &format!("its version is {}", specification.cdi_version)));
    }
    Ok(specification)
}

fn unusable(path: &Path, reason: &dyn std::fmt::Display) -> DeviceError {
    DeviceError::Specification { path: path.to_owned(), reason: reason.to_string() }
}

fn apply(file: &Path, from: &Edits, to: &mut DeviceEdits) -> Result<(), DeviceError> {
    for device in &from.device_nodes {
        match device.permissions.as_deref() {
            None | Some("rw" | "rwm") => {}
            Some(other) => {
                return Err(unusable(
                    file,
                    &format!("a device that can be used for {other} only is not supported"),
                ));
            }
        }
        to.mounts.push(node(device.host_path.as_ref().unwrap_or(&device.path), &device.path)?);
    }
    for bind in &from.mounts {
        to.mounts.push(mount(file, bind)?);
    }
    to.env.extend(from.env.iter().cloned());
    to.groups.extend(&from.groups);
    Ok(())
}

fn mount(file: &Path, bind: &Bind) -> Result<Mount, DeviceError> {
    if let Some(kind) = bind.kind.as_deref().filter(|kind| !matches!(*kind, "" | "bind")) {
        return Err(unusable(file, &format!("a mount of the type {kind} is not supported")));
    }
    let mut mount = Mount::bind(&bind.host_path, &bind.container_path);
    for option in &bind.options {
        match option.as_str() {
            "ro" => mount.read_only = true,
            "nosuid" => mount.no_suid = true,
            "noexec" => mount.no_exec = true,
            "rw" | "bind" | "rbind" | "nodev" | "private" | "rprivate" => {}
            other => return Err(unusable(file, &format!("the option {other} of a mount is not supported"))),
        }
    }
    Ok(mount)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = r#"{
        "cdiVersion": "0.6.0", "kind": "vendor.com/thing", "annotations": {"org.mobyproject.buildkit.device.class": "things"},
        "containerEdits": {"env": ["ALL=1"]},
        "devices": [
            {"name": "one", "containerEdits": {"deviceNodes": [{"path": "/dev/thing", "hostPath": "/dev/null", "permissions": "rw"}],
                "env": ["ONE=1"], "additionalGids": [7]}},
            {"name": "two", "containerEdits": {"mounts": [{"hostPath": "/etc", "containerPath": "/thing", "options": ["ro", "nosuid", "rbind"]}]}}
        ]
    }"#;

    struct Machine(tempfile::TempDir);

    impl Machine {
        fn new(files: &[(&str, &str)]) -> Self {
            let directory = tempfile::tempdir().expect("a directory");
            for (name, text) in files {
                let path = directory.path().join(name);
                std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
                std::fs::write(path, text).expect("a file");
            }
            Self(directory)
        }

        fn resolve(&self, name: &str, required: bool) -> Result<DeviceEdits, String> {
            let mut edits = DeviceEdits::default();
            let directories = ["etc", "run"].map(|name| self.0.path().join(name));
            let specifications = Specifications::read(&directories).map_err(|error| error.to_string())?;
            specifications.resolve(name, required, &mut edits).map_err(|error| error.to_string())?;
            Ok(edits)
        }
    }

    #[test]
    fn df_106_names_of_devices() {
        let machine = Machine::new(&[("etc/thing.json", FIRST), ("etc/README", "x")]);
        let one = machine.resolve("vendor.com/thing=one", true).expect("a device");
        assert_eq!(
            (one.env.as_slice(), one.groups.as_slice()),
            (&["ALL=1".to_owned(), "ONE=1".to_owned()][..], &[7][..])
        );
        assert_eq!(one.mounts[0].target, Path::new("/dev/thing"));
        assert!(one.mounts[0].devices && !one.mounts[0].read_only);
        let two = machine.resolve("vendor.com/thing=two", true).expect("a device");
        assert!(two.mounts[0].read_only && two.mounts[0].no_suid && !two.mounts[0].devices);
        for name in ["vendor.com/thing=*", "things"] {
            let all = machine.resolve(name, true).expect("devices");
            assert_eq!((all.mounts.len(), all.env.len()), (2, 2), "{name}");
        }
        assert_eq!(machine.resolve("vendor.com/thing", true), Ok(one), "the first of the kind");
        for name in ["vendor.com/thing=three", "other.com/thing", "others"] {
            assert_eq!(machine.resolve(name, false), Ok(DeviceEdits::default()));
            assert_eq!(machine.resolve(name, true), Err(format!("there is no CDI device {name}")));
        }
    }

    #[test]
    fn df_106_later_directories_win_and_twice_in_one_is_an_error() {
        let other = r#"{"cdiVersion": "0.6.0", "kind": "vendor.com/thing", "devices": [{"name": "one", "containerEdits": {"env": ["OTHER=1"]}}]}"#;
        let machine = Machine::new(&[("etc/thing.json", FIRST), ("run/thing.json", other)]);
        let one = machine.resolve("vendor.com/thing=one", true).expect("a device");
        assert_eq!(one.env, ["OTHER=1"]);
        let machine = Machine::new(&[("etc/a.json", FIRST), ("etc/b.json", other)]);
        let error = machine.resolve("vendor.com/thing=one", true).expect_err("twice");
        assert!(
            error.starts_with("the CDI device vendor.com/thing=one is in several specifications: "),
            "{error}"
        );
    }

    #[test]
    fn df_106_what_is_not_done_is_an_error() {
        let with = |edits: &str| {
            format!(
                r#"{{"cdiVersion": "0.6.0", "kind": "v.com/c", "devices": [{{"name": "d", "containerEdits": {edits}}}]}}"#
            )
        };
        for (edits, reason) in [
            (r#"{"hooks": []}"#, "unknown field `hooks`"),
            (r#"{"deviceNodes": [{"path": "/dev/null", "permissions": "r"}]}"#, "used for r only"),
            (r#"{"deviceNodes": [{"path": "/dev/null", "uid": 5}]}"#, "unknown field `uid`"),
            (r#"{"deviceNodes": [{"path": "/dev/nonesuch"}]}"#, "cannot use the device /dev/nonesuch"),
            (r#"{"mounts": [{"hostPath": "/a", "containerPath": "/b", "type": "tmpfs"}]}"#, "type tmpfs"),
            (
                r#"{"mounts": [{"hostPath": "/a", "containerPath": "/b", "options": ["sync"]}]}"#,
                "option sync",
            ),
        ] {
            let machine = Machine::new(&[("etc/x.json", &with(edits))]);
            let error = machine.resolve("v.com/c=d", false).expect_err("refused");
            assert!(error.contains(reason), "{error}");
        }
        let machine = Machine::new(&[("etc/x.yaml", "cdiVersion: 0.6.0\n")]);
        let error = machine.resolve("v.com/c=d", false).expect_err("who knows");
        assert!(error.contains("YAML is not supported"), "{error}");
    }
}
