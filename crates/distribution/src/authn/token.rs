//! Tokens: asking a token server for one (RC-022 … RC-024).

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime};

use base::Cancel;
use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::basic;
use crate::answer::said;
use crate::credentials::{Credential, Secret};
use crate::http::{Answer, Body, Http, Outgoing, Trust};
use crate::retry::{self, Attempts};
use crate::{DistributionError, Result};

/// Larger answers are not tokens.
const MAX_TOKEN: u64 = 1 << 20;
/// How long a token lives that does not say so, and at least.
const SHORTEST: Duration = Duration::from_secs(60);
/// How the client is called where OAuth wants a name.
const CLIENT_ID: &str = "lap";

/// A token, and what it is good for.
#[derive(Clone)]
pub(super) struct Token {
    pub value: String,
    pub scopes: BTreeSet<String>,
    pub renew: Instant,
}

/// The token server of a registry.
#[derive(Clone)]
pub(super) struct Server {
    pub realm: String,
    pub service: Option<String>,
}

#[derive(Deserialize)]
struct Reply {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
    #[serde(default)]
    expires_in: Option<u64>,
    #[serde(default)]
    issued_at: Option<String>,
    #[serde(default)]
    refresh_token: Option<String>,
}

/// A request for a token.
pub(super) struct Wanted<'a> {
    pub http: &'a Http,
    /// What is believed of the registry, and where that is.
    pub trust: (&'a Trust, &'a Url),
    /// The registry, for messages.
    pub host: &'a str,
    /// Whether the registry itself is spoken to in TLS: then its token server has to be, too (RC-029).
    pub secure: bool,
    pub server: &'a Server,
    pub credential: Option<&'a Credential>,
    pub scopes: &'a BTreeSet<String>,
    /// Ask for a token that can be kept instead of the password.
    pub offline: bool,
    pub cancel: &'a Cancel,
}

