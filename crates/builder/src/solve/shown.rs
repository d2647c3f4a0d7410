//! What the mounts of a RUN show of stages and images: found by their tables, and part of the step's key (DF-177).

use super::{Solver, Stack};
use crate::copy::{CopyError, CopyStep, Input, Selection};
use crate::error::StepFailure;
use crate::plan::RunStep;
use crate::run::ShownFiles;

impl Solver<'_> {
    /// What each mount shows, in the order of the mounts; what is not there is an error with its place.
    pub(super) fn shown(
        &self,
        run: &RunStep,
        sources: &[Option<Stack>],
    ) -> Result<Vec<ShownFiles>, StepFailure> {
        let empty = Stack::empty();
        let mut found = Vec::with_capacity(sources.len());
        for ((mount, shown), stack) in run.shown().zip(sources) {
            let stack = stack.as_ref().unwrap_or(&empty);
            let (view, path) = (stack.view.clone(), shown.path.trim_start_matches('/'));
            if path.is_empty() {
                found.push(ShownFiles { view, path: Vec::new(), content: stack.content });
                continue;
            }
            let step = CopyStep::of_path(&shown.path, mount.span);
            let content = Selection::find(Input::View(&view), &step, self.stop)?.content_key(self.stop)?;
            // DF-099: links lead to places in it.
            let path = view.resolve(path.as_bytes(), true).map_err(CopyError::from)?.path;
            found.push(ShownFiles { view, path, content });
        }
        Ok(found)
    }
}
