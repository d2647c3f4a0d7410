//! The cookies of one registry (RC-051): a load balancer keeps an upload with one of several servers by them. They are kept as long as the process
//! lives, and go to the registry itself alone, whatever domain they name.

use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderValue, SET_COOKIE};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

/// More are not kept, and no larger ones: what RFC 6265 asks of clients is 50 of 4096 bytes.
const MAX_COOKIES: usize = 50;
const MAX_COOKIE: usize = 4096;

/// The cookies that a registry has set.
#[derive(Default)]
pub(crate) struct Jar(Mutex<Vec<Cookie>>);

struct Cookie {
    name: String,
    value: String,
    path: String,
    /// Only for TLS.
    secure: bool,
}

impl Jar {
    /// Takes note of what an answer sets.
    pub(crate) fn take(&self, headers: &HeaderMap, now: SystemTime) {
        for text in headers.get_all(SET_COOKIE).iter().filter_map(|value| value.to_str().ok()) {
            let Some((cookie, lives)) = read(text, now) else { continue };
            let mut cookies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            cookies.retain(|other| (&other.name, &other.path) != (&cookie.name, &cookie.path));
            if lives && cookies.len() < MAX_COOKIES {
                cookies.push(cookie);
            }
        }
    }

    /// What a request to the registry carries. No log shows it.
    pub(crate) fn header(&self, url: &Url) -> Option<HeaderValue> {
        let cookies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |cookie: &&Cookie| {
            (!cookie.secure || url.scheme() == "https") && is_below(url.path(), &cookie.path)
        };
        let pairs: Vec<_> =
            cookies.iter().filter(fits).map(|cookie| format!("{}={}", cookie.name, cookie.value)).collect();
        let mut value =
            HeaderValue::from_str(&pairs.join("; ")).ok().filter(|value| !value.as_bytes().is_empty())?;
        value.set_sensitive(true);
        Some(value)
    }
}

/// Whether a path is below the one of a cookie.
fn is_below(path: &str, above: &str) -> bool {
    path.strip_prefix(above)
        .is_some_and(|rest| rest.is_empty() || above.ends_with('/') || rest.starts_with('/'))
}

/// A cookie, and whether it is to be kept: one that has expired takes another one's place.
fn read(text: &str, now: SystemTime) -> Option<(Cookie, bool)> {
    if text.len() > MAX_COOKIE {
        return None;
    }
    let mut parts = text.split(';').map(str::trim);
    let (name, value) = parts.next()?.split_once('=').filter(|(name, _)| !name.trim().is_empty())?;
    let mut cookie = Cookie {
        name: name.trim().to_owned(),
        value: value.trim().to_owned(),
        path: "/".to_owned(),
        secure: false,
    };
    let (mut by_age, mut by_date) = (None, None);
    for part in parts {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        match name.trim().to_ascii_lowercase().as_str() {
            "path" if value.starts_with('/') => cookie.path = value.to_owned(),
            "secure" => cookie.secure = true,
            "max-age" => by_age = value.trim().parse::<i64>().ok().map(|seconds| seconds > 0),
            "expires" => {
                let date = OffsetDateTime::parse(value.trim(), &Rfc2822).ok();
                by_date = date.map(|date| SystemTime::from(date) > now);
            }
            _ => {}
        }
    }
    Some((cookie, by_age.or(by_date).unwrap_or(true)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn rc_051_cookies_are_kept_replaced_and_forgotten() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_445_412_480);
        let cases: [(&[&str], &str, Option<&str>); 12] = [
            (
                &["AWSALB=a/b+c==; Expires=Thu, 22 Oct 2015 07:28:00 GMT; Path=/"],
                "https://r/v2/",
                Some("AWSALB=a/b+c=="),
            ),
            (&["a=1", "b=2"], "https://r/", Some("a=1; b=2")),
            (&["a=1", "a=2"], "https://r/", Some("a=2")),
            (&["a=1", "a=; Max-Age=0"], "https://r/", None),
            (&["a=1", "a=; Expires=Thu, 01 Jan 1970 00:00:00 GMT"], "https://r/", None),
            (&["a=1; Max-Age=5; Expires=Thu, 01 Jan 1970 00:00:00 GMT"], "https://r/", Some("a=1")),
            (&["a=1; Secure"], "http://r/", None),
            (&["a=1; Secure; HttpOnly; SameSite=None"], "https://r/", Some("a=1")),
            (&["a=1; Path=/v2/app"], "https://r/v2/app/blobs/uploads/1", Some("a=1")),
            (&["a=1; Path=/v2/app"], "https://r/v2/application", None),
            (&["nothing"], "https://r/", None),
            (&["=x"], "https://r/", None),
        ];
        for (set, address, expected) in cases {
            let jar = Jar::default();
            for text in set {
                let headers = HeaderMap::from_iter([(SET_COOKIE, HeaderValue::from_static(text))]);
                jar.take(&headers, now);
            }
            let url = Url::parse(address).expect("an address");
            let carried = jar.header(&url);
            let carried = carried.as_ref().map(|value| value.to_str().expect("text"));
            assert_eq!(carried, expected, "{set:?} {address}");
        }
    }

    #[test]
    fn rc_051_there_is_an_end_to_what_is_kept() {
        let jar = Jar::default();
        for number in 0..100 {
            let value = HeaderValue::from_str(&format!("a{number}=1")).expect("a header");
            jar.take(&HeaderMap::from_iter([(SET_COOKIE, value)]), SystemTime::now());
        }
        let large = HeaderValue::from_str(&format!("large={}", "x".repeat(MAX_COOKIE))).expect("a header");
        jar.take(&HeaderMap::from_iter([(SET_COOKIE, large)]), SystemTime::now());
        assert_eq!(jar.0.lock().expect("no panic").len(), MAX_COOKIES);
    }
}
