//! `--explain`: why a step was executed. Its record is compared with the record that it had when its stage was last built.
//!
//! Which step it was then: the one that says the same, else the one at the same place, unless that has another place now. Which files of a COPY have
//! changed is said by the tables of the two layers. Values of variables are never told: they may be secret.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use base::events::{Event, Explanation};
use layer::Meta;
use serde_json::Value;
use store::table::{Entry, EntryKind, compare_paths};
use store::{Layer, StepKey, StepRecord};

use super::Job;
use super::graph::Graph;
use super::vertex::vertex_id;
use crate::error::BuildError;
use crate::plan::{Base, Operation, Plan, Stage, Step};
use crate::record::Record;
use crate::session::{BuildContext, LocalContext};

/// Keeps these digests apart from all others.
const STAGE: &str = "lapstrake 2026 stage of a Dockerfile";
/// More files than these only say that it was many.
const FILES: usize = 10;

/// Which step it is that is looked at.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub task: usize,
    /// The place of the stage in the plan, and of the step in the stage.
    pub at: (usize, usize),
    pub stage: &'a Stage,
    pub step: &'a Step,
    /// What people call the task that made what the step stands on.
    pub below: Option<&'a str>,
}

/// Stages as they were, and as they are now.
pub(super) struct History {
    keys: Vec<StepKey>,
    before: Vec<Vec<(StepKey, StepKey)>>,
    /// By task.
    now: Mutex<BTreeMap<usize, (StepKey, StepKey)>>,
}

impl History {
    /// Looks up what was built before. A stage is known by its context, its Dockerfile, and its name (or its place among those without), and in a build for
    /// several platforms by the one that it is for.
    pub fn of(job: &Job<'_>, plan: &Plan) -> Result<Self, BuildError> {
        // A build without a context is one of its Dockerfile alone.
        let root = match job.session.context(&job.context("")) {
            Ok(Some(BuildContext::Files(LocalContext { origin: Some(origin), .. }))) => origin.into(),
            Ok(Some(BuildContext::Files(context))) => std::fs::canonicalize(context.root).unwrap_or_default(),
            _ => PathBuf::new(),
        };
        let mut history = Self { keys: Vec::new(), before: Vec::new(), now: Mutex::default() };
        let mut nameless = 0;
        for (place, stage) in plan.stages.iter().enumerate() {
            let name = match &stage.name {
                Some(name) => name.to_ascii_lowercase(),
                None => {
                    nameless += 1;
                    nameless.to_string()
                }
            };
            let mut identity = root.as_os_str().as_encoded_bytes().to_vec();
            identity.extend([b"\0", job.request.dockerfile.name.as_bytes(), b"\0", name.as_bytes()].concat());
            if let Some(platform) = plan.platform_of(place) {
                identity.extend(format!("\0{platform}").into_bytes());
            }
            let key = StepKey(blake3::derive_key(STAGE, &identity));
            history.before.push(job.store.stages().get(&key)?);
            history.keys.push(key);
        }
        Ok(history)
    }

    /// A step has its layer.
    pub fn add(&self, task: usize, definition: StepKey, key: StepKey) {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).insert(task, (definition, key));
    }

    /// The build has succeeded: it is what the next one is compared with.
    pub fn save(&self, job: &Job<'_>, graph: &Graph) -> Result<(), BuildError> {
        let now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        for (stage, (key, before)) in self.keys.iter().zip(&self.before).enumerate() {
            let steps: Vec<_> = graph.tasks_of(stage).filter_map(|task| now.get(&task).copied()).collect();
            if steps != *before {
                job.store.stages().put(key, &steps)?;
            }
        }
        Ok(())
    }

    /// Says why a step is executed.
    pub fn explain(
        &self,
        job: &Job<'_>,
        place: &Place<'_>,
        record: &StepRecord,
        layer: Option<&Layer>,
        epoch: Option<i64>,
    ) -> Result<(), store::StoreError> {
        let reasons = if job.request.no_cache {
            vec!["--no-cache".to_owned()]
        } else if job.request.executes(place.stage.name.as_deref()) {
            vec!["--no-cache-filter".to_owned()]
        } else {
            self.reasons(job, place, record, layer, epoch)?
        };
        job.events.send(Event::Explanation(Explanation { vertex: vertex_id(place.task), reasons }));
        Ok(())
    }

    fn reasons(
        &self,
        job: &Job<'_>,
        place: &Place<'_>,
        record: &StepRecord,
        layer: Option<&Layer>,
        epoch: Option<i64>,
    ) -> Result<Vec<String>, store::StoreError> {
        let keys = self.before.get(place.at.0).map_or(&[][..], Vec::as_slice);
        if keys.is_empty() {
            return Ok(vec!["it was not built before".to_owned()]);
        }
        let mut before = Vec::new();
        for (definition, key) in keys {
            before.push(job.store.cache().record(definition, key)?);
        }
        let Some(old) = counterpart(place, record, &before, epoch) else {
            let is_gone = before.iter().any(Option::is_none);
            return Ok(vec![if is_gone {
                "the record of how it was built before has been removed".to_owned()
            } else {
                "it is new in its stage".to_owned()
            }]);
        };
        let mut reasons = differences(&old.document, &record.document, place);
        if let (Some(old), Some(new)) = (&old.layer, layer)
            && let Some(old) = job.store.layers().get(old)?
        {
            reasons.extend(files(&old, new));
        }
        if reasons.is_empty() {
            reasons.push(if old.key == record.key {
                "the layer that it gave has been removed".to_owned()
            } else {
                "what it copies has changed".to_owned()
            });
        }
        Ok(reasons)
    }
}

