//! Finding a step in the cache, and executing it when it is not there: never twice at a time, in one build or in several.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use layer::View;
use layer::packer::PackOptions;
use store::table::ContentDigest;
use store::{Layer, StepKey};

use super::checkouts::Fetching;
use super::downloads::Downloader;
use super::explain::Place;
use super::vertex::vertex_id;
use super::{Solver, Stack};
use crate::copy::{self, CopyStep, Input, Selection};
use crate::error::StepFailure;
use crate::plan::{CopyFrom, Operation};
use crate::record::{Record, empty_stack};
use crate::run::{self, Surroundings};
use crate::workdir;

/// What became of a step.
pub(super) struct Made {
    /// Its layer; a WORKDIR that was there has none.
    pub layer: Option<Layer>,
    /// Whether it was found.
    pub cached: bool,
    /// What it is, and what it is with its inputs.
    pub keys: (StepKey, StepKey),
}

/// The steps that this build has executed: with `--no-cache`, or in a stage of `--no-cache-filter`, only these count as found.
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
    place: &'a Place<'a>,
    record: Record,
    below: &'a Stack,
    /// Whether the step is executed, whatever the cache has.
    anew: bool,
}

impl Solver<'_> {
    pub(super) fn find_or_execute(
        &self,
        place: &Place<'_>,
        below: &Stack,
        sources: &[Option<Stack>],
    ) -> Result<Made, StepFailure> {
        let Place { task, stage, step, .. } = *place;
        let anew = self.job.request.executes(stage.name.as_deref());
        let attempt = Attempt { place, record: Record::of(step, self.plan.epoch), below, anew };
        match &step.operation {
            Operation::Run(run) => {
                let shown = self.shown(run, sources)?;
                let shown_contents = shown.iter().map(|shown| shown.content);
                let inputs: Vec<_> = std::iter::once(below.content).chain(shown_contents).collect();
                self.known(&attempt, &inputs, || {
                    let around = Surroundings {
                        store: self.job.store,
                        lease: self.job.lease,
                        runner: self.job.runner,
                        cgroups: self.job.cgroups,
                        snapshots: self.snapshots()?,
                        view: &below.view,
                        shown: &shown,
                        options: self.options(),
                        session: self.job.session,
                        events: self.job.events,
                        vertex: vertex_id(task),
                        cancel: self.stop,
                        key: attempt.record.key(&inputs),
                    };
                    Ok(Some(run::run(&around, run)?))
                })
            }
            Operation::Workdir(workdir) => self.known(&attempt, &[below.content], || {
                let (store, lease) = (self.job.store, self.job.lease);
                Ok(workdir::make(store, lease, workdir, &below.view, self.options())?)
            }),
            Operation::Copy(copy, from) => {
                let source = sources.first().and_then(Option::as_ref);
                self.copy(&attempt, copy, from, source)
            }
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
        self.explain(attempt, inputs, &[], None)?;
        let layer = execute()?;
        self.keep(attempt, inputs, &[], layer)
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
        let downloader = Downloader { job: self.job, vertex: vertex_id(attempt.place.task), stop };
        let mut downloads = downloader.get(step, self.may_be_found(attempt)?)?;
        let fetching = Fetching { job: self.job, vertex: vertex_id(attempt.place.task), stop };
        let mut checkouts = fetching.resolve(step)?;
        let mut selection = Selection::with_fetched(input, step, &downloads.files, &checkouts.found, stop)?;
        // DF-127: a layer of its own, which knows nothing of those below it.
        let (base, below) = match step.link {
            true => (&nothing, empty_stack()),
            false => (&attempt.below.view, attempt.below.content),
        };
        let inputs = |content| [below, content];
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
        let is_complete = downloads.are_complete() && checkouts.are_complete();
        if !downloads.are_complete() {
            downloads = downloader.get(step, false)?;
        }
        if !checkouts.are_complete() {
            fetching.complete(step, &mut checkouts)?;
        }
        if !is_complete {
            selection = Selection::with_fetched(input, step, &downloads.files, &checkouts.found, stop)?;
        }
        let commits = checkouts.commits();
        let (layer, learned) = copy::execute(store, lease, step, &selection, base, self.options(), stop)?;
        self.explain(attempt, &inputs(learned), &commits, Some(&layer))?;
        self.keep(attempt, &inputs(learned), &commits, Some(layer))
    }

    fn explain(
        &self,
        attempt: &Attempt<'_>,
        inputs: &[ContentDigest],
        commits: &[String],
        layer: Option<&Layer>,
    ) -> Result<(), StepFailure> {
        if !self.job.request.explain {
            return Ok(());
        }
        let record = attempt.record.built(inputs, commits, layer);
        Ok(self.history.explain(self.job, attempt.place, &record, layer, self.plan.epoch)?)
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
        if attempt.anew && self.built.is_empty() {
            return Ok(false);
        }
        let records = self.job.store.cache().of_definition(&attempt.record.definition())?;
        Ok(records.iter().any(|record| !attempt.anew || self.built.has(&record.key)))
    }

    fn find(&self, attempt: &Attempt<'_>, inputs: &[ContentDigest]) -> Result<Option<Made>, StepFailure> {
        let key = attempt.record.key(inputs);
        if attempt.anew && !self.built.has(&key) {
            return Ok(None);
        }
        let store = self.job.store;
        let definition = attempt.record.definition();
        let Some(record) = store.cache().get(self.job.lease, &definition, &key)? else { return Ok(None) };
        let Some(diff_id) = record.layer else {
            return Ok(Some(Made { layer: None, cached: true, keys: (definition, key) }));
        };
        let layer = store.layers().get(&diff_id)?;
        Ok(layer.map(|layer| Made { layer: Some(layer), cached: true, keys: (definition, key) }))
    }

    fn keep(
        &self,
        attempt: &Attempt<'_>,
        inputs: &[ContentDigest],
        commits: &[String],
        layer: Option<Layer>,
    ) -> Result<Made, StepFailure> {
        let record = attempt.record.built(inputs, commits, layer.as_ref());
        self.job.store.cache().put(self.job.lease, &record)?;
        self.built.add(record.key);
        Ok(Made { layer, cached: false, keys: (record.definition, record.key) })
    }

    fn lock(&self, attempt: &Attempt<'_>, key: &StepKey) -> Result<store::cache::StepLock, StepFailure> {
        let mut has_waited = false;
        let mut waiting = || {
            has_waited = true;
            self.progress.waiting(attempt.place.task, false);
        };
        let lock = self.job.store.cache().lock(key, self.stop, &mut waiting)?;
        if has_waited {
            self.progress.waiting(attempt.place.task, true);
        }
        Ok(lock)
    }

    fn options(&self) -> PackOptions {
        PackOptions { clamp: self.plan.epoch }
    }
}
