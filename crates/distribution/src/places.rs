//! Where the images of a name may be had: at mirrors, in their order, and where the name says (RC-042, RC-043).

mod duration;
mod hosts;
mod registries;

use std::path::Path;

use image::Reference;
use reqwest::Url;
use reqwest::header::HeaderMap;

use crate::host::Host;
use crate::http::Trust;
use crate::{Config, DistributionError, Result};

/// A repository at one of the places where it may be had.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// The server. Credentials for it are its own, and go to no other.
    pub host: Host,
    pub repository: String,
    /// The address of its API, when that was configured; else it is found out how the server is spoken to.
    pub base: Option<Url>,
    /// Whose images are meant, for servers that keep those of several registries (RC-117).
    pub namespace: Option<String>,
    /// What its requests carry. It may be secret, and goes to this server alone.
    pub headers: HeaderMap,
    pub trust: Trust,
    pub can: Capabilities,
    pub only: Option<Only>,
    /// Which line of which file names it, for messages.
    pub named_by: Option<String>,
}

/// Which names a place is for, when not for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Only {
    /// Those with a digest: whoever keeps the place need not be believed.
    Digests,
    /// Those with a tag alone.
    Tags,
}

/// What a place is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Capabilities {
    /// Gives what is known by its digest.
    pub pull: bool,
    /// Says what a tag means.
    pub resolve: bool,
    /// Takes images.
    pub push: bool,
}

impl Capabilities {
    /// Everything.
    pub(crate) const ALL: Self = Self { pull: true, resolve: true, push: true };
}

impl Place {
    /// Where a name itself says.
    fn origin(host: &Host, repository: &str) -> Self {
        Self {
            host: host.clone(),
            repository: repository.to_owned(),
            base: None,
            namespace: None,
            headers: HeaderMap::new(),
            trust: Trust::default(),
            can: Capabilities::ALL,
            only: None,
            named_by: None,
        }
    }

    /// Whether it is for a name.
    pub(crate) fn is_for(&self, reference: &Reference) -> bool {
        match self.only {
            None => true,
            Some(Only::Digests) => reference.digest().is_some(),
            Some(Only::Tags) => reference.digest().is_none(),
        }
    }

    /// For messages: `mirror:5000 (/etc/containerd/certs.d/docker.io/hosts.toml, line 3)`.
    pub(crate) fn called(&self) -> String {
        match &self.named_by {
            None => self.host.name().to_owned(),
            Some(named_by) => format!("{} ({named_by})", self.host),
        }
    }
}

/// All places where a repository may be had, in the order in which they are asked. There is one at least.
pub(crate) fn find(config: &Config, host: &Host, repository: &str) -> Result<Vec<Place>> {
    // What podman's files block is blocked, whatever containerd's say of it.
    let registries = registries::find(&config.registries, host, repository)?;
    let hosts = hosts::find(&config.hosts, host, repository)?;
    Ok(hosts.or(registries).unwrap_or_else(|| vec![Place::origin(host, repository)]))
}

/// Where a repository is changed, and looked at before.
pub(crate) fn for_changes(config: &Config, host: &Host, repository: &str) -> Result<Place> {
    let places = find(config, host, repository)?;
    let named_by = places.iter().find_map(|place| place.named_by.clone());
    places.into_iter().find(|place| place.can.push).ok_or_else(|| DistributionError::NoPlace {
        host: host.name().to_owned(),
        what: "takes images",
        named_by: named_by.unwrap_or_default(),
    })
}

/// A registry as a whole, as it is reached when it is one of its own places.
pub(crate) fn of_host(config: &Config, host: &Host) -> Result<Place> {
    let own = find(config, host, "")?.into_iter().rfind(|place| place.host == *host);
    Ok(Place { repository: String::new(), ..own.unwrap_or_else(|| Place::origin(host, "")) })
}

/// The error of a place in a file; `at` is a byte of its text.
fn broken(path: &Path, text: &str, at: usize, reason: &str) -> DistributionError {
    let reason = format!("line {}: {reason}", line(text, at));
    DistributionError::File { path: path.to_owned(), reason }
}

/// The error of a file that is not TOML, or has something in it that nothing is known of. The library's excerpts are left out: they may show secrets.
fn unreadable(path: &Path, text: &str, error: &toml::de::Error) -> DistributionError {
    let at = error.span().map_or(0, |span| span.start);
    broken(path, text, at, &base::text::line(error.message()))
}

/// The line of a byte.
fn line(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}
