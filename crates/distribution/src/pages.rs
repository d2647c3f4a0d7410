//! Lists that come in pages: each says where the next one is (RC-110).

use std::collections::HashSet;

use reqwest::header::{HeaderMap, LINK};
use reqwest::{Method, Url};

use crate::Result;
use crate::http::Answer;
use crate::registry::{Call, Registry};

/// A larger page is not read: a thousand tags take a tenth of it.
pub(crate) const MAX_PAGE: u64 = 4 << 20;
/// A list that has more pages does not end.
const MAX_PAGES: usize = 10_000;

/// A list on its way here, page by page.
pub(crate) struct Pages<'a, 'r> {
    registry: &'r Registry<'a>,
    call: Call<'static>,
    next: Option<Url>,
    seen: HashSet<Url>,
}

impl<'a, 'r> Pages<'a, 'r> {
    /// The list that begins at an address; `action` is what the registry would do, for messages.
    pub(crate) fn new(registry: &'r Registry<'a>, url: Url, action: String) -> Self {
        let call = Call {
            method: Method::GET,
            url: url.clone(),
            headers: HeaderMap::new(),
            body: None,
            scopes: registry.scope("pull"),
            action,
            again: true,
        };
        Self { registry, call, next: Some(url), seen: HashSet::new() }
    }

    /// With a header in each request, or other rights.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Call<'static>)) -> Self {
        change(&mut self.call);
        self
    }

    /// The request of the page that was last asked for.
    pub(crate) fn call(&self) -> &Call<'static> {
        &self.call
    }

    /// The answer with the next page, whatever it says; `None` when there is none.
    pub(crate) fn next(&mut self) -> Result<Option<Answer<'a>>> {
        let Some(url) = self.next.take() else { return Ok(None) };
        self.call.url = url.clone();
        let answer = self.registry.send(&self.call)?;
        if answer.status().is_success()
            && let Some(link) = next_link(answer.headers())
        {
            self.seen.insert(url);
            let next = self.follow(&answer, &link)?;
            if self.seen.contains(&next) || self.seen.len() >= MAX_PAGES {
                return Err(self.registry.strange(&self.call.action, "its pages lead in circles"));
            }
            self.next = Some(next);
        }
        Ok(Some(answer))
    }

    /// The address of a link. Proxies before registries let links name another scheme or port than clients use; another host is somebody else.
    fn follow(&self, answer: &Answer<'_>, link: &str) -> Result<Url> {
        let strange = |reason: &str| self.registry.strange(&self.call.action, reason);
        let target = answer.url().join(link).map_err(|_| strange("where it says to go on is no address"))?;
        if target.host_str() != self.call.url.host_str() {
            return Err(strange("its list goes on at another host"));
        }
        let mut next = self.call.url.clone();
        next.set_path(target.path());
        next.set_query(target.query());
        Ok(next)
    }
}

/// What `Link: <ADDRESS>; rel="next"` says, among others of its sort.
fn next_link(headers: &HeaderMap) -> Option<String> {
    let texts = headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok());
    texts.flat_map(links).find_map(|(address, parameters)| {
        let is_next =
            parameters.split(';').filter_map(|parameter| parameter.split_once('=')).any(|(name, value)| {
                name.trim().eq_ignore_ascii_case("rel")
                    && value.trim().trim_matches('"').split(' ').any(|word| word.eq_ignore_ascii_case("next"))
            });
        is_next.then(|| address.to_owned())
    })
}

/// The links of one header: addresses, and what stands behind them.
fn links(text: &str) -> Vec<(&str, &str)> {
    let mut links = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('<') {
        let Some((address, behind)) = after.split_once('>') else { break };
        let mut quoted = false;
        let end = behind.find(|sign| {
            quoted ^= sign == '"';
            sign == ',' && !quoted
        });
        let (parameters, following) = behind.split_at(end.unwrap_or(behind.len()));
        links.push((address, parameters));
        rest = following;
    }
    links
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rc_110_links_in_all_their_forms() {
        for (headers, expected) in [
            (&[r#"</v2/a/tags/list?last=x&n=2>; rel="next""#][..], Some("/v2/a/tags/list?last=x&n=2")),
            (&["<b>;rel=next"], Some("b")),
            (&[r#"<a>; rel="prev", <b>; title="x, y"; REL="Next""#], Some("b")),
            (&[r#"<a>; rel="prev""#, r#"<c>; rel="last next""#], Some("c")),
            (&[r#"<a>; rel="nextish""#], None),
            (&["<a; rel=next"], None),
            (&[""], None),
            (&[], None),
        ] {
            let mut map = HeaderMap::new();
            for header in headers {
                map.append(LINK, header.parse().expect("a header"));
            }
            assert_eq!(next_link(&map).as_deref(), expected, "{headers:?}");
        }
    }
}
