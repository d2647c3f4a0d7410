//! One exchange with a server: a request goes out, the head of an answer comes back, its body is read piece by piece.
//!
//! What is asynchronous ends here: callers block, and are woken by a cancellation, by a byte, or by too long a silence.

mod ahead;
mod body;
mod fault;
mod greeting;
mod proxy;
mod tls;
mod trust;

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base::Cancel;
use bytes::Bytes;
use reqwest::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode, Url};
use tokio::runtime::Runtime;
use tokio::sync::Notify;

pub(crate) use ahead::Ahead;
pub(crate) use body::Body;
pub use fault::{Fault, TransportError};
pub(crate) use fault::{UNKNOWN_AUTHORITY, shown};
pub(crate) use greeting::{Greeting, addresses, connect};
pub(crate) use proxy::{Route, Routes};
pub(crate) use trust::Trust;

use crate::{Config, DistributionError, Result};

/// Threads that move bytes between sockets and those who wait for them: the work itself is done elsewhere.
const WORKERS: usize = 2;
/// Flow control windows of HTTP/2: with smaller ones a single connection is slower than several of HTTP/1 (RC-046).
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;
/// How often it is looked whether a request makes progress.
const LOOK: Duration = Duration::from_millis(100);

/// Connections to servers.
pub(crate) struct Http {
    runtime: Runtime,
    config: Config,
    routes: Routes,
    clients: Mutex<HashMap<Key, reqwest::Client>>,
}

/// Which connections a request can go over: those of servers with certificates or rules of their own, by their authority, or those of all others; and
/// whether it is one of those that move much.
type Key = (Option<(String, Trust)>, bool);

/// A request.
pub(crate) struct Outgoing<'a> {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Option<&'a Body>,
    /// What is believed of this server alone.
    pub trust: Option<&'a Trust>,
    /// Whether much is moved. Several such go over connections of their own, by HTTP/1.1: over a single one they share what it is given (RC-046).
    pub bulk: bool,
}

/// The head of an answer, and its body, to be read.
pub(crate) struct Answer<'a> {
    http: &'a Http,
    response: reqwest::Response,
    cancel: &'a Cancel,
}

impl Http {
    pub(crate) fn new(config: Config) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .thread_name("network")
            .enable_all()
            .build()
            .map_err(|source| DistributionError::Start { source })?;
        let routes = Routes::new(&config.proxies)?;
        Ok(Self { runtime, config, routes, clients: Mutex::default() })
    }

    /// Which proxies there are for what.
    pub(crate) fn routes(&self) -> &Routes {
        &self.routes
    }

    /// The proxy to a server, for messages.
    fn via(&self, url: &Url) -> Option<String> {
        match self.routes.to(url) {
            Route::Through(proxy) => Some(fault::shown(proxy)),
            Route::Direct | Route::Loopback | Route::Excepted(_) => None,
        }
    }

    /// The error of an exchange with a server that does not come to its end.
    pub(crate) fn trouble(&self, url: &Url, fault: Fault) -> TransportError {
        TransportError::new(fault::shown(url), self.via(url), fault)
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// Sends a request and waits for the head of the answer, whatever it says. Follows no redirects.
    pub(crate) fn exchange<'a>(
        &'a self,
        outgoing: Outgoing<'_>,
        cancel: &'a Cancel,
    ) -> Result<Answer<'a>, DistributionError> {
        cancel.check()?;
        let Outgoing { method, url, mut headers, body, trust, bulk } = outgoing;
        let (shown, via) = (fault::shown(&url), self.via(&url));
        let client = self.client(&url, trust, bulk)?;
        // The library says no length of a body that has none, and servers exist that insist on it (RC-072).
        if body.is_some_and(Body::is_empty) {
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        let mut request = client.request(method, url).headers(headers);
        let mut progress = None;
        if let Some(body) = body {
            let (stream, sent) = body.open()?;
            progress = Some(sent);
            request = request.body(stream);
        }
        let patience = &self.config.patience;
        let failed = |fault| DistributionError::Transport(TransportError::new(shown, via, fault));
        let waited = self.wait(cancel, async {
            let mut exchange = std::pin::pin!(request.send());
            let mut last = (0, Instant::now());
            loop {
                tokio::select! {
                    result = &mut exchange => return result.map_err(|error| fault::of(&error)),
                    () = tokio::time::sleep(LOOK) => {}
                }
                let sent = progress.as_ref().map_or((0, true), |sent| {
                    (sent.bytes.load(Ordering::Relaxed), sent.ended.load(Ordering::Relaxed))
                });
                if sent.0 != last.0 {
                    last = (sent.0, Instant::now());
                }
                let limit = if sent.1 && progress.is_some() { patience.answer } else { patience.idle };
                if last.1.elapsed() > limit {
                    return Err(Fault::Stalled(limit));
                }
            }
        });
        match waited? {
            Ok(response) => Ok(Answer { http: self, response, cancel }),
            // The reason lies on this side: the body could not be read.
            Err(_) if progress.as_ref().is_some_and(|sent| sent.failure().is_some()) => {
                let source = progress.and_then(|sent| sent.failure());
                Err(DistributionError::Body {
                    source: source.unwrap_or_else(|| std::io::ErrorKind::Other.into()),
                })
            }
            Err(fault) => Err(failed(fault)),
        }
    }

    /// Blocks until something asynchronous is done, or the work is cancelled.
    fn wait<T>(&self, cancel: &Cancel, work: impl Future<Output = T>) -> Result<T, base::Cancelled> {
        let cancelled = Arc::new(Notify::new());
        let waker = cancelled.clone();
        let _registration = cancel.on_cancel(move || waker.notify_one());
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                () = cancelled.notified() => Err(base::Cancelled),
                result = work => Ok(result),
            }
        })
    }

    /// The client for a server.
    fn client(&self, url: &Url, trust: Option<&Trust>, bulk: bool) -> Result<reqwest::Client> {
        let key = (self.special(url, trust), bulk);
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&key) {
            return Ok(client.clone());
        }
        let client = self.build(key.0.as_ref(), bulk)?;
        clients.insert(key, client.clone());
        Ok(client)
    }

    /// What is special about a server: by this its connections are told from those to others.
    fn special(&self, url: &Url, trust: Option<&Trust>) -> Option<(String, Trust)> {
        let authority = authority(url);
        let trust = trust.cloned().unwrap_or_default();
        let special = trust != Trust::default() || tls::is_special(&self.config, &authority);
        special.then_some((authority, trust))
    }

    fn build(&self, special: Option<&(String, Trust)>, bulk: bool) -> Result<reqwest::Client> {
        let patience = &self.config.patience;
        let mut builder = reqwest::Client::builder()
            .user_agent(&self.config.agent)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .proxy(self.routes.for_library())
            .connect_timeout(special.and_then(|(_, trust)| trust.connect).unwrap_or(patience.connect))
            .tls_backend_preconfigured(tls::config(&self.config, special, bulk)?)
            .http2_initial_stream_window_size(STREAM_WINDOW)
            .http2_initial_connection_window_size(CONNECTION_WINDOW)
            .tcp_nodelay(true);
        if bulk {
            builder = builder.http1_only();
        }
        builder.build().map_err(|error| DistributionError::Start { source: std::io::Error::other(error) })
    }
}

