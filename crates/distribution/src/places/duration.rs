//! Durations as Go writes them: `1m30s`, `250ms`.

use std::time::Duration;

/// Nobody waits longer for a connection, and sums stay small.
const LONGEST: Duration = Duration::from_secs(3600);

/// Reads a duration of whole numbers; `None` when it is none, or longer than an hour.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let (number, behind) = rest.split_at(rest.find(|letter: char| !letter.is_ascii_digit())?);
        let number: u32 = number.parse().ok()?;
        let (unit, behind) =
            behind.split_at(behind.find(|letter: char| letter.is_ascii_digit()).unwrap_or(behind.len()));
        let unit = match unit {
            "ms" => Duration::from_millis(1),
            "s" => Duration::from_secs(1),
            "m" => Duration::from_secs(60),
            "h" => LONGEST,
            _ => return None,
        };
        sum = unit.checked_mul(number)?.checked_add(sum).filter(|sum| *sum <= LONGEST)?;
        rest = behind;
    }
    (sum > Duration::ZERO).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rc_042_durations() {
        for (text, expected) in [
            ("3s", Some(3000)),
            ("250ms", Some(250)),
            ("1m30s", Some(90_000)),
            ("1h", Some(3_600_000)),
            ("1h1s", None),
            ("3", None),
            ("s", None),
            ("3x", None),
            ("99999999999s", None),
            ("0s", None),
            ("", None),
        ] {
            assert_eq!(parse(text), expected.map(Duration::from_millis), "{text}");
        }
    }
}
