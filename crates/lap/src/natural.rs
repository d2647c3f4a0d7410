//! The order that people expect: numbers in texts count as numbers.

use std::cmp::Ordering;

/// Compares texts piece by piece: runs of digits by their value, everything else as it is.
pub fn compare(one: &str, other: &str) -> Ordering {
    let (mut left, mut right) = (one, other);
    loop {
        let (a, b) = (piece(left), piece(right));
        if a.is_empty() || b.is_empty() {
            // Texts that differ in leading zeros alone are still in one order.
            return left.len().cmp(&right.len()).then_with(|| one.cmp(other));
        }
        let digits = |text: &str| text.starts_with(|sign: char| sign.is_ascii_digit());
        let order = if digits(a) && digits(b) {
            let value = |text: &str| text.trim_start_matches('0').to_owned();
            let (a, b) = (value(a), value(b));
            a.len().cmp(&b.len()).then_with(|| a.cmp(&b))
        } else {
            a.cmp(b)
        };
        if order != Ordering::Equal {
            return order;
        }
        (left, right) = (left.get(a.len()..).unwrap_or_default(), right.get(b.len()..).unwrap_or_default());
    }
}

/// The beginning that is all digits, or has none.
fn piece(text: &str) -> &str {
    let first = text.starts_with(|sign: char| sign.is_ascii_digit());
    let end = text.find(|sign: char| sign.is_ascii_digit() != first).unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_count_as_numbers() {
        let mut tags = ["1.10", "latest", "1.9", "1", "10", "2", "1.9-rc2", "1.9-rc10", "v1", "01"];
        tags.sort_by(|one, other| compare(one, other));
        assert_eq!(tags, ["01", "1", "1.9", "1.9-rc2", "1.9-rc10", "1.10", "2", "10", "latest", "v1"]);
    }
}
