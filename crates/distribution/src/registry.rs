//! One request to a registry: authorized, repeated while it makes sense, redirected; its answer, whatever it says.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use base::Cancel;
use image::Reference;
use reqwest::header::{AUTHORIZATION, COOKIE, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Method, Url};

use crate::answer::said;
use crate::authn::{Authorizer, Purpose};
use crate::client::{Client, HostState};
use crate::credentials::Credential;
use crate::host::Host;
use crate::http::{Answer, Body, Fault, Outgoing, TransportError};
use crate::limits::Limits;
use crate::places::Place;
use crate::ranges::Parts;
use crate::retry::{self, Attempts};
use crate::scope::scope;
use crate::{DistributionError, Result};

/// From one address to the next (RC-052).
const MAX_REDIRECTS: usize = 10;
/// How often a request is made again with something else to show.
const MAX_CHALLENGES: usize = 2;

/// A repository of a registry, or a registry (the repository is empty then).
pub(crate) struct Registry<'a> {
    client: &'a Client,
    pub host: Host,
    pub repository: String,
    state: Arc<HostState>,
    pub authorizer: Arc<Authorizer>,
    /// Where its API is.
    base: Url,
    place: Place,
    pub cancel: &'a Cancel,
}

/// A request.
pub(crate) struct Call<'a> {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Option<&'a Body>,
    /// What it needs the right to.
    pub scopes: BTreeSet<String>,
    /// For messages: what the registry would do, as in "cannot give the manifest of app:1".
    pub action: String,
    /// Whether it is tried again here. Not if a failure in the middle means that the caller has to look where to go on.
    pub again: bool,
}

impl Call<'_> {
    /// Whether a blob moves, in either direction.
    fn is_bulk(&self) -> bool {
        let is_streamed = matches!(self.body, Some(Body::Stream { .. }));
        is_streamed || (self.method == Method::GET && self.url.path().contains("/blobs/sha"))
    }
}

impl<'a> Registry<'a> {
    /// Finds out how the registry is spoken to.
    pub(crate) fn open(
        client: &'a Client,
        place: Place,
        credential: Option<Credential>,
        cancel: &'a Cancel,
    ) -> Result<Self> {
        let (host, repository) = (place.host.clone(), place.repository.clone());
        let state = client.host(&host);
        let authorizer = state.authorizer(credential);
        let base = match &place.base {
            Some(base) => base.clone(),
            None => {
                let secure = is_secure(client, &place, &state, cancel)?;
                let scheme = if secure { "https" } else { "http" };
                Url::parse(&format!("{scheme}://{}/v2", host.authority()))
                    .map_err(|_| DistributionError::NoHost(host.name().to_owned()))?
            }
        };
        Ok(Self { client, host, repository, state, authorizer, base, place, cancel })
    }

