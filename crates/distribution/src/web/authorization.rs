//! Who asks for a file of the web: what is sent to the server that its address names, and to no other (DF-140).

use reqwest::Url;
use reqwest::header::HeaderValue;

/// What is shown to a server: the header `Authorization`. It is never printed.
#[derive(Debug, Clone)]
pub struct Authorization(pub(super) HeaderValue);

/// A secret that a build may have for a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    /// Its name.
    pub id: String,
    /// What comes before it in the header: nothing, when it is the header itself.
    scheme: &'static str,
}

/// The secrets for the server of an address, the first one that is there counts: those for its port come before those for all ports, and whole headers
/// before tokens. Text that is no address has none.
pub fn secrets(url: &str) -> Vec<Secret> {
    // By the parser that decides where the request goes: others see another host in `https://a\@b`.
    let Some(url) = super::parse(url) else { return Vec::new() };
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else { return Vec::new() };
    let kinds = [("HTTP_AUTH_HEADER", ""), ("HTTP_AUTH_TOKEN", "Bearer ")];
    let of = |host: &str| kinds.map(|(kind, scheme)| Secret { id: format!("{kind}_{host}"), scheme });
    [of(&format!("{host}:{port}")), of(host)].concat()
}

/// The name of the secret that a server may want.
pub(super) fn wanted(url: &Url) -> Option<String> {
    Some(format!("HTTP_AUTH_TOKEN_{}", url.host_str()?))
}

impl Authorization {
    /// What a secret says; `None` when no header can say that. Blanks around it, which editors leave behind, do not count.
    pub fn of_secret(secret: &Secret, value: &[u8]) -> Option<Self> {
        let text = value.trim_ascii();
        let mut header = HeaderValue::from_bytes(&[secret.scheme.as_bytes(), text].concat()).ok()?;
        header.set_sensitive(true);
        (!text.is_empty()).then_some(Self(header))
    }

    /// Whether a text repeats it; the name of its scheme is no secret.
    pub(super) fn is_in(&self, text: &str) -> bool {
        let words = self.0.as_bytes().rsplit(u8::is_ascii_whitespace);
        words.take(1).any(|secret| text.contains(&*String::from_utf8_lossy(secret)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn df_140_the_more_exact_secret_comes_first() {
        let ids = |url: &str| secrets(url).into_iter().map(|secret| secret.id).collect::<Vec<_>>();
        let of = |hosts: [&str; 2]| {
            hosts.map(|host| ["HEADER", "TOKEN"].map(|kind| format!("HTTP_AUTH_{kind}_{host}"))).concat()
        };
        for (url, expected) in [
            ("https://host/x", ["host:443", "host"]),
            ("http://u:p@HOST?x", ["host:80", "host"]),
            ("https://host:81#@other", ["host:81", "host"]),
            ("https://a@b@host/", ["host:443", "host"]),
            (r"https://host\@other/", ["host:443", "host"]),
            ("https://[::1]:8443/", ["[::1]:8443", "[::1]"]),
        ] {
            assert_eq!(ids(url), of(expected), "{url}");
        }
        for url in ["host/x", "ftp://host/x", "https://", "https:///"] {
            assert_eq!(ids(url), [""; 0], "{url}");
        }
    }

    #[test]
    fn df_140_what_a_secret_says() {
        let said = |scheme, value: &[u8]| {
            let secret = Secret { id: "HTTP_AUTH_TOKEN_host".to_owned(), scheme };
            let authorization = Authorization::of_secret(&secret, value)?;
            assert_eq!(format!("{authorization:?}"), "Authorization(Sensitive)");
            assert!(!authorization.is_in("Bearer or Basic"));
            assert!(
                authorization.is_in(&format!("{} is wrong", String::from_utf8_lossy(value.trim_ascii())))
            );
            Some(authorization.0.as_bytes().to_vec())
        };
        assert_eq!(said("Bearer ", b"word\r\n").as_deref(), Some(b"Bearer word".as_slice()));
        assert_eq!(said("", b" Basic eDp5\n").as_deref(), Some(b"Basic eDp5".as_slice()));
        for none in [b"".as_slice(), b" \n", b"a\nb: c", b"a\0b"] {
            assert_eq!(said("Bearer ", none), None, "{none:?}");
        }
    }
}
