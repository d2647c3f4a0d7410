//! Who asks for a repository: what is sent with each request to its server, and to no other (DF-140).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::source::{Remote, Transport};

/// The value of the header `Authorization`.
#[derive(Clone, PartialEq, Eq)]
pub struct Authorization(String);

/// A secret that a build may have for a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    /// Its name.
    pub id: String,
    /// Whether it is a token; else it is the header itself.
    pub is_token: bool,
}

impl std::fmt::Debug for Authorization {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("(secret)")
    }
}

impl Authorization {
    /// A user and a password.
    pub(crate) fn basic(user: &str, password: &str) -> Self {
        Self(format!("basic {}", STANDARD.encode(format!("{user}:{password}"))))
    }

    /// What a secret says; `None` when no header can say that. Blanks around it, which editors leave behind, do not count.
    pub fn of_secret(secret: &Secret, value: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(value).ok()?.trim();
        if text.is_empty() || text.chars().any(char::is_control) {
            return None;
        }
        Some(match secret.is_token {
            true => Self::basic("x-access-token", text),
            false => Self(text.to_owned()),
        })
    }

    pub(crate) fn header(&self) -> String {
        format!("Authorization: {}", self.0)
    }
}

impl Remote {
    /// The secrets that say who asks, the first one that is there counts; none where HTTP is not spoken.
    pub fn secrets(&self) -> Vec<Secret> {
        if !matches!(self.transport, Transport::Http | Transport::Https) {
            return Vec::new();
        }
        let names = [("GIT_AUTH_HEADER", false), ("GIT_AUTH_TOKEN", true)];
        let of_host = names.map(|(name, is_token)| Secret { id: format!("{name}.{}", self.host), is_token });
        let of_all = names.map(|(name, is_token)| Secret { id: name.to_owned(), is_token });
        of_host.into_iter().chain(of_all).collect()
    }

    /// The addresses that credentials are for: this repository; on GitHub, all of them, since submodules mostly are there, too.
    pub(crate) fn scope(&self) -> &str {
        let github = ["https://github.com/", "https://www.github.com/"];
        github.into_iter().find(|scope| self.url.starts_with(scope)).unwrap_or(&self.url)
    }
}

#[cfg(test)]
mod tests {
    use crate::Source;

    use super::*;

    #[test]
    fn df_140_the_more_exact_secret_comes_first() {
        let remote = |text: &str| Source::parse(text).expect("valid").expect("a repository").remote;
        let ids: Vec<String> =
            remote("https://host:8/a.git").secrets().into_iter().map(|secret| secret.id).collect();
        let expected =
            ["GIT_AUTH_HEADER.host:8", "GIT_AUTH_TOKEN.host:8", "GIT_AUTH_HEADER", "GIT_AUTH_TOKEN"];
        assert_eq!(ids, expected);
        assert_eq!(remote("git://host/a").secrets(), []);
        assert_eq!(remote("https://github.com/a/b.git").scope(), "https://github.com/");
        assert_eq!(remote("https://github.community/a.git").scope(), "https://github.community/a.git");
    }

    #[test]
    fn df_140_what_a_secret_says() {
        let said = |is_token, value: &[u8]| {
            let secret = Secret { id: "GIT_AUTH_TOKEN".to_owned(), is_token };
            Authorization::of_secret(&secret, value).map(|authorization| authorization.header())
        };
        assert_eq!(said(true, b"abc\n").as_deref(), Some("Authorization: basic eC1hY2Nlc3MtdG9rZW46YWJj"));
        assert_eq!(said(false, b"Bearer abc\r\n").as_deref(), Some("Authorization: Bearer abc"));
        for nothing in [&b"\n"[..], b"a\nX-Other: b", b"\xff"] {
            assert_eq!(said(false, nothing), None);
        }
    }
}
