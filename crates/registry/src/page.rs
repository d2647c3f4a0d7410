//! The page for people.

use hyper::StatusCode;
use store::RepositoryName;

use crate::reply::{Answer, bytes};
use crate::service::Exchange;

/// Shows all repositories, or one.
pub(crate) async fn show(exchange: &Exchange, name: Option<&RepositoryName>) -> Answer {
    let _ = (exchange, name);
    Ok(bytes(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", "a registry; its API is at /v2/\n"))
}
