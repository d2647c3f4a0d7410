//! Trying again: which answers pass, how long to wait, and the gate before a host that asked for a pause (RC-060 … RC-062).

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use base::{Cancel, Cancelled};
use reqwest::header::HeaderMap;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use crate::DistributionError;
use crate::config::Patience;

/// How often somebody who waits looks whether the work was cancelled.
const LOOK: Duration = Duration::from_millis(10);

/// Whether an answer may be another one next time (RC-060).
pub(crate) fn passes(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 499 | 500 | 502 | 503 | 504 | 521..=524)
}

/// Whether an error may be gone next time.
pub(crate) fn may_pass(error: &DistributionError) -> bool {
    match error {
        DistributionError::Transport(error) => error.fault.passes(),
        DistributionError::Answer { code, .. } => passes(*code),
        DistributionError::Throttled { pause, .. } => pause.is_none(),
        _ => false,
    }
}

/// How often something was tried without getting further.
#[derive(Default)]
pub(crate) struct Attempts {
    failures: u32,
}

impl Attempts {
    /// Something was achieved: the count begins again.
    pub(crate) fn progress(&mut self) {
        self.failures = 0;
    }

    /// The pause before the next attempt; `None` when there should be none.
    pub(crate) fn next_pause(&mut self, patience: &Patience) -> Option<Duration> {
        if self.failures >= patience.retries {
            return None;
        }
        let longest =
            patience.first_pause.saturating_mul(1 << self.failures.min(16)).min(patience.longest_pause);
        self.failures += 1;
        // Anything up to it: whoever failed together does not come back together.
        Some(longest.mul_f64(fraction()))
    }
}

/// A number between 0 and 1 that nobody foresees.
fn fraction() -> f64 {
    let bits = RandomState::new().build_hasher().finish() >> 11;
    #[expect(clippy::cast_precision_loss, reason = "53 bits are what fits")]
    let fraction = bits as f64 / (1_u64 << 53) as f64;
    fraction
}

/// Waits, or ends with the cancellation.
pub(crate) fn sleep(pause: Duration, cancel: &Cancel) -> Result<(), Cancelled> {
    let end = Instant::now() + pause;
    loop {
        cancel.check()?;
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        std::thread::sleep(left.min(LOOK));
    }
}

/// How long a server wants to be left alone, in either form (RC-062).
pub(crate) fn asked_pause(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(reqwest::header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let at = SystemTime::from(OffsetDateTime::parse(text, &Rfc2822).ok()?);
    Some(at.duration_since(now).unwrap_or_default())
}

/// Stands before all requests to one host.
#[derive(Default)]
pub(crate) struct Gate(Mutex<Option<Instant>>);

impl Gate {
    /// Closes it for some time.
    pub(crate) fn close(&self, pause: Duration) {
        let until = Instant::now() + pause;
        let mut closed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *closed = Some(closed.map_or(until, |other| other.max(until)));
    }

    /// Waits until it is open.
    pub(crate) fn pass(&self, cancel: &Cancel) -> Result<(), Cancelled> {
        loop {
            let closed = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match closed.map(|until| until.saturating_duration_since(Instant::now())) {
                Some(left) if !left.is_zero() => sleep(left, cancel)?,
                _ => return Ok(()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rc_060_what_passes() {
        for (status, expected) in
            [(200, false), (404, false), (400, false), (401, false), (429, true), (503, true)]
        {
            assert_eq!(passes(status), expected, "{status}");
        }
    }

    #[test]
    fn rc_061_pauses_grow_with_jitter_and_end() {
        let patience = Patience::default();
        let mut attempts = Attempts::default();
        let mut longest = patience.first_pause;
        for _ in 0..patience.retries {
            let pause = attempts.next_pause(&patience).expect("another attempt");
            assert!(pause <= longest, "{pause:?} > {longest:?}");
            longest = (longest * 2).min(patience.longest_pause);
        }
        assert_eq!(attempts.next_pause(&patience), None);
        attempts.progress();
        assert!(attempts.next_pause(&patience).is_some());
        let fractions: Vec<f64> = (0..50).map(|_| fraction()).collect();
        assert!(fractions.iter().all(|fraction| (0.0..1.0).contains(fraction)));
        assert!(
            fractions.iter().any(|fraction| *fraction > 0.5)
                && fractions.iter().any(|fraction| *fraction < 0.5)
        );
    }

    #[test]
    fn rc_062_both_forms_of_retry_after() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_445_412_480 - 60);
        let pause = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(reqwest::header::RETRY_AFTER, text.parse().expect("a header"));
            asked_pause(&headers, now)
        };
        assert_eq!(pause("120"), Some(Duration::from_secs(120)));
        assert_eq!(pause("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::from_secs(60)));
        assert_eq!(pause("Wed, 21 Oct 2015 07:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(pause("soon"), None);
        assert_eq!(asked_pause(&HeaderMap::new(), now), None);
    }
}