/// The record that a step had before.
fn counterpart<'r>(
    place: &Place<'_>,
    record: &StepRecord,
    before: &'r [Option<StepRecord>],
    epoch: Option<i64>,
) -> Option<&'r StepRecord> {
    let says = |other: &StepRecord| identity(&other.document) == identity(&record.document);
    let number = place.at.1;
    let there = before.get(number).and_then(Option::as_ref);
    if let Some(same) = there.filter(|other| says(other)) {
        return Some(same);
    }
    if let Some(same) = before.iter().flatten().find(|other| says(other)) {
        return Some(same);
    }
    let now: Vec<Vec<Value>> =
        place.stage.steps.iter().map(|step| identity(Record::of(step, epoch).document())).collect();
    there.filter(|other| {
        kind(&other.document) == kind(&record.document) && !now.contains(&identity(&other.document))
    })
}

fn kind(document: &Value) -> &Value {
    &document["operation"]["kind"]
}

/// What people would call the same step.
fn identity(document: &Value) -> Vec<Value> {
    let operation = &document["operation"];
    ["kind", "arguments", "script", "sources", "destination", "path"]
        .iter()
        .map(|field| operation[*field].clone())
        .collect()
}

/// What differs in two records, a line each.
fn differences(old: &Value, new: &Value, place: &Place<'_>) -> Vec<String> {
    let mut reasons = Vec::new();
    for field in fields(old, new) {
        if old[field] == new[field] {
            continue;
        }
        match field {
            "operation" => operation(&old[field], &new[field], &mut reasons),
            "inputs" => {
                if old[field][0] != new[field][0] {
                    reasons.push(below(place));
                }
                reasons.extend(shown(&old[field], &new[field], place));
            }
            "commits" => commits(old, new, &mut reasons),
            "version" => reasons.push("it was built by another version of lap".to_owned()),
            "epoch" => reasons.push("SOURCE_DATE_EPOCH has changed".to_owned()),
            other => reasons.push(format!("its {other} has changed")),
        }
    }
    reasons
}

/// What a step stands on is another one.
fn below(place: &Place<'_>) -> String {
    let what = match (&place.stage.base, place.at.1) {
        (Base::Image(_), 0) => "its base",
        _ => "what it stands on",
    };
    place.below.map_or_else(
        || format!("{what} has changed"),
        |name| format!("{what} has changed: {}", base::text::line(name)),
    )
}

/// What mounts show is other files: which, is said of the step that made them. The second input of a COPY is what is copied: the layers tell more.
fn shown(old: &Value, new: &Value, place: &Place<'_>) -> Vec<String> {
    let Operation::Run(run) = &place.step.operation else { return Vec::new() };
    let has_changed = |number: usize| !old[number + 1].is_null() && old[number + 1] != new[number + 1];
    let targets = run.shown().enumerate().filter(|(number, _)| has_changed(*number));
    let targets = targets.map(|(_, (mount, _))| mount.target.as_deref().unwrap_or_default());
    targets.map(|target| format!("what is mounted on {} has changed", base::text::line(target))).collect()
}

