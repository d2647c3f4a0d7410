//! Files of the web, as ADD copies them (DF-138).

use std::path::PathBuf;

use store::table::ContentDigest;

/// What is known of a downloaded file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Downloaded {
    /// Where it is; `None` when it is known what the server has, and it was not downloaded: enough for the content key.
    pub path: Option<PathBuf>,
    /// How many bytes it has.
    pub size: u64,
    /// What they are.
    pub content: ContentDigest,
    /// When it was made, in seconds since 1970.
    pub mtime: i64,
}

/// The name that a URL gives a file: the last element of its path, decoded. Empty when there is none that a file could have.
pub(super) fn name_of(url: &str) -> Vec<u8> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let path = rest.split_once('/').map_or("", |(_, path)| path);
    let decoded = decoded(path);
    let name = decoded.split(|byte| *byte == b'/').rfind(|name| !name.is_empty()).unwrap_or_default();
    if matches!(name, b"." | b"..") || name.contains(&0) { Vec::new() } else { name.to_vec() }
}

/// A URL for messages: what may be secret in it (user, query) is left out.
pub fn shown(url: &str) -> String {
    let whole = url.split(['?', '#']).next().unwrap_or_default();
    let Some((scheme, rest)) = whole.split_once("://") else { return whole.to_owned() };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}{path}")
}

fn decoded(text: &str) -> Vec<u8> {
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
    fn df_138_what_may_be_secret_is_not_shown() {
        for (url, expected) in [
            ("https://user:pass@host:8/a@b?token=1#x", "https://host:8/a@b"),
            ("http://host?token", "http://host"),
        ] {
            assert_eq!(shown(url), expected, "{url}");
        }
    }

    #[test]
    fn df_138_the_name_is_the_last_element_of_the_path() {
        for (url, expected) in [
            ("http://host/a/b.tar.gz", "b.tar.gz"),
            ("https://host/a/b?c=/d#/e", "b"),
            ("http://host/a/", "a"),
            ("http://host/a%20b%2", "a b%2"),
            ("http://host/a%2fb", "b"),
            ("http://host/", ""),
            ("http://host", ""),
            ("http://host?/a", ""),
            ("http://host/a/..", ""),
            ("http://host/%2e%2E", ""),
            ("http://host/a%00", ""),
        ] {
            assert_eq!(name_of(url), expected.as_bytes(), "{url}");
        }
    }
}
