//! A registry, looked at step by step: what works, what does not, why, and what to do.
//!
//! ```text
//! places ─▶ each of them: proxy ─▶ dns ─▶ connect ─▶ tls ─▶ api ─▶ login ─▶ catalog
//!                                                                    └─▶ an image: image ─▶ limits · ranges · referrers
//!                                                                             └─▶ push: push · chunks · mount · delete
//! ```
//!
//! The steps use what commands use (places, routes, trust, credentials), so that they cannot find another way than a pull would. A step that fails ends
//! those that need it. Nothing is changed on a registry; trying to push begins sessions that are cancelled at once.

mod api;
mod certificate;
mod network;
mod repository;

use base::{Cancel, Cancelled, Classified, Finding};
use image::Reference;
use reqwest::{Method, Url};

use crate::client::Client;
use crate::error::in_one_line;
use crate::host::Host;
use crate::places::{self, Place};
use crate::registry::{Call, Registry};
use crate::{DistributionError, Result};

/// What is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    /// The registry.
    pub host: &'a Host,
    /// An image of it, to be asked for. Its manifest is fetched, which a registry may count as a pull.
    pub image: Option<&'a Reference>,
    /// Whether pushing to the image's repository is tried.
    pub push: bool,
}

/// What was found at one of the places where the images of a registry may be had.
#[derive(Debug, Clone)]
pub struct Server {
    /// The server, and which line of which file names it, if it is not the registry itself.
    pub name: String,
    /// One for each step, in their order.
    pub findings: Vec<Finding>,
}

/// What was found.
#[derive(Debug, Clone)]
pub struct Examined {
    /// Which places apply, by which settings.
    pub places: Finding,
    /// Each of them; none when the settings cannot be used.
    pub servers: Vec<Server>,
}

/// Looks at a registry.
pub fn examine(client: &Client, wish: Wish<'_>, cancel: &Cancel) -> Result<Examined, Cancelled> {
    let repository = wish.image.map(Reference::path).unwrap_or_default();
    let places = match places::find(client.http.config(), wish.host, repository) {
        Ok(places) => places,
        Err(error) => return Ok(Examined { places: failed("places", &error), servers: Vec::new() }),
    };
    let mut servers = Vec::new();
    let told = network::places(&places);
    for place in places {
        let mut look = Look { client, place, wish, cancel, findings: Vec::new() };
        match look.steps() {
            Err(DistributionError::Cancelled(cancelled)) => return Err(cancelled),
            Err(error) => look.add(failed("settings", &error)),
            Ok(()) => {}
        }
        let warnings = client.warnings();
        look.findings.extend(warnings.into_iter().map(|text| Finding::better("warning", text, None)));
        servers.push(Server { name: look.place.called(), findings: look.findings });
    }
    Ok(Examined { places: told, servers })
}

/// A look at one place.
struct Look<'a> {
    client: &'a Client,
    place: Place,
    wish: Wish<'a>,
    cancel: &'a Cancel,
    findings: Vec<Finding>,
}

impl Look<'_> {
    /// All steps, each as far as those before allow it. An error is one of this machine.
    fn steps(&mut self) -> Result<()> {
        if !network::reach(self)? {
            return Ok(());
        }
        self.cancel.check()?;
        let Some(whole) = api::speak(self)? else { return Ok(()) };
        match self.wish.image {
            Some(image) => repository::look(self, image.clone().or_latest()),
            None => repository::limits_of_hub(self, &whole),
        }
    }

    fn add(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// Where the API of the place is, or would be.
    fn url(&self) -> Result<Url> {
        let host = &self.place.host;
        match &self.place.base {
            Some(base) => Ok(base.clone()),
            None => Url::parse(&format!("https://{}/v2", host.authority()))
                .map_err(|_| DistributionError::NoHost(host.name().to_owned())),
        }
    }

    /// Notes why a step failed; what is cancelled is over.
    fn add_failure(&mut self, name: &'static str, error: DistributionError) -> Result<()> {
        match error {
            DistributionError::Cancelled(_) => Err(error),
            error => {
                self.add(failed(name, &error));
                Ok(())
            }
        }
    }
}

/// The finding of a step that failed.
fn failed(name: &'static str, error: &DistributionError) -> Finding {
    Finding::missing(name, in_one_line(error), error.hint())
}

/// A request of a step.
fn call<'a>(registry: &Registry<'_>, method: Method, url: Url, rights: &str, action: &str) -> Call<'a> {
    Call {
        method,
        url,
        headers: reqwest::header::HeaderMap::new(),
        body: None,
        scopes: registry.scope(rights),
        action: action.to_owned(),
        again: true,
    }
}
