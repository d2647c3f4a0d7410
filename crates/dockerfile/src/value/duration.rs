//! Durations as Go writes them: `1m30s`, `1.5h`, `300ms`.

use std::time::Duration;

use super::ValueError;

/// The longest duration, in nanoseconds: Go counts them in 64 bits with a sign.
const LONGEST: u128 = i64::MAX as u128;

/// Reads a duration that is not negative.
pub fn parse_duration(text: &str) -> Result<Duration, ValueError> {
    nanoseconds(text).map(Duration::from_nanos).ok_or_else(|| ValueError::Duration(text.to_owned()))
}

fn nanoseconds(text: &str) -> Option<u64> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let (number, after) = split(rest, |c| c.is_ascii_digit() || c == '.');
        let (unit, after) = split(after, |c| !(c.is_ascii_digit() || c == '.'));
        total = total.checked_add(scaled(number, unit)?)?;
        rest = after;
    }
    (total <= LONGEST).then(|| u64::try_from(total).ok())?
}

fn split(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !belongs(c)).unwrap_or(text.len()))
}

fn scaled(number: &str, unit: &str) -> Option<u128> {
    let unit: u128 = match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut total = whole.checked_mul(unit)?;
    let mut place = unit;
    for digit in fraction.chars() {
        place /= 10;
        total = total.checked_add(u128::from(digit.to_digit(10)?) * place)?;
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn df_156_durations() {
        for (text, expected) in [
            ("0", 0),
            ("0s", 0),
            ("5s", 5_000_000_000),
            ("1m30s", 90_000_000_000),
            ("1.5h", 5_400_000_000_000),
            (".5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("300ms", 300_000_000),
            ("1us", 1_000),
            ("2µs", 2_000),
            ("+7ns", 7),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_nanos(expected)), "{text}");
        }
        for text in ["", "5", "s", "-1s", "1 s", "1d", "1..5s", ".s", "1s2", "99999999999h", "\u{661}s", "+"]
        {
            assert_eq!(parse_duration(text), Err(ValueError::Duration(text.to_owned())), "{text}");
        }
    }
}
