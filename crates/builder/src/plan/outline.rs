//! What a target takes, noted while its stages are planned (DF-216).

use dockerfile::instruction::{ArgDeclaration, Run};
use dockerfile::mount::Mount;
use dockerfile::{Dockerfile, Instruction};

use super::globals::{Globals, is_automatic};
use super::stage::Builder;
use crate::error::BuildError;
use crate::outline::{Outline, OutlineArgument, OutlineNeed};

/// What a stage takes.
#[derive(Debug, Clone, Default)]
pub(super) struct Noted {
    /// Its own ARGs, and what its mounts need.
    outline: Outline,
    /// The global ARGs that it imports.
    imported: Vec<String>,
}

impl Builder<'_> {
    /// Notes an ARG of the stage.
    pub fn note_argument(
        &mut self,
        instruction: &Instruction,
        declaration: &ArgDeclaration,
        name: &str,
        value: Option<&str>,
    ) {
        if declaration.default.is_none() {
            if self.around.globals.declaration(name).is_some() {
                self.noted.imported.push(name.to_owned());
                return;
            }
            if is_automatic(name) {
                return;
            }
        }
        self.noted.outline.arguments.push(OutlineArgument {
            name: name.to_owned(),
            description: instruction.description(name).map(str::to_owned),
            value: value.map(str::to_owned),
            span: self.place(instruction.span),
        });
    }

    /// Notes what the mounts of a RUN need.
    pub fn note_mounts(&mut self, instruction: &Instruction, run: &Run) -> Result<(), BuildError> {
        let span = self.place(instruction.span);
        for spec in &run.mounts {
            // Variables that are not set are reported where the step is planned.
            let mount = spec.resolve(|word| self.expand_quietly(word))?;
            let need = |id: String, is_required| OutlineNeed { id, is_required, span };
            let outline = &mut self.noted.outline;
            match mount {
                Mount::Secret(secret) => outline.secrets.push(need(secret.id, secret.required)),
                Mount::Ssh(ssh) => outline.ssh.push(need(ssh.id, ssh.required)),
                Mount::Cache(cache) => {
                    outline.caches.push(need(cache.id.unwrap_or(cache.target), false));
                }
                Mount::Bind(_) | Mount::Tmpfs(_) => {}
            }
        }
        Ok(())
    }
}

/// What the stages with these numbers take together; the last one is the target.
pub(super) fn of_stages<'n>(
    file: &Dockerfile,
    globals: &Globals,
    stages: impl Iterator<Item = (usize, &'n Noted)>,
) -> Outline {
    let mut outline = Outline::default();
    let mut used: Vec<String> = Vec::new();
    for (index, noted) in stages {
        let Some(stage) = file.stages.get(index) else { continue };
        outline.name = stage.name().map(str::to_owned);
        outline.description = stage.description().map(str::to_owned);
        outline.arguments.extend(noted.outline.arguments.iter().cloned());
        outline.secrets.extend(noted.outline.secrets.iter().cloned());
        outline.ssh.extend(noted.outline.ssh.iter().cloned());
        outline.caches.extend(noted.outline.caches.iter().cloned());
        used.extend(noted.imported.iter().cloned());
        for word in std::iter::once(&stage.from.image).chain(&stage.from.platform) {
            used.extend(globals.expand(word).map(|expanded| expanded.used).unwrap_or_default());
        }
    }
    // A default may use other global ARGs.
    let mut next = 0;
    while let Some(name) = used.get(next).cloned() {
        let deeper = globals.declaration(&name).map(|declared| declared.used.clone()).unwrap_or_default();
        used.extend(deeper.into_iter().filter(|name| !used.contains(name)).collect::<Vec<_>>());
        next += 1;
    }
    let declared = globals.declarations().iter().filter(|declared| used.contains(&declared.argument.name));
    outline.arguments.extend(declared.map(|declared| declared.argument.clone()));
    outline.sort();
    outline
}
