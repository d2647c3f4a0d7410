//! A blob in several ranges at a time, read in order (RC-066).
//!
//! ```text
//! position ─▶ part ─▶ part ─▶ part ─▶ part ─▶ (not asked for yet)
//!             read    waits in memory, as far as it has come
//! ```
//!
//! What has not been read waits in memory, and nothing of it is written anywhere: a partial blob stays the beginning of a blob, and a process that ends loses these few
//! parts. Whatever a registry does wrong here, whoever reads goes on with one stream.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use image::Descriptor;
use reqwest::Url;
use reqwest::header::{CONTENT_ENCODING, CONTENT_RANGE, HeaderValue, RANGE};

use crate::Result;
use crate::download::{begin_of, call};
use crate::http::{Ahead, Answer};
use crate::registry::Registry;

/// How large a part is. Each costs a request.
pub(crate) const PART: u64 = 4 << 20;
/// How many parts of one blob are on their way.
const PARTS: usize = 4;
/// How many parts of all blobs are: with [`PART`] it is how much memory they take.
const ALL_PARTS: usize = 4;
/// With fewer parts than this, one stream is as good.
const WORTHWHILE: usize = 2;
/// When less than this is missing, it comes as it comes.
const LEAST: u64 = 4 * PART;
/// A connection is not called slow before it was waited for so long …
const PATIENCE: Duration = Duration::from_millis(500);
/// … and not when it gives so much in each second of that.
const FAST: u64 = 64 << 20;

/// How well a connection gives what it is asked for. Only the time counts in which it was waited for: where the disk or the hash is what takes long, more connections help nobody.
#[derive(Default)]
pub(crate) struct Pace {
    waited: Duration,
    came: u64,
}

impl Pace {
    pub(crate) fn add(&mut self, waited: Duration, came: usize) {
        self.waited += waited;
        self.came += came as u64;
    }

    /// Whether several connections are worth a try for what is missing.
    pub(crate) fn is_slow(&self, missing: u64) -> bool {
        let milliseconds = u64::try_from(self.waited.as_millis()).unwrap_or(u64::MAX);
        missing >= LEAST
            && self.waited >= PATIENCE
            && self.came.saturating_mul(1000) / milliseconds.max(1) < FAST
    }
}

/// Parts of all blobs of a client.
#[derive(Clone, Default)]
pub(crate) struct Parts(Arc<AtomicUsize>);

/// The right to one of them.
struct Permit(Parts);

impl Parts {
    fn permit(&self) -> Option<Permit> {
        let more = |used| (used < ALL_PARTS).then_some(used + 1);
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).ok().map(|_| Permit(self.clone()))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The parts of a blob that are on their way.
pub(crate) struct Ranges<'a> {
    registry: &'a Registry<'a>,
    descriptor: Descriptor,
    /// Where the blob was found, when the registry leads elsewhere: it need not be asked again for each part (RC-052).
    found: Option<Url>,
    parts: VecDeque<Part<'a>>,
    /// Where the next one begins.
    next: u64,
    /// The registry does not give parts, or not so many.
    refused: bool,
}

struct Part<'a> {
    body: Ahead<'a>,
    left: u64,
    permit: Permit,
}

impl<'a> Ranges<'a> {
    /// Asks for the parts from `begin` on; `None` when other blobs have too many of all parts.
    pub(crate) fn begin(
        registry: &'a Registry<'a>,
        descriptor: &Descriptor,
        begin: u64,
        found: Option<Url>,
    ) -> Option<Self> {
        let permits: Vec<Permit> = (0..PARTS).map_while(|_| registry.parts().permit()).collect();
        if permits.len() < WORTHWHILE {
            return None;
        }
        let descriptor = descriptor.clone();
        let parts = VecDeque::new();
        let mut ranges = Self { registry, descriptor, found, parts, next: begin, refused: false };
        for permit in permits {
            ranges.ask_for_next(permit);
        }
        Some(ranges)
    }

    /// Whether the registry has given none of them.
    pub(crate) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// The next bytes; `None` when no parts are left: what follows was not asked for.
    pub(crate) fn piece(&mut self) -> Result<Option<Bytes>> {
        let Some(part) = self.parts.front_mut() else { return Ok(None) };
        let Some(piece) = part.body.piece()? else {
            // It ends too early: the others are of no use.
            self.parts.clear();
            return Ok(None);
        };
        part.left = part.left.saturating_sub(piece.len() as u64);
        if part.left == 0
            && let Some(part) = self.parts.pop_front()
        {
            self.ask_for_next(part.permit);
        }
        Ok(Some(piece))
    }

    /// Whether the registry does not give parts, or not so many.
    pub(crate) fn is_refused(&self) -> bool {
        self.refused
    }

    /// Asks for one more part, if there is one. What goes wrong with that is not an error of the blob: it is asked for again, in one stream, when it is its turn.
    fn ask_for_next(&mut self, permit: Permit) {
        let (begin, end) = (self.next, self.descriptor.size.min(self.next + PART));
        if self.refused || begin >= end {
            return;
        }
        match self.ask(begin, end) {
            Ok(Some(answer)) => {
                let left = end - begin;
                self.parts.push_back(Part { body: answer.ahead(left), left, permit });
                self.next = end;
            }
            Ok(None) | Err(_) => self.refused = true,
        }
    }

    fn ask(&mut self, begin: u64, end: u64) -> Result<Option<Answer<'a>>> {
        let mut call = call(self.registry, &self.descriptor);
        let range = format!("bytes={begin}-{}", end.saturating_sub(1));
        call.headers.extend(HeaderValue::from_str(&range).ok().map(|range| (RANGE, range)));
        let fits = |answer: &Answer<'_>| {
            answer.status() == 206
                && answer.header(CONTENT_RANGE).and_then(begin_of) == Some(begin)
                && answer.length() == Some(end - begin)
                && answer.header(CONTENT_ENCODING).is_none_or(|how| how.eq_ignore_ascii_case("identity"))
        };
        let asked = call.url.clone();
        if let Some(found) = &self.found {
            call.url = found.clone();
            let answer = self.registry.send(&call)?;
            if fits(&answer) {
                return Ok(Some(answer));
            }
            // An address that was good for a while.
            self.found = None;
            call.url = asked.clone();
        }
        let answer = self.registry.send(&call)?;
        if *answer.url() != asked {
            self.found = Some(answer.url().clone());
        }
        Ok(fits(&answer).then_some(answer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rc_066_which_connections_are_slow() {
        const MIB: u64 = 1 << 20;
        for (waited, came, missing, expected) in [
            (499, 0, 100 * MIB, false),
            (500, MIB, 100 * MIB, true),
            (500, MIB, 16 * MIB, true),
            (500, MIB, 16 * MIB - 1, false),
            (2000, 127 * MIB, 100 * MIB, true),
            (2000, 128 * MIB, 100 * MIB, false),
        ] {
            let pace = Pace { waited: Duration::from_millis(waited), came };
            assert_eq!(pace.is_slow(missing), expected, "{waited} ms, {came} bytes, {missing} missing");
        }
    }

    #[test]
    fn rc_067_parts_are_limited_for_all_blobs_together() {
        let parts = Parts::default();
        let mut permits: Vec<Permit> = std::iter::from_fn(|| parts.permit()).take(100).collect();
        assert_eq!(permits.len(), ALL_PARTS);
        permits.pop();
        assert!(parts.permit().is_some());
    }
}
