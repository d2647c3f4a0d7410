//! The tasks of a plan, and which of them wait for which.

use std::collections::BTreeMap;

use crate::plan::{Base, BaseImage, CopyFrom, Operation, Plan};

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
    /// The task that makes the filesystem that is copied from.
    pub source: Option<usize>,
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
                graph.add(Task::Image(Box::new(image.clone())), format!("FROM {}", image.name), None, None)
            })
            .collect();
        for (place, stage) in plan.stages.iter().enumerate() {
            let mut last = match &stage.base {
                Base::Scratch => None,
                Base::Stage(below) => graph.end_of(*below),
                Base::Image(image) => {
                    let name = stage.from.clone().unwrap_or_else(|| format!("FROM {}", image.name));
                    Some(graph.add(Task::Image(image.clone()), name, None, None))
                }
            };
            for (number, step) in stage.steps.iter().enumerate() {
                let source = match &step.operation {
                    Operation::Copy(_, CopyFrom::Stage(from)) => graph.end_of(*from),
                    Operation::Copy(_, CopyFrom::Image(from)) => images.get(*from).copied(),
                    _ => None,
                };
                let task = Task::Step { stage: place, step: number };
                let task = graph.add(task, step.name.clone(), last, source);
                graph.steps.insert((place, number), task);
                last = Some(task);
            }
            graph.ends.push(last);
        }
        graph
    }

    fn add(&mut self, task: Task, name: String, below: Option<usize>, source: Option<usize>) -> usize {
        self.nodes.push(Node { task, name, below, source });
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
