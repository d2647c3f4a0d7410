//! What registries want their users to know (RC-113): `Warning: 299 - "…"`.

use std::sync::{Mutex, PoisonError};

use reqwest::header::{HeaderMap, WARNING};

/// How much of one is repeated: what the specification allows.
const MAX_WARNING: usize = 4096;
/// More are not kept. A registry that has more to say says the same in other words.
const MAX_WARNINGS: usize = 16;

/// The warnings so far, each once.
#[derive(Default)]
pub(crate) struct Warnings(Mutex<State>);

#[derive(Default)]
struct State {
    all: Vec<String>,
    told: usize,
}

impl Warnings {
    /// Takes note of what an answer of a registry says.
    pub(crate) fn take(&self, host: &str, headers: &HeaderMap) {
        let texts =
            headers.get_all(WARNING).iter().filter_map(|value| std::str::from_utf8(value.as_bytes()).ok());
        for text in texts.filter_map(read) {
            let warning = format!("{host} says: {}", base::text::line(&text));
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if state.all.len() < MAX_WARNINGS && !state.all.contains(&warning) {
                state.all.push(warning);
            }
        }
    }

    /// Those that nobody has been told yet.
    pub(crate) fn news(&self) -> Vec<String> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let news = state.all.get(state.told..).unwrap_or_default().to_vec();
        state.told = state.all.len();
        news
    }
}

/// The text of a warning, if it is one of those that registries may give: others are about caches.
fn read(text: &str) -> Option<String> {
    let quoted = text.trim().strip_prefix("299 - \"")?;
    let mut said = String::new();
    let mut signs = quoted.chars();
    while let Some(sign) = signs.next() {
        match sign {
            '"' => break,
            '\\' => said.extend(signs.next()),
            other => said.push(other),
        }
        if said.len() > MAX_WARNING {
            said.push('…');
            break;
        }
    }
    (!said.trim().is_empty()).then_some(said)
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn rc_113_warnings_are_told_once_and_harmlessly() {
        let warnings = Warnings::default();
        for text in [
            r#"299 - "this repository is deprecated""#,
            r#"299 - "this repository is deprecated""#,
            r#"299 - "a \"quoted\" word \\ a slash""#,
            r#"299 - """#,
            r#"110 cache "stale""#,
            "299",
        ] {
            warnings.take("r.example", &HeaderMap::from_iter([(WARNING, HeaderValue::from_static(text))]));
        }
        assert_eq!(
            warnings.news(),
            ["r.example says: this repository is deprecated", r#"r.example says: a "quoted" word \ a slash"#]
        );
        assert!(warnings.news().is_empty());
        let evil = HeaderValue::from_bytes("299 - \"a\u{202e}b\tc\"".as_bytes()).expect("a header");
        warnings.take("r.example", &HeaderMap::from_iter([(WARNING, evil)]));
        let news = warnings.news();
        assert!(!news[0].contains('\u{202e}') && !news[0].contains('\t'), "{news:?}");
        let long = HeaderValue::from_str(&format!("299 - \"{}\"", "x".repeat(10_000))).expect("a header");
        warnings.take("r.example", &HeaderMap::from_iter([(WARNING, long)]));
        assert!(warnings.news()[0].len() < MAX_WARNING + 50);
        for number in 0..100 {
            let text = HeaderValue::from_str(&format!("299 - \"{number}\"")).expect("a header");
            warnings.take("r.example", &HeaderMap::from_iter([(WARNING, text)]));
        }
        assert_eq!(warnings.news().len(), MAX_WARNINGS - 4);
    }
}
