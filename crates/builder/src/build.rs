//! A build, from beginning to end.

use base::{Cancel, Events};
use sandbox::Runner;
use store::Store;

use crate::error::BuildError;
use crate::images::StoreImages;
use crate::outcome::Outcome;
use crate::plan::Scope;
use crate::request::Request;
use crate::session::Session;
use crate::{commit, export, plan, solve};

/// Builds an image; for several platforms, an index of images.
///
/// What is written on the way is kept by a lease until the image is committed. Steps that succeeded stay in the cache, also when a later one fails.
pub fn build(
    store: &Store,
    request: &Request,
    session: &dyn Session,
    runner: &Runner,
    events: &Events,
    cancel: &Cancel,
) -> Result<Outcome, BuildError> {
    let images = StoreImages::new(store, request, session, events, cancel);
    let examined = plan::examine(request, &images, Scope::Target);
    session.warned(&examined.all_warnings());
    let plan = examined.plan?;
    let cgroups = request.resources.plan()?;
    // What all steps are to have is looked for before any of them runs.
    request.resources.find_devices()?;
    let lease = store.lease("build")?;
    let cgroups = cgroups.as_ref();
    let job = solve::Job { cgroups, store, lease: &lease, request, session, runner, events, cancel };
    let solved = solve::solve(&job, &plan)?;
    let committed = commit::commit(store, &lease, request, &plan, &solved)?;
    let job = export::Job { store, lease: &lease, request, session, events, cancel };
    export::export(&job, &plan, &solved, &committed)?;
    let names = commit::publish(store, &lease, request, &committed)?;
    Ok(Outcome {
        image: committed.image,
        manifest: committed.manifest,
        variants: committed.variants,
        names,
        warnings: plan.warnings,
        steps: solved.count,
    })
}
