//! `RUN --mount` (DF-094 … DF-103), expanded.

use dockerfile::instruction::Run;
use dockerfile::mount::{Mount, MountSpec};

use super::error::PlanError;
use super::graph::{MountKind, RunMount};
use super::metadata::joined;
use super::stage::Builder;
use crate::error::BuildError;

impl Builder<'_> {
    /// The mounts of a RUN, by target: one may lie in another.
    pub(super) fn mounts(&mut self, run: &Run) -> Result<Vec<RunMount>, BuildError> {
        let mut mounts = Vec::with_capacity(run.mounts.len());
        for spec in &run.mounts {
            mounts.push(self.mount(spec)?);
        }
        mounts.sort_by(|one, other| one.target.cmp(&other.target));
        Ok(mounts)
    }

    fn mount(&mut self, spec: &MountSpec) -> Result<RunMount, BuildError> {
        let span = self.place(spec.text.span);
        let mount = spec.resolve(|word| self.expand(word))?;
        let place = |target: &str| joined(&joined("/", &self.config.config.working_dir), target);
        let unsupported = |what: &str, hint: &str| Err(PlanError::unsupported(what, span, hint).into());
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
            Mount::Cache(mount) if mount.from.is_some() || mount.source.is_some() => {
                let hint = "leave from and source out, and fill the cache in the RUN when it is empty";
                return unsupported("RUN --mount=type=cache with first contents", hint);
            }
            Mount::Cache(mount) => {
                let target = place(&mount.target);
                let kind = MountKind::Cache {
                    id: mount.id.unwrap_or_else(|| target.clone()),
                    sharing: mount.sharing,
                    mode: mount.mode.unwrap_or(0o755),
                    uid: mount.uid.unwrap_or(0),
                    gid: mount.gid.unwrap_or(0),
                    read_only: mount.read_only,
                };
                (Some(target), kind)
            }
            Mount::Bind(_) => {
                let hint =
                    "copy the files with COPY, and remove what the image must not keep in the same RUN";
                return unsupported("RUN --mount=type=bind", hint);
            }
            Mount::Ssh(_) => {
                let hint = "fetch what needs the key before the build, into the context";
                return unsupported("RUN --mount=type=ssh", hint);
            }
        };
        Ok(RunMount { target, span, kind })
    }
}
