//! The texts of the history (DF-164), written as Go's formats write them: BuildKit's `%v` and `%q`.

use std::fmt;

use image::Healthcheck;

/// `[a b]`: Go's `%v` of a list.
pub(super) fn list(words: &[String]) -> String {
    format!("[{}]", words.join(" "))
}

/// `["a" "b"]`: Go's `%q` of a list.
pub(super) struct Quoted<'a>(pub &'a [String]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<String> = self.0.iter().map(|word| quoted(word)).collect();
        write!(formatter, "[{}]", words.join(" "))
    }
}

/// `"a"`: Go's `strconv.Quote`.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            other => escape(&mut quoted, other),
        }
    }
    quoted.push('"');
    quoted
}

fn escape(out: &mut String, character: char) {
    let number = u32::from(character);
    match character {
        '\\' => out.push_str("\\\\"),
        '\u{7}' => out.push_str("\\a"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{b}' => out.push_str("\\v"),
        _ if number < 0x20 || number == 0x7f => out.push_str(&format!("\\x{number:02x}")),
        ' ' => out.push(' '),
        _ if is_printable(character) => out.push(character),
        _ if number < 0x1_0000 => out.push_str(&format!("\\u{number:04x}")),
        _ => out.push_str(&format!("\\U{number:08x}")),
    }
}

/// What Rust prints as it is in `{:?}`: the same classes as Go's, but for blanks, of which only the usual one is printable there.
fn is_printable(character: char) -> bool {
    !character.is_whitespace() && character.escape_debug().count() == 1 || matches!(character, '\'')
}

/// Go's `%q` of a pointer to the struct: durations as Go prints them, the number of retries as a character.
pub(super) fn healthcheck_text(check: &Healthcheck) -> String {
    let durations = [check.interval, check.timeout, check.start_period, check.start_interval];
    let durations: Vec<String> =
        durations.iter().map(|nanoseconds| format!("\"{}\"", duration(*nanoseconds))).collect();
    let retries =
        u32::try_from(check.retries).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER);
    let mut character = String::new();
    match retries {
        '\'' => character.push_str("\\'"),
        other => escape(&mut character, other),
    }
    format!("&{{{} {} '{character}'}}", Quoted(&check.test), durations.join(" "))
}

/// Go's `time.Duration.String`.
fn duration(nanoseconds: u64) -> String {
    let fraction = |value: u64, unit: u64, name: &str| {
        let digits = unit.ilog10() as usize;
        let text = format!("{}.{:0digits$}", value / unit, value % unit);
        let text = if digits == 0 {
            value.to_string()
        } else {
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        };
        format!("{text}{name}")
    };
    match nanoseconds {
        0 => "0s".to_owned(),
        1..1_000 => fraction(nanoseconds, 1, "ns"),
        1_000..1_000_000 => fraction(nanoseconds, 1_000, "µs"),
        1_000_000..1_000_000_000 => fraction(nanoseconds, 1_000_000, "ms"),
        _ => {
            let minutes = nanoseconds / 60_000_000_000;
            let seconds = fraction(nanoseconds % 60_000_000_000, 1_000_000_000, "s");
            match (minutes / 60, minutes % 60) {
                (0, 0) => seconds,
                (0, minutes) => format!("{minutes}m{seconds}"),
                (hours, minutes) => format!("{hours}h{minutes}m{seconds}"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn df_164_quoted_as_go_does() {
        for (text, expected) in [
            ("a b", r#""a b""#),
            ("say \"x\"", r#""say \"x\"""#),
            ("it's", r#""it's""#),
            ("a\\b\n\t", r#""a\\b\n\t""#),
            ("\u{1b}\u{7f}\u{a0}é", r#""\x1b\x7f\u00a0é""#),
            ("🦀\u{200b}", r#""🦀\u200b""#),
        ] {
            assert_eq!(quoted(text), expected);
        }
        assert_eq!(Quoted(&[]).to_string(), "[]");
        assert_eq!(Quoted(&["a".to_owned(), "b".to_owned()]).to_string(), r#"["a" "b"]"#);
    }

    #[test]
    fn df_164_durations_as_go_does() {
        for (nanoseconds, expected) in [
            (0, "0s"),
            (5, "5ns"),
            (1_500, "1.5µs"),
            (100_000_000, "100ms"),
            (1_000_000_000, "1s"),
            (1_500_000_000, "1.5s"),
            (60_000_000_000, "1m0s"),
            (5_400_000_000_000, "1h30m0s"),
        ] {
            assert_eq!(duration(nanoseconds), expected);
        }
    }

    #[test]
    fn df_164_healthchecks_as_go_does() {
        let check = Healthcheck {
            test: vec!["CMD-SHELL".to_owned(), "curl -f x || exit 1".to_owned()],
            interval: 30_000_000_000,
            timeout: 3_000_000_000,
            retries: 3,
            ..Healthcheck::default()
        };
        let expected = r#"&{["CMD-SHELL" "curl -f x || exit 1"] "30s" "3s" "0s" "0s" '\x03'}"#;
        assert_eq!(healthcheck_text(&check), expected);
    }
}
