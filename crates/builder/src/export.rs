//! Export: where a result goes besides the store.

use std::io::Write as _;

use archive::save::{Item, Options, save};
use base::{Cancel, Events};
use layer::{Encoding, View};
use store::{Lease, Store};

use crate::commit::Committed;
use crate::error::{BuildError, ExportError};
use crate::plan::Plan;
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

/// Writes the target to everywhere it was asked for.
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
            Export::Local { directory } => job.directory(directory, plan, solved),
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
            names: self.request.tags.iter().map(|tag| tag.clone().or_latest()).collect(),
        };
        let options =
            Options { encoding: Encoding::DEFAULT, threads: self.request.threads.max(1), docker: true };
        save(self.store, self.lease, &[item], options, &mut out, self.events, self.cancel)?;
        Ok(out.flush()?)
    }

    fn tar(&self, number: usize, plan: &Plan, solved: &Solved) -> Result<(), ExportError> {
        let mut out = self.session.output(number)?;
        let view = target(plan, solved);
        layer::output::write_tar(self.store, self.lease, &view, &mut out, plan.epoch, self.cancel)?;
        Ok(out.flush()?)
    }

    fn directory(
        &self,
        directory: &std::path::Path,
        plan: &Plan,
        solved: &Solved,
    ) -> Result<(), ExportError> {
        let view = target(plan, solved);
        let left_out = layer::output::write_directory(
            self.store,
            self.lease,
            &view,
            directory,
            plan.epoch,
            self.cancel,
        )?;
        for line in left_out {
            self.events.warn(line);
        }
        Ok(())
    }
}

fn target(plan: &Plan, solved: &Solved) -> View {
    solved.view(plan.target).cloned().unwrap_or_else(|| View::new(&[]))
}
