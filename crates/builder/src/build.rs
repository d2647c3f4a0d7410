//! A build, from beginning to end.

use base::{Cancel, Events};
use sandbox::Runner;
use store::Store;

use crate::error::BuildError;
use crate::images::StoreImages;
use crate::outcome::Outcome;
use crate::request::Request;
use crate::session::Session;
use crate::{commit, export, plan, solve};

/// Builds an image.
///
/// Everything that is written stays only when the build needs it: until the image is committed, a lease keeps it. Steps that succeeded stay in the
/// cache, also when a later one fails.
pub fn build(
    store: &Store,
    request: &Request,
    session: &dyn Session,
    runner: &Runner,
    events: &Events,
    cancel: &Cancel,
) -> Result<Outcome, BuildError> {
    let lease = store.lease("build")?;
    let plan = plan::plan(request, &StoreImages { store, session })?;
    plan::announce(&plan, events);
    let solved = solve::solve(&solve::Job { store, lease: &lease, request, session, runner, events, cancel }, &plan)?;
    let committed = commit::commit(store, &lease, request, &plan, &solved)?;
    export::export(&export::Job { store, lease: &lease, request, session, events, cancel }, &solved, &committed)?;
    let names = commit::publish(store, &lease, request, &committed)?;
    Ok(Outcome {
        image: committed.image,
        manifest: committed.manifest,
        names,
        warnings: plan.warnings,
        steps: solved.count,
    })
}
