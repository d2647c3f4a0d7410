//! A file of the web, into a file of the disk (DF-138, DF-139): only if it has changed, and going on where a connection broke.
//!
//! The rest of a file is asked for together with what names its version (`If-Range`): a server that has another one by now gives all of that. One that
//! names no version, or knows no ranges, begins anew. Nothing is decoded: what is kept is what the server sends.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use base::{Cancel, IoContext};
use reqwest::header::{
    ACCEPT_ENCODING, CONTENT_RANGE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED, LOCATION, RANGE,
};
use reqwest::{Method, StatusCode, Url};
use store::downloads::Version;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

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
    /// Where it is to be written. What is there is replaced.
    pub path: &'a Path,
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

/// Downloads a file. Nothing but the URL decides who may: no credentials of registries are shown.
pub fn fetch(client: &Client, wanted: &Wanted<'_>) -> Result<Fetched> {
    let url = Url::parse(wanted.url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let url = url.ok_or_else(|| DistributionError::NoAddress)?;
    let file = File::create(wanted.path).context("create", wanted.path)?;
    let mut transfer = Transfer {
        client,
        wanted,
        url,
        file,
        version: Version::default(),
        position: 0,
        furthest: 0,
        answered: false,
        attempts: Attempts::default(),
    };
    loop {
        let error = match transfer.attempt() {
            Err(error) if transfer.may_pass(&error) => error,
            result => return result,
        };
        match transfer.attempts.next_pause(&client.http.config().patience) {
            Some(pause) => retry::sleep(pause, wanted.cancel)?,
            None => return Err(error),
        }
    }
}

fn shown(url: &Url) -> String {
    base::text::line(&format!("{}{}", crate::http::shown(url), url.path())).into_owned()
}

/// A file on its way here.
struct Transfer<'a> {
    client: &'a Client,
    wanted: &'a Wanted<'a>,
    url: Url,
    file: File,
    /// Of what has come.
    version: Version,
    /// How much has come.
    position: u64,
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
            304 if self.wanted.known.is_some() && self.position == 0 => return Ok(Fetched::Unchanged),
            206 if self.position > 0 => {
                let other = answer.header(ETAG).is_some_and(|etag| strong(&self.version) != Some(etag));
                if other || answer.header(CONTENT_RANGE).and_then(begin_of) != Some(self.position) {
                    return Err(self.anew(&answer, "the server gives another part than was asked for"));
                }
            }
            416 if self.position > 0 => {
                return Err(self.anew(&answer, "the server no longer has the part that is missing"));
            }
            200 => {
                self.restart()?;
                self.version = version(&answer);
            }
            _ => return Err(self.refused(&mut answer, status)),
        }
        let total = answer.length().map(|length| self.position.saturating_add(length));
        if total.is_some_and(|total| total > self.wanted.limit) {
            return Err(self.too_large());
        }
        (self.wanted.progress)(self.position, total);
        while let Some(piece) = answer.piece()? {
            self.position = self.position.saturating_add(piece.len() as u64);
            if self.position > self.wanted.limit {
                return Err(self.too_large());
            }
            self.file.write_all(&piece).context("write", self.wanted.path)?;
            if self.position > self.furthest {
                self.furthest = self.position;
                self.attempts.progress();
            }
            (self.wanted.progress)(self.position, total);
        }
        if total.is_some_and(|total| total != self.position) {
            return Err(self.broken(&answer, "it ended too early"));
        }
        Ok(Fetched::Whole(std::mem::take(&mut self.version)))
    }

    /// Sends the request, and follows where the server sends it.
    fn ask(&mut self) -> Result<Answer<'a>> {
        if self.position > 0 && strong(&self.version).is_none() {
            self.restart()?;
        }
        let headers = self.headers();
        let mut url = self.url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let outgoing = Outgoing {
                method: Method::GET,
                url: url.clone(),
                headers: headers.clone(),
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
        if let (true, Some(etag)) = (self.position > 0, strong(&self.version)) {
            set(RANGE, &format!("bytes={}-", self.position));
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

    /// Forgets what has come.
    fn restart(&mut self) -> Result<()> {
        self.file.set_len(0).context("shorten", self.wanted.path)?;
        self.file.seek(SeekFrom::Start(0)).context("rewind", self.wanted.path)?;
        self.position = 0;
        Ok(())
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

    fn refused(&self, answer: &mut Answer<'_>, status: StatusCode) -> DistributionError {
        let (said, host) = (said(answer), crate::http::shown(answer.url()));
        match status.as_u16() {
            404 | 410 => {
                // The address that was asked for is known to whoever asked.
                let (given, asked) = (shown(answer.url()), shown(&self.url));
                let what = if given == asked { "the file".to_owned() } else { given };
                DistributionError::NoFile { what, said }
            }
            401 | 403 => DistributionError::NoFileForAnybody { status: status.to_string(), said },
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
