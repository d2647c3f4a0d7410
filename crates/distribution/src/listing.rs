//! What a registry has: repositories, and the tags of one (RC-110, RC-111).

use std::collections::BTreeSet;

use base::Cancel;
use image::Reference;
use reqwest::Url;
use serde::Deserialize;

use crate::client::Client;
use crate::credentials;
use crate::host::Host;
use crate::pages::{MAX_PAGE, Pages};
use crate::registry::Registry;
use crate::scope::CATALOG;
use crate::{DistributionError, Result};

/// How much is asked for at a time: what most registries give at most.
const PAGE: usize = 1000;

/// Which part of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Part {
    /// What comes behind this entry, in the registry's order.
    pub after: Option<String>,
    /// At most so many.
    pub limit: Option<usize>,
}

/// The tags of a name's repository, in the registry's order.
pub fn tags(client: &Client, repository: &Reference, part: &Part, cancel: &Cancel) -> Result<Vec<String>> {
    let registry = client.repository(repository, cancel)?;
    let what = format!("the repository {}", registry.full_name());
    let url = registry.url("tags/list");
    let action = format!("list the tags of {}", repository.familiar_repository());
    let pages = Pages::new(&registry, first(url, part), action);
    collect(&registry, pages, &what, part, |list: Tags| list.tags.unwrap_or_default())
}

/// The repositories of a registry, in its order. Many registries for everybody do not tell.
pub fn catalog(client: &Client, host: &Host, part: &Part, cancel: &Cancel) -> Result<Vec<String>> {
    let credential = credentials::find(client.http.config(), host, "", cancel)?;
    let registry = client.registry(host, credential, cancel)?;
    let pages =
        Pages::new(&registry, first(registry.url("_catalog"), part), "list its repositories".to_owned())
            .with(|call| call.scopes = BTreeSet::from([CATALOG.to_owned()]));
    let what = format!("the list of repositories of {host}");
    let listed =
        collect(&registry, pages, &what, part, |list: Repositories| list.repositories.unwrap_or_default());
    match listed {
        Err(
            DistributionError::NotFound { .. }
            | DistributionError::Denied { .. }
            | DistributionError::Answer { code: 400 | 405 | 501, .. },
        ) if host.is_hub() => Err(DistributionError::Unsupported {
            what: "Docker Hub's repositories".to_owned(),
            action: "listed",
            reason: "Docker Hub does not tell them; `lap search` finds some".to_owned(),
        }),
        listed => listed,
    }
}

#[derive(Deserialize)]
struct Tags {
    tags: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Repositories {
    repositories: Option<Vec<String>>,
}

fn first(mut url: Url, part: &Part) -> Url {
    let count = part.limit.map_or(PAGE, |limit| limit.clamp(1, PAGE));
    url.query_pairs_mut().append_pair("n", &count.to_string());
    if let Some(after) = &part.after {
        url.query_pairs_mut().append_pair("last", after);
    }
    url
}

/// Page after page, until there are enough.
fn collect<T: for<'de> Deserialize<'de>>(
    registry: &Registry<'_>,
    mut pages: Pages<'_, '_>,
    what: &str,
    part: &Part,
    entries: impl Fn(T) -> Vec<String>,
) -> Result<Vec<String>> {
    let limit = part.limit.unwrap_or(usize::MAX);
    let mut all = Vec::new();
    while all.len() < limit
        && let Some(mut answer) = pages.next()?
    {
        if !answer.status().is_success() {
            return Err(registry.refused(answer, pages.call(), what));
        }
        let bytes = answer
            .bytes(MAX_PAGE)?
            .ok_or_else(|| DistributionError::TooLarge { what: what.to_owned(), limit: MAX_PAGE })?;
        let list = serde_json::from_slice(&bytes).map_err(|error| {
            registry.strange(&pages.call().action, &format!("its list is none ({error})"))
        })?;
        all.extend(entries(list));
    }
    all.truncate(limit);
    Ok(all)
}
