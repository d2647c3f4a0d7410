//! Doing tasks as soon as what they wait for is done, several at a time.

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::graph::{Graph, Node};

/// What the workers share.
struct State<T> {
    results: Vec<Option<T>>,
    /// Tasks that wait for nothing, the earliest of the file first.
    ready: BTreeSet<usize>,
    /// How many tasks each one waits for.
    waits: Vec<usize>,
    running: usize,
    failed: bool,
}

/// Does all tasks on at most `threads` threads; `work` gets the task, and the results of what it stands on, and of its sources. When `work` gives
/// `None`, nothing new is begun.
pub(super) fn run<T: Clone + Send>(
    graph: &Graph,
    threads: usize,
    work: impl Fn(usize, Option<&T>, &[Option<T>]) -> Option<T> + Sync,
) -> Vec<Option<T>> {
    let nodes = graph.nodes();
    let waits: Vec<usize> = nodes.iter().map(|node| node.inputs().count()).collect();
    let ready = (0..nodes.len()).filter(|task| waits.get(*task) == Some(&0)).collect();
    let state =
        State { results: nodes.iter().map(|_| None).collect(), ready, waits, running: 0, failed: false };
    let shared = Shared { nodes, state: Mutex::new(state), changed: Condvar::new() };
    let threads = threads.clamp(1, nodes.len().max(1));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| shared.worker(&work));
        }
    });
    shared.state.into_inner().unwrap_or_else(PoisonError::into_inner).results
}

struct Shared<'a, T> {
    nodes: &'a [Node],
    state: Mutex<State<T>>,
    changed: Condvar,
}

impl<T: Clone> Shared<'_, T> {
    fn worker(&self, work: &impl Fn(usize, Option<&T>, &[Option<T>]) -> Option<T>) {
        while let Some((task, below, sources)) = self.next() {
            let result = work(task, below.as_ref(), &sources);
            self.done(task, result);
        }
    }

    /// The next task; waits for one, and gives none when there will be none.
    fn next(&self) -> Option<(usize, Option<T>, Vec<Option<T>>)> {
        let mut state = self.lock();
        loop {
            if state.failed {
                return None;
            }
            if let Some(task) = state.ready.pop_first() {
                state.running += 1;
                let node = self.nodes.get(task)?;
                let result = |of: Option<usize>| of.and_then(|of| state.results.get(of).cloned().flatten());
                let sources = node.sources.iter().map(|source| result(*source)).collect();
                return Some((task, result(node.below), sources));
            }
            if state.running == 0 {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn done(&self, task: usize, result: Option<T>) {
        let mut state = self.lock();
        state.running -= 1;
        state.failed |= result.is_none();
        if let Some(slot) = state.results.get_mut(task) {
            *slot = result;
        }
        for (later, node) in self.nodes.iter().enumerate() {
            let count = node.inputs().filter(|on| *on == task).count();
            let Some(waits) = state.waits.get_mut(later) else { continue };
            *waits -= count.min(*waits);
            if count > 0 && *waits == 0 {
                state.ready.insert(later);
            }
        }
        drop(state);
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use crate::outline::Outline;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use dockerfile::Span;
    use image::Config;

    use super::*;
    use crate::plan::{Base, Operation, Plan, Stage, Step, WorkdirStep};

    /// A plan of stages with so many steps each; all stand on nothing.
    fn graph(stages: &[usize]) -> Graph {
        let step = || Step {
            name: "step".to_owned(),
            span: Span::default(),
            platform: image::Platform::default(),
            operation: Operation::Workdir(WorkdirStep { path: "/x".to_owned(), user: String::new() }),
        };
        let stage = |steps: &usize| Stage {
            name: None,
            base: Base::Scratch,
            from: None,
            span: Span::default(),
            steps: (0..*steps).map(|_| step()).collect(),
            config: Config::default(),
            history: Vec::new(),
        };
        let stages = stages.iter().map(stage).collect();
        Graph::of(&Plan {
            stages,
            images: Vec::new(),
            targets: Vec::new(),
            epoch: None,
            warnings: Vec::new(),
            outline: Outline::default(),
        })
    }

    #[test]
    fn every_task_comes_after_what_it_stands_on() {
        for threads in [1, 2, 8] {
            let results =
                run(&graph(&[3, 0, 2]), threads, |_, below, _| Some(below.copied().unwrap_or(0) + 1));
            assert_eq!(results, [Some(1), Some(2), Some(3), Some(1), Some(2)], "{threads} threads");
        }
    }

    #[test]
    fn independent_tasks_are_done_at_the_same_time() {
        let both = Barrier::new(2);
        let results = run(&graph(&[1, 1]), 2, |task, _, _| {
            both.wait();
            Some(task)
        });
        assert_eq!(results, [Some(0), Some(1)]);
    }

    #[test]
    fn nothing_begins_after_a_failure() {
        let begun = AtomicUsize::new(0);
        let results: Vec<Option<()>> = run(&graph(&[3]), 4, |task, _, _| {
            begun.fetch_add(1, Ordering::SeqCst);
            (task < 1).then_some(())
        });
        assert_eq!((results, begun.into_inner()), (vec![Some(()), None, None], 2));
    }
}
