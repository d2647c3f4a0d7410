//! Layers that registries need not have, and that are got from elsewhere (RC-095).
//!
//! Where they are stands in manifests, which anybody writes: nobody is shown who one is on the registry (CVE-2020-15157), they come in TLS (or from this
//! machine), and their digest decides.

use std::io::{self, Read};

use bytes::Bytes;
use image::Descriptor;
use reqwest::header::{HeaderMap, HeaderValue, RANGE};
use reqwest::{Method, Url};

use crate::http::Answer;
use crate::pieces;
use crate::registry::{Call, Registry};
use crate::retry::{self, Attempts};
use crate::source::Incoming;
use crate::{DistributionError, Result};

/// Whether a blob is one that may be got from elsewhere.
pub(crate) fn is_elsewhere(descriptor: &Descriptor) -> bool {
    descriptor.media_type.is_foreign() && !descriptor.urls.is_empty()
}

/// A blob on its way here from the first of its places that has it.
pub(crate) struct Foreign<'a> {
    registry: &'a Registry<'a>,
    descriptor: Descriptor,
    position: u64,
    answer: Option<Answer<'a>>,
    piece: Bytes,
    attempts: Attempts,
    failure: Option<DistributionError>,
}

impl<'a> Foreign<'a> {
    /// The blob from `position` on. Nothing is asked for before it is read.
    pub(crate) fn new(registry: &'a Registry<'a>, descriptor: &Descriptor, position: u64) -> Self {
        Self {
            registry,
            descriptor: descriptor.clone(),
            position,
            answer: None,
            piece: Bytes::new(),
            attempts: Attempts::default(),
            failure: None,
        }
    }

    fn fill(&mut self) -> Result<()> {
        while self.piece.is_empty() && self.position < self.descriptor.size {
            let failed = match self.next_piece() {
                Ok(Some(piece)) => {
                    self.attempts.progress();
                    self.position += piece.len() as u64;
                    self.piece = piece;
                    return Ok(());
                }
                Ok(None) => self.nowhere("what they give ends too early"),
                Err(error) if retry::may_pass(&error) => error,
                Err(error) => return Err(error),
            };
            self.answer = None;
            match self.attempts.next_pause(self.registry.patience()) {
                Some(pause) => retry::sleep(pause, self.registry.cancel)?,
                None => return Err(failed),
            }
        }
        Ok(())
    }

    fn next_piece(&mut self) -> Result<Option<Bytes>> {
        let (mut answer, piece) = match self.answer.take() {
            Some(answer) => (answer, Bytes::new()),
            None => self.ask()?,
        };
        let piece = if piece.is_empty() { answer.piece()? } else { Some(piece) };
        self.answer = Some(answer);
        Ok(piece)
    }

    /// The answer of the first place that gives what is missing, and what was read of it already.
    fn ask(&self) -> Result<(Answer<'a>, Bytes)> {
        let mut last = None;
        for text in &self.descriptor.urls {
            let Some(url) = Url::parse(text).ok().filter(is_acceptable) else { continue };
            match self.ask_at(url) {
                Ok(Some(answer)) => return Ok(answer),
                Ok(None) => {}
                Err(DistributionError::Cancelled(cancelled)) => return Err(cancelled.into()),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| self.nowhere("none of its addresses gives it")))
    }

    fn ask_at(&self, url: Url) -> Result<Option<(Answer<'a>, Bytes)>> {
        let mut headers = HeaderMap::new();
        if self.position > 0 {
            let range = format!("bytes={}-", self.position);
            headers.extend(HeaderValue::from_str(&range).ok().map(|range| (RANGE, range)));
        }
        let call = Call {
            method: Method::GET,
            url,
            headers,
            body: None,
            scopes: std::collections::BTreeSet::new(),
            action: format!("give the layer {}", self.descriptor.digest),
            again: false,
        };
        let mut answer = self.registry.unauthorized(&call)?;
        let left = self.descriptor.size - self.position;
        match answer.status().as_u16() {
            206 if self.position > 0 && answer.length() == Some(left) => Ok(Some((answer, Bytes::new()))),
            200 => {
                // All of it again: what is known is read over.
                let (piece, missing) = pieces::skip(&mut answer, self.position)?;
                Ok((missing == 0).then_some((answer, piece)))
            }
            _ => Ok(None),
        }
    }

    fn nowhere(&self, reason: &str) -> DistributionError {
        DistributionError::Foreign { digest: Box::new(self.descriptor.digest), reason: reason.to_owned() }
    }
}

/// In TLS; without it from this machine alone, where it does no harm.
fn is_acceptable(url: &Url) -> bool {
    let local = url.host_str().is_some_and(|host| crate::host::is_loopback(host.trim_matches(['[', ']'])));
    url.scheme() == "https" || (url.scheme() == "http" && local)
}

impl Read for Foreign<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.piece.is_empty()
            && let Err(error) = self.fill()
        {
            let text = error.to_string();
            self.failure = Some(error);
            return Err(io::Error::other(text));
        }
        Ok(pieces::take(&mut self.piece, buffer))
    }
}

impl Incoming for Foreign<'_> {
    fn failure(&mut self) -> Option<DistributionError> {
        self.failure.take()
    }
}
