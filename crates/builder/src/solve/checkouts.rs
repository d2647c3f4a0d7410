//! What ADD takes from repositories (DF-141, DF-179): the commit is asked for each time, the files are fetched for a step that is executed.

use std::cell::Cell;

use base::Cancel;
use base::events::{Unit, VertexId};
use git::Resolved;

use super::Job;
use crate::checkout::{AGENT, CheckoutError, Files, Repositories};
use crate::context::Context;
use crate::copy::{CheckedOut, CopyError, CopySource, CopyStep, Repository};

/// The repositories of one step. Their files go with this.
#[derive(Default)]
pub(super) struct Checkouts {
    pub found: Vec<CheckedOut>,
    /// What they mean now.
    resolved: Vec<Resolved>,
    files: Vec<Files>,
}

/// Where repositories are fetched.
pub(super) struct Fetching<'a> {
    pub job: &'a Job<'a>,
    pub vertex: VertexId,
    pub stop: &'a Cancel,
}

impl Checkouts {
    /// Whether all files are here.
    pub fn are_complete(&self) -> bool {
        self.found.iter().all(|one| one.files.is_some())
    }

    /// The commits, in the order of their sources.
    pub fn commits(&self) -> Vec<String> {
        self.resolved.iter().map(|resolved| resolved.commit.clone()).collect()
    }
}

impl Fetching<'_> {
    /// Asks what is meant now.
    pub fn resolve(&self, step: &CopyStep) -> Result<Checkouts, CopyError> {
        let mut checkouts = Checkouts::default();
        for repository in repositories(step) {
            let resolved = self.with(repository, |repositories| repositories.resolve(&repository.source))?;
            let identity = identity(repository, &resolved);
            checkouts.found.push(CheckedOut { identity, files: None });
            checkouts.resolved.push(resolved);
        }
        Ok(checkouts)
    }

    /// Gets the files of what is meant.
    pub fn complete(&self, step: &CopyStep, checkouts: &mut Checkouts) -> Result<(), CopyError> {
        let Checkouts { found, resolved, files } = checkouts;
        for ((repository, found), resolved) in repositories(step).zip(found).zip(resolved) {
            let Repository { source, keep_git_dir, .. } = repository;
            let got = self
                .with(repository, |repositories| repositories.check_out(source, resolved, *keep_git_dir))?;
            found.files = Some(Context::new(self.job.store, &got.root, None)?);
            files.push(got);
        }
        Ok(())
    }

    fn with<T>(
        &self,
        repository: &Repository,
        work: impl FnOnce(&Repositories<'_>) -> Result<T, CheckoutError>,
    ) -> Result<T, CopyError> {
        let send = |name: String, current, total, completed| {
            self.job.events.status(self.vertex, name, (current, total), Unit::Items, completed);
        };
        // What was said last, and goes on: it ends when something else is said, or nothing any more.
        let open: Cell<Option<(String, u64, Option<u64>)>> = Cell::new(None);
        let end = |next: Option<&str>| {
            if let Some((name, current, total)) = open.take().filter(|(name, ..)| next != Some(&**name)) {
                send(name, current, total, true);
            }
        };
        let tell = |name: String, current, total| {
            end(Some(&name));
            send(name.clone(), current, total, false);
            open.set(Some((name, current, total)));
        };
        let fetching = || format!("fetch {}", base::text::line(&repository.text));
        let worked = work(&Repositories {
            store: self.job.store,
            outside: self.job.session.git(),
            secret: &|id| self.job.session.secret(id),
            agent: &|| self.job.session.ssh(AGENT),
            progress: &|current, total| tell(fetching(), current, Some(total)),
            waiting: &|| tell(format!("waiting for another build that does: {}", fetching()), 0, None),
            cancel: self.stop,
        });
        end(None);
        self.stop.check()?;
        worked.map_err(|source| CopyError::Repository {
            url: repository.text.clone(),
            source: Box::new(source),
            span: repository.span,
        })
    }
}

/// What is copied: equal ones are equal files.
fn identity(repository: &Repository, resolved: &Resolved) -> String {
    let Repository { source, keep_git_dir, .. } = repository;
    let Resolved { commit, object, reference } = resolved;
    let directory = source.subdirectory.as_deref().unwrap_or_default();
    // The name and its tag are in `.git`.
    let kept = keep_git_dir.then(|| format!("{object} {}", reference.as_deref().unwrap_or_default()));
    format!("{commit} {} {directory}\n{}", source.submodules, kept.unwrap_or_default())
}

fn repositories(step: &CopyStep) -> impl Iterator<Item = &Repository> {
    step.sources.iter().filter_map(|source| match source {
        CopySource::Git(repository) => Some(&**repository),
        _ => None,
    })
}
