//! A file of the web, into a file of the disk (DF-138, DF-139): only if it has changed, and going on where a connection broke.
//!
//! The rest of a file is asked for together with what names its version (`If-Range`): a server that has another one by now gives all of that. One that
//! names no version, or knows no ranges, begins anew. Nothing is decoded: what is kept is what the server sends.

mod authorization;

use std::time::{Duration, SystemTime};

use base::Cancel;
use reqwest::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_RANGE, ETAG, HeaderMap, HeaderName, HeaderValue,
    IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED, LOCATION, RANGE,
};
use reqwest::{Method, StatusCode, Url};
use store::downloads::{Incoming, Version};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

pub use self::authorization::{Authorization, Secret, secrets};
use crate::answer::said;
use crate::download::begin_of;
use crate::http::{Answer, Fault, Outgoing};
use crate::retry::{self, Attempts};
use crate::{Client, DistributionError, Result};

/// From one address to the next: as many as browsers and Go follow.
const MAX_REDIRECTS: usize = 10;
/// Longer names of versions are not kept: they would have to be sent again.
const MAX_VALIDATOR: usize = 1024;

/// A file that is wanted.
pub struct Wanted<'a> {
    /// Where it is.
    pub url: &'a str,
    /// The version that is known already.
    pub known: Option<&'a Version>,
    /// Who asks: shown to the server that the URL names, and to no other one that it leads to.
    pub authorization: Option<&'a Authorization>,
    /// More bytes than this are an error.
    pub limit: u64,
    /// Hears how much has come, and how much there is.
    pub progress: &'a dyn Fn(u64, Option<u64>),
    /// Stops it.
    pub cancel: &'a Cancel,
}

/// What a server says of the version of a file.
fn version(answer: &Answer<'_>) -> Version {
    let text = |name| answer.header(name).filter(|text| text.len() <= MAX_VALIDATOR).map(str::to_owned);
    Version { etag: text(ETAG), last_modified: text(LAST_MODIFIED) }
}

/// When a version was made, in seconds since 1970.
pub fn time(version: &Version) -> Option<i64> {
    let time = OffsetDateTime::parse(version.last_modified.as_deref()?.trim(), &Rfc2822).ok()?;
    Some(time.unix_timestamp())
}

/// What makes sure that two parts are of one file: a strong name only.
fn strong(version: &Version) -> Option<&str> {
    version.etag.as_deref().filter(|etag| !etag.starts_with("W/"))
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    /// It is the version that is known; nothing was written.
    Unchanged,
    /// The whole file was written.
    Whole(Version),
}

/// Downloads a file into one that has nothing in it yet. No credentials of registries are shown.
pub fn fetch(client: &Client, wanted: &Wanted<'_>, into: &mut Incoming) -> Result<Fetched> {
    let url = parse(wanted.url).ok_or(DistributionError::NoAddress)?;
    let mut transfer = Transfer {
        client,
        wanted,
        url,
        into,
        version: Version::default(),
        own: true,
        asked_pause: None,
        furthest: 0,
        answered: false,
        attempts: Attempts::default(),
    };
    loop {
        let error = match transfer.attempt() {
            Err(error) if transfer.may_pass(&error) => error,
            result => return result,
        };
        let asked = transfer.asked_pause.take();
        match transfer.attempts.next_pause(&client.http.config().patience) {
            Some(pause) => retry::sleep(asked.unwrap_or_default().max(pause), wanted.cancel)?,
            None => return Err(error),
        }
    }
}

/// The address of a file on the web.
fn parse(url: &str) -> Option<Url> {
    Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https"))
}

fn shown(url: &Url) -> String {
    base::text::line(&format!("{}{}", crate::http::shown(url), url.path())).into_owned()
}

/// A file on its way here.
struct Transfer<'a> {
    client: &'a Client,
    wanted: &'a Wanted<'a>,
    url: Url,
    into: &'a mut Incoming,
    /// Of what has come.
    version: Version,
    /// Whether nobody but the server of the address has had a say in where the last answer came from.
    own: bool,
    /// How long the server wants to be left alone before the next attempt.
    asked_pause: Option<Duration>,
    /// How much has come at most: to come as far again is no progress.
    furthest: u64,
    /// Whether the server has ever answered.
    answered: bool,
    attempts: Attempts,
}

impl<'a> Transfer<'a> {
    /// A server that was never there is not waited for.
    fn may_pass(&self, error: &DistributionError) -> bool {
        let absent = matches!(error, DistributionError::Transport(error)
            if matches!(error.fault, Fault::UnknownHost(_) | Fault::Connect(_)));
        retry::may_pass(error) && (self.answered || !absent)
    }

    /// One request, and as much of its answer as comes.
    fn attempt(&mut self) -> Result<Fetched> {
        let mut answer = self.ask()?;
        let status = answer.status();
        match status.as_u16() {
            304 if self.wanted.known.is_some() && self.into.size() == 0 => return Ok(Fetched::Unchanged),
            206 if self.into.size() > 0 => {
                let other = answer.header(ETAG).is_some_and(|etag| strong(&self.version) != Some(etag));
                if other || answer.header(CONTENT_RANGE).and_then(begin_of) != Some(self.into.size()) {
                    return Err(self.anew(&answer, "the server gives another part than was asked for"));
                }
            }
            416 if self.into.size() > 0 => {
                return Err(self.anew(&answer, "the server no longer has the part that is missing"));
            }
            200 => {
                self.into.restart()?;
                self.version = version(&answer);
            }
            _ => return Err(self.refused(&mut answer, status)),
        }
        let total = answer.length().map(|length| self.into.size().saturating_add(length));
        if total.is_some_and(|total| total > self.wanted.limit) {
            return Err(self.too_large());
        }
        (self.wanted.progress)(self.into.size(), total);
        while let Some(piece) = answer.piece()? {
            if self.into.size().saturating_add(piece.len() as u64) > self.wanted.limit {
                return Err(self.too_large());
            }
            self.into.write(&piece)?;
            if self.into.size() > self.furthest {
                self.furthest = self.into.size();
                self.attempts.progress();
            }
            (self.wanted.progress)(self.into.size(), total);
        }
        if total.is_some_and(|total| total != self.into.size()) {
            return Err(self.broken(&answer, "it ended too early"));
        }
        Ok(Fetched::Whole(std::mem::take(&mut self.version)))
    }

