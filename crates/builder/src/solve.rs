//! Solve: every step of a plan gets its layer, from the cache or by being executed; ready steps of all stages at the same time.

mod cached;
mod checkouts;
mod contexts;
mod downloads;
mod explain;
mod graph;
mod schedule;
mod shown;
mod vertex;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};

use base::events::{Event, Warning};
use base::{Cancel, Cancelled, Events};
use engine::snapshot::Snapshots;
use layer::View;
use sandbox::cgroup::Plan;
use sandbox::{Isolation, Runner};
use store::table::ContentDigest;
use store::{Layer, Lease, Store};

use crate::error::{BuildError, StepError, StepFailure};
use crate::outcome::StepCount;
use crate::plan::{self, BaseImage, Step};
use crate::record;
use crate::request::Request;
use crate::run::RunError;
use crate::session::{ContextRequest, Session};
use cached::Built;
use contexts::Contexts;
use explain::{History, Place};
use graph::{Graph, Task};
use vertex::Progress;

/// What a solve works with.
pub(crate) struct Job<'a> {
    pub store: &'a Store,
    pub lease: &'a Lease,
    pub request: &'a Request,
    pub session: &'a dyn Session,
    pub runner: &'a Runner,
    /// Where the cgroups of commands are made, if they have limits.
    pub cgroups: Option<&'a Plan>,
    pub events: &'a Events,
    pub cancel: &'a Cancel,
}

impl Job<'_> {
    /// A context whose files are wanted: they are for all platforms.
    fn context<'n>(&'n self, name: &'n str) -> ContextRequest<'n> {
        let platform = &self.request.build_platform;
        ContextRequest { name, platform, events: self.events, cancel: self.cancel }
    }
}

/// A filesystem: a stack of layers, and the identity of what is in it.
#[derive(Clone)]
pub(crate) struct Stack {
    pub view: View,
    pub content: ContentDigest,
    /// The layer that the last task put on top, if it made one.
    made: Option<Layer>,
}

impl Stack {
    fn empty() -> Self {
        Self { view: View::new(&[]), content: record::empty_stack(), made: None }
    }

    fn of(layers: &[Layer]) -> Self {
        let content = layers
            .iter()
            .fold(record::empty_stack(), |below, layer| record::stacked(below, layer.table().content_id()));
        Self { view: View::new(layers), content, made: None }
    }

    fn with(&self, layer: Option<Layer>) -> Self {
        match layer {
            None => Self { made: None, ..self.clone() },
            Some(layer) => Self {
                view: self.view.with(layer.clone()),
                content: record::stacked(self.content, layer.table().content_id()),
                made: Some(layer),
            },
        }
    }
}

/// What a solve found.
pub(crate) struct Solved {
    graph: Graph,
    stacks: Vec<Option<Stack>>,
    /// How many steps were executed, and how many were there.
    pub count: StepCount,
}

impl Solved {
    /// The layers of a stage, lowest first.
    pub fn layers(&self, stage: usize) -> &[Layer] {
        self.view(stage).map_or(&[], View::layers)
    }

    /// The filesystem of a stage; `None` when the stage has no layers at all.
    pub fn view(&self, stage: usize) -> Option<&View> {
        self.stack(self.graph.end_of(stage)).map(|stack| &stack.view)
    }

    /// The layer that a step made, if it made one.
    pub fn layer(&self, stage: usize, step: usize) -> Option<&Layer> {
        self.stack(self.graph.task_of(stage, step))?.made.as_ref()
    }

    fn stack(&self, task: Option<usize>) -> Option<&Stack> {
        self.stacks.get(task?)?.as_ref()
    }
}

/// Executes a plan.
pub(crate) fn solve(job: &Job<'_>, plan: &plan::Plan) -> Result<Solved, BuildError> {
    let graph = Graph::of(plan);
    let progress = Progress::announce(job.events, &graph);
    let contexts = Contexts::open(job, plan)?;
    let history = History::of(job, plan)?;
    // The first failure stops what runs besides; the caller's own flag does too.
    let stop = Cancel::new();
    let _stops = job.cancel.on_cancel({
        let stop = stop.clone();
        move || stop.cancel()
    });
    let solver = Solver {
        job,
        plan,
        stop: &stop,
        contexts: &contexts,
        history: &history,
        progress: &progress,
        built: Built::default(),
        snapshots: OnceLock::new(),
        executed: AtomicUsize::new(0),
        cached: AtomicUsize::new(0),
        failure: Mutex::new(None),
    };
    let stacks = schedule::run(&graph, job.request.threads, |task, below, sources| {
        solver.task(&graph, task, below, sources)
    });
    contexts.save(job.events);
    job.cancel.check()?;
    if let Some(failure) = solver.failure.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
        return Err(failure);
    }
    history.save(job, &graph)?;
    let count = StepCount {
        executed: solver.executed.load(Ordering::Relaxed),
        cached: solver.cached.load(Ordering::Relaxed),
    };
    Ok(Solved { graph, stacks, count })
}