    /// An address in the repository: `manifests/latest`.
    pub(crate) fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        let api = self.base.path().trim_end_matches('/');
        match self.repository.as_str() {
            "" => url.set_path(&format!("{api}/{path}")),
            repository => url.set_path(&format!("{api}/{repository}/{path}")),
        }
        // Who keeps images of several registries is told whose this is (RC-117).
        if let Some(namespace) = &self.place.namespace {
            url.query_pairs_mut().append_pair("ns", namespace);
        }
        url
    }

    /// The right to do something with the repository, as token servers call it (RC-025).
    pub(crate) fn scope(&self, actions: &str) -> BTreeSet<String> {
        if self.repository.is_empty() {
            return BTreeSet::new();
        }
        BTreeSet::from([scope(&self.repository, actions)])
    }

    pub(crate) fn patience(&self) -> &crate::config::Patience {
        &self.client.http.config().patience
    }

    /// Which parts of blobs are on their way.
    pub(crate) fn parts(&self) -> &Parts {
        &self.client.parts
    }

    /// What the registry and the repository are called, for records.
    pub(crate) fn full_name(&self) -> String {
        format!("{}/{}", self.host.name(), self.repository)
    }

    /// Sends a request, as often as it takes.
    pub(crate) fn send(&self, call: &Call<'_>) -> Result<Answer<'a>> {
        let mut attempts = Attempts::default();
        loop {
            self.state.gate.pass(self.cancel)?;
            let failed = match self.authorized(call) {
                Ok(answer) if !retry::passes(answer.status().as_u16()) => return Ok(answer),
                Ok(answer) => Ok(answer),
                Err(DistributionError::Transport(error)) if self.passes(&error.fault) => Err(error),
                Err(error) => return Err(error),
            };
            if let Ok(answer) = &failed
                && let Some(pause) = retry::asked_pause(answer.headers(), SystemTime::now())
            {
                self.leave_alone(pause, answer.headers())?;
            }
            let pause = if call.again { attempts.next_pause(self.patience()) } else { None };
            match (failed, pause) {
                (Err(error), None) => return Err(error.into()),
                (Ok(answer), None) => return Ok(answer),
                (_, Some(pause)) => retry::sleep(pause, self.cancel)?,
            }
        }
    }

    /// Whether another attempt makes sense. A server that was never reached is more likely not there than busy.
    fn passes(&self, fault: &Fault) -> bool {
        let unreached = matches!(fault, Fault::Connect(_) | Fault::UnknownHost(_));
        fault.passes() && (!unreached || self.state.answered.load(Ordering::Relaxed))
    }

    /// Leaves the host alone for as long as it asks (RC-062): all requests to it wait.
    fn leave_alone(&self, pause: Duration, headers: &HeaderMap) -> Result<()> {
        if pause > self.patience().longest_asked_pause {
            return Err(self.throttled(Some(pause), headers, String::new()));
        }
        self.state.gate.close(pause);
        Ok(())
    }

    /// The error of a host that wants to be left alone.
    fn throttled(&self, pause: Option<Duration>, headers: &HeaderMap, said: String) -> DistributionError {
        DistributionError::Throttled {
            host: self.host.name().to_owned(),
            pause,
            limits: Limits::of(headers).map(Box::new),
            anonymous: self.authorizer.credential.is_none(),
            said,
        }
    }

    /// Sends a request that shows nothing.
    pub(crate) fn unauthorized(&self, call: &Call<'_>) -> Result<Answer<'a>> {
        self.redirected(call, None)
    }

    /// Shows the credentials to the token server, if the registry has one: to whoever it says in its refusal.
    pub(crate) fn verify(&self, refusal: &Answer<'_>) -> Result<Option<String>> {
        let scopes = BTreeSet::new();
        self.authorizer.verify(refusal.headers(), &self.purpose(&scopes))
    }

    fn purpose<'p>(&'p self, scopes: &'p BTreeSet<String>) -> Purpose<'p> {
        Purpose {
            http: &self.client.http,
            trust: (&self.place.trust, &self.base),
            host: self.host.name(),
            secure: self.base.scheme() == "https",
            scopes,
            cancel: self.cancel,
        }
    }

    /// Sends a request with what the registry wants to see.
    fn authorized(&self, call: &Call<'_>) -> Result<Answer<'a>> {
        let purpose = self.purpose(&call.scopes);
        let mut shown = self.authorizer.header(&purpose)?;
        for _ in 0..MAX_CHALLENGES {
            let mut answer = self.redirected(call, shown.as_ref())?;
            if answer.status() != 401 || answer.url().origin() != self.base.origin() {
                return Ok(answer);
            }
            let Some(other) = self
                .authorizer
                .challenged(answer.headers(), shown.as_ref(), &purpose)
                .map_err(|error| match error {
                    DistributionError::Login { host, user, source_of, .. } => {
                        DistributionError::Login { host, user, source_of, said: said(&mut answer) }
                    }
                    other => other,
                })?
            else {
                return Ok(answer);
            };
            answer.drain();
            shown = Some(other);
        }
        self.redirected(call, shown.as_ref())
    }

    /// Sends a request, and follows where the registry sends it. What is shown goes to the registry alone.
    fn redirected(&self, call: &Call<'_>, shown: Option<&HeaderValue>) -> Result<Answer<'a>> {
        let mut url = call.url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let mut headers = call.headers.clone();
            let is_its_own = url.origin() == self.base.origin();
            if is_its_own {
                headers.extend(self.place.headers.clone());
                headers.extend(shown.map(|shown| (AUTHORIZATION, shown.clone())));
                headers.extend(self.state.cookies.header(&url).map(|cookies| (COOKIE, cookies)));
            }
            let trust = is_its_own.then_some(&self.place.trust);
            let method = call.method.clone();
            let outgoing =
                Outgoing { method, url: url.clone(), headers, body: call.body, trust, bulk: call.is_bulk() };
            let answer = self.client.http.exchange(outgoing, self.cancel)?;
            self.state.answered.store(true, Ordering::Relaxed);
            if is_its_own {
                self.state.cookies.take(answer.headers(), SystemTime::now());
                self.client.warnings.take(self.host.name(), answer.headers());
            }
            let follows = match answer.status().as_u16() {
                301..=303 => matches!(call.method, Method::GET | Method::HEAD),
                307 | 308 => true,
                _ => false,
            };
            if !follows {
                return Ok(answer);
            }
            let next = self.location(&answer, &call.action)?;
            if url.scheme() == "https" && next.scheme() != "https" {
                return Err(self.strange(&call.action, "it leads from TLS to plain HTTP"));
            }
            answer.drain();
            url = next;
        }
        Err(self.strange(&call.action, "it leads in circles"))
    }

    /// The address that an answer names, in any form (RC-071).
    pub(crate) fn location(&self, answer: &Answer<'_>, action: &str) -> Result<Url> {
        let text =
            answer.header(LOCATION).ok_or_else(|| self.strange(action, "it does not say where to go on"))?;
        let url = answer
            .url()
            .join(text)
            .map_err(|_| self.strange(action, "where it says to go on is no address"))?;
        if !matches!(url.scheme(), "https" | "http") {
            return Err(self.strange(action, "where it says to go on is no address of HTTP"));
        }
        Ok(url)
    }

    /// The error of an answer that is none of those that were hoped for; `what` was asked for.
    pub(crate) fn refused(&self, mut answer: Answer<'_>, call: &Call<'_>, what: &str) -> DistributionError {
        let status = answer.status();
        let said = said(&mut answer);
        let host = self.host.name().to_owned();
        match status.as_u16() {
            // What Go's servers and nginx say on a port for TLS.
            400 if self.base.scheme() == "http" && said.contains("HTTPS") => {
                self.client.http.trouble(&self.base, Fault::Tls).into()
            }
            401 | 403 => DistributionError::Denied {
                host,
                who: self.authorizer.who(),
                action: if call.scopes.is_empty() {
                    call.action.clone()
                } else {
                    crate::authn::wish(&call.scopes)
                },
                anonymous: self.authorizer.credential.is_none(),
                said,
            },
            404 => DistributionError::NotFound { what: what.to_owned(), said },
            429 => self.throttled(None, answer.headers(), said),
            code => DistributionError::Answer {
                host,
                action: call.action.clone(),
                status: status.to_string(),
                code,
                said,
            },
        }
    }

    /// The error of an answer that does not keep to the protocol.
    pub(crate) fn strange(&self, action: &str, reason: &str) -> DistributionError {
        DistributionError::Protocol {
            host: self.host.name().to_owned(),
            action: action.to_owned(),
            reason: reason.to_owned(),
        }
    }
}

/// Whether plain HTTP is allowed with a server (RC-044): with this machine, and where the user wants that.
pub(crate) fn may_be_plain(client: &Client, place: &Place) -> bool {
    place.host.is_loopback()
        || place.trust.anybody
        || client.http.config().insecure.iter().any(|name| name == place.host.name())
}

/// Whether the registry is spoken to in TLS (RC-044). This machine, and hosts that the user has named as insecure, are asked once; with TLS first.
fn is_secure(client: &Client, place: &Place, state: &HostState, cancel: &Cancel) -> Result<bool> {
    let host = &place.host;
    if !may_be_plain(client, place) {
        return Ok(true);
    }
    let _probing = state.probing.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(secure) = state.secure.get() {
        return Ok(*secure);
    }
    let url = Url::parse(&format!("https://{}/v2/", host.authority()))
        .map_err(|_| DistributionError::NoHost(host.name().to_owned()))?;
    let outgoing = Outgoing {
        method: Method::GET,
        url,
        headers: HeaderMap::new(),
        body: None,
        trust: Some(&place.trust),
        bulk: false,
    };
    let secure = match client.http.exchange(outgoing, cancel) {
        Ok(answer) => {
            answer.drain();
            true
        }
        // A server that does not understand TLS answers with something else, or hangs up.
        Err(DistributionError::Transport(TransportError {
            fault: Fault::PlainHttp | Fault::Broken(_) | Fault::Handshake(_),
            ..
        })) => false,
        Err(DistributionError::Transport(TransportError { fault: Fault::Connect(said), .. }))
            if said.contains("eof") || said.contains("reset") =>
        {
            false
        }
        Err(error) => return Err(error),
    };
    Ok(*state.secure.get_or_init(|| secure))
}

/// What an image of a name is called in messages.
pub(crate) fn shown(reference: &Reference) -> String {
    format!("the image {}", reference.familiar())
}