    /// Sends the request, and follows where the server sends it.
    fn ask(&mut self) -> Result<Answer<'a>> {
        if self.into.size() > 0 && strong(&self.version).is_none() {
            self.into.restart()?;
        }
        let headers = self.headers();
        let mut url = self.url.clone();
        self.own = true;
        for _ in 0..=MAX_REDIRECTS {
            let mut headers = headers.clone();
            // Nobody else is told who asks, nor may anybody else decide what is asked for in this name.
            self.own &= url.origin() == self.url.origin();
            let authorization = self.wanted.authorization.filter(|_| self.own);
            headers.extend(authorization.map(|who| (AUTHORIZATION, who.0.clone())));
            let outgoing = Outgoing {
                method: Method::GET,
                url: url.clone(),
                headers,
                body: None,
                trust: None,
                bulk: true,
            };
            let answer = self.client.http.exchange(outgoing, self.wanted.cancel)?;
            self.answered = true;
            if !matches!(answer.status().as_u16(), 301..=303 | 307 | 308) {
                return Ok(answer);
            }
            let next = answer.header(LOCATION).and_then(|text| answer.url().join(text).ok());
            let next = next.filter(|next| matches!(next.scheme(), "http" | "https"));
            let next = next.ok_or_else(|| self.strange("it does not say where to go on"))?;
            if url.scheme() == "https" && next.scheme() != "https" {
                return Err(self.strange("it leads from TLS to plain HTTP"));
            }
            answer.drain();
            url = next;
        }
        Err(self.strange("it leads in circles"))
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let mut set = |name: HeaderName, value: &str| {
            headers.extend(HeaderValue::from_str(value).ok().map(|value| (name, value)));
        };
        set(ACCEPT_ENCODING, "identity");
        if let (size @ 1.., Some(etag)) = (self.into.size(), strong(&self.version)) {
            set(RANGE, &format!("bytes={size}-"));
            set(IF_RANGE, etag);
        } else if let Some(known) = self.wanted.known {
            match (&known.etag, &known.last_modified) {
                (Some(etag), _) => set(IF_NONE_MATCH, etag),
                (None, Some(time)) => set(IF_MODIFIED_SINCE, time),
                (None, None) => {}
            }
        }
        headers
    }

    /// The next attempt begins anew.
    fn anew(&mut self, answer: &Answer<'_>, reason: &str) -> DistributionError {
        self.version = Version::default();
        self.broken(answer, reason)
    }

    fn broken(&self, answer: &Answer<'_>, reason: &str) -> DistributionError {
        answer.trouble(Fault::Broken(reason.to_owned())).into()
    }

    fn too_large(&self) -> DistributionError {
        DistributionError::TooLarge { what: "the file".to_owned(), limit: self.wanted.limit }
    }

    fn strange(&self, reason: &str) -> DistributionError {
        let (host, action) = (crate::http::shown(&self.url), self.action());
        DistributionError::Protocol { host, action, reason: reason.to_owned() }
    }

    fn action(&self) -> String {
        format!("give {}", base::text::line(self.url.path()))
    }

    /// What the server says, unless it repeats what it was told.
    fn said(&self, answer: &mut Answer<'_>) -> String {
        let said = said(answer);
        if self.wanted.authorization.is_some_and(|who| who.is_in(&said)) { String::new() } else { said }
    }

    fn refused(&mut self, answer: &mut Answer<'_>, status: StatusCode) -> DistributionError {
        let (said, host) = (self.said(answer), crate::http::shown(answer.url()));
        self.asked_pause = retry::asked_pause(answer.headers(), SystemTime::now());
        let too_long = |pause: &Duration| *pause > self.client.http.config().patience.longest_asked_pause;
        match status.as_u16() {
            404 | 410 => {
                // The address that was asked for is known to whoever asked.
                let (given, asked) = (shown(answer.url()), shown(&self.url));
                let what = if given == asked { "the file".to_owned() } else { given };
                DistributionError::NoFile { what, said }
            }
            401 | 403 => {
                let status = status.to_string();
                match self.wanted.authorization {
                    Some(_) if self.own => DistributionError::NoFileForSecret { status, said },
                    _ => {
                        let secret = authorization::wanted(&self.url).filter(|_| self.own);
                        DistributionError::NoFileForAnybody { secret, status, said }
                    }
                }
            }
            code if retry::passes(code) && self.asked_pause.as_ref().is_some_and(too_long) => {
                let pause = self.asked_pause;
                DistributionError::Throttled { host, pause, limits: None, anonymous: false, said }
            }
            code => DistributionError::Answer {
                host,
                action: self.action(),
                status: status.to_string(),
                code,
                said,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn df_138_times_of_servers() {
        let time = |text: &str| time(&Version { etag: None, last_modified: Some(text.to_owned()) });
        assert_eq!(time("Wed, 21 Oct 2015 07:28:00 GMT"), Some(1_445_412_480));
        assert_eq!(time("yesterday"), None);
        assert_eq!(super::time(&Version::default()), None);
    }
}
