//! Step records: what a step is, canonical, versioned, self-contained.
//!
//! A record's *definition* is the digest of what was asked for: operation, arguments, environment, platform, epoch, and of which kinds its inputs
//! are. It is known before anything runs. Its *key* adds the contents of the inputs (without times): equal keys make equal layers.
//! Instructions that only describe the image are in neither, except through the environment, the directory and the user of later steps (DF-180).

use engine::devices::DeviceRequest;
use engine::resources::Resources;
use image::Platform;
use image::digest::hex;
use sandbox::Rlimit;
use serde_json::{Value, json};
use store::table::ContentDigest;
use store::{Layer, StepKey, StepRecord};

use crate::copy::{CopySource, CopyStep};
use crate::plan::{CopyFrom, MountKind, Operation, RunMount, RunStep, Step, WorkdirStep};

/// Changes whenever a step with the same record would give another layer, or the record's form changes.
const VERSION: u32 = 1;

/// Keeps these digests apart from all others.
const DEFINITION: &str = "lapstrake 2026 step definition";
const KEY: &str = "lapstrake 2026 step key";
const STACK: &str = "lapstrake 2026 stack of layers";

/// What a step is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Record {
    document: Value,
    definition: StepKey,
}

impl Record {
    /// The record of a step whose times are clamped to `epoch`.
    pub fn of(step: &Step, epoch: Option<i64>) -> Self {
        let operation = match &step.operation {
            Operation::Run(run) => run_document(run),
            Operation::Copy(copy, from) => copy_document(copy, from),
            Operation::Workdir(workdir) => workdir_document(workdir),
        };
        let document = json!({
            "version": VERSION,
            "operation": operation,
            "platform": platform_document(&step.platform),
            "epoch": epoch,
        });
        // Maps of serde_json are sorted by their keys, so that the text is canonical.
        let definition = StepKey(blake3::derive_key(DEFINITION, document.to_string().as_bytes()));
        Self { document, definition }
    }

    /// What was asked for.
    pub fn definition(&self) -> StepKey {
        self.definition
    }

    /// The same, as a document.
    pub fn document(&self) -> &Value {
        &self.document
    }

    /// What was asked for, with its inputs.
    pub fn key(&self, inputs: &[ContentDigest]) -> StepKey {
        let mut hasher = blake3::Hasher::new_derive_key(KEY);
        hasher.update(&self.definition.0);
        for input in inputs {
            hasher.update(&input.0);
        }
        StepKey(*hasher.finalize().as_bytes())
    }

    /// The record of a step that was executed, to be kept: for who asks why, with the commits of the repositories that it copies from.
    pub fn built(&self, inputs: &[ContentDigest], commits: &[String], layer: Option<&Layer>) -> StepRecord {
        let mut document = self.document.clone();
        if let Value::Object(fields) = &mut document {
            if !commits.is_empty() {
                fields.insert("commits".to_owned(), commits.into());
            }
            let inputs = inputs.iter().map(|input| Value::String(hex(&input.0))).collect();
            fields.insert("inputs".to_owned(), Value::Array(inputs));
        }
        StepRecord {
            definition: self.definition,
            key: self.key(inputs),
            layer: layer.map(Layer::diff_id),
            document,
        }
    }
}

/// The contents of a stack of layers, without times: folded from the lowest, as ChainIDs are.
pub(crate) fn stacked(below: ContentDigest, layer: ContentDigest) -> ContentDigest {
    let mut hasher = blake3::Hasher::new_derive_key(STACK);
    hasher.update(&below.0);
    hasher.update(&layer.0);
    ContentDigest(*hasher.finalize().as_bytes())
}

/// The contents of a stack without layers.
pub(crate) fn empty_stack() -> ContentDigest {
    ContentDigest(blake3::derive_key(STACK, b""))
}

