//! Logging in: the registry is asked whether the credentials are good before anything is kept (RC-034).

use std::collections::BTreeSet;
use std::path::Path;

use base::Cancel;
use reqwest::Method;
use reqwest::header::HeaderMap;

use crate::client::Client;
use crate::credentials::{self, Credential, Saved, Secret};
use crate::host::Host;
use crate::registry::Call;
use crate::{DistributionError, Result};

/// Where credentials come from that are not kept yet, in messages.
pub(crate) const TYPED: &str = "what was typed";

/// Shows a user and a password to a registry, and keeps them (or the token that it gives instead) when they are good.
pub fn login(
    client: &Client,
    host: &Host,
    user: &str,
    password: &str,
    file: &Path,
    cancel: &Cancel,
) -> Result<Saved> {
    let secret = Secret::Password { user: user.to_owned(), password: password.to_owned() };
    let credential = Credential { secret: secret.clone(), source: TYPED.to_owned() };
    let identity = verify(client, host, credential, cancel)?;
    let secret = identity.map_or(secret, |token| Secret::Identity { token });
    credentials::save(file, host, &secret, cancel)
}

/// Whether the registry accepts the credentials that there are for it; as whom.
pub fn check(client: &Client, host: &Host, cancel: &Cancel) -> Result<Option<Credential>> {
    let Some(credential) = credentials::find(client.http.config(), host, "", cancel)? else {
        return Ok(None);
    };
    verify(client, host, credential.clone(), cancel)?;
    Ok(Some(credential))
}

/// Gives the token that can be kept instead of the password, if there is one.
fn verify(client: &Client, host: &Host, credential: Credential, cancel: &Cancel) -> Result<Option<String>> {
    let registry = client.registry(host, Some(credential.clone()), cancel)?;
    let call = Call {
        method: Method::GET,
        url: registry.url(""),
        headers: HeaderMap::new(),
        body: None,
        scopes: BTreeSet::new(),
        action: "check the login".to_owned(),
        again: true,
    };
    // As nobody first: what is asked for then says who checks the credentials.
    let asked = registry.unauthorized(&call)?;
    match asked.status().as_u16() {
        401 => {
            let identity = registry.verify(&asked)?;
            asked.drain();
            let answer = registry.send(&call)?;
            match answer.status().as_u16() {
                200..=299 => Ok(identity),
                401 | 403 => Err(DistributionError::Login {
                    host: host.name().to_owned(),
                    user: credential.user().to_owned(),
                    source_of: credential.source,
                    said: String::new(),
                }),
                _ => Err(registry.refused(answer, &call, &format!("the registry {host}"))),
            }
        }
        // Whoever lets in everybody takes any password.
        200..=299 => Ok(None),
        _ => Err(registry.refused(asked, &call, &format!("the registry {host}"))),
    }
}
