//! Looking at a Dockerfile as a build would, without building.

use base::{Cancel, Events};
use dockerfile::lint::Finding;
use store::Store;

use crate::error::BuildError;
use crate::images::StoreImages;
use crate::outcome::BuildWarning;
use crate::outline::Outline;
use crate::plan::{self, Scope};
use crate::request::Request;
use crate::session::Session;

/// What a check found.
#[derive(Debug)]
pub struct Checked {
    /// The rules that are broken, in the order of the file.
    pub findings: Vec<Finding>,
    /// What else looks like a mistake.
    pub warnings: Vec<BuildWarning>,
    /// Why the build would fail before anything is executed; broken rules are a reason when the Dockerfile says so.
    pub error: Option<BuildError>,
}

/// Checks all stages of a Dockerfile, or those that the request's target needs.
///
/// Base images are looked up, because rules depend on their platforms and variables.
pub fn check(
    store: &Store,
    request: &Request,
    session: &dyn Session,
    events: &Events,
    cancel: &Cancel,
) -> Checked {
    let images = StoreImages::new(store, request, session, events, cancel);
    let plan::Examined { plan, findings, warnings } = plan::examine(request, &images, Scope::All);
    Checked { findings, warnings, error: plan.err() }
}

/// What the target takes.
pub fn outline(
    store: &Store,
    request: &Request,
    session: &dyn Session,
    events: &Events,
    cancel: &Cancel,
) -> Result<Outline, BuildError> {
    let images = StoreImages::new(store, request, session, events, cancel);
    let plan = plan::plan(request, &images)?;
    Ok(plan.outline)
}
