//! Sizes as Docker's options have them: `64m`, `1.5g`, in powers of 1024.

use super::ValueError;

/// Reads a size in bytes.
pub fn parse_size(text: &str) -> Result<u64, ValueError> {
    bytes(text).ok_or_else(|| ValueError::Size(text.to_owned()))
}

fn bytes(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.strip_prefix(' ').unwrap_or(unit).to_ascii_lowercase();
    let unit = unit.strip_suffix('b').map_or(unit.as_str(), |unit| unit.strip_suffix('i').unwrap_or(unit));
    let shift = match unit {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        "p" => 50,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let whole: u128 = whole.parse().ok()?;
    if fraction.is_empty() || fraction.len() > 9 {
        return None;
    }
    let decimals = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let fraction: u128 = fraction.parse().ok()?;
    let scaled = whole.checked_mul(decimals)?.checked_add(fraction)?.checked_mul(1 << shift)? / decimals;
    u64::try_from(scaled).ok().filter(|size| *size <= i64::MAX as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn df_100_sizes() {
        for (text, expected) in [
            ("0", 0),
            ("5", 5),
            ("5b", 5),
            ("64m", 64 << 20),
            ("64MB", 64 << 20),
            ("1.5g", 3 << 29),
            ("2 KiB", 2048),
        ] {
            assert_eq!(parse_size(text), Ok(expected), "{text}");
        }
        for text in ["", "m", "-1", "1x", "1mm", "1.m", "99999999999999999999", "9999999p", "1i", "1.2.3"] {
            assert_eq!(parse_size(text), Err(ValueError::Size(text.to_owned())), "{text}");
        }
    }
}
