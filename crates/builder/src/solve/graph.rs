//! The tasks of a plan, and which of them wait for which. What is the same for several platforms is one task.

use std::collections::BTreeMap;

use crate::plan::{Base, BaseImage, Cache, CopyFrom, MountKind, Operation, Plan, ShownFrom, Step};

/// One thing to do.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Task {
    /// Look up the layers of an image.
    Image(Box<BaseImage>),
    /// Execute a step.
    Step {
        /// The place of the stage in the plan.
        stage: usize,
        /// The place of the step in the stage.
        step: usize,
    },
}

/// A task, and what it waits for.
#[derive(Debug)]
pub(super) struct Node {
    pub task: Task,
    /// What people call it.
    pub name: String,
    /// The task that makes the filesystem below; none when that is empty.
    pub below: Option<usize>,
    /// The tasks that make the filesystems that are copied from, or that mounts show; none for those that are empty.
    pub sources: Vec<Option<usize>>,
}

impl Node {
    /// An image, which waits for nothing.
    fn of_image(image: Box<BaseImage>, name: String) -> Self {
        Self { task: Task::Image(image), name, below: None, sources: Vec::new() }
    }

    /// The tasks that it waits for; one may be there several times.
    pub fn inputs(&self) -> impl Iterator<Item = usize> {
        self.below.into_iter().chain(self.sources.iter().copied().flatten())
    }
}

/// All tasks, each after those that it waits for.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    nodes: Vec<Node>,
    /// Per stage: the last task; none when the stage is empty.
    ends: Vec<Option<usize>>,
    /// The task of each (stage, step). Those of several platforms may have one together.
    steps: BTreeMap<(usize, usize), usize>,
}

/// Whether two tasks do the same, given the same inputs.
fn is_same(plan: &Plan, one: &Task, other: &Task) -> bool {
    let step = |stage: usize, step: usize| plan.stages.get(stage)?.steps.get(step);
    match (one, other) {
        (Task::Image(one), Task::Image(other)) => one == other,
        (Task::Step { stage: one, step: first }, Task::Step { stage: other, step: second }) => {
            let (one, other) = (step(*one, *first), step(*other, *second));
            one.zip(other).is_some_and(|(one, other)| placeless(one) == placeless(other))
        }
        (Task::Image(_) | Task::Step { .. }, _) => false,
    }
}

/// A step without the places of the stages that it takes files from: those are said by the tasks that it waits for.
fn placeless(step: &Step) -> Step {
    let mut step = step.clone();
    match &mut step.operation {
        Operation::Copy(_, CopyFrom::Stage(place)) => *place = 0,
        Operation::Run(run) => {
            for mount in &mut run.mounts {
                if let MountKind::Bind { shown, .. } | MountKind::Cache(Cache { first: Some(shown), .. }) =
                    &mut mount.kind
                    && let ShownFrom::Stage(place) = &mut shown.from
                {
                    *place = 0;
                }
            }
        }
        Operation::Copy(..) | Operation::Workdir(_) => {}
    }
    step
}

impl Graph {
    /// The tasks of a plan.
    pub fn of(plan: &Plan) -> Self {
        let mut graph = Self::default();
        let images: Vec<usize> = plan
            .images
            .iter()
            .map(|image| {
                let name = format!("FROM {}", image.name);
                graph.task_for(plan, Node::of_image(image.clone().into(), name))
            })
            .collect();
        for (place, stage) in plan.stages.iter().enumerate() {
            let mut last = match &stage.base {
                Base::Scratch => None,
                Base::Stage(below) => graph.end_of(*below),
                Base::Image(image) => {
                    let name = stage.from.clone().unwrap_or_else(|| format!("FROM {}", image.name));
                    Some(graph.task_for(plan, Node::of_image(image.clone(), name)))
                }
            };
            for (number, step) in stage.steps.iter().enumerate() {
                let sources = match &step.operation {
                    Operation::Copy(_, CopyFrom::Stage(from)) => vec![graph.end_of(*from)],
                    Operation::Copy(_, CopyFrom::Image(from)) => vec![images.get(*from).copied()],
                    Operation::Run(run) => run
                        .shown()
                        .map(|(_, shown)| match shown.from {
                            ShownFrom::Stage(from) => graph.end_of(from),
                            ShownFrom::Image(from) => images.get(from).copied(),
                        })
                        .collect(),
                    Operation::Copy(..) | Operation::Workdir(_) => Vec::new(),
                };
                let task = Task::Step { stage: place, step: number };
                let node = Node { task, name: step.name.clone(), below: last, sources };
                let task = graph.task_for(plan, node);
                graph.steps.insert((place, number), task);
                last = Some(task);
            }
            graph.ends.push(last);
        }
        graph
    }

    /// The task that does this. It is there already when another platform has the same.
    fn task_for(&mut self, plan: &Plan, node: Node) -> usize {
        let is_it = |other: &Node| {
            (&other.name, other.below, &other.sources) == (&node.name, node.below, &node.sources)
                && is_same(plan, &other.task, &node.task)
        };
        let has_several = plan.targets.len() > 1;
        let same = if has_several { self.nodes.iter().position(is_it) } else { None };
        same.unwrap_or_else(|| {
            self.nodes.push(node);
            self.nodes.len() - 1
        })
    }

    /// All of them.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// One of them.
    pub fn task(&self, task: usize) -> Option<&Task> {
        self.nodes.get(task).map(|node| &node.task)
    }

    /// What people call the task that makes the filesystem below another.
    pub fn below(&self, task: usize) -> Option<&str> {
        let below = self.nodes.get(self.nodes.get(task)?.below?)?;
        Some(&below.name)
    }

    /// The last task of a stage; none when the stage is empty.
    pub fn end_of(&self, stage: usize) -> Option<usize> {
        self.ends.get(stage).copied().flatten()
    }

    /// The tasks of a stage's steps, in order.
    pub fn tasks_of(&self, stage: usize) -> impl Iterator<Item = usize> {
        self.steps.range((stage, 0)..(stage + 1, 0)).map(|(_, task)| *task)
    }

    /// The task of a step.
    pub fn task_of(&self, stage: usize, step: usize) -> Option<usize> {
        self.steps.get(&(stage, step)).copied()
    }
}
