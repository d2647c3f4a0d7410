//! A blob as a stream that survives what happens to connections (RC-060, RC-064).
//!
//! When one breaks, or falls silent, the rest is asked for over another one. Each attempt that brings bytes is progress; only
//! attempts without any are counted. Whoever reads has to verify the digest: nothing here does.
//!
//! It begins as one answer. When that is slow, and much is missing, the rest comes in parts over several connections ([`Ranges`]).

use std::io::{self, Read};
use std::time::Instant;

use bytes::Bytes;
use image::Descriptor;
use reqwest::header::{CONTENT_ENCODING, CONTENT_RANGE, HeaderMap, HeaderValue, RANGE};
use reqwest::{Method, Url};

use crate::http::Answer;
use crate::pieces;
use crate::ranges::{PART, Pace, Ranges};
use crate::registry::{Call, Registry};
use crate::retry::{self, Attempts};
use crate::{DistributionError, Result};

/// A blob on its way here.
pub(crate) struct Download<'a> {
    registry: &'a Registry<'a>,
    descriptor: Descriptor,
    /// How much of it has come; what is before the first byte that is read here came earlier.
    position: u64,
    answer: Option<Answer<'a>>,
    pace: Pace,
    /// Where the answer ends, or parts take over.
    until: u64,
    ranges: Option<Ranges<'a>>,
    /// It comes in one stream, whatever happens: so it was refused otherwise, or it is asked for a second time, since what came was wrong.
    is_whole: bool,
    /// What has come and was not read yet.
    piece: Bytes,
    attempts: Attempts,
    /// Why it does not go on. A reader only sees that it does not.
    failure: Option<DistributionError>,
}

impl<'a> Download<'a> {
    /// The blob from `position` on; in one stream, if that is asked for. Nothing is asked for before it is read.
    pub(crate) fn new(
        registry: &'a Registry<'a>,
        descriptor: &Descriptor,
        position: u64,
        is_whole: bool,
    ) -> Self {
        Self {
            registry,
            descriptor: descriptor.clone(),
            position,
            answer: None,
            pace: Pace::default(),
            until: descriptor.size,
            ranges: None,
            is_whole,
            piece: Bytes::new(),
            attempts: Attempts::default(),
            failure: None,
        }
    }

    /// Why reading failed, if it was this.
    pub(crate) fn failure(&mut self) -> Option<DistributionError> {
        self.failure.take()
    }

    /// Gets more, however often that has to be tried.
    fn fill(&mut self) -> Result<()> {
        while self.piece.is_empty() && self.position < self.descriptor.size {
            let result = self.next_piece();
            let failed = match result {
                Ok(Some(piece)) => {
                    self.attempts.progress();
                    self.position += piece.len() as u64;
                    if self.position > self.descriptor.size {
                        return Err(self.mismatch("more".to_owned()));
                    }
                    self.piece = piece;
                    return Ok(());
                }
                Ok(None) => None,
                Err(error) if retry::may_pass(&error) => Some(error),
                Err(error) => return Err(error),
            };
            self.one_stream();
            match (self.attempts.next_pause(self.registry.patience()), failed) {
                (Some(pause), _) => retry::sleep(pause, self.registry.cancel)?,
                (None, Some(error)) => return Err(error),
                (None, None) => return Err(self.mismatch(format!("{} bytes", self.position))),
            }
        }
        Ok(())
    }

    fn next_piece(&mut self) -> Result<Option<Bytes>> {
        if self.answer.is_none()
            && let Some(ranges) = &mut self.ranges
        {
            if let Some(piece) = ranges.piece()? {
                return Ok(Some(piece));
            }
            self.one_stream();
        }
        let mut answer = match self.answer.take() {
            Some(answer) => answer,
            None => self.ask()?,
        };
        let mut piece = if self.piece.is_empty() {
            let begun = Instant::now();
            let piece = answer.piece()?;
            self.pace.add(begun.elapsed(), piece.as_ref().map_or(0, Bytes::len));
            piece
        } else {
            Some(std::mem::take(&mut self.piece))
        };
        if let Some(piece) = &mut piece {
            let position = self.position + piece.len() as u64;
            if !self.is_whole
                && self.ranges.is_none()
                && self.pace.is_slow(self.until.saturating_sub(position))
            {
                self.divide(position + PART, answer.url());
            }
            if self.ranges.is_some() && position >= self.until {
                // What the answer has beyond that comes in parts.
                piece.truncate(usize::try_from(self.until - self.position).unwrap_or(usize::MAX));
            } else {
                self.answer = Some(answer);
            }
        }
        Ok(piece)
    }

