//! One exchange with a server: a request goes out, the head of an answer comes back, its body is read piece by piece.
//!
//! What is asynchronous ends here: callers block, and are woken by a cancellation, by a byte, or by too long a silence.

mod ahead;
mod body;
mod fault;
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
pub(crate) use fault::shown;
pub use fault::{Fault, TransportError};
pub(crate) use trust::Trust;

use crate::config::Proxies;
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
    /// For servers with certificates or rules of their own, by their authority; the one without is for all others.
    clients: Mutex<HashMap<Option<(String, Trust)>, reqwest::Client>>,
}

/// A request.
pub(crate) struct Outgoing<'a> {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Option<&'a Body>,
    /// What is believed of this server alone.
    pub trust: Option<&'a Trust>,
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
        Ok(Self { runtime, config, clients: Mutex::default() })
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
        let Outgoing { method, url, mut headers, body, trust } = outgoing;
        if body.is_some_and(Body::is_empty) {
            // Some servers want to be told that nothing follows.
            headers.insert(CONTENT_LENGTH, HeaderValue::from(0));
        }
        let shown = fault::shown(&url);
        let client = self.client(&url, trust)?;
        let mut request = client.request(method, url).headers(headers);
        let mut progress = None;
        if let Some(body) = body {
            let (stream, sent) = body.open()?;
            progress = Some(sent);
            request = request.body(stream);
        }
        let patience = &self.config.patience;
        let failed = |fault| DistributionError::Transport(TransportError::new(shown.clone(), fault));
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
    fn client(&self, url: &Url, trust: Option<&Trust>) -> Result<reqwest::Client> {
        let authority = authority(url);
        let trust = trust.cloned().unwrap_or_default();
        let special = trust != Trust::default() || tls::is_special(&self.config, &authority);
        let key = special.then_some((authority, trust));
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&key) {
            return Ok(client.clone());
        }
        let client = self.build(key.as_ref())?;
        clients.insert(key, client.clone());
        Ok(client)
    }

    fn build(&self, special: Option<&(String, Trust)>) -> Result<reqwest::Client> {
        let patience = &self.config.patience;
        let mut builder = reqwest::Client::builder()
            .user_agent(&self.config.agent)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(special.and_then(|(_, trust)| trust.connect).unwrap_or(patience.connect))
            .tls_backend_preconfigured(tls::config(&self.config, special)?)
            .http2_initial_stream_window_size(STREAM_WINDOW)
            .http2_initial_connection_window_size(CONNECTION_WINDOW)
            .tcp_nodelay(true);
        for proxy in proxies(&self.config.proxies)? {
            builder = builder.proxy(proxy);
        }
        builder.build().map_err(|error| DistributionError::Start { source: std::io::Error::other(error) })
    }
}

impl Answer<'_> {
    pub(crate) fn status(&self) -> StatusCode {
        self.response.status()
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
        let limit = self.http.config.patience.idle;
        let response = &mut self.response;
        let waited = self.http.wait(self.cancel, async {
            match tokio::time::timeout(limit, response.chunk()).await {
                Err(_) => Err(Fault::Stalled(limit)),
                Ok(result) => result.map_err(|error| fault::of(&error)),
            }
        })?;
        waited.map_err(|fault| TransportError::new(fault::shown(self.response.url()), fault).into())
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

/// Host and port, when that is not the usual one.
pub(crate) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn proxies(proxies: &Proxies) -> Result<Vec<reqwest::Proxy>> {
    let exceptions = || proxies.no_proxy.as_deref().and_then(reqwest::NoProxy::from_string);
    let mut built = Vec::new();
    for (address, scheme) in [(&proxies.http, "http"), (&proxies.https, "https")] {
        let Some(address) = address else { continue };
        let with_scheme = if address.contains("://") { address.clone() } else { format!("http://{address}") };
        let Ok(proxy) = Url::parse(&with_scheme) else {
            return Err(DistributionError::Proxy { scheme });
        };
        let rule = move |url: &Url| {
            let local =
                url.host_str().is_some_and(|host| crate::host::is_loopback(host.trim_matches(['[', ']'])));
            (url.scheme() == scheme && !local).then(|| proxy.clone())
        };
        built.push(reqwest::Proxy::custom(rule).no_proxy(exceptions()));
    }
    Ok(built)
}
