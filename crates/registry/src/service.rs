//! From a request to a reply: who asks, for what, and who answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::body::{Body as _, Incoming};
use hyper::header::{self, HeaderMap};
use hyper::{Method, Request, StatusCode};
use serde_json::json;
use tokio::task::spawn_blocking;

use crate::access::{Action, User};
use crate::body;
use crate::log::Access;
use crate::query::Query;
use crate::reply::{Answer, Code, Refusal, Reply, empty, json_reply, set};
use crate::route::Route;
use crate::state::State;
use crate::{blobs, listing, manifests, page, referrers, uploads};

/// How much of a body that nobody wants is read, so that the client sees the reply before its connection breaks (RS-007).
const MAX_DRAINED: u64 = 64 << 20;
/// How long.
const MAX_DRAINING: Duration = Duration::from_secs(10);

/// A request without its body, and who sent it.
pub(crate) struct Exchange {
    pub state: Arc<State>,
    pub method: Method,
    pub headers: HeaderMap,
    pub query: Query,
    pub user: User,
}

impl Exchange {
    /// A header as text.
    pub fn header(&self, name: impl header::AsHeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Whether only the head of the reply is wanted.
    pub fn is_head(&self) -> bool {
        self.method == Method::HEAD
    }
}

/// Answers a request.
pub(crate) async fn serve(state: Arc<State>, request: Request<Incoming>, peer: String) -> Reply {
    let started = Instant::now();
    let (parts, mut body) = request.into_parts();
    let route = Route::parse(parts.uri.path());
    let expects = parts.headers.contains_key(header::EXPECT);
    let mut access = Access::new(&parts, peer);
    let is_page = page::is_wanted(parts.uri.path(), &parts.headers);
    let _running = state.metrics.begin();
    let answer = answer(&state, &route, parts, &mut body, &mut access).await;
    let mut reply = answer.unwrap_or_else(|refusal| {
        access.error = refusal.cause.clone();
        if is_page { page::refused(refusal) } else { refusal.reply() }
    });
    // A client that waits for "100 Continue" has sent nothing, and need not.
    if !body.is_end_stream() && !expects {
        tokio::spawn(drain(body));
    }
    let id = state.next_id();
    set(&mut reply, header::HeaderName::from_static("x-request-id"), &id);
    set(&mut reply, header::HeaderName::from_static("docker-distribution-api-version"), "registry/2.0");
    set(&mut reply, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    if let Some(warning) = &state.options.warning {
        // RS-054: what the operator has to say.
        let text = warning.replace(['\\', '"'], "'");
        set(&mut reply, header::WARNING, &format!("299 - \"{text}\""));
    }
    access.finish(id, &reply, started.elapsed());
    state.metrics.end(&access);
    (state.options.log)(&access);
    if access.method == "HEAD" {
        // The headers are those of GET (RS-003).
        *reply.body_mut() = body::Body::empty();
    }
    reply
}

async fn answer(
    state: &Arc<State>,
    route: &Route,
    parts: hyper::http::request::Parts,
    body: &mut Incoming,
    access: &mut Access,
) -> Answer {
    let method = parts.method;
    if matches!(route, Route::Health) {
        return health(state).await;
    }
    let action = Action::of(&method, route);
    let user = state.access.check(&parts.headers, action, route).await?;
    access.user = user.name().map(str::to_owned);
    if let Route::BadName(name) = route {
        let text = format!("{} is not the name of a repository", base::text::bytes(name.as_bytes()));
        return Err(Refusal::new(Code::NameInvalid, text));
    }
    if *route == Route::Unknown {
        return Err(
            Refusal::new(Code::Unknown, "there is nothing at this path").status(StatusCode::NOT_FOUND)
        );
    }
    if !route.methods().split(", ").any(|known| known == method.as_str()) {
        let text = format!("{method} is not possible here");
        return Err(Refusal::new(Code::Unsupported, text).header(header::ALLOW, route.methods()));
    }
    let refused = match action {
        Action::Pull => None,
        _ if state.options.read_only => Some("this registry is read-only"),
        Action::Delete if !state.options.delete => Some("this registry does not delete"),
        _ => None,
    };
    if let Some(text) = refused {
        return Err(Refusal::new(Code::Unsupported, text).header(header::ALLOW, "GET, HEAD"));
    }
    let query = Query::parse(parts.uri.query());
    let exchange = Exchange { state: state.clone(), method, headers: parts.headers, query, user };
    dispatch(&exchange, route, body).await
}

async fn dispatch(exchange: &Exchange, route: &Route, body: &mut Incoming) -> Answer {
    match (route, exchange.method.as_str()) {
        (Route::Base, _) => {
            let mut reply = json_reply(StatusCode::OK, &json!({}));
            if let Some(challenge) = exchange.state.access.invitation(&exchange.user) {
                set(&mut reply, header::WWW_AUTHENTICATE, &challenge);
            }
            Ok(reply)
        }
        (Route::Extensions, _) => Ok(json_reply(StatusCode::OK, &json!({"extensions": []}))),
        (Route::Catalog, _) => listing::catalog(exchange).await,
        (Route::Tags(name), _) => listing::tags(exchange, name).await,
        (Route::Referrers(name, digest), _) => referrers::list(exchange, name, digest).await,
        (Route::Blob(name, digest), "DELETE") => blobs::delete(exchange, name, digest).await,
        (Route::Blob(name, digest), _) => blobs::get(exchange, name, digest).await,
        (Route::Uploads(name), _) => uploads::begin(exchange, name, body).await,
        (Route::Upload(name, id), "PATCH") => uploads::append(exchange, name, id, body).await,
        (Route::Upload(name, id), "PUT") => uploads::finish(exchange, name, id, body).await,
        (Route::Upload(name, id), "DELETE") => uploads::cancel(exchange, name, id).await,
        (Route::Upload(name, id), _) => uploads::status(exchange, name, id).await,
        (Route::Manifest(name, reference), "PUT") => manifests::put(exchange, name, reference, body).await,
        (Route::Manifest(name, reference), "DELETE") => manifests::delete(exchange, name, reference).await,
        (Route::Manifest(name, reference), _) => manifests::get(exchange, name, reference).await,
        (Route::Metrics, _) => Ok(exchange.state.metrics.reply()),
        (Route::Page(name), _) => page::show(exchange, name.as_ref()).await,
        (Route::Health | Route::BadName(_) | Route::Unknown, _) => Ok(empty(StatusCode::NOT_FOUND)),
    }
}

/// Whether the store can be read, and written to unless that is not wanted.
async fn health(state: &Arc<State>) -> Answer {
    let state = state.clone();
    blocking(move || {
        if state.options.read_only {
            state.store.names().list()?;
        } else {
            state.store.lease("health")?;
        }
        Ok(crate::reply::bytes(StatusCode::OK, "text/plain; charset=utf-8", "ok\n"))
    })
    .await
}

/// Runs what waits for the disk where it keeps nobody from being served.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Answer<T> + Send + 'static,
) -> Answer<T> {
    spawn_blocking(work).await.unwrap_or_else(|error| {
        let mut refusal = Refusal::new(Code::Unknown, "the registry failed; its log says why");
        refusal.cause = Some(error.to_string());
        Err(refusal)
    })
}

async fn drain(mut body: Incoming) {
    let drained = async {
        let mut count = 0;
        while let Some(Ok(bytes)) = body::next(&mut body).await {
            count += bytes.len() as u64;
            if count > MAX_DRAINED {
                return;
            }
        }
    };
    // After that the connection is closed, whatever the client still sends.
    let _ = tokio::time::timeout(MAX_DRAINING, drained).await;
}
