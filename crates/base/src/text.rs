//! Printing what comes from outside: names, paths and messages that may hold anything.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A path for a message: as it is when it is plain, quoted and escaped otherwise.
pub fn path(path: &Path) -> Cow<'_, str> {
    bytes(path.as_os_str().as_bytes())
}

/// Bytes for a message: as they are when they are plain text without blanks, quoted and escaped otherwise.
pub fn bytes(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.is_empty() && text.chars().all(is_plain) => Cow::Borrowed(text),
        Ok(text) => Cow::Owned(format!("{text:?}")),
        Err(_) => Cow::Owned(format!("{:?}", OsStr::from_bytes(bytes))),
    }
}

/// Text for a message, where blanks are usual: control characters become escapes, all else stays.
pub fn line(text: &str) -> Cow<'_, str> {
    if text.chars().all(|character| !hides(character)) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if hides(character) { escaped.extend(character.escape_debug()) } else { escaped.push(character) }
    }
    Cow::Owned(escaped)
}

/// JSON for a terminal: what it may hold as it is and a terminal should not see gets JSON's own escapes. The document is the same.
pub fn json(text: &str) -> Cow<'_, str> {
    let hides = |character: char| character != '\n' && hides(character);
    if !text.chars().any(hides) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if hides(character) {
            let units = character
                .encode_utf16(&mut [0; 2])
                .iter()
                .map(|unit| format!("\\u{unit:04x}"))
                .collect::<String>();
            escaped.push_str(&units);
        } else {
            escaped.push(character);
        }
    }
    Cow::Owned(escaped)
}

fn is_plain(character: char) -> bool {
    !character.is_whitespace() && !hides(character) && !matches!(character, '"' | '\\')
}

/// Control characters, and those that reorder or hide text on a terminal.
fn hides(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// The bytes that an address means, with `%41` and the like replaced.
pub fn percent_decoded(text: &str) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let digits =
            after.get(..2).filter(|digits| first == b'%' && digits.iter().all(u8::is_ascii_hexdigit));
        let byte = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        decoded.push(byte.unwrap_or(first));
        rest = if byte.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_what_could_deceive() {
        for (input, expected) in [
            ("/a/b", "/a/b"),
            ("a b", "\"a b\""),
            ("", "\"\""),
            ("\u{1b}[31m", "\"\\u{1b}[31m\""),
            ("a\u{202e}b", "\"a\\u{202e}b\""),
        ] {
            assert_eq!(bytes(input.as_bytes()), expected);
        }
        assert_eq!(bytes(b"\xff"), "\"\\xFF\"");
        assert_eq!(line("two words"), "two words");
        assert_eq!(line("a\u{1b}b"), "a\\u{1b}b");
        assert_eq!(json("{\n\"a\u{9b}\": \"\u{7f}\u{202e}é\"}"), "{\n\"a\\u009b\": \"\\u007f\\u202eé\"}");
    }
}
