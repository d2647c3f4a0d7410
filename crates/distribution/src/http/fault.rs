//! What can go wrong between here and a server, in words.

use std::error::Error;
use std::io;
use std::time::Duration;

use base::{Classified, Kind};
use reqwest::Url;
use rustls::CertificateError;

/// An exchange that did not succeed, and why.
#[derive(Debug, thiserror::Error)]
#[error("cannot reach {server}{}: {fault}", through(.via.as_deref()))]
pub struct TransportError {
    /// The server, as an address without what is secret in it.
    pub server: String,
    /// The proxy, likewise.
    pub via: Option<String>,
    /// Why.
    pub fault: Fault,
}

/// Why an exchange did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// Nobody knows the host.
    #[error("there is no host of this name ({0})")]
    UnknownHost(String),
    /// Nobody listens there, or the network does not lead there.
    #[error("the connection failed ({0})")]
    Connect(String),
    /// The proxy does not connect to it.
    #[error("{0}")]
    Proxy(&'static str),
    /// The certificate is not acceptable.
    #[error("its certificate {0}")]
    Certificate(String),
    /// It was spoken to in TLS, and answered with something else.
    #[error("it does not speak TLS; it seems to speak plain HTTP")]
    PlainHttp,
    /// It was spoken to in plain HTTP, and answered with something else.
    #[error("it does not speak plain HTTP; it seems to speak TLS")]
    Tls,
    /// Some other trouble of TLS.
    #[error("TLS failed ({0})")]
    Handshake(String),
    /// Nothing came, and nothing went, for too long.
    #[error("nothing has moved for {} seconds", .0.as_secs_f32())]
    Stalled(Duration),
    /// The connection ended in the middle of something.
    #[error("the connection broke ({0})")]
    Broken(String),
}

impl Fault {
    /// Whether another attempt may succeed (RC-060).
    pub(crate) fn passes(&self) -> bool {
        matches!(self, Fault::UnknownHost(_) | Fault::Connect(_) | Fault::Stalled(_) | Fault::Broken(_))
    }
}

impl TransportError {
    pub(crate) fn new(server: String, via: Option<String>, fault: Fault) -> Self {
        Self { server, via, fault }
    }
}

fn through(via: Option<&str>) -> String {
    via.map_or_else(String::new, |proxy| format!(" through the proxy {proxy}"))
}

impl Classified for TransportError {
    fn kind(&self) -> Kind {
        match self.fault {
            Fault::UnknownHost(_) => Kind::NotFound,
            Fault::Certificate(_) => Kind::Denied,
            _ => Kind::Io,
        }
    }

    fn hint(&self) -> Option<String> {
        let host = self.server.split("://").last().unwrap_or_default();
        let host = host.split('/').next().unwrap_or_default();
        match self.fault {
            Fault::UnknownHost(_) => {
                Some("check the spelling, the network and the resolver (/etc/resolv.conf)".to_owned())
            }
            Fault::Certificate(_) => Some(format!(
                "put the certificate of its authority into /etc/docker/certs.d/{host}/ca.crt, or accept any with --insecure {host}"
            )),
            Fault::PlainHttp => Some(format!("if it is meant to, allow it with --insecure {host}")),
            Fault::Tls => Some("take http:// out of the settings of this server".to_owned()),
            Fault::Proxy(_) => Some(
                "check user and password in HTTPS_PROXY (http://USER:PASSWORD@HOST:PORT), or except the host in NO_PROXY"
                    .to_owned(),
            ),
            Fault::Connect(_) if self.via.is_some() => {
                Some("check HTTPS_PROXY, and that the proxy runs; what is not to go through it stands in NO_PROXY".to_owned())
            }
            Fault::Connect(_) => Some(
                "check the port, and that the server runs; proxies are taken from HTTPS_PROXY and NO_PROXY"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}

/// An address for a message: what may be secret (user, query) is left out.
pub(crate) fn shown(url: &Url) -> String {
    let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
    format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or_default())
}

/// What an error of the HTTP library means.
pub(super) fn of(error: &reqwest::Error) -> Fault {
    let chain = chain(error);
    let said = chain.last().map(ToString::to_string).unwrap_or_default();
    let said = base::text::line(&said).into_owned();
    if let Some(tls) = chain.iter().find_map(|error| error.downcast_ref::<rustls::Error>()) {
        return of_tls(tls);
    }
    let text = chain.iter().map(ToString::to_string).collect::<Vec<_>>().join(": ");
    // The resolver's errors have no type of their own.
    if text.contains("dns error") {
        return Fault::UnknownHost(said);
    }
    // Nor have those of tunnels.
    if text.contains("proxy authorization required") {
        return Fault::Proxy("the proxy wants another user and password, or one at all");
    }
    if text.contains("tunnel error: unsuccessful") {
        return Fault::Proxy("the proxy does not connect to it");
    }
    // A server that only speaks TLS answers plain HTTP with an alert: 0x15, 3, …
    if text.contains("invalid HTTP version parsed") || text.contains("invalid HTTP status-code parsed") {
        return Fault::Tls;
    }
    if error.is_connect() || error.is_timeout() {
        return Fault::Connect(said);
    }
    Fault::Broken(said)
}

/// What an error of a connection means on which nothing but TLS was spoken; `limit` is how long it was waited.
pub(super) fn of_io(error: &io::Error, limit: Duration) -> Fault {
    if let Some(tls) = chain(error).iter().find_map(|error| error.downcast_ref::<rustls::Error>()) {
        return of_tls(tls);
    }
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Fault::Stalled(limit),
        _ => Fault::Broken(base::text::line(&error.to_string()).into_owned()),
    }
}

pub(super) fn of_tls(error: &rustls::Error) -> Fault {
    match error {
        rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType) => Fault::PlainHttp,
        rustls::Error::InvalidCertificate(why) => Fault::Certificate(of_certificate(why)),
        other => Fault::Handshake(base::text::line(&other.to_string()).into_owned()),
    }
}

/// What is said of a certificate that no known authority vouches for.
pub(crate) const UNKNOWN_AUTHORITY: &str =
    "is signed by itself, or by an authority that this machine does not know";

fn of_certificate(why: &CertificateError) -> String {
    match why {
        CertificateError::UnknownIssuer => UNKNOWN_AUTHORITY.to_owned(),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("has expired, or the clock of this machine is wrong ({why})")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            format!("is not valid yet, or the clock of this machine is wrong ({why})")
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("is for another host ({why})")
        }
        // webpki's word for a certificate that is an authority's own: what `openssl req -x509` makes.
        other if other.to_string().contains("CaUsedAsEndEntity") => "is signed by itself".to_owned(),
        other => format!("is not acceptable ({other})"),
    }
}

/// An error and its causes; those within errors of the system, too.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> Vec<&'a (dyn Error + 'static)> {
    let mut chain: Vec<&(dyn Error + 'static)> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        chain.push(error);
        // The library's `source` of an error of the system passes over the one that is in it.
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    chain
}
