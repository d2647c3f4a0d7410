//! What a server wants to see (RC-021): `WWW-Authenticate`, read as RFC 9110 has it.

use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};

/// One thing that a server would accept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

/// All challenges that are known here, of all headers.
pub(crate) fn challenges(headers: &HeaderMap) -> Vec<Challenge> {
    let texts = headers.get_all(WWW_AUTHENTICATE).into_iter();
    texts.filter_map(|text| text.to_str().ok()).flat_map(read).collect()
}

/// Reads one header: schemes, each with its parameters, all with commas between them.
fn read(text: &str) -> Vec<Challenge> {
    let mut found: Vec<(String, Vec<(String, String)>)> = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let Some((word, after)) = token(rest) else { break };
        let behind = after.trim_start_matches([' ', '\t']);
        match (behind.strip_prefix('='), found.last_mut()) {
            (Some(value), Some((_, parameters))) => {
                let (value, after) = self::value(value.trim_start_matches([' ', '\t']));
                parameters.push((word.to_ascii_lowercase(), value));
                rest = after;
            }
            (Some(_), None) => break,
            (None, _) => {
                found.push((word.to_ascii_lowercase(), Vec::new()));
                rest = after;
            }
        }
    }
    found.into_iter().filter_map(|(scheme, parameters)| challenge(&scheme, &parameters)).collect()
}

fn challenge(scheme: &str, parameters: &[(String, String)]) -> Option<Challenge> {
    let parameter =
        |name: &str| parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    match scheme {
        "basic" => Some(Challenge::Basic),
        "bearer" => Some(Challenge::Bearer {
            realm: parameter("realm")?,
            service: parameter("service"),
            scope: parameter("scope").filter(|scope| !scope.is_empty()),
        }),
        _ => None,
    }
}

/// A word up to what separates words; `None` where there is none.
fn token(text: &str) -> Option<(&str, &str)> {
    let end = text.find([' ', '\t', ',', '=', '"']).unwrap_or(text.len());
    text.split_at_checked(end).filter(|(word, _)| !word.is_empty())
}

/// A quoted text, or a word.
fn value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([' ', '\t', ',']).unwrap_or(text.len());
        let (word, rest) = text.split_at(end);
        return (word.to_owned(), rest);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((place, character)) = characters.next() {
        match character {
            '"' => return (value, quoted.get(place + 1..).unwrap_or_default()),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        Challenge::Bearer {
            realm: realm.to_owned(),
            service: service.map(str::to_owned),
            scope: scope.map(str::to_owned),
        }
    }

    #[test]
    fn rc_021_challenges_in_all_their_forms() {
        for (text, expected) in [
            (r#"Basic realm="x""#, vec![Challenge::Basic]),
            ("basic", vec![Challenge::Basic]),
            (
                r#"Bearer realm="https://a/token",service="a",scope="repository:a/b:pull,push""#,
                vec![bearer("https://a/token", Some("a"), Some("repository:a/b:pull,push"))],
            ),
            ("BEARER Realm=https://a/t , SERVICE=b", vec![bearer("https://a/t", Some("b"), None)]),
            (
                r#"Negotiate abc==, Bearer realm="r\"1", Basic realm="a, b""#,
                vec![bearer("r\"1", None, None), Challenge::Basic],
            ),
            (r#"Basic realm="a", Bearer realm="b""#, vec![Challenge::Basic, bearer("b", None, None)]),
            (r#"Bearer service="no realm""#, vec![]),
            ("Bearer realm=\"unclosed", vec![bearer("unclosed", None, None)]),
            ("", vec![]),
            (",,=,", vec![]),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn rc_021_several_headers() {
        let mut headers = HeaderMap::new();
        for text in ["Basic realm=a", "Bearer realm=b"] {
            headers.append(WWW_AUTHENTICATE, text.parse().expect("a header"));
        }
        assert_eq!(challenges(&headers), [Challenge::Basic, bearer("b", None, None)]);
    }
}
