//! One line for each request.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hyper::header;
use hyper::http::request::Parts;
use serde::Serialize;

use crate::reply::Reply;

/// How much of a text that a client sends is kept.
const MAX_TEXT: usize = 512;

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
    /// The path, and the query unless it could hold a secret.
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
            path: short(parts.uri.path_and_query().map_or("/", |path| path.as_str())),
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

fn short(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}
