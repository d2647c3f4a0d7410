//! Signals by name and number, as Linux has them (DF-157).

use super::ValueError;

/// A signal's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Signal(pub u8);

/// The first of the real-time signals that programs can use, as glibc and musl count.
const REAL_TIME_LEAST: u8 = 34;
/// The last one.
const REAL_TIME_MOST: u8 = 64;

const NAMES: &[(&str, u8)] = &[
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("IOT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("POLL", 29),
    ("PWR", 30),
    ("SYS", 31),
];

/// Reads a signal: a number, or a name with or without `SIG`, in any case.
pub fn parse_signal(text: &str) -> Result<Signal, ValueError> {
    number(text).map(Signal).ok_or_else(|| ValueError::Signal(text.to_owned()))
}

fn number(text: &str) -> Option<u8> {
    if text.starts_with(|first: char| first.is_ascii_digit()) {
        return text.parse().ok().filter(|number| (1..=REAL_TIME_MOST).contains(number));
    }
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    if let Some((_, number)) = NAMES.iter().find(|(known, _)| *known == name) {
        return Some(*number);
    }
    let offset = |rest: &str, sign: char| match rest.strip_prefix(sign) {
        Some(digits) if !digits.starts_with('+') => digits.parse::<u8>().ok(),
        _ => rest.is_empty().then_some(0),
    };
    let number = if let Some(rest) = name.strip_prefix("RTMIN") {
        REAL_TIME_LEAST.checked_add(offset(rest, '+')?)?
    } else {
        REAL_TIME_MOST.checked_sub(offset(name.strip_prefix("RTMAX")?, '-')?)?
    };
    (REAL_TIME_LEAST..=REAL_TIME_MOST).contains(&number).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn df_157_signals() {
        for (text, expected) in [
            ("SIGTERM", 15),
            ("term", 15),
            ("9", 9),
            ("SIGRTMIN", 34),
            ("RTMIN+3", 37),
            ("SIGRTMAX-1", 63),
            ("RTMAX", 64),
            ("64", 64),
        ] {
            assert_eq!(parse_signal(text), Ok(Signal(expected)), "{text}");
        }
        for text in
            ["", "0", "65", "-9", "SIGNAL", "SIG", "RTMIN+31", "RTMIN-1", "RTMAX-31", "RTMIN++1", "9 ", "+9"]
        {
            assert_eq!(parse_signal(text), Err(ValueError::Signal(text.to_owned())), "{text}");
        }
    }
}
