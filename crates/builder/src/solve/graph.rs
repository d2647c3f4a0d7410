//! The tasks of a plan, and which of them wait for which.

use std::collections::BTreeMap;

use crate::plan::{Base, BaseImage, CopyFrom, Operation, Plan, ShownFrom};

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
    /// The task of each (stage, step).
    steps: BTreeMap<(usize, usize), usize>,
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
                graph.add(Task::Image(Box::new(image.clone())), name, None, Vec::new())
            })
            .collect();
        for (place, stage) in plan.stages.iter().enumerate() {
            let mut last = match &stage.base {
                Base::Scratch => None,
                Base::Stage(below) => graph.end_of(*below),
                Base::Image(image) => {
                    let name = stage.from.clone().unwrap_or_else(|| format!("FROM {}", image.name));
                    Some(graph.add(Task::Image(image.clone()), name, None, Vec::new()))
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
                let task = graph.add(task, step.name.clone(), last, sources);
                graph.steps.insert((place, number), task);
                last = Some(task);
            }
            graph.ends.push(last);
        }
        graph
    }

    fn add(&mut self, task: Task, name: String, below: Option<usize>, sources: Vec<Option<usize>>) -> usize {
        self.nodes.push(Node { task, name, below, sources });
        self.nodes.len() - 1
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

    /// The task of a step.
    pub fn task_of(&self, stage: usize, step: usize) -> Option<usize> {
        self.steps.get(&(stage, step)).copied()
    }
}
