//! `config.json`: what a runtime is told (OCI runtime specification). Pure.
//!
//! The root is finished but for `/proc`, which only a process of the new pid namespace can mount; host name, network,
//! IPC and cgroup namespaces are those that the runner has entered.

use std::path::Path;

use serde_json::{Value, json};

use crate::capability::CapabilitySet;
use crate::error::Error;
use crate::runner::{masked_in_proc, read_only_in_proc};
use crate::seccomp;
use crate::spec::{Process, Rlimit, Security, Spec};

/// What is said to be understood; every runtime since 2020 does.
const VERSION: &str = "1.0.2";

/// What to tell a runtime that is to make this process, with these capabilities, in the directory `root`.
pub(crate) fn config(spec: &Spec, granted: CapabilitySet, root: &Path) -> Result<Value, Error> {
    let process = &spec.process;
    // A process that shares the runner's pid namespace has the runner's init as process 1.
    let namespaces: &[&str] = if process.init { &["mount"] } else { &["mount", "pid"] };
    let mut linux = json!({
        "namespaces": namespaces.iter().map(|kind| json!({"type": kind})).collect::<Vec<_>>(),
    });
    if spec.security == Security::Default {
        linux["maskedPaths"] = json!(masked_in_proc().collect::<Vec<_>>());
        linux["readonlyPaths"] = json!(read_only_in_proc().collect::<Vec<_>>());
        linux["seccomp"] = seccomp::oci(granted).ok_or_else(seccomp::unsupported)?;
    }
    Ok(json!({
        "ociVersion": VERSION,
        "root": {"path": text(root)?, "readonly": spec.read_only_root},
        "process": make_process(process, granted)?,
        "mounts": [{
            "destination": "/proc",
            "type": "proc",
            "source": "proc",
            "options": ["nosuid", "noexec", "nodev"],
        }],
        "linux": linux,
    }))
}

fn make_process(process: &Process, granted: CapabilitySet) -> Result<Value, Error> {
    let bounding = granted.names();
    // Who is not root has only what a set-user-ID program may still get.
    let own = if process.user.uid == 0 { bounding.clone() } else { Vec::new() };
    let mut value = json!({
        "terminal": process.terminal.is_some(),
        "user": {
            "uid": process.user.uid,
            "gid": process.user.gid,
            "umask": process.umask,
            "additionalGids": process.user.groups,
        },
        "args": process.args,
        "env": process.env,
        "cwd": text(&process.cwd)?,
        "capabilities": {
            "bounding": bounding,
            "effective": own,
            "permitted": own,
            "inheritable": [],
            "ambient": [],
        },
        "rlimits": process.rlimits.iter().map(limit).collect::<Vec<_>>(),
        "noNewPrivileges": process.no_new_privileges,
    });
    if let Some(size) = process.terminal {
        value["consoleSize"] = json!({"height": size.rows, "width": size.columns});
    }
    Ok(value)
}

fn limit(limit: &Rlimit) -> Value {
    let name = format!("RLIMIT_{}", limit.resource.name().to_uppercase());
    json!({"type": name, "soft": limit.soft, "hard": limit.hard})
}

fn text(path: &Path) -> Result<&str, Error> {
    path.to_str().ok_or_else(|| Error::Unsupported {
        what: format!("the path {}, which is not UTF-8, with an OCI runtime", base::text::path(path)),
        hint: "the built-in runner takes it: leave the runtime out".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::*;
    use crate::spec::{Files, Network, Resource, Root, Terminal, User};

    fn spec() -> Spec {
        Spec {
            root: Root::Directory("/somewhere".into()),
            read_only_root: false,
            process: Process { env: vec!["PATH=/bin".to_owned()], ..Process::new(["sh", "-c", "true"]) },
            mounts: Vec::new(),
            hostname: "box".to_owned(),
            network: Network::Host,
            security: Security::Default,
            files: Files::default(),
            isolation: crate::ways::Isolation::Namespaces,
            cgroup: None,
            shared_memory: None,
            single_id: None,
        }
    }

    fn without_filter(spec: &Spec, granted: CapabilitySet) -> Value {
        let mut config = config(spec, granted, Path::new("/run/root")).expect("a config");
        if let Some(linux) = config["linux"].as_object_mut() {
            linux.remove("seccomp");
        }
        config
    }

    #[test]
    fn a_plain_process() {
        let granted = CapabilitySet::from_name("CHOWN").expect("known");
        let expected = json!({
            "ociVersion": "1.0.2",
            "root": {"path": "/run/root", "readonly": false},
            "process": {
                "terminal": false,
                "user": {"uid": 0, "gid": 0, "umask": 0o022, "additionalGids": []},
                "args": ["sh", "-c", "true"],
                "env": ["PATH=/bin"],
                "cwd": "/",
                "capabilities": {
                    "bounding": ["CAP_CHOWN"], "effective": ["CAP_CHOWN"], "permitted": ["CAP_CHOWN"],
                    "inheritable": [], "ambient": [],
                },
                "rlimits": [],
                "noNewPrivileges": false,
            },
            "mounts": [{
                "destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"],
            }],
            "linux": {
                "namespaces": [{"type": "mount"}, {"type": "pid"}],
                "maskedPaths": [
                    "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys",
                    "/proc/latency_stats", "/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats",
                ],
                "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
            },
        });
        assert_eq!(without_filter(&spec(), granted), expected);
    }

    #[test]
    fn everything_that_can_be_asked_for() {
        let mut spec = spec();
        spec.read_only_root = true;
        spec.security = Security::Insecure;
        spec.process.user = User { uid: 1000, gid: 100, groups: vec![100, 7] };
        spec.process.terminal = Some(Terminal { rows: 30, columns: 100 });
        spec.process.rlimits = vec![Rlimit { resource: Resource::Nofile, soft: 99, hard: Rlimit::UNLIMITED }];
        spec.process.no_new_privileges = true;
        spec.process.init = true;
        let config = without_filter(&spec, CapabilitySet::DOCKER);
        assert_eq!(config["root"]["readonly"], json!(true));
        assert_eq!(config["linux"], json!({"namespaces": [{"type": "mount"}]}));
        let process = &config["process"];
        assert_eq!(
            process["user"],
            json!({"uid": 1000, "gid": 100, "umask": 18, "additionalGids": [100, 7]})
        );
        assert_eq!(process["consoleSize"], json!({"height": 30, "width": 100}));
        assert_eq!(
            process["rlimits"],
            json!([{"type": "RLIMIT_NOFILE", "soft": 99, "hard": 18_446_744_073_709_551_615_u64}])
        );
        assert_eq!(process["capabilities"]["bounding"].as_array().map(Vec::len), Some(14));
        assert_eq!(process["capabilities"]["permitted"], json!([]));
        assert_eq!(process["noNewPrivileges"], json!(true));
    }

    #[test]
    fn the_filter_is_there_unless_security_is_turned_off() {
        let config = config(&spec(), CapabilitySet::DOCKER, Path::new("/run/root")).expect("a config");
        assert_eq!(config["linux"]["seccomp"]["defaultAction"], "SCMP_ACT_ERRNO");
    }

    #[test]
    fn what_json_cannot_say_is_refused() {
        let mut spec = spec();
        spec.process.cwd = OsStr::from_bytes(b"/a\xff").into();
        let error = config(&spec, CapabilitySet::EMPTY, Path::new("/run/root")).expect_err("refused");
        assert!(error.to_string().ends_with("with an OCI runtime is not supported"), "{error}");
    }
}
