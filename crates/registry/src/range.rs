//! Ranges of bytes: what a reader asks for (RS-011), and what a writer says that it sends (RS-022).

use std::ops::Range;

/// More ranges than this are not looked at, and the whole is sent: real readers ask for a few hundred.
const MAX_RANGES: usize = 1024;

/// What a `Range` header asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// The whole: no ranges, or ones that are not understood.
    Whole,
    /// These parts, each within the whole and not empty.
    Parts(Vec<Range<u64>>),
    /// Nothing that there is.
    Nothing,
}

/// Reads a `Range` header for something of this size.
pub fn wanted(header: Option<&str>, size: u64) -> Wanted {
    let Some(ranges) = header.and_then(|header| header.trim().strip_prefix("bytes=")) else {
        return Wanted::Whole;
    };
    let mut parts = Vec::new();
    for (count, range) in ranges.split(',').enumerate() {
        let Some((first, last)) = range.trim().split_once('-').filter(|_| count < MAX_RANGES) else {
            return Wanted::Whole;
        };
        let part = match (number(first), number(last)) {
            (Some(first), Some(last)) => first..last.saturating_add(1),
            (Some(first), None) if last.is_empty() => first..size,
            (None, Some(count)) if first.is_empty() => size.saturating_sub(count)..size,
            _ => return Wanted::Whole,
        };
        let part = part.start..part.end.min(size);
        // One whose end lies before its start is as good as one behind the end: there is nothing in it.
        if part.start < part.end {
            parts.push(part);
        }
    }
    if parts.is_empty() { Wanted::Nothing } else { Wanted::Parts(parts) }
}

/// Reads the `Content-Range` of a piece of an upload: `first-last`, or `bytes first-last/whole`. Gives the piece; `None` when it is not one.
pub fn piece(header: &str) -> Option<Range<u64>> {
    let range = header.trim();
    let range = range.strip_prefix("bytes").map_or(range, |rest| rest.trim_start_matches(['=', ' ']));
    let range = range.split_once('/').map_or(range, |(range, _)| range);
    let (first, last) = range.split_once('-')?;
    let (first, last) = (number(first)?, number(last)?);
    let end = last.checked_add(1)?;
    (first < end).then_some(first..end)
}

fn number(text: &str) -> Option<u64> {
    let text = text.trim();
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // What is too large is beyond every end.
    Some(text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rs_011_ranges() {
        let parts =
            |parts: &[(u64, u64)]| Wanted::Parts(parts.iter().map(|(start, end)| *start..*end).collect());
        for (header, expected) in [
            ("bytes=0-0", parts(&[(0, 1)])),
            ("bytes=0-99", parts(&[(0, 100)])),
            ("bytes=10-", parts(&[(10, 100)])),
            ("bytes=-10", parts(&[(90, 100)])),
            ("bytes=-1000", parts(&[(0, 100)])),
            ("bytes=90-1000", parts(&[(90, 100)])),
            ("bytes=90-99999999999999999999999999", parts(&[(90, 100)])),
            ("bytes=0-1, 5-6,-1", parts(&[(0, 2), (5, 7), (99, 100)])),
            ("bytes=0-1,200-300", parts(&[(0, 2)])),
            ("bytes=100-", Wanted::Nothing),
            ("bytes=50-10", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
            ("bytes=a-b", Wanted::Whole),
            ("bytes=+1-2", Wanted::Whole),
            ("items=0-1", Wanted::Whole),
        ] {
            assert_eq!(wanted(Some(header), 100), expected, "{header}");
        }
        assert_eq!(wanted(None, 100), Wanted::Whole);
        assert_eq!(wanted(Some("bytes=0-"), 0), Wanted::Nothing);
        let many = format!("bytes={}", vec!["0-0"; MAX_RANGES + 1].join(","));
        assert_eq!(wanted(Some(&many), 100), Wanted::Whole);
    }

    #[test]
    fn rs_022_pieces() {
        for (header, expected) in [
            ("0-9", Some(0..10)),
            ("bytes 10-19/*", Some(10..20)),
            ("bytes=10-19/100", Some(10..20)),
            ("5-5", Some(5..6)),
            ("9-0", None),
            ("-9", None),
            ("9-", None),
            ("0-18446744073709551615", None),
            ("", None),
            ("bytes", None),
        ] {
            assert_eq!(piece(header), expected, "{header}");
        }
    }
}
