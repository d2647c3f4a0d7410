//! A server as it is found: its addresses, whether they can be connected to, and what it shows in TLS. Nothing is sent but a greeting.

use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConnection, ProtocolVersion};

use super::{Fault, Http, Trust, fault, tls};
use crate::{DistributionError, Result};

/// What a server shows in TLS.
pub(crate) struct Greeting {
    /// `TLS 1.3`
    pub version: &'static str,
    /// Its certificate, and those that are to connect it with an authority.
    pub chain: Vec<CertificateDer<'static>>,
    /// Why the certificate is not believed.
    pub doubt: Option<Fault>,
    /// Any certificate is believed, since the user wants that.
    pub anybody: bool,
}

/// The addresses of a server.
pub(crate) fn addresses(url: &Url) -> Result<Vec<SocketAddr>, Fault> {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let port = url.port_or_known_default().or_else(|| default_port(url)).unwrap_or_default();
    let found = (host, port).to_socket_addrs();
    found.map(Iterator::collect).map_err(|error| Fault::UnknownHost(said(&error)))
}

/// The ports of proxies that are not HTTP's.
fn default_port(url: &Url) -> Option<u16> {
    url.scheme().starts_with("socks").then_some(1080)
}

/// Connects to an address.
pub(crate) fn connect(address: SocketAddr, limit: Duration) -> Result<TcpStream, Fault> {
    TcpStream::connect_timeout(&address, limit).map_err(|error| Fault::Connect(said(&error)))
}

fn said(error: &io::Error) -> String {
    base::text::line(&error.to_string()).into_owned()
}

impl Http {
    /// Begins TLS with a server, believes whatever it shows, and says whether it would have been believed.
    pub(crate) fn greet(
        &self,
        url: &Url,
        trust: &Trust,
        stream: TcpStream,
    ) -> Result<Result<Greeting, Fault>> {
        let rules = tls::Rules::of(&self.config, self.special(url, Some(trust)).as_ref())?;
        let verifier = rules.verifier.clone();
        let config = rules.client(Arc::new(verifier.of_anybody()))?;
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let Ok(name) = ServerName::try_from(host) else {
            return Err(DistributionError::NoHost(url.host_str().unwrap_or_default().to_owned()));
        };
        let limit = self.config.patience.connect;
        let shaken = shake_hands(config, name.clone(), stream, limit);
        Ok(shaken.map(|(version, chain)| {
            let doubt = match chain.split_first() {
                None => Some(Fault::Handshake("it shows no certificate".to_owned())),
                Some((first, others)) => verifier
                    .verify_server_cert(first, others, &name, &[], UnixTime::now())
                    .err()
                    .map(|error| fault::of_tls(&error)),
            };
            Greeting { version, chain, doubt, anybody: verifier.believes_anybody() }
        }))
    }
}

type Shaken = (&'static str, Vec<CertificateDer<'static>>);

fn shake_hands(
    config: rustls::ClientConfig,
    name: ServerName<'static>,
    mut stream: TcpStream,
    limit: Duration,
) -> Result<Shaken, Fault> {
    let of = |error: io::Error| fault::of_io(&error, limit);
    stream.set_read_timeout(Some(limit)).and_then(|()| stream.set_write_timeout(Some(limit))).map_err(of)?;
    let mut connection =
        ClientConnection::new(Arc::new(config), name).map_err(|error| fault::of_tls(&error))?;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream).map_err(of)?;
    }
    let version = match connection.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
        Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
        _ => "TLS",
    };
    Ok((version, connection.peer_certificates().unwrap_or_default().to_vec()))
}
