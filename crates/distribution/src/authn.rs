//! What a request shows to be let in: nothing, a password, a token; and what to do when that was not enough (RC-020 … RC-038).
//!
//! Nothing is shown before the registry has asked for it. From then on its requests carry it from the beginning.

mod challenge;
mod token;

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use base::Cancel;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderValue};

use crate::credentials::{Credential, Secret};
use crate::http::{Http, Trust};
use crate::scope::CATALOG;
use crate::{DistributionError, Result};
use challenge::{Challenge, challenges};
use token::{Server, Token, Wanted};

/// What one is on one registry: shared by all requests that are the same person's.
pub(crate) struct Authorizer {
    pub credential: Option<Credential>,
    /// Held while a token is fetched: whoever needs one at the same time waits for it, and finds it (RC-038).
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    scheme: Option<Scheme>,
    tokens: Vec<Token>,
    /// What the token server gave instead of the password.
    refresh: Option<String>,
}

#[derive(Clone)]
enum Scheme {
    Basic,
    Bearer(Server),
}

/// Which request it is for.
pub(crate) struct Purpose<'a> {
    pub http: &'a Http,
    /// What is believed of the registry, and where that is: its token server may be there, too.
    pub trust: (&'a Trust, &'a Url),
    /// The registry, as it is named.
    pub host: &'a str,
    /// Whether it is spoken to in TLS.
    pub secure: bool,
    /// What the request needs.
    pub scopes: &'a BTreeSet<String>,
    pub cancel: &'a Cancel,
}

