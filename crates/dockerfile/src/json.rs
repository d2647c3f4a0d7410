//! The exec form: JSON arrays of strings, with the place of each (DF-021).

use crate::span::{Slice, Span, Word};

/// Deeper nesting is not JSON to us; it would be refused anyway, since only strings are allowed.
const DEEPEST: usize = 64;

/// What an instruction's arguments are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Json {
    /// Not a JSON array: the shell form, or words.
    No,
    /// An array of strings.
    Strings(Vec<Word>),
    /// An array with something else in it, which is here.
    Other(Span),
}

/// Reads arguments as a JSON array.
pub(crate) fn array(arguments: Slice<'_>) -> Json {
    let arguments = arguments.trim();
    let mut cursor = Cursor { text: arguments.as_str(), at: 0 };
    let Some(elements) = cursor.elements() else { return Json::No };
    cursor.blanks();
    if cursor.at != cursor.text.len() {
        return Json::No;
    }
    let mut words = Vec::with_capacity(elements.len());
    for (range, value) in elements {
        let span = arguments.part(range).span();
        match value {
            Some(raw) => words.push(Word { raw, span }),
            None => return Json::Other(span),
        }
    }
    Json::Strings(words)
}

type Element = (std::ops::Range<usize>, Option<String>);

struct Cursor<'t> {
    text: &'t str,
    at: usize,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn blanks(&mut self) {
        while self.peek().is_some_and(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// The elements of the outer array: strings decoded, all else only skipped.
    fn elements(&mut self) -> Option<Vec<Element>> {
        let mut elements = Vec::new();
        self.list(b'[', b']', |cursor| {
            let start = cursor.at;
            let value = if cursor.peek() == Some(b'"') {
                Some(cursor.string()?)
            } else {
                cursor.skip(1).map(|()| None)?
            };
            elements.push((start..cursor.at, value));
            Some(())
        })?;
        Some(elements)
    }

    /// `open item , item close`.
    fn list(&mut self, open: u8, close: u8, mut item: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        if !self.take(open) {
            return None;
        }
        self.blanks();
        if self.take(close) {
            return Some(());
        }
        loop {
            self.blanks();
            item(self)?;
            self.blanks();
            if self.take(close) {
                return Some(());
            }
            if !self.take(b',') {
                return None;
            }
        }
    }

    fn skip(&mut self, depth: usize) -> Option<()> {
        if depth > DEEPEST {
            return None;
        }
        match self.peek()? {
            b'"' => self.string().map(drop),
            b'[' => self.list(b'[', b']', |cursor| cursor.skip(depth + 1)),
            b'{' => self.list(b'{', b'}', |cursor| {
                cursor.string()?;
                cursor.blanks();
                cursor.take(b':').then_some(())?;
                cursor.blanks();
                cursor.skip(depth + 1)
            }),
            _ => self.literal(),
        }
    }

    fn literal(&mut self) -> Option<()> {
        let rest = self.text.get(self.at..)?;
        let end = rest
            .find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '+' | '-' | '.'))
            .unwrap_or(rest.len());
        let token = rest.get(..end)?;
        self.at += end;
        (matches!(token, "true" | "false" | "null") || is_number(token)).then_some(())
    }

    fn string(&mut self) -> Option<String> {
        if !self.take(b'"') {
            return None;
        }
        let mut decoded = String::new();
        loop {
            let character = self.text.get(self.at..)?.chars().next()?;
            self.at += character.len_utf8();
            match character {
                '"' => return Some(decoded),
                '\\' => decoded.push(self.escaped()?),
                '\0'..='\u{1f}' => return None,
                _ => decoded.push(character),
            }
        }
    }

    fn escaped(&mut self) -> Option<char> {
        let kind = self.peek()?;
        self.at += 1;
        Some(match kind {
            b'"' | b'\\' | b'/' => char::from(kind),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => self.unicode()?,
            _ => return None,
        })
    }

    /// After `\u`; half a surrogate pair becomes a replacement character, as in Go.
    fn unicode(&mut self) -> Option<char> {
        let high = self.hexadecimal()?;
        if (0xd800..0xdc00).contains(&high) && self.text.get(self.at..)?.starts_with("\\u") {
            let back = self.at;
            self.at += 2;
            let low = self.hexadecimal()?;
            if (0xdc00..0xe000).contains(&low) {
                return char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00));
            }
            self.at = back;
        }
        Some(char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn hexadecimal(&mut self) -> Option<u32> {
        let digits = self.text.get(self.at..self.at + 4)?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        self.at += 4;
        u32::from_str_radix(digits, 16).ok()
    }
}

fn is_number(token: &str) -> bool {
    let token = token.strip_prefix('-').unwrap_or(token);
    let (mantissa, exponent) = match token.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (token, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
    digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(digits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::span::LogicalText;

    fn parse(text: &str) -> Json {
        let mut logical = LogicalText::default();
        logical.push(text, 0, 1, 1);
        array(logical.whole())
    }

    fn strings(text: &str) -> Option<Vec<String>> {
        match parse(text) {
            Json::Strings(words) => Some(words.into_iter().map(|word| word.raw).collect()),
            _ => None,
        }
    }

    #[test]
    fn df_021_arrays_of_strings() {
        for (text, expected) in [
            ("[]", vec![]),
            ("[ ]", vec![]),
            (r#"["a", "b c"]"#, vec!["a", "b c"]),
            (r#"  [ "a" ,"b" ]  "#, vec!["a", "b"]),
            (r#"["\"\\\/\n\u0041\ud83d\ude00\ud83d\u0041"]"#, vec!["\"\\/\nA\u{1f600}\u{fffd}A"]),
            (r#"["é"]"#, vec!["é"]),
        ] {
            assert_eq!(strings(text).expect(text), expected, "{text}");
        }
    }

    #[test]
    fn df_021_what_is_no_json_is_the_shell_form() {
        for text in [
            "['a']",
            "[\"a\"",
            "[\"a\",]",
            "[\"a\"] x",
            "[\"a\\x\"]",
            "[ -f x ]",
            "[a]",
            "",
            "x",
            "[\"a\" \"b\"]",
            "[\"a\tb\"]",
            "[01]",
            "[1.]",
            "[\"\\u12\"]",
            "[\"\\u+123\"]",
            "[-]",
            "[{\"a\"}]",
        ] {
            assert_eq!(parse(text), Json::No, "{text}");
        }
        assert_eq!(parse(&"[".repeat(100_000)), Json::No);
    }

    #[test]
    fn df_021_other_elements_are_found() {
        for (text, place) in [
            (r#"["a", 1]"#, 6..7),
            (r#"[null]"#, 1..5),
            (r#"[-1.5e+3]"#, 1..8),
            (r#"[["a"]]"#, 1..6),
            (r#"[{"a" : [true, 0]}, "b"]"#, 1..18),
        ] {
            match parse(text) {
                Json::Other(span) => assert_eq!(span.range(), place, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }
}