fn run_document(run: &RunStep) -> Value {
    let mut document = json!({
        "kind": "run",
        "arguments": run.arguments,
        "script": run.script.as_ref().map(|script| json!({ "path": script.path, "content": script.content })),
        "environment": run.environment,
        "directory": run.directory,
        "user": run.user,
        "network": run.network.name(),
        "hostname": crate::run::HOSTNAME,
        "mounts": run.mounts.iter().map(mount_document).collect::<Vec<_>>(),
        "inputs": std::iter::once("below").chain(run.shown().map(|_| "mount")).collect::<Vec<_>>(),
    });
    let Resources { rlimits, shared_memory, hosts, devices, cdi_directories: _, limits: _ } = &*run.resources;
    // What is not asked for is not said, so that steps keep the keys that they have always had.
    let mut add = |field: &str, value: Option<Value>| {
        if let Some(value) = value {
            document[field] = value;
        }
    };
    let limit = |limit: &Rlimit| json!([limit.resource.name(), limit.soft, limit.hard]);
    let list = |values: Vec<Value>| (!values.is_empty()).then_some(Value::Array(values));
    add("security", run.insecure.then(|| Value::from("insecure")));
    add("ulimit", list(rlimits.iter().map(limit).collect()));
    add("shm-size", shared_memory.map(Value::from));
    // Where a name leads is the machine's, as are limits of memory and processors (DF-107).
    add("add-host", list(hosts.iter().map(|host| Value::from(host.name.as_str())).collect()));
    let device = |device: &DeviceRequest| match device {
        DeviceRequest::Node { host, target } => json!([host.to_string_lossy(), target.to_string_lossy()]),
        DeviceRequest::Cdi { name, .. } => Value::from(name.as_str()),
    };
    add("device", list(devices.iter().map(device).collect()));
    document
}

/// Where something is mounted, and what sort of thing it is: neither what is in it nor who uses it at the same time (DF-176).
fn mount_document(mount: &RunMount) -> Value {
    match &mount.kind {
        MountKind::Tmpfs { read_only, .. } => {
            json!({ "kind": "tmpfs", "target": mount.target, "read_only": read_only })
        }
        MountKind::Secret { id, env, mode, uid, gid, .. } => {
            json!({ "kind": "secret", "target": mount.target, "id": id, "env": env, "mode": mode, "uid": uid, "gid": gid })
        }
        MountKind::Bind { shown, read_only } => {
            json!({ "kind": "bind", "target": mount.target, "path": shown.path, "read_only": read_only })
        }
        MountKind::Cache(cache) => {
            let mut document =
                json!({ "kind": "cache", "target": mount.target, "read_only": cache.read_only });
            if let Some(first) = &cache.first {
                document["first"] = first.path.as_str().into();
            }
            document
        }
        MountKind::Agent(agent) => json!({
            "kind": "ssh",
            "target": mount.target,
            "id": agent.id,
            "named": agent.is_named,
            "mode": agent.mode,
            "uid": agent.uid,
            "gid": agent.gid,
        }),
    }
}

fn copy_document(copy: &CopyStep, from: &CopyFrom) -> Value {
    let source = |source: &CopySource| match source {
        CopySource::Path { pattern, .. } => json!({ "path": pattern }),
        CopySource::Url { url, checksum, unpack, .. } => {
            let checksum = checksum.as_ref().map(|(digest, _)| digest.to_string());
            let mut source = json!({ "url": url, "checksum": checksum });
            if *unpack {
                source["unpack"] = true.into();
            }
            source
        }
        CopySource::Git(repository) => json!({
            "git": repository.text,
            "checksum": repository.source.checksum,
            "keep_git_dir": repository.keep_git_dir,
        }),
        CopySource::Heredoc { name, content } => {
            json!({ "heredoc": name, "content": blake3::hash(content).to_hex().as_str() })
        }
    };
    let mut document = json!({
        "kind": if copy.add { "add" } else { "copy" },
        "sources": copy.sources.iter().map(source).collect::<Vec<_>>(),
        "destination": copy.destination,
        "directory": copy.working_directory,
        "chown": copy.chown.as_ref().map(|(owner, _)| owner),
        "chmod": copy.chmod.as_ref().map(|mode| mode.bits().map_or_else(|| format!("{mode:?}"), |bits| format!("{bits:o}"))),
        "parents": copy.parents,
        "exclude": copy.exclude,
        "inputs": [if copy.link { "nothing" } else { "below" }, match from {
            CopyFrom::Nothing => "nothing",
            CopyFrom::Context(_) => "context",
            CopyFrom::Stage(_) | CopyFrom::Image(_) => "layers",
        }],
    });
    if copy.add && !copy.unpack {
        document["unpack"] = false.into();
    }
    document
}