impl Authorizer {
    pub(crate) fn new(credential: Option<Credential>) -> Self {
        Self { credential, state: Mutex::default() }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As whom, for messages.
    pub(crate) fn who(&self) -> String {
        self.credential.as_ref().map_or_else(nobody, |credential| {
            format!("{} (login from {})", credential.user(), credential.source)
        })
    }

    /// What a request shows, as far as it is known what the registry wants.
    pub(crate) fn header(&self, purpose: &Purpose<'_>) -> Result<Option<HeaderValue>> {
        let mut state = self.state();
        match state.scheme.clone() {
            None => Ok(None),
            Some(Scheme::Basic) => Ok(self.basic()),
            Some(Scheme::Bearer(server)) => self.bearer(&mut state, &server, purpose).map(Some),
        }
    }

    fn basic(&self) -> Option<HeaderValue> {
        match &self.credential.as_ref()?.secret {
            Secret::Password { user, password } => Some(basic(user, password)),
            Secret::Identity { .. } | Secret::Bearer { .. } => None,
        }
    }

    /// A token that is good enough, from before or a new one.
    fn bearer(&self, state: &mut State, server: &Server, purpose: &Purpose<'_>) -> Result<HeaderValue> {
        if let Some(Credential { secret: Secret::Bearer { token }, .. }) = &self.credential {
            return Ok(header(&format!("Bearer {token}")));
        }
        let now = Instant::now();
        state.tokens.retain(|token| token.renew > now);
        if let Some(token) = state.tokens.iter().find(|token| token.scopes.is_superset(purpose.scopes)) {
            return Ok(header(&format!("Bearer {}", token.value)));
        }
        let token = self.fetch(state, server, purpose, purpose.scopes)?;
        let value = header(&format!("Bearer {}", token.value));
        state.tokens.push(token);
        Ok(value)
    }

    fn fetch(
        &self,
        state: &mut State,
        server: &Server,
        purpose: &Purpose<'_>,
        scopes: &BTreeSet<String>,
    ) -> Result<Token> {
        let refreshed = state.refresh.clone().and_then(|token| {
            let source = self.credential.as_ref()?.source.clone();
            Some(Credential { secret: Secret::Identity { token }, source })
        });
        let wanted = Wanted {
            http: purpose.http,
            trust: purpose.trust,
            host: purpose.host,
            secure: purpose.secure,
            server,
            credential: refreshed.as_ref().or(self.credential.as_ref()),
            scopes,
            offline: false,
            cancel: purpose.cancel,
        };
        let (token, refresh) = wanted.fetch()?;
        if refresh.is_some() {
            state.refresh = refresh;
        }
        Ok(token)
    }

    /// Takes note of what the registry wants, after a request that showed `shown` was answered with 401. Gives what to show now, or the error that it is no use.
    pub(crate) fn challenged(
        &self,
        headers: &HeaderMap,
        shown: Option<&HeaderValue>,
        purpose: &Purpose<'_>,
    ) -> Result<Option<HeaderValue>> {
        let challenges = challenges(headers);
        let mut state = self.state();
        let bearer = challenges.iter().find_map(|challenge| match challenge {
            Challenge::Bearer { realm, service, scope } => {
                Some((Server { realm: realm.clone(), service: service.clone() }, scope.clone()))
            }
            Challenge::Basic => None,
        });
        if let Some((server, scope)) = bearer {
            state.scheme = Some(Scheme::Bearer(server.clone()));
            // Another thread may have got a new one in the meantime.
            let current = self.bearer_if_known(&mut state, purpose);
            if current.is_some() && current.as_ref() != shown {
                return Ok(current);
            }
            if matches!(&self.credential, Some(Credential { secret: Secret::Bearer { .. }, .. })) {
                let first = shown.is_none();
                return if first { self.bearer(&mut state, &server, purpose).map(Some) } else { Ok(None) };
            }
            // What was shown is worth nothing any more. The registry knows best what the next one has to be good for (RC-026).
            state.tokens.retain(|token| shown != Some(&header(&format!("Bearer {}", token.value))));
            let mut scopes = purpose.scopes.clone();
            scopes.extend(scope.iter().flat_map(|scope| scope.split(' ')).map(str::to_owned));
            scopes.remove("");
            let token = self.fetch(&mut state, &server, purpose, &scopes)?;
            let value = header(&format!("Bearer {}", token.value));
            state.tokens.push(token);
            return Ok(Some(value));
        }
        if challenges.contains(&Challenge::Basic) {
            state.scheme = Some(Scheme::Basic);
            return match (self.basic(), shown, &self.credential) {
                (Some(basic), None, _) => Ok(Some(basic)),
                (_, Some(_), Some(credential)) => Err(DistributionError::Login {
                    host: purpose.host.to_owned(),
                    user: credential.user().to_owned(),
                    source_of: credential.source.clone(),
                    said: String::new(),
                }),
                _ => Ok(None),
            };
        }
        Ok(None)
    }

    fn bearer_if_known(&self, state: &mut State, purpose: &Purpose<'_>) -> Option<HeaderValue> {
        let now = Instant::now();
        let good = |token: &&Token| token.renew > now && token.scopes.is_superset(purpose.scopes);
        state.tokens.iter().find(good).map(|token| header(&format!("Bearer {}", token.value)))
    }

    /// Shows the credentials to whoever the registry says checks them, and gives what can be kept instead of the password, if there is something.
    pub(crate) fn verify(&self, headers: &HeaderMap, purpose: &Purpose<'_>) -> Result<Option<String>> {
        for challenge in challenges(headers) {
            if let Challenge::Bearer { realm, service, .. } = challenge {
                let server = Server { realm, service };
                let wanted = Wanted {
                    http: purpose.http,
                    trust: purpose.trust,
                    host: purpose.host,
                    secure: purpose.secure,
                    server: &server,
                    credential: self.credential.as_ref(),
                    scopes: purpose.scopes,
                    offline: true,
                    cancel: purpose.cancel,
                };
                let (token, refresh) = wanted.fetch()?;
                let mut state = self.state();
                state.scheme = Some(Scheme::Bearer(server));
                state.tokens.push(token);
                return Ok(refresh);
            }
        }
        Ok(None)
    }
}

/// What a refusal asks for: the token server that checks credentials, or `Basic`; in words.
pub(crate) fn asks_for(headers: &HeaderMap) -> Option<String> {
    let challenges = challenges(headers);
    let server = challenges.iter().find_map(|challenge| match challenge {
        Challenge::Bearer { realm, service, .. } => {
            let service = service.as_ref().map(|service| format!(" for {}", base::text::line(service)));
            Some(match Url::parse(realm) {
                Ok(url) => {
                    format!("a token of {}{}", crate::http::shown(&url), service.unwrap_or_default())
                }
                Err(_) => "a token of a server whose address is none".to_owned(),
            })
        }
        Challenge::Basic => None,
    });
    server.or_else(|| challenges.contains(&Challenge::Basic).then(|| "user and password".to_owned()))
}

/// Who has no credentials, in messages.
pub(crate) fn nobody() -> String {
    "anybody without a login".to_owned()
}

/// What scopes stand for, in messages: `pull app`, `pull and push app`.
pub(crate) fn wish(scopes: &BTreeSet<String>) -> String {
    let readable = |scope: &String| {
        if scope == CATALOG {
            return Some("list its repositories".to_owned());
        }
        let (name, actions) = scope.split_once(':')?.1.rsplit_once(':')?;
        Some(format!("{} {name}", actions.replace(',', " and ")))
    };
    match scopes.iter().filter_map(readable).collect::<Vec<_>>() {
        none if none.is_empty() => "do that".to_owned(),
        wishes => wishes.join(" and "),
    }
}

/// The header of a user and a password.
fn basic(user: &str, password: &str) -> HeaderValue {
    header(&format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
}

/// A header that no log shows. What cannot stand in a header shows nothing, and is rejected.
fn header(text: &str) -> HeaderValue {
    let mut value = HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}
