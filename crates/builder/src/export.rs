//! Export: where a result goes besides the store.

use std::io::Write as _;
use std::path::Path;

use archive::save::{Item, Options, save};
use base::{Cancel, Events};
use layer::{Encoding, View};
use store::{Lease, Store};

use crate::commit::Committed;
use crate::error::{BuildError, ExportError};
use crate::plan::{Plan, Target};
use crate::request::{Export, Request};
use crate::session::Session;
use crate::solve::Solved;

/// What an export works with.
pub(crate) struct Job<'a> {
    pub store: &'a Store,
    pub lease: &'a Lease,
    pub request: &'a Request,
    pub session: &'a dyn Session,
    pub events: &'a Events,
    pub cancel: &'a Cancel,
}

/// Writes the targets to everywhere they were asked for.
pub(crate) fn export(
    job: &Job<'_>,
    plan: &Plan,
    solved: &Solved,
    committed: &Committed,
) -> Result<(), BuildError> {
    for (number, export) in job.request.exports.iter().enumerate() {
        let written = match export {
            Export::Store => Ok(()),
            // One archive serves both: an OCI layout with docker's `manifest.json` in it (DF-192).
            Export::Oci | Export::Docker => job.image(number, committed),
            Export::Tar => job.tar(number, plan, solved),
            Export::Local { directory } => job.directories(directory, plan, solved),
        };
        written.map_err(|source| BuildError::Export { export: name(export), source: Box::new(source) })?;
    }
    Ok(())
}

fn name(export: &Export) -> &'static str {
    match export {
        Export::Store => "store",
        Export::Oci => "oci",
        Export::Docker => "docker",
        Export::Tar => "tar",
        Export::Local { .. } => "local",
    }
}

impl Job<'_> {
    fn image(&self, number: usize, committed: &Committed) -> Result<(), ExportError> {
        let mut out = self.session.output(number)?;
        let item = Item {
            image: committed.image,
            manifest: committed.manifest.clone(),
            variants: committed.variants.clone(),
            names: self.request.tags.iter().map(|tag| tag.clone().or_latest()).collect(),
        };
        let options =
            Options { encoding: Encoding::DEFAULT, threads: self.request.threads.max(1), docker: true };
        save(self.store, self.lease, &[item], options, &mut out, self.events, self.cancel)?;
        Ok(out.flush()?)
    }

    fn tar(&self, number: usize, plan: &Plan, solved: &Solved) -> Result<(), ExportError> {
        let mut out = self.session.output(number)?;
        let mut roots: Vec<(Option<String>, View)> =
            plan.targets.iter().map(|target| (directory_of(plan, target), view(solved, target))).collect();
        // As everything in a tar.
        roots.sort_by(|(one, _), (other, _)| one.cmp(other));
        layer::output::write_tar(self.store, self.lease, &roots, &mut out, plan.epoch, self.cancel)?;
        Ok(out.flush()?)
    }

    fn directories(&self, directory: &Path, plan: &Plan, solved: &Solved) -> Result<(), ExportError> {
        for target in &plan.targets {
            let (store, lease, cancel) = (self.store, self.lease, self.cancel);
            let below = directory_of(plan, target).map(|name| directory.join(name));
            let directory = below.as_deref().unwrap_or(directory);
            let view = view(solved, target);
            let left_out =
                layer::output::write_directory(store, lease, &view, directory, plan.epoch, cancel)?;
            for line in left_out {
                self.events.warn(match plan.targets.len() {
                    0 | 1 => line,
                    _ => format!("{}: {line}", target.platform),
                });
            }
        }
        Ok(())
    }
}

/// The directory that the filesystem of one of several platforms gets, called as BuildKit calls it: `linux_arm_v7`.
fn directory_of(plan: &Plan, target: &Target) -> Option<String> {
    (plan.targets.len() > 1).then(|| target.platform.to_string().replace('/', "_"))
}

fn view(solved: &Solved, target: &Target) -> View {
    solved.view(target.stage).cloned().unwrap_or_else(|| View::new(&[]))
}
