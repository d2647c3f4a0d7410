//! Lists in pages: tags and repositories (RS-050, RS-051).

use hyper::{StatusCode, header};
use serde_json::{Value, json};

use crate::access::Action;
use crate::query::encode;
use crate::reply::{Answer, Code, Refusal, Reply, json_reply, set};
use crate::route::Name;
use crate::service::{Exchange, blocking};

/// The longest page: whoever wants more follows the link.
const MAX_PAGE: usize = 1000;

/// `tags/list`
pub(crate) async fn tags(exchange: &Exchange, name: &Name) -> Answer {
    let repository = exchange.state.store.repositories().get(&name.name);
    let tags = blocking(move || {
        let tags: Vec<String> = repository.tags()?.into_iter().map(|tag| tag.name).collect();
        if tags.is_empty() && !repository.exists()? {
            return Err(Refusal::new(Code::NameUnknown, "there is no such repository, or nothing in it"));
        }
        Ok(tags)
    })
    .await?;
    let page = |tags: &[String]| json!({"name": name.asked, "tags": tags});
    paged(exchange, &format!("/v2/{}/tags/list", name.asked), tags, page)
}

/// `_catalog`: the repositories that the client may read; with `prefix`, those whose names begin so.
pub(crate) async fn catalog(exchange: &Exchange) -> Answer {
    let (state, user) = (exchange.state.clone(), exchange.user.clone());
    let prefix = exchange.query.get("prefix").unwrap_or_default().to_owned();
    let names = blocking(move || {
        let mut names = state.store.repositories().list()?;
        names
            .retain(|name| name.as_str().starts_with(&prefix) && state.access.may(&user, Action::Pull, name));
        Ok(names.iter().map(|name| name.as_str().to_owned()).collect())
    })
    .await?;
    paged(exchange, "/v2/_catalog", names, |names| json!({"repositories": names}))
}

/// One page: what comes behind `last`, at most `n`, and a link to the next one.
fn paged(
    exchange: &Exchange,
    path: &str,
    mut all: Vec<String>,
    page: impl Fn(&[String]) -> Value,
) -> Answer<Reply> {
    let count = match exchange.query.get("n") {
        None => MAX_PAGE,
        Some(text) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => {
            text.parse().unwrap_or(usize::MAX).min(MAX_PAGE)
        }
        Some(text) => {
            let text = format!("n is {}, and not a number", base::text::bytes(text.as_bytes()));
            return Err(Refusal::new(Code::PaginationNumberInvalid, text));
        }
    };
    if let Some(last) = exchange.query.get("last") {
        all.retain(|entry| entry.as_str() > last);
    }
    let has_more = all.len() > count;
    all.truncate(count);
    let mut reply = json_reply(StatusCode::OK, &page(&all));
    if let (true, Some(last)) = (has_more, all.last()) {
        let prefix = exchange.query.get("prefix").map(|prefix| format!("&prefix={}", encode(prefix)));
        let more =
            format!("<{path}?n={count}&last={}{}>; rel=\"next\"", encode(last), prefix.unwrap_or_default());
        set(&mut reply, header::LINK, &more);
    }
    Ok(reply)
}
