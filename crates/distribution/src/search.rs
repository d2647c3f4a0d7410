//! Finding repositories by a word (RC-116): Docker Hub's API, which some other registries have, else what the list of repositories holds.

use std::collections::BTreeSet;

use base::Cancel;
use reqwest::header::HeaderMap;
use reqwest::{Method, Url};
use serde::Deserialize;

use crate::client::Client;
use crate::credentials;
use crate::host::Host;
use crate::listing::{self, Part};
use crate::registry::Call;
use crate::{DistributionError, Result};

/// Docker Hub's search is at another host than its images.
const HUB_SEARCH: &str = "https://index.docker.io/";
/// A larger answer is not one of at most [`MAX_LIMIT`] repositories.
const MAX_ANSWER: u64 = 4 << 20;
/// More than this Docker Hub does not give.
pub const MAX_LIMIT: usize = 100;

/// A repository that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// Its name, as it is pulled: `debian`, `quay.io/team/app`.
    pub name: String,
    /// What its owner says of it; empty where the registry does not tell.
    pub description: String,
    /// How many people like it.
    pub stars: u64,
    /// Whether Docker Hub vouches for it.
    pub official: bool,
    /// Whether Docker Hub has built it.
    pub automated: bool,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    results: Vec<Found>,
}

#[derive(Deserialize)]
struct Found {
    name: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    star_count: u64,
    #[serde(default)]
    is_official: bool,
    #[serde(default)]
    is_automated: bool,
}

/// Finds at most `limit` repositories of a registry.
pub fn search(client: &Client, host: &Host, term: &str, limit: usize, cancel: &Cancel) -> Result<Vec<Hit>> {
    let limit = limit.clamp(1, MAX_LIMIT);
    if let Some(hits) = by_search(client, host, term, limit, cancel)? {
        return Ok(hits);
    }
    // Whoever has no search has a list, or says why not.
    let term = term.to_lowercase();
    let listed = listing::catalog(client, host, &Part::default(), cancel)?;
    let fitting = listed.into_iter().filter(|name| name.contains(&term)).take(limit);
    let hit = |name| Hit {
        name: format!("{host}/{name}"),
        description: String::new(),
        stars: 0,
        official: false,
        automated: false,
    };
    Ok(fitting.map(hit).collect())
}

/// `None` when the registry has no search.
fn by_search(
    client: &Client,
    host: &Host,
    term: &str,
    limit: usize,
    cancel: &Cancel,
) -> Result<Option<Vec<Hit>>> {
    let credential = credentials::find(client.http.config(), host, "", cancel)?;
    let registry = client.registry(host, credential, cancel)?;
    let mut url = match host.is_hub() {
        true => Url::parse(HUB_SEARCH).map_err(|_| DistributionError::NoHost(host.name().to_owned()))?,
        false => registry.url(""),
    };
    url.set_path("v1/search");
    url.query_pairs_mut().append_pair("q", term).append_pair("n", &limit.to_string());
    let call = Call {
        method: Method::GET,
        url,
        headers: HeaderMap::new(),
        body: None,
        scopes: BTreeSet::new(),
        action: format!("search for {}", base::text::line(term)),
        again: true,
    };
    // Nobody has to log in to search; what is shown to registries is not for Docker Hub's other host.
    let mut answer = if host.is_hub() { registry.unauthorized(&call)? } else { registry.send(&call)? };
    if !answer.status().is_success() {
        if host.is_hub() {
            return Err(registry.refused(answer, &call, "Docker Hub's search"));
        }
        answer.drain();
        return Ok(None);
    }
    let bytes = answer.bytes(MAX_ANSWER)?;
    // A page for people is no answer.
    let parsed = bytes.and_then(|bytes| serde_json::from_slice::<Answer>(&bytes).ok());
    let Some(Answer { results }) = parsed else {
        return if host.is_hub() {
            Err(registry.strange(&call.action, "its answer is none"))
        } else {
            Ok(None)
        };
    };
    let hit = |found: Found| Hit {
        name: match host.is_hub() {
            true => found.name.strip_prefix("library/").unwrap_or(&found.name).to_owned(),
            false => format!("{host}/{}", found.name),
        },
        description: found.description.unwrap_or_default(),
        stars: found.star_count,
        official: found.is_official,
        automated: found.is_automated,
    };
    Ok(Some(results.into_iter().take(limit).map(hit).collect()))
}
