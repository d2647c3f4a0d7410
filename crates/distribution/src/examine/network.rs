//! From the name of a server to a connection with it.

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant, SystemTime};

use base::{Classified, Finding};
use reqwest::Url;

use super::Look;
use super::certificate::{Certificate, SOON};
use crate::Result;
use crate::http::{self, Fault, Greeting, Route, TransportError};
use crate::places::{Only, Place};
use crate::registry;

/// Which places there are, and what for.
pub(super) fn places(places: &[Place]) -> Finding {
    let one = |place: &Place| {
        let uses = [(place.can.resolve, "tags"), (place.can.pull, "blobs"), (place.can.push, "pushes")];
        let uses: Vec<_> = uses.into_iter().filter_map(|(can, what)| can.then_some(what)).collect();
        let only = match place.only {
            None => "",
            Some(Only::Digests) => ", by digest only",
            Some(Only::Tags) => ", by tag only",
        };
        match &place.named_by {
            None if place.can == crate::places::Capabilities::ALL && place.only.is_none() => place.called(),
            _ => format!("{} for {}{only}", place.called(), uses.join(" and ")),
        }
    };
    match places {
        [place] if place.named_by.is_none() => {
            Finding::ok("places", format!("{}; no mirror is set up for it", one(place)))
        }
        places => Finding::ok("places", places.iter().map(one).collect::<Vec<_>>().join(", then ")),
    }
}

/// Connects with a place, as far as that goes; says whether it can be spoken to.
pub(super) fn reach(look: &mut Look<'_>) -> Result<bool> {
    let url = look.url()?;
    let client = look.client;
    let route = client.http.routes().to(&url);
    let through = match route {
        Route::Through(proxy) => Some(proxy),
        Route::Direct | Route::Loopback | Route::Excepted(_) => None,
    };
    look.add(Finding::ok("proxy", described(&route)));
    let next = through.unwrap_or(&url);
    let Some(addresses) = find(look, next) else { return Ok(false) };
    let Some(stream) = connect(look, next, &addresses) else { return Ok(false) };
    // What comes through a proxy is seen when something is asked for.
    if through.is_some() || url.scheme() != "https" {
        return Ok(true);
    }
    let greeting = client.http.greet(&url, &look.place.trust, stream)?;
    let (finding, goes_on) = secured(look, &url, greeting);
    look.add(finding);
    Ok(goes_on)
}

fn described(route: &Route<'_>) -> String {
    match route {
        Route::Direct => "none".to_owned(),
        Route::Loopback => "none: this machine is never reached through one".to_owned(),
        Route::Excepted(entry) => format!("none: NO_PROXY excepts {}", base::text::line(entry)),
        Route::Through(proxy) => http::shown(proxy),
    }
}

/// The finding of a server that cannot be reached.
fn unreached(name: &'static str, url: &Url, text: String, fault: Fault) -> Finding {
    Finding::missing(name, text, TransportError::new(http::shown(url), None, fault).hint())
}

/// The addresses of a server; an address needs nobody to say it.
fn find(look: &mut Look<'_>, url: &Url) -> Option<Vec<SocketAddr>> {
    let host = url.host_str().unwrap_or_default();
    let begun = Instant::now();
    match http::addresses(url) {
        Err(fault) => {
            look.add(unreached("dns", url, format!("{host}: {fault}"), fault));
            None
        }
        Ok(addresses) => {
            let mut texts: Vec<_> = addresses.iter().map(|address| address.ip().to_string()).collect();
            texts.dedup();
            if texts != [host.trim_matches(['[', ']'])] {
                let text = format!("{host} is {} ({})", texts.join(", "), millis(begun.elapsed()));
                look.add(Finding::ok("dns", text));
            }
            Some(addresses)
        }
    }
}

