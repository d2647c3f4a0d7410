//! How much a registry gives to whom in which time (RC-063): what Docker Hub says of its limits, and others in the same headers.

use std::fmt;
use std::time::Duration;

use reqwest::header::HeaderMap;

/// What a registry says of its limits. Nothing in it is secret, and nothing is sure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// How many pulls there may be in a time.
    pub limit: u64,
    /// The time.
    pub window: Option<Duration>,
    /// How many of them are left.
    pub remaining: Option<u64>,
    /// Whose they are: an address, or a user.
    pub counted_for: Option<String>,
}

impl Limits {
    /// Reads them from the headers of an answer: `ratelimit-limit: 100;w=21600`.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let text = |name: &str| headers.get(name)?.to_str().ok();
        let number = |text: &str| text.split([';', ',']).next()?.trim().parse().ok();
        let limit = text("ratelimit-limit")?;
        let window = limit.split(';').find_map(|part| part.trim().strip_prefix("w=")?.parse().ok());
        let source = text("docker-ratelimit-source").filter(|source| !source.is_empty());
        Some(Self {
            limit: number(limit)?,
            window: window.map(Duration::from_secs),
            remaining: text("ratelimit-remaining").and_then(number),
            counted_for: source.map(|source| base::text::line(source).into_owned()),
        })
    }
}

/// `7 of 100 pulls in 6 hours are left, counted for 203.0.113.7`.
impl fmt::Display for Limits {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.remaining {
            Some(remaining) => write!(formatter, "{remaining} of {} pulls", self.limit)?,
            None => write!(formatter, "{} pulls", self.limit)?,
        }
        if let Some(window) = self.window {
            write!(formatter, " in {}", time(window))?;
        }
        formatter.write_str(if self.remaining.is_some() { " are left" } else { " are allowed" })?;
        match &self.counted_for {
            Some(counted_for) => write!(formatter, ", counted for {counted_for}"),
            None => Ok(()),
        }
    }
}

/// A time in the largest unit that it is a whole number of.
fn time(time: Duration) -> String {
    let seconds = time.as_secs();
    let (number, unit) = match seconds {
        0 => (0, "second"),
        _ if seconds.is_multiple_of(86_400) => (seconds / 86_400, "day"),
        _ if seconds.is_multiple_of(3_600) => (seconds / 3_600, "hour"),
        _ if seconds.is_multiple_of(60) => (seconds / 60, "minute"),
        _ => (seconds, "second"),
    };
    format!("{number} {unit}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    fn said(headers: &[(&'static str, &'static str)]) -> Option<String> {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        Limits::of(&headers.collect()).map(|limits| limits.to_string())
    }

    /// Headers, and what is said of them.
    type Case = (&'static [(&'static str, &'static str)], Option<&'static str>);

    #[test]
    fn rc_063_what_docker_hub_says_of_its_limits() {
        const LIMIT: (&str, &str) = ("ratelimit-limit", "100;w=21600");
        let cases: [Case; 6] = [
            (
                &[LIMIT, ("ratelimit-remaining", "7;w=21600"), ("docker-ratelimit-source", "203.0.113.7")],
                Some("7 of 100 pulls in 6 hours are left, counted for 203.0.113.7"),
            ),
            (&[LIMIT], Some("100 pulls in 6 hours are allowed")),
            (&[("ratelimit-limit", "200"), ("ratelimit-remaining", "0")], Some("0 of 200 pulls are left")),
            (&[("ratelimit-limit", "5;w=60")], Some("5 pulls in 1 minute are allowed")),
            (&[("ratelimit-limit", "many")], None),
            (&[("ratelimit-remaining", "7")], None),
        ];
        for (headers, expected) in cases {
            assert_eq!(said(headers).as_deref(), expected, "{headers:?}");
        }
    }
}
