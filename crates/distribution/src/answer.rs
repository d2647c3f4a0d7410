//! What a registry says when it refuses (RC-114, RC-115), ready to be shown.

use serde::Deserialize;

use crate::http::Answer;

/// More is not read of an answer that is an error.
const MAX_BODY: u64 = 1 << 20;
/// How much of a text is repeated.
const MAX_SHOWN: usize = 300;

/// What the body of an answer says, on one line; empty when it says nothing.
pub(crate) fn said(answer: &mut Answer<'_>) -> String {
    match answer.bytes(MAX_BODY) {
        Ok(Some(body)) => text_of(&body),
        // The status says enough.
        Ok(None) | Err(_) => String::new(),
    }
}

#[derive(Deserialize)]
struct Errors {
    errors: Vec<One>,
}

#[derive(Deserialize)]
struct One {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

/// Token servers, and some proxies.
#[derive(Deserialize)]
struct Plain {
    #[serde(alias = "error_description", alias = "message", alias = "detail")]
    details: String,
}

fn text_of(body: &[u8]) -> String {
    let text = if let Ok(Errors { errors }) = serde_json::from_slice::<Errors>(body) {
        let one = |error: &One| match (error.code.as_str(), error.message.as_str()) {
            ("", message) => message.to_owned(),
            (code, "") => code.to_owned(),
            (code, message) => format!("{message} ({code})"),
        };
        errors.iter().map(one).collect::<Vec<_>>().join("; ")
    } else if let Ok(Plain { details }) = serde_json::from_slice::<Plain>(body) {
        details
    } else {
        let text = String::from_utf8_lossy(body);
        // A page for people: its first words will do.
        let text = if text.trim_start().starts_with('<') { without_tags(&text) } else { text.into_owned() };
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let short: String = text.chars().take(MAX_SHOWN).collect();
    base::text::line(short.trim()).into_owned()
}

fn without_tags(html: &str) -> String {
    let mut text = String::new();
    let mut inside = false;
    for character in html.chars() {
        match character {
            '<' => (inside, text) = (true, text + " "),
            '>' => inside = false,
            other if !inside => text.push(other),
            _ => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rc_114_errors_are_shown_harmlessly_on_one_line() {
        for (body, expected) in [
            (r#"{"errors":[{"code":"DENIED","message":"no","detail":{"x":[1]}}]}"#, "no (DENIED)"),
            (r#"{"errors":[{"code":"A"},{"message":"b"}]}"#, "A; b"),
            (r#"{"errors":[]}"#, ""),
            (r#"{"details":"incorrect username or password"}"#, "incorrect username or password"),
            ("<html><h1>502 Bad\nGateway</h1></html>", "502 Bad Gateway"),
            ("", ""),
            ("a\u{1b}[31mb", "a\\u{1b}[31mb"),
        ] {
            assert_eq!(text_of(body.as_bytes()), expected, "{body}");
        }
        assert_eq!(text_of(&[b'x'; 4000]).len(), MAX_SHOWN);
    }
}