impl Answer<'_> {
    pub(crate) fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// `HTTP/1.1`, `HTTP/2`
    pub(crate) fn version(&self) -> &'static str {
        match self.response.version() {
            reqwest::Version::HTTP_2 => "HTTP/2",
            reqwest::Version::HTTP_10 => "HTTP/1.0",
            _ => "HTTP/1.1",
        }
    }

    /// Where it came from.
    pub(crate) fn url(&self) -> &Url {
        self.response.url()
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// A header as text, if it is there and is text.
    pub(crate) fn header(&self, name: HeaderName) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    /// How many bytes the body has, if that is said.
    pub(crate) fn length(&self) -> Option<u64> {
        self.header(CONTENT_LENGTH)?.parse().ok()
    }

    /// The next piece of the body; `None` at its end.
    pub(crate) fn piece(&mut self) -> Result<Option<Bytes>> {
        let next = next_piece(&mut self.response, self.http.config.patience.idle);
        let waited = self.http.wait(self.cancel, next)?;
        waited.map_err(|fault| self.trouble(fault).into())
    }

    /// The error of an answer that does not come whole.
    pub(crate) fn trouble(&self, fault: Fault) -> TransportError {
        self.http.trouble(self.response.url(), fault)
    }

    /// The whole body, when it has at most `limit` bytes (RC-084); `None` when it has more.
    pub(crate) fn bytes(&mut self, limit: u64) -> Result<Option<Vec<u8>>> {
        let mut bytes = Vec::new();
        while let Some(piece) = self.piece()? {
            bytes.extend_from_slice(&piece);
            if bytes.len() as u64 > limit {
                return Ok(None);
            }
        }
        Ok(Some(bytes))
    }

    /// Reads what is left of a small body, so that the connection can be used again. Whatever goes wrong does not matter.
    pub(crate) fn drain(mut self) {
        const SMALL: u64 = 64 << 10;
        let _ = self.bytes(SMALL);
    }
}

/// The next piece of a body, if it comes in time; `None` at its end.
async fn next_piece(response: &mut reqwest::Response, idle: Duration) -> Result<Option<Bytes>, Fault> {
    match tokio::time::timeout(idle, response.chunk()).await {
        Err(_) => Err(Fault::Stalled(idle)),
        Ok(result) => result.map_err(|error| fault::of(&error)),
    }
}

/// Host and port, when that is not the usual one.
pub(crate) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}