/// Connects to all addresses at the same time; gives the first connection, in their order.
fn connect(look: &mut Look<'_>, url: &Url, addresses: &[SocketAddr]) -> Option<TcpStream> {
    let limit = look.place.trust.connect.unwrap_or(look.client.http.config().patience.connect);
    let connect = |address: SocketAddr| {
        let begun = Instant::now();
        (address, http::connect(address, limit), begun.elapsed())
    };
    let results: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            addresses.iter().map(|address| scope.spawn(move || connect(*address))).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    let (mut texts, mut first, mut fault) = (Vec::new(), None, None);
    for (address, result, time) in results {
        match result {
            Ok(stream) => {
                texts.push(format!("{address} in {}", millis(time)));
                first = first.or(Some(stream));
            }
            Err(why) => {
                texts.push(format!("{address}: {why}"));
                fault = Some(why);
            }
        }
    }
    let text = texts.join("; ");
    look.add(match (&first, fault) {
        (Some(_), None) => Finding::ok("connect", text),
        (Some(_), Some(_)) => {
            let remedy = "connections are tried one after the other, which takes time: see to the network, or to the server's addresses";
            Finding::better("connect", text, Some(remedy.to_owned()))
        }
        (None, Some(fault)) => unreached("connect", url, text, fault),
        (None, None) => Finding::missing("connect", "it has no address", None),
    });
    first
}

/// What TLS gave, and whether it makes sense to go on.
fn secured(look: &Look<'_>, url: &Url, greeting: Result<Greeting, Fault>) -> (Finding, bool) {
    let greeting = match greeting {
        Ok(greeting) => greeting,
        Err(Fault::PlainHttp | Fault::Broken(_) | Fault::Handshake(_))
            if registry::may_be_plain(look.client, &look.place) =>
        {
            return (in_plain_text(look), true);
        }
        Err(fault) => return (unreached("tls", url, fault.to_string(), fault), false),
    };
    let certificate = greeting.chain.first().and_then(Certificate::read);
    let version = greeting.version;
    let about = certificate.as_ref().map_or_else(
        || "it cannot be read".to_owned(),
        |certificate| format!("it is {}", certificate.text()),
    );
    if let Some(fault) = greeting.doubt {
        let why = match &fault {
            Fault::Certificate(_) => {
                format!("its certificate {}", doubt(&fault, certificate.as_ref(), &greeting.chain))
            }
            fault => fault.to_string(),
        };
        return (unreached("tls", url, format!("{version}, but {why}; {about}"), fault), false);
    }
    if greeting.anybody {
        let host = look.place.host.name();
        let remedy =
            format!("put its authority into /etc/docker/certs.d/{host}/ca.crt instead of allowing any");
        let text = format!("{version}; its certificate is not checked, as the settings want it; {about}");
        return (Finding::better("tls", text, Some(remedy)), true);
    }
    let text = format!("{version}; its certificate is good; {about}");
    let left = certificate.map(|certificate| certificate.left(SystemTime::now()));
    match left.filter(|left| *left < SOON) {
        Some(left) => {
            let remedy = format!(
                "it ends in {} days: whoever runs the registry has to renew it",
                left.as_secs() / 86_400
            );
            (Finding::better("tls", text, Some(remedy)), true)
        }
        None => (Finding::ok("tls", text), true),
    }
}

/// Why a certificate is not believed, as exactly as what it says allows.
fn doubt(
    fault: &Fault,
    certificate: Option<&Certificate>,
    chain: &[rustls::pki_types::CertificateDer<'_>],
) -> String {
    let Fault::Certificate(why) = fault else { return fault.to_string() };
    match certificate {
        Some(certificate) if why == http::UNKNOWN_AUTHORITY && certificate.is_its_own() => {
            "is signed by itself".to_owned()
        }
        Some(certificate) if why == http::UNKNOWN_AUTHORITY => {
            let alone = if chain.len() == 1 {
                "; the server sends no other one that would lead to a known one"
            } else {
                ""
            };
            format!("is signed by {}, which this machine does not know{alone}", certificate.issuer())
        }
        _ => why.clone(),
    }
}

/// No TLS, and that is allowed.
fn in_plain_text(look: &Look<'_>) -> Finding {
    if look.place.host.is_loopback() {
        return Finding::ok("tls", "none: plain HTTP, which does no harm on this machine");
    }
    let text = "none: plain HTTP, as the settings allow; who is on the way reads and changes what passes";
    Finding::better("tls", text, Some("give the registry a certificate".to_owned()))
}

fn millis(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}
