//! One line for each request.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hyper::http::request::Parts;
use hyper::{Uri, header};
use serde::Serialize;

use crate::reply::Reply;

/// How much of a text that a client sends is kept.
const MAX_TEXT: usize = 512;

/// The parameters of the API: none of them is a secret.
const PARAMETERS: [&str; 9] =
    ["artifactType", "digest", "digest-algorithm", "from", "last", "mount", "n", "prefix", "tag"];

/// A request that was answered.
#[derive(Debug, Clone, Serialize)]
pub struct Access {
    /// When it came, in milliseconds since 1970.
    pub time: u64,
    /// Its name, which the reply has in `X-Request-Id`.
    pub id: String,
    /// Where it came from.
    pub peer: String,
    /// As whom.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// GET, PUT …
    pub method: String,
    /// The path, and the query unless something in it could be a secret.
    pub path: String,
    /// The status of the reply.
    pub status: u16,
    /// How many bytes the reply has.
    pub bytes: u64,
    /// How many microseconds passed until the reply began.
    pub micros: u64,
    /// What the client says that it is.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub agent: String,
    /// What went wrong on the registry's side.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Access {
    pub(crate) fn new(parts: &Parts, peer: String) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let agent = parts.headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
        Self {
            time: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
            id: String::new(),
            peer,
            user: None,
            method: short(parts.method.as_str()),
            path: short(&shown(&parts.uri)),
            status: 0,
            bytes: 0,
            micros: 0,
            agent: short(agent.unwrap_or_default()),
            error: None,
        }
    }

    pub(crate) fn finish(&mut self, id: String, reply: &Reply, took: Duration) {
        self.id = id;
        self.status = reply.status().as_u16();
        self.bytes = if self.method == "HEAD" { 0 } else { reply.body().len() };
        self.micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    }
}

/// A path with its query, or with `?…` when something stands there that the API does not know.
fn shown(uri: &Uri) -> String {
    let Some(query) = uri.query() else { return uri.path().to_owned() };
    let is_parameter = |pair: &str| PARAMETERS.contains(&pair.split('=').next().unwrap_or_default());
    let is_known = query.split('&').all(is_parameter);
    format!("{}?{}", uri.path(), if is_known { query } else { "…" })
}

fn short(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}
