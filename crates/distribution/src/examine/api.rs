//! Whether a server is a registry, and who one is there.

use base::Finding;
use reqwest::Method;
use reqwest::header::HeaderName;

use super::{Look, call, failed};
use crate::authn::asks_for;
use crate::credentials::{self, Credential};
use crate::http::Answer;
use crate::login;
use crate::places::Place;
use crate::registry::Registry;
use crate::scope::CATALOG;
use crate::{DistributionError, Result};

/// By this header a registry says that it is one. OCI's specification does not want it any more.
const VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");

/// Speaks to the registry of a place; gives it when it can be asked for more.
pub(super) fn speak<'a>(look: &mut Look<'a>) -> Result<Option<Registry<'a>>> {
    let repository = look.wish.image.map(|_| look.place.repository.clone()).unwrap_or_default();
    let config = look.client.http.config();
    let found = credentials::find(config, &look.place.host, &repository, look.cancel);
    let (credential, trouble) = match found {
        Ok(credential) => (credential, None),
        Err(error) => (None, Some(error)),
    };
    let whole = Place { repository: String::new(), ..look.place.clone() };
    let asked = Registry::open(look.client, whole, credential, look.cancel).and_then(|registry| {
        let asked = registry.unauthorized(&login::ping(&registry))?;
        Ok((registry, asked))
    });
    let (registry, asked) = match asked {
        Ok(asked) => asked,
        Err(error) => return look.add_failure("api", error).map(|()| None),
    };
    let (finding, is_registry) = answered(&asked);
    look.add(finding);
    if !is_registry {
        return Ok(None);
    }
    let wanted = asks_for(asked.headers());
    match trouble {
        Some(error) => look.add_failure("login", error)?,
        None => {
            let shown = login::show(&registry, asked).map(|_| ());
            let (finding, goes_on) = let_in(&registry, wanted, shown)?;
            look.add(finding);
            if !goes_on {
                return Ok(None);
            }
        }
    }
    catalog(look, &registry)?;
    Ok(Some(registry))
}

/// Whether what answers is a registry.
fn answered(answer: &Answer<'_>) -> (Finding, bool) {
    let (address, status, http) = (answer.url(), answer.status(), answer.version());
    let place = format!("{}{}", crate::http::shown(address), base::text::line(address.path()));
    let says = answer.header(VERSION).map(base::text::line);
    let text = format!("{place} answers {status} in {http}");
    match (status.as_u16(), says) {
        (200 | 401 | 403, Some(version)) => (Finding::ok("api", format!("{text}, as {version}")), true),
        (200 | 401 | 403, None) => {
            (Finding::ok("api", format!("{text}, without saying of which version it is")), true)
        }
        (429, _) => (
            Finding::missing("api", text, Some("it gives no more for now: try again later".to_owned())),
            false,
        ),
        // What servers answer that expect TLS.
        (400, _) if address.scheme() == "http" => {
            let remedy = "it seems to speak TLS: take http:// out of the settings";
            (Finding::missing("api", text, Some(remedy.to_owned())), false)
        }
        (500.., _) => (
            Finding::missing("api", text, Some("the fault is the server's: try again later".to_owned())),
            false,
        ),
        _ => {
            let remedy = "there is no registry: check host and port, and that /v2/ leads to the registry behind a proxy";
            (Finding::missing("api", text, Some(remedy.to_owned())), false)
        }
    }
}

/// As whom one is let in, and whether that is worth going on.
fn let_in(registry: &Registry<'_>, wanted: Option<String>, shown: Result<()>) -> Result<(Finding, bool)> {
    let host = registry.host.name();
    let credential = registry.authorizer.credential.as_ref();
    let as_whom = |credential: &Credential| format!("{} (from {})", credential.user(), credential.source);
    Ok(match (credential, wanted, shown) {
        (_, _, Err(error @ DistributionError::Cancelled(_))) => return Err(error),
        (None, None, Ok(())) => (Finding::ok("login", "none is asked for"), true),
        (Some(credential), None, Ok(())) => {
            let text = format!("none is asked for; {} would be shown otherwise", as_whom(credential));
            (Finding::ok("login", text), true)
        }
        (Some(credential), Some(wanted), Ok(())) => {
            (Finding::ok("login", format!("as {}; it wants {wanted}", as_whom(credential))), true)
        }
        // Tokens for anybody let in anybody, but for what needs more.
        (None, Some(wanted), Ok(())) => {
            (Finding::ok("login", format!("as anybody; it wants {wanted}, and anybody gets one")), true)
        }
        (None, Some(wanted), Err(DistributionError::Denied { .. } | DistributionError::Login { .. })) => {
            let text = format!("it wants {wanted}, and there are no credentials for {host}");
            (Finding::missing("login", text, Some(format!("lap login {host}"))), false)
        }
        (_, _, Err(error)) => (failed("login", &error), false),
    })
}

/// Whether the registry tells which repositories it has: many for everybody do not.
fn catalog(look: &mut Look<'_>, registry: &Registry<'_>) -> Result<()> {
    let mut url = registry.url("_catalog");
    url.query_pairs_mut().append_pair("n", "1");
    let mut call = call(registry, Method::GET, url, "", "list its repositories");
    call.scopes.insert(CATALOG.to_owned());
    match registry.send(&call) {
        Ok(answer) if answer.status() == 200 => {
            answer.drain();
            look.add(Finding::ok("catalog", "it lists its repositories"));
        }
        Ok(answer) => {
            look.add(Finding::ok("catalog", format!("it lists no repositories ({})", answer.status())));
        }
        Err(DistributionError::Denied { .. } | DistributionError::Login { .. }) => {
            look.add(Finding::ok("catalog", "it lists no repositories to this user"));
        }
        Err(error) => look.add_failure("catalog", error)?,
    }
    Ok(())
}