fn workdir_document(workdir: &WorkdirStep) -> Value {
    json!({ "kind": "workdir", "path": workdir.path, "user": workdir.user, "inputs": ["below"] })
}

fn platform_document(platform: &Platform) -> Value {
    json!({
        "os": platform.os,
        "architecture": platform.architecture,
        "variant": platform.variant,
    })
}

#[cfg(test)]
mod tests {
    use dockerfile::Span;

    use super::*;
    use crate::request::Network;

    fn run() -> RunStep {
        RunStep {
            arguments: vec!["/bin/sh".to_owned(), "-c".to_owned(), "make".to_owned()],
            script: None,
            environment: vec![("A".to_owned(), "1".to_owned())],
            proxies: Vec::new(),
            directory: "/".to_owned(),
            user: String::new(),
            network: Network::Host,
            insecure: false,
            resources: Box::default(),
            mounts: Vec::new(),
        }
    }

    fn record(run: RunStep) -> Record {
        let step = Step {
            name: "RUN make".to_owned(),
            span: Span::default(),
            platform: Platform::default(),
            operation: Operation::Run(run),
        };
        Record::of(&step, None)
    }

    #[test]
    fn df_176_what_changes_a_run() {
        let plain = record(run());
        type Change = fn(&mut RunStep);
        let changes: [(&str, Change); 7] = [
            ("arguments", |run| run.arguments.push("x".to_owned())),
            ("environment", |run| run.environment.push(("B".to_owned(), String::new()))),
            ("directory", |run| run.directory = "/x".to_owned()),
            ("user", |run| run.user = "daemon".to_owned()),
            ("network", |run| run.network = Network::None),
            ("security", |run| run.insecure = true),
            ("script", |run| {
                run.script =
                    Some(crate::plan::Script { path: "/dev/pipes/A".to_owned(), content: String::new() });
            }),
        ];
        for (what, change) in changes {
            let mut changed = run();
            change(&mut changed);
            assert_ne!(record(changed).definition(), plain.definition(), "{what}");
        }
        let mut proxied = run();
        proxied.proxies.push(("http_proxy".to_owned(), "http://proxy".to_owned()));
        assert_eq!(record(proxied).definition(), plain.definition(), "DF-061");
    }

    #[test]
    fn df_107_what_of_the_surroundings_changes_a_run() {
        let with = |change: &dyn Fn(&mut Resources)| {
            let mut step = run();
            change(&mut step.resources);
            record(step).definition()
        };
        let plain = with(&|_| {});
        let host = |address: &str| engine::host::ExtraHost {
            name: "db".to_owned(),
            address: Some(address.parse().expect("an address")),
        };
        let limit = Rlimit { resource: sandbox::Resource::Nofile, soft: 1, hard: 2 };
        assert_ne!(with(&|it| it.rlimits.push(limit)), plain);
        assert_ne!(with(&|it| it.shared_memory = Some(1)), plain);
        assert_ne!(with(&|it| it.hosts.push(host("1.2.3.4"))), plain);
        assert_eq!(with(&|it| it.hosts.push(host("1.2.3.4"))), with(&|it| it.hosts.push(host("::5"))));
        let device = DeviceRequest::Cdi { name: "a.com/b".to_owned(), required: false };
        assert_ne!(with(&|it| it.devices.push(device.clone())), plain);
        assert_eq!(with(&|it| it.limits.memory = Some(1 << 30)), plain);
    }

    #[test]
    fn df_173_keys_depend_on_inputs_in_order() {
        let record = record(run());
        let (one, two) = (ContentDigest([1; 32]), ContentDigest([2; 32]));
        assert_eq!(record.key(&[one, two]), record.key(&[one, two]));
        assert_ne!(record.key(&[one, two]), record.key(&[two, one]));
        assert_ne!(record.key(&[one]).0, record.definition().0);
        assert_ne!(stacked(stacked(empty_stack(), one), two), stacked(stacked(empty_stack(), two), one));
    }
}
