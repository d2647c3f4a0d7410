//! Sizes as docker's users read them.

const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];

/// A size with three digits and a decimal unit, as docker prints it: `4.27MB`, `0B`.
pub fn size(bytes: u64) -> String {
    let unit = unit_of(bytes);
    format!("{}{}", digits(bytes, unit), name(unit))
}

/// How much there is of a whole, in the unit of the whole: `3.1 of 3.5GB`.
pub fn share(part: u64, whole: u64) -> String {
    let unit = unit_of(whole);
    format!("{} of {}{}", digits(part, unit), digits(whole, unit), name(unit))
}

/// The unit in which a size has at most three digits before the point.
fn unit_of(bytes: u64) -> u32 {
    let mut unit = 0;
    while in_units(bytes, unit) >= 999.5 {
        unit += 1;
    }
    unit
}

fn in_units(bytes: u64, unit: u32) -> f64 {
    bytes as f64 / 1000_u64.saturating_pow(unit) as f64
}

fn name(unit: u32) -> &'static str {
    UNITS.get(unit as usize).copied().unwrap_or_default()
}

fn digits(bytes: u64, unit: u32) -> String {
    let value = in_units(bytes, unit);
    let digits = if unit == 0 || value >= 99.95 {
        0
    } else if value >= 9.995 {
        1
    } else {
        2
    };
    let text = format!("{value:.digits$}");
    if digits > 0 { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (bytes, expected) in [
            (0, "0B"),
            (999, "999B"),
            (1000, "1kB"),
            (4_269_678, "4.27MB"),
            (999_999, "1MB"),
            (142_300_000, "142MB"),
            (12_345_678_901, "12.3GB"),
            (u64::MAX, "18.4EB"),
        ] {
            assert_eq!(size(bytes), expected);
        }
    }

    #[test]
    fn shares() {
        for (part, whole, expected) in [
            (3_100_000_000, 3_500_000_000, "3.1 of 3.5GB"),
            (17_777_216, 3_500_000_000, "0.02 of 3.5GB"),
            (0, 0, "0 of 0B"),
            (20_000_000, 30_006_784, "20 of 30MB"),
        ] {
            assert_eq!(share(part, whole), expected);
        }
    }
}