    /// Asks for parts from a place on; the answer that is being read is read up to there.
    fn divide(&mut self, begin: u64, from: &Url) {
        let found = (*from != call(self.registry, &self.descriptor).url).then(|| from.clone());
        match Ranges::begin(self.registry, &self.descriptor, begin, found) {
            // Others have them: it is looked again when it was slow for a while more.
            None => self.pace = Pace::default(),
            Some(ranges) if ranges.is_empty() => self.is_whole = true,
            Some(ranges) => (self.until, self.ranges) = (begin, Some(ranges)),
        }
    }

    /// From here on it comes in one stream; if that is slow, it may be divided again.
    fn one_stream(&mut self) {
        self.answer = None;
        self.is_whole |= self.ranges.take().is_some_and(|ranges| ranges.is_refused());
        (self.until, self.pace) = (self.descriptor.size, Pace::default());
    }

    /// Asks for what is missing. A registry that gives all of it again is read up to where it is new.
    fn ask(&mut self) -> Result<Answer<'a>> {
        let what = format!("the blob {}", self.descriptor.digest);
        let mut call = call(self.registry, &self.descriptor);
        if self.position > 0 {
            let range = format!("bytes={}-", self.position);
            call.headers.extend(HeaderValue::from_str(&range).ok().map(|range| (RANGE, range)));
        }
        let mut answer = self.registry.send(&call)?;
        if answer.header(CONTENT_ENCODING).is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity"))
        {
            return Err(self
                .registry
                .strange(&call.action, "it encodes it in another way than was asked for"));
        }
        match answer.status().as_u16() {
            206 if self.position > 0 => {
                let begins = answer.header(CONTENT_RANGE).and_then(begin_of);
                if begins != Some(self.position) {
                    return self.ask_for_all();
                }
                Ok(answer)
            }
            416 if self.position > 0 => self.ask_for_all(),
            200 => {
                if let Some(length) = answer.length().filter(|length| *length != self.descriptor.size) {
                    return Err(self.mismatch(format!("{length} bytes")));
                }
                self.skip(&mut answer)?;
                Ok(answer)
            }
            _ => Err(self.registry.refused(answer, &call, &what)),
        }
    }

    /// Asks again, for everything: the registry does not know ranges, or lies about them.
    fn ask_for_all(&mut self) -> Result<Answer<'a>> {
        self.is_whole = true;
        let whole = call(self.registry, &self.descriptor);
        let mut answer = self.registry.send(&whole)?;
        if answer.status() != 200 {
            let what = format!("the blob {}", self.descriptor.digest);
            return Err(self.registry.refused(answer, &whole, &what));
        }
        self.skip(&mut answer)?;
        Ok(answer)
    }

    /// Reads over what is there already. The piece in which the new begins is kept.
    fn skip(&mut self, answer: &mut Answer<'_>) -> Result<()> {
        let (piece, missing) = pieces::skip(answer, self.position)?;
        if missing > 0 {
            return Err(self.mismatch(format!("{} bytes", self.position - missing)));
        }
        self.piece = piece;
        Ok(())
    }

    fn mismatch(&self, found: String) -> DistributionError {
        DistributionError::Mismatch {
            host: self.registry.host.name().to_owned(),
            what: format!("the blob {}", self.descriptor.digest),
            expected: format!("{} bytes", self.descriptor.size),
            found,
        }
    }
}

impl Read for Download<'_> {
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

/// The request for a blob.
pub(crate) fn call(registry: &Registry<'_>, blob: &Descriptor) -> Call<'static> {
    Call {
        method: Method::GET,
        url: registry.url(&format!("blobs/{}", blob.digest)),
        headers: HeaderMap::new(),
        body: None,
        scopes: registry.scope("pull"),
        action: format!("give the blob {}", blob.digest),
        again: false,
    }
}

/// Where `bytes N-M/SIZE` begins.
pub(crate) fn begin_of(range: &str) -> Option<u64> {
    range.trim().strip_prefix("bytes")?.trim_start().split('-').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rc_064_where_a_range_begins() {
        for (text, expected) in [
            ("bytes 5-9/10", Some(5)),
            ("bytes 0-0/*", Some(0)),
            ("bytes */10", None),
            ("5-9/10", None),
            ("", None),
        ] {
            assert_eq!(begin_of(text), expected, "{text}");
        }
    }
}
