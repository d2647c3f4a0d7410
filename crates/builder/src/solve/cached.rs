//! Finding a step in the cache, and executing it when it is not there: never twice at a time, in one build or in several.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use layer::View;
use layer::packer::PackOptions;
use store::table::ContentDigest;
use store::{Layer, StepKey};

use super::vertex::vertex_id;
use super::{Solver, Stack};
use crate::copy::{self, CopyStep, Input, Selection};
use crate::error::StepFailure;
use crate::plan::{CopyFrom, Operation, Step};
use crate::record::Record;
use crate::run::{self, Surroundings};
use crate::workdir;

/// What became of a step.
pub(super) struct Made {
    /// Its layer; a WORKDIR that was there has none.
    pub layer: Option<Layer>,
    /// Whether it was found.
    pub cached: bool,
}

/// The steps that this build has executed: with `--no-cache` only these count as found.
#[derive(Default)]
pub(super) struct Built(Mutex<BTreeSet<StepKey>>);

impl Built {
    fn add(&self, key: StepKey) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key);
    }

    fn has(&self, key: &StepKey) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(key)
    }

    fn is_empty(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

/// One step, and what it stands on.
struct Attempt<'a> {
    task: usize,
    record: Record,
    below: &'a Stack,
}

impl Solver<'_> {
    pub(super) fn find_or_execute(
        &self,
        task: usize,
        step: &Step,
        below: &Stack,
        source: Option<&Stack>,
    ) -> Result<Made, StepFailure> {
        let attempt = Attempt { task, record: Record::of(step, self.plan.epoch), below };
        match &step.operation {
            Operation::Run(run) => self.known(&attempt, &[below.content], || {
                let around = Surroundings {
                    store: self.job.store,
                    lease: self.job.lease,
                    runner: self.job.runner,
                    snapshots: self.snapshots()?,
                    view: &below.view,
                    options: self.options(),
                    session: self.job.session,
                    events: self.job.events,
                    vertex: vertex_id(task),
                    cancel: self.stop,
                };
                Ok(Some(run::run(&around, run)?))
            }),
            Operation::Workdir(workdir) => self.known(&attempt, &[below.content], || {
                let (store, lease) = (self.job.store, self.job.lease);
                Ok(workdir::make(store, lease, workdir, &below.view, self.options())?)
            }),
            Operation::Copy(copy, from) => self.copy(&attempt, copy, from, source),
        }
    }

    /// A step whose inputs are known before it is executed.
    fn known(
        &self,
        attempt: &Attempt<'_>,
        inputs: &[ContentDigest],
        execute: impl FnOnce() -> Result<Option<Layer>, StepFailure>,
    ) -> Result<Made, StepFailure> {
        let key = attempt.record.key(inputs);
        if let Some(made) = self.find(attempt, inputs)? {
            return Ok(made);
        }
        let _lock = self.lock(attempt, &key)?;
        if let Some(made) = self.find(attempt, inputs)? {
            return Ok(made);
        }
        let layer = execute()?;
        self.keep(attempt, inputs, layer)
    }

    /// COPY and ADD. Where nothing is known of the definition, the files are read once: the layer is written, and its key learned on the way. Else
    /// the key is computed first, from remembered digests as far as there are any.
    fn copy(
        &self,
        attempt: &Attempt<'_>,
        step: &CopyStep,
        from: &CopyFrom,
        source: Option<&Stack>,
    ) -> Result<Made, StepFailure> {
        let (store, lease, stop) = (self.job.store, self.job.lease, self.stop);
        let nothing = View::new(&[]);
        let input = self.input(from, source.map_or(&nothing, |stack| &stack.view))?;
        let selection = Selection::find(input, step, stop)?;
        let inputs = |content| [attempt.below.content, content];
        let mut content = None;
        if self.may_be_found(attempt)? {
            let key = selection.content_key(stop)?;
            if let Some(made) = self.find(attempt, &inputs(key))? {
                return Ok(made);
            }
            content = Some(key);
        }
        let _lock = self.lock(attempt, &attempt.record.definition())?;
        if self.may_be_found(attempt)? {
            let key = match content {
                Some(key) => key,
                None => selection.content_key(stop)?,
            };
            if let Some(made) = self.find(attempt, &inputs(key))? {
                return Ok(made);
            }
        }
        let (layer, learned) =
            copy::execute(store, lease, step, &selection, &attempt.below.view, self.options(), stop)?;
        self.keep(attempt, &inputs(learned), Some(layer))
    }

    fn input<'s>(&'s self, from: &CopyFrom, view: &'s View) -> Result<Input<'s>, StepFailure> {
        match from {
            CopyFrom::Context(name) => {
                let context = self.contexts.get(name).map(Input::Context);
                context.ok_or_else(|| StepFailure::Internal(format!("the context {name:?} is not open")))
            }
            CopyFrom::Nothing | CopyFrom::Stage(_) | CopyFrom::Image(_) => Ok(Input::View(view)),
        }
    }

    /// Whether a record of this definition is there that may be used.
    fn may_be_found(&self, attempt: &Attempt<'_>) -> Result<bool, StepFailure> {
        if self.job.request.no_cache && self.built.is_empty() {
            return Ok(false);
        }
        let records = self.job.store.cache().of_definition(&attempt.record.definition())?;
        Ok(records.iter().any(|record| !self.job.request.no_cache || self.built.has(&record.key)))
    }

    fn find(&self, attempt: &Attempt<'_>, inputs: &[ContentDigest]) -> Result<Option<Made>, StepFailure> {
        let key = attempt.record.key(inputs);
        if self.job.request.no_cache && !self.built.has(&key) {
            return Ok(None);
        }
        let store = self.job.store;
        let definition = attempt.record.definition();
        let Some(record) = store.cache().get(self.job.lease, &definition, &key)? else { return Ok(None) };
        let Some(diff_id) = record.layer else { return Ok(Some(Made { layer: None, cached: true })) };
        let layer = store.layers().get(&diff_id)?;
        Ok(layer.map(|layer| Made { layer: Some(layer), cached: true }))
    }

    fn keep(
        &self,
        attempt: &Attempt<'_>,
        inputs: &[ContentDigest],
        layer: Option<Layer>,
    ) -> Result<Made, StepFailure> {
        let record = attempt.record.built(inputs, layer.as_ref());
        self.job.store.cache().put(self.job.lease, &record)?;
        self.built.add(record.key);
        Ok(Made { layer, cached: false })
    }

    fn lock(&self, attempt: &Attempt<'_>, key: &StepKey) -> Result<store::cache::StepLock, StepFailure> {
        let mut has_waited = false;
        let mut waiting = || {
            has_waited = true;
            self.progress.waiting(attempt.task, false);
        };
        let lock = self.job.store.cache().lock(key, self.stop, &mut waiting)?;
        if has_waited {
            self.progress.waiting(attempt.task, true);
        }
        Ok(lock)
    }

    fn options(&self) -> PackOptions {
        PackOptions { clamp: self.plan.epoch }
    }
}
