//! Logging in: the registry is asked whether the credentials are good before anything is kept (RC-034).

use std::collections::BTreeSet;
use std::path::Path;

use base::Cancel;
use reqwest::Method;
use reqwest::header::HeaderMap;

use crate::client::Client;
use crate::credentials::{self, Credential, Saved, Secret, TYPED};
use crate::host::Host;
use crate::http::Answer;
use crate::registry::{Call, Registry};
use crate::{DistributionError, Result};

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
    let registry = client.registry(host, Some(credential), cancel)?;
    // As nobody first: what is asked for then says who checks the credentials.
    let asked = registry.unauthorized(&ping(&registry))?;
    show(&registry, asked)
}

/// The request for nothing but an answer (RC-020).
pub(crate) fn ping<'a>(registry: &Registry<'_>) -> Call<'a> {
    Call {
        method: Method::GET,
        url: registry.url(""),
        headers: HeaderMap::new(),
        body: None,
        scopes: BTreeSet::new(),
        action: "check the login".to_owned(),
        again: true,
    }
}

/// Shows what one has to a registry that has answered somebody who showed nothing. Gives the token that can be kept instead of the password, if there is one.
pub(crate) fn show(registry: &Registry<'_>, asked: Answer<'_>) -> Result<Option<String>> {
    let (host, call) = (&registry.host, ping(registry));
    match asked.status().as_u16() {
        401 => {
            let identity = registry.verify(&asked)?;
            asked.drain();
            let answer = registry.send(&call)?;
            match answer.status().as_u16() {
                200..=299 => Ok(identity),
                401 | 403 => Err(match &registry.authorizer.credential {
                    Some(credential) => DistributionError::Login {
                        host: host.name().to_owned(),
                        user: credential.user().to_owned(),
                        source_of: credential.source.clone(),
                        said: String::new(),
                    },
                    None => registry.refused(answer, &call, &format!("the registry {host}")),
                }),
                _ => Err(registry.refused(answer, &call, &format!("the registry {host}"))),
            }
        }
        // Whoever lets in everybody takes any password.
        200..=299 => Ok(None),
        _ => Err(registry.refused(asked, &call, &format!("the registry {host}"))),
    }
}