impl Wanted<'_> {
    /// Gets a token, and with it what the server gave to be used instead of the password.
    pub(super) fn fetch(&self) -> Result<(Token, Option<String>)> {
        let url = self.url()?;
        let reply = match self.credential.map(|credential| &credential.secret) {
            Some(Secret::Identity { token }) => {
                self.by_form(&url, &[("grant_type", "refresh_token"), ("refresh_token", token)])?
            }
            Some(Secret::Password { user, password }) => self.by_query(&url, Some((user, password)))?,
            Some(Secret::Bearer { .. }) | None => self.by_query(&url, None)?,
        };
        let now = Instant::now();
        let lifetime = lifetime(reply.expires_in, reply.issued_at.as_deref(), SystemTime::now());
        // Servers exist that leave one of the two empty.
        let value = [reply.token, reply.access_token].into_iter().flatten().find(|token| !token.is_empty());
        let value = value.ok_or_else(|| self.strange("its token server gives no token"))?;
        let renew = now + lifetime.mul_f32(0.9);
        Ok((
            Token { value, scopes: self.scopes.clone(), renew },
            reply.refresh_token.filter(|token| !token.is_empty()),
        ))
    }

    fn url(&self) -> Result<Url> {
        let url = Url::parse(&self.server.realm)
            .map_err(|_| self.strange("the address of its token server is none"))?;
        match url.scheme() {
            "https" => Ok(url),
            "http" if !self.secure => Ok(url),
            _ => Err(self.strange(
                "its token server is not reached through TLS, and would see the password in plain text",
            )),
        }
    }

    /// What everybody understands: a GET with Basic (RC-022).
    fn by_query(&self, url: &Url, login: Option<(&String, &String)>) -> Result<Reply> {
        let mut url = url.clone();
        {
            let mut query = url.query_pairs_mut();
            if let Some(service) = &self.server.service {
                query.append_pair("service", service);
            }
            for scope in self.scopes {
                query.append_pair("scope", scope);
            }
            if let Some((user, _)) = login {
                query.append_pair("account", user);
            }
            if self.offline {
                query.append_pair("offline_token", "true").append_pair("client_id", CLIENT_ID);
            }
        }
        let mut headers = HeaderMap::new();
        if let Some((user, password)) = login {
            headers.insert(AUTHORIZATION, basic(user, password));
        }
        let mut answer = self.ask(Method::GET, &url, &headers, None)?;
        self.read(&mut answer)
    }

    /// OAuth (RC-023): for identity tokens.
    fn by_form(&self, url: &Url, grant: &[(&str, &str)]) -> Result<Reply> {
        let scopes = self.scopes.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
        let mut form = Url::parse("form:").map_err(|_| self.strange("there is no form"))?;
        {
            let mut pairs = form.query_pairs_mut();
            pairs.extend_pairs(grant).append_pair("client_id", CLIENT_ID).append_pair("scope", &scopes);
            if let Some(service) = &self.server.service {
                pairs.append_pair("service", service);
            }
        }
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        let body = Body::Bytes(Bytes::from(form.query().unwrap_or_default().to_owned()));
        let mut answer = self.ask(Method::POST, url, &headers, Some(&body))?;
        self.read(&mut answer)
    }

    fn ask(&self, method: Method, url: &Url, headers: &HeaderMap, body: Option<&Body>) -> Result<Answer<'_>> {
        let patience = &self.http.config().patience;
        let mut attempts = Attempts::default();
        loop {
            let (trust, at) = self.trust;
            let trust = (url.origin() == at.origin()).then_some(trust);
            let outgoing = Outgoing {
                method: method.clone(),
                url: url.clone(),
                headers: headers.clone(),
                body,
                trust,
                bulk: false,
            };
            let failed = match self.http.exchange(outgoing, self.cancel) {
                Ok(answer) if !retry::passes(answer.status().as_u16()) => return Ok(answer),
                Ok(answer) => Ok(answer),
                Err(DistributionError::Transport(error)) if error.fault.passes() => Err(error.into()),
                Err(error) => return Err(error),
            };
            let asked = failed
                .as_ref()
                .ok()
                .and_then(|answer| retry::asked_pause(answer.headers(), SystemTime::now()));
            let Some(pause) = attempts.next_pause(patience) else { return failed };
            if asked.is_some_and(|asked| asked > patience.longest_asked_pause) {
                return failed;
            }
            retry::sleep(asked.unwrap_or(pause), self.cancel)?;
        }
    }

    fn read(&self, answer: &mut Answer<'_>) -> Result<Reply> {
        let status = answer.status();
        if status.is_success() {
            let body = answer.bytes(MAX_TOKEN)?;
            let reply = body.and_then(|body| serde_json::from_slice(&body).ok());
            return reply.ok_or_else(|| self.strange("its token server gives something that is not a token"));
        }
        let said = said(answer);
        match (status.as_u16(), self.credential) {
            (400 | 401 | 403, Some(credential)) => Err(DistributionError::Login {
                host: self.host.to_owned(),
                user: credential.user().to_owned(),
                source_of: credential.source.clone(),
                said,
            }),
            (401 | 403, None) => Err(DistributionError::Denied {
                host: self.host.to_owned(),
                who: super::nobody(),
                action: super::wish(self.scopes),
                anonymous: true,
                said,
            }),
            (code, _) => Err(DistributionError::Answer {
                host: self.host.to_owned(),
                action: "give a token".to_owned(),
                status: status.to_string(),
                code,
                said,
            }),
        }
    }

    fn strange(&self, reason: &str) -> DistributionError {
        DistributionError::Protocol {
            host: self.host.to_owned(),
            action: "give a token".to_owned(),
            reason: reason.to_owned(),
        }
    }
}

/// How long a token is good for. A server whose clock is behind would make it shorter, one whose clock is ahead longer: then what it lives counts from now.
fn lifetime(expires_in: Option<u64>, issued_at: Option<&str>, now: SystemTime) -> Duration {
    let whole = expires_in.map_or(SHORTEST, Duration::from_secs).max(SHORTEST);
    let issued = issued_at.and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok()).map(SystemTime::from);
    let age = issued.and_then(|issued| now.duration_since(issued).ok()).unwrap_or_default();
    whole.saturating_sub(age).max(SHORTEST.min(whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rc_024_how_long_a_token_lives() {
        let now = SystemTime::from(OffsetDateTime::parse("2026-01-01T00:10:00Z", &Rfc3339).expect("a time"));
        for (expires_in, issued_at, expected) in [
            (None, None, 60),
            (Some(300), None, 300),
            (Some(1), None, 60),
            (Some(300), Some("2026-01-01T00:09:00Z"), 240),
            (Some(300), Some("2026-01-01T01:00:00Z"), 300),
            (Some(300), Some("2020-01-01T01:00:00Z"), 60),
            (Some(300), Some("yesterday"), 300),
        ] {
            let lifetime = lifetime(expires_in, issued_at, now);
            assert_eq!(lifetime, Duration::from_secs(expected), "{expires_in:?} {issued_at:?}");
        }
    }
}