/// Repositories whose names mean other commits than before.
fn commits(old: &Value, new: &Value, reasons: &mut Vec<String>) {
    let of = |record: &Value| record["commits"].as_array().cloned().unwrap_or_default();
    let sources = new["operation"]["sources"].as_array().into_iter().flatten();
    let repositories = sources.filter_map(|source| source["git"].as_str());
    for ((repository, was), is) in repositories.zip(of(old)).zip(of(new)) {
        if let (Some(was), Some(is)) = (was.as_str(), is.as_str())
            && was != is
        {
            let short = |commit: &str| base::text::line(commit.get(..12).unwrap_or(commit)).into_owned();
            let repository = base::text::line(repository);
            reasons.push(format!("{repository} is at commit {}, and was at {}", short(is), short(was)));
        }
    }
}

fn operation(old: &Value, new: &Value, reasons: &mut Vec<String>) {
    for field in fields(old, new) {
        if old[field] == new[field] {
            continue;
        }
        match field {
            "environment" => variables(&old[field], &new[field], reasons),
            "arguments" | "script" => reasons.push("its command has changed".to_owned()),
            "sources" => reasons.push("its sources have changed".to_owned()),
            "chown" | "chmod" | "parents" | "exclude" | "unpack" | "network" | "security" | "ulimit"
            | "shm-size" | "add-host" | "device" => {
                reasons.push(format!("--{field} has changed"));
            }
            // Their mounts say it.
            "inputs" if new["kind"] == "run" => {}
            "mounts" => reasons.push("its mounts have changed".to_owned()),
            "directory" => reasons.push("its working directory has changed".to_owned()),
            other => reasons.push(format!("its {other} has changed")),
        }
    }
    // One change of a command may be in both.
    reasons.dedup();
}

/// Names only.
fn variables(old: &Value, new: &Value, reasons: &mut Vec<String>) {
    let pairs = |environment: &Value| -> BTreeMap<String, Value> {
        let pairs = environment.as_array().into_iter().flatten();
        pairs.filter_map(|pair| Some((pair[0].as_str()?.to_owned(), pair[1].clone()))).collect()
    };
    let (old, new) = (pairs(old), pairs(new));
    let count = reasons.len();
    for name in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
        let how = match (old.get(name), new.get(name)) {
            (Some(was), Some(is)) if was == is => continue,
            (Some(_), Some(_)) => "has changed",
            (Some(_), None) => "is not there any more",
            (None, _) => "is new",
        };
        reasons.push(format!("the variable {} {how}", base::text::line(name)));
    }
    if reasons.len() == count {
        reasons.push("the order of its variables has changed".to_owned());
    }
}

fn fields<'v>(old: &'v Value, new: &'v Value) -> BTreeSet<&'v str> {
    let names =
        |value: &'v Value| value.as_object().into_iter().flat_map(|object| object.keys().map(String::as_str));
    names(old).chain(names(new)).collect()
}

/// What differs in the layers of two copies, but for times.
fn files(old: &Layer, new: &Layer) -> Vec<String> {
    let (old, new) = (old.table(), new.table());
    let (mut was, mut is) = (old.entries().peekable(), new.entries().peekable());
    let mut reasons = Vec::new();
    let mut more = 0_usize;
    loop {
        let order = match (was.peek(), is.peek()) {
            (None, None) => break,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(was), Some(is)) => compare_paths(was.path, is.path),
        };
        let before = if order.is_le() { was.next() } else { None };
        let after = if order.is_ge() { is.next() } else { None };
        let Some(how) = change(before.as_ref(), after.as_ref()) else { continue };
        if reasons.len() == FILES {
            more += 1;
            continue;
        }
        let path = after.or(before).map_or(&[][..], |entry| entry.path);
        reasons.push(format!("/{} {how}", base::text::bytes(path)));
    }
    if more > 0 {
        reasons.push(format!("and {more} more"));
    }
    reasons
}

fn change(was: Option<&Entry<'_>>, is: Option<&Entry<'_>>) -> Option<&'static str> {
    let (Some(was), Some(is)) = (was, is) else {
        return Some(if was.is_some() { "is not there any more" } else { "is new" });
    };
    let metadata = |entry: &Entry<'_>| Meta { mtime: 0, ..Meta::from(entry) };
    match (&was.kind, &is.kind) {
        (EntryKind::File { content: old, .. }, EntryKind::File { content: new, .. }) if old != new => {
            Some("has other contents")
        }
        (EntryKind::File { .. }, EntryKind::File { .. })
        | (EntryKind::Directory { .. }, EntryKind::Directory { .. }) => {
            (metadata(was) != metadata(is)).then_some("has another mode, owner or attributes")
        }
        (old, new) if old != new => Some("is something else"),
        _ => (metadata(was) != metadata(is)).then_some("has another mode, owner or attributes"),
    }
}
