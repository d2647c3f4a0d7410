//! The contexts of one build, each opened once.

use std::collections::BTreeMap;

use base::Events;
use base::text;
use dockerfile::ignore::IgnoreFile;

use super::Job;
use crate::context::Context;
use crate::error::BuildError;
use crate::plan::{CopyFrom, Operation, Plan};
use crate::session::BuildContext;

/// Open contexts by name.
pub(super) struct Contexts(BTreeMap<String, Open>);

struct Open {
    context: Context,
    /// Whether the directory is there for this build alone: then what was learned of its files is of no use to the next one.
    is_passing: bool,
}

impl Contexts {
    /// Opens what a plan copies from.
    pub fn open(job: &Job<'_>, plan: &Plan) -> Result<Self, BuildError> {
        let mut contexts = BTreeMap::new();
        for step in plan.stages.iter().flat_map(|stage| &stage.steps) {
            let Operation::Copy(_, CopyFrom::Context(name)) = &step.operation else { continue };
            if !contexts.contains_key(name) {
                contexts.insert(name.clone(), open(job, name)?);
            }
        }
        Ok(Self(contexts))
    }

    /// One of them.
    pub fn get(&self, name: &str) -> Option<&Context> {
        self.0.get(name).map(|open| &open.context)
    }

    /// Writes down the digests that were learned. They are worth a warning, not a build.
    pub fn save(&self, events: &Events) {
        for Open { context, .. } in self.0.values().filter(|open| !open.is_passing) {
            if let Err(error) = context.save() {
                let root = text::path(context.root());
                events.warn(format!("the digests of {root} are not remembered: {error}"));
            }
        }
    }
}

fn open(job: &Job<'_>, name: &str) -> Result<Open, BuildError> {
    let called = || {
        if name.is_empty() { "the build context".to_owned() } else { format!("the build context {name:?}") }
    };
    let brought = job.session.context(&job.context(name));
    let brought = brought.map_err(|source| BuildError::Context { context: called(), source })?;
    let Some(BuildContext::Files(local)) = brought else {
        return Err(BuildError::Internal(format!("{} has no files any more", called())));
    };
    let ignore = match local.ignore {
        None => None,
        Some(file) => Some((file.name.clone(), parse(&file.name, &file.bytes)?)),
    };
    let context = Context::new(job.store, &local.root, ignore)
        .map_err(|source| BuildError::ContextFiles { context: called(), source: Box::new(source) })?;
    Ok(Open { context, is_passing: local.origin.is_some() })
}

fn parse(name: &str, bytes: &[u8]) -> Result<IgnoreFile, BuildError> {
    IgnoreFile::parse(bytes).map_err(|source| BuildError::Ignore { file: name.to_owned(), source })
}
