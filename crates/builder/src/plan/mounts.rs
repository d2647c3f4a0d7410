//! `RUN --mount` (DF-094 … DF-103), expanded.

use dockerfile::instruction::Run;
use dockerfile::mount::{Mount, MountSpec};
use dockerfile::{Span, Word};
use image::Config;

use super::error::{PlanError, PlanProblem};
use super::graph::{
    Agent, Base, Cache, CopyFrom, MountKind, Operation, RunMount, Shown, ShownFrom, Stage, Step,
};
use super::metadata::joined;
use super::stage::Builder;
use crate::copy::CopyStep;
use crate::error::BuildError;

/// The variable that says where an agent listens.
const AGENT: &str = "SSH_AUTH_SOCK";

impl Builder<'_> {
    /// The mounts of a RUN, by target: one may lie in another.
    pub(super) fn mounts(&mut self, run: &Run) -> Result<Vec<RunMount>, BuildError> {
        let mut mounts: Vec<RunMount> = Vec::with_capacity(run.mounts.len());
        for spec in &run.mounts {
            let agents = mounts.iter().filter(|mount| matches!(mount.kind, MountKind::Agent(_))).count();
            let mount = self.mount(spec, agents)?;
            mounts.push(mount);
        }
        mounts.sort_by(|one, other| one.target.cmp(&other.target));
        Ok(mounts)
    }

    /// One mount; `agents` of those before it are of agents.
    fn mount(&mut self, spec: &MountSpec, agents: usize) -> Result<RunMount, BuildError> {
        let span = self.place(spec.text.span);
        let mount = spec.resolve(|word| self.expand(word))?;
        let directory = joined("/", &self.config.config.working_dir);
        let place = |target: &str| joined(&directory, target);
        let (target, kind) = match mount {
            Mount::Tmpfs(mount) => {
                let kind = MountKind::Tmpfs { size: mount.size, read_only: mount.read_only };
                (Some(place(&mount.target)), kind)
            }
            Mount::Secret(mount) => {
                let target = mount.file().map(|file| place(&file));
                let (mode, uid, gid) =
                    (mount.mode.unwrap_or(0o400), mount.uid.unwrap_or(0), mount.gid.unwrap_or(0));
                let (id, env, required) = (mount.id, mount.env, mount.required);
                (target, MountKind::Secret { id, env, required, mode, uid, gid })
            }
            Mount::Cache(mount) => {
                let target = place(&mount.target);
                let cache = Cache {
                    id: mount.id.unwrap_or_else(|| target.clone()),
                    first: self.first(mount.from.as_ref(), mount.source.as_deref(), span)?,
                    sharing: mount.sharing,
                    mode: mount.mode,
                    uid: mount.uid,
                    gid: mount.gid,
                    read_only: mount.read_only,
                };
                (Some(target), MountKind::Cache(cache))
            }
            Mount::Bind(mount) => {
                let path = joined("/", mount.source.as_deref().unwrap_or_default());
                let shown = match self.mounted(mount.from.as_ref(), span)? {
                    CopyFrom::Stage(place) => Shown { from: ShownFrom::Stage(place), path },
                    CopyFrom::Image(place) => Shown { from: ShownFrom::Image(place), path },
                    from => self.selection(from, path, span),
                };
                (Some(place(&mount.target)), MountKind::Bind { shown, read_only: mount.read_only })
            }
            Mount::Ssh(mount) => {
                let target = mount.target.unwrap_or_else(|| format!("/run/buildkit/ssh_agent.{agents}"));
                let agent = Agent {
                    id: mount.id,
                    required: mount.required,
                    is_named: agents == 0 && self.variables.get(AGENT).is_none(),
                    mode: mount.mode.unwrap_or(0o600),
                    uid: mount.uid.unwrap_or(0),
                    gid: mount.gid.unwrap_or(0),
                };
                (Some(place(&target)), MountKind::Agent(agent))
            }
        };
        Ok(RunMount { target, span, kind })
    }

    /// What a mount is of: without a `from`, the main context.
    fn mounted(&self, from: Option<&Word>, span: Span) -> Result<CopyFrom, BuildError> {
        match from {
            Some(name) => self.copy_from(name),
            None => Ok(self.main_context(span)?),
        }
    }

    /// The first contents of a cache are always copied: they become the cache (DF-097).
    fn first(
        &mut self,
        from: Option<&Word>,
        source: Option<&str>,
        span: Span,
    ) -> Result<Option<Shown>, BuildError> {
        let Some(name) = from else {
            return match source {
                None => Ok(None),
                Some(_) => {
                    let hint = "name the stage or image that has it: from=NAME";
                    Err(PlanError::new(PlanProblem::NoFrom, span).hinted(hint).into())
                }
            };
        };
        let from = self.copy_from(name)?;
        Ok(Some(self.selection(from, joined("/", source.unwrap_or_default()), span)))
    }

    /// A stage that holds one path and what is below it, at its own place: that of the plan, if there is one, else a new one.
    fn selection(&mut self, from: CopyFrom, path: String, span: Span) -> Shown {
        let name = format!("{} of {}", base::text::line(&path), self.called(&from));
        // Stages may have the same name.
        let is_it = |stage: &Stage| {
            let copies = |step: &Step| matches!(&step.operation, Operation::Copy(_, other) if *other == from);
            stage.name.as_ref() == Some(&name) && stage.steps.iter().all(copies)
        };
        let before = self.around.stages;
        let place = before.iter().chain(&self.selections).position(is_it);
        let place = place.unwrap_or_else(|| {
            let step = Step {
                name: format!("[mount] {name}"),
                span,
                platform: self.platform.clone(),
                operation: Operation::Copy(CopyStep::of_path(&path, span), from),
            };
            self.selections.push(Stage {
                name: Some(name.clone()),
                base: Base::Scratch,
                from: None,
                span,
                steps: vec![step],
                config: Config::default(),
                history: Vec::new(),
            });
            before.len() + self.selections.len() - 1
        });
        Shown { from: ShownFrom::Stage(place), path }
    }

    /// No stage of a Dockerfile has a name like these.
    fn called(&self, from: &CopyFrom) -> String {
        match from {
            CopyFrom::Nothing => "nothing".to_owned(),
            CopyFrom::Context(name) if name.is_empty() => "the build context".to_owned(),
            CopyFrom::Context(name) => format!("the context {}", base::text::line(name)),
            CopyFrom::Stage(place) => {
                let name = self.around.stages.get(*place).and_then(|stage| stage.name.as_deref());
                name.map_or_else(|| format!("the stage {place}"), |name| format!("the stage {name}"))
            }
            CopyFrom::Image(place) => {
                let name = self.around.references.image_name(*place).unwrap_or_default();
                format!("the image {}", base::text::line(name))
            }
        }
    }
}