/// What the tasks of one solve share.
struct Solver<'a> {
    job: &'a Job<'a>,
    plan: &'a plan::Plan,
    stop: &'a Cancel,
    contexts: &'a Contexts,
    history: &'a History,
    progress: &'a Progress<'a>,
    built: Built,
    /// Found out when the first command is to be run.
    snapshots: OnceLock<Snapshots>,
    executed: AtomicUsize,
    cached: AtomicUsize,
    failure: Mutex<Option<BuildError>>,
}

impl Solver<'_> {
    /// How commands get their filesystems.
    fn snapshots(&self) -> Result<&Snapshots, StepFailure> {
        if let Some(snapshots) = self.snapshots.get() {
            return Ok(snapshots);
        }
        let chosen = Snapshots::choose(self.job.store, self.job.request.ways)
            .map_err(|error| StepFailure::Run(RunError::from(Box::new(error))))?;
        // Two threads find the same.
        Ok(self.snapshots.get_or_init(|| {
            self.warn_of(chosen.isolation());
            chosen
        }))
    }

    /// Says once what commands have to do without.
    fn warn_of(&self, isolation: Isolation) {
        if !isolation.gives_up().is_empty() {
            self.job.events.send(Event::Warning(Warning {
                vertex: None,
                short: format!("commands run without namespaces (isolation by {})", isolation.name()),
                detail: isolation.gives_up().iter().map(|&line| line.to_owned()).collect(),
            }));
        }
    }

    /// Does one task; `None` when it failed, which ends the solve.
    fn task(
        &self,
        graph: &Graph,
        task: usize,
        below: Option<&Stack>,
        sources: &[Option<Stack>],
    ) -> Option<Stack> {
        if self.stop.is_cancelled() {
            return None;
        }
        let empty = Stack::empty();
        let below = below.unwrap_or(&empty);
        self.progress.started(task);
        let done = match graph.task(task)? {
            Task::Image(image) => guarded(|| self.image(image)).map_err(|error| (None, error)),
            Task::Step { stage, step } => {
                let at = (*stage, *step);
                let stage = self.plan.stages.get(at.0)?;
                let step = stage.steps.get(at.1)?;
                let place = Place { task, at, stage, step, below: graph.below(task) };
                guarded(|| self.step(&place, below, sources)).map_err(|error| (Some(step), error))
            }
        };
        let cached = done.as_ref().is_ok_and(|done| done.cached);
        self.progress.ended(task, cached, done.as_ref().err().map(|(_, error)| error));
        match done {
            Ok(done) => Some(done.stack),
            Err((step, failure)) => {
                self.fail(step, failure);
                None
            }
        }
    }

    /// The first failure counts: those that come after it are most often its consequences.
    fn fail(&self, step: Option<&Step>, cause: StepFailure) {
        let cancelled = matches!(base::Classified::kind(&cause), base::Kind::Cancelled);
        let error = match (step, cause) {
            _ if cancelled => BuildError::Cancelled(Cancelled),
            (Some(step), cause) => {
                BuildError::Step(Box::new(StepError { step: step.name.clone(), span: step.span, cause }))
            }
            (None, cause) => BuildError::Image(Box::new(cause)),
        };
        let mut failure = self.failure.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if failure.is_none() {
            *failure = Some(error);
        }
        drop(failure);
        self.stop.cancel();
    }

    /// The layers of an image: their tables, nothing more.
    fn image(&self, image: &BaseImage) -> Result<Done, StepFailure> {
        let layers = self.job.store.layers();
        let mut found = Vec::new();
        for diff_id in &image.config.rootfs.diff_ids {
            let layer = layers.get(diff_id)?;
            let missing =
                || StepFailure::MissingLayer { image: Box::new(image.id), layer: Box::new(*diff_id) };
            found.push(layer.ok_or_else(missing)?);
        }
        Ok(Done { stack: Stack::of(&found), cached: true })
    }

    fn step(&self, place: &Place<'_>, below: &Stack, sources: &[Option<Stack>]) -> Result<Done, StepFailure> {
        let made = self.find_or_execute(place, below, sources)?;
        self.history.add(place.task, made.keys.0, made.keys.1);
        let counter = if made.cached { &self.cached } else { &self.executed };
        counter.fetch_add(1, Ordering::Relaxed);
        Ok(Done { stack: below.with(made.layer), cached: made.cached })
    }
}

/// What a task gave.
struct Done {
    stack: Stack,
    cached: bool,
}

/// A panic in one step must not leave the others waiting.
fn guarded<T>(work: impl FnOnce() -> Result<T, StepFailure>) -> Result<T, StepFailure> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(StepFailure::Internal("a step panicked: please report this".to_owned())))
}
