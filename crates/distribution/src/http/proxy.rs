//! Through which proxy a server is reached, or why through none (RC-047).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use reqwest::Url;

use crate::config::Proxies;
use crate::{DistributionError, Result};

/// The proxies, and what is reached without them.
#[derive(Debug, Clone)]
pub(crate) struct Routes {
    http: Option<Url>,
    https: Option<Url>,
    exceptions: Vec<Exception>,
}

/// How a server is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route<'a> {
    /// No proxy is set for its scheme.
    Direct,
    /// It is this machine.
    Loopback,
    /// This entry of NO_PROXY excepts it.
    Excepted(&'a str),
    /// Through a proxy. There may be a password in its address.
    Through(&'a Url),
}

/// An entry of NO_PROXY, as docker reads it.
#[derive(Debug, Clone)]
struct Exception {
    text: String,
    hosts: Hosts,
    port: Option<u16>,
}

#[derive(Debug, Clone)]
enum Hosts {
    /// `*`
    All,
    /// An address, or a network in the form of CIDR: the leading bits.
    Network(IpAddr, u8),
    /// A domain: itself, unless it begins with a dot, and what is below it.
    Domain(String),
}

impl Routes {
    /// Reads the settings. What is not understood in NO_PROXY excepts nothing, as with everybody else who reads it.
    pub(crate) fn new(proxies: &Proxies) -> Result<Self> {
        let exceptions = proxies.no_proxy.iter().flat_map(|text| text.split(',')).filter_map(exception);
        Ok(Self {
            http: proxies.http.as_deref().map(|address| proxy("http", address)).transpose()?,
            https: proxies.https.as_deref().map(|address| proxy("https", address)).transpose()?,
            exceptions: exceptions.collect(),
        })
    }

    /// How a server is reached.
    pub(crate) fn to(&self, url: &Url) -> Route<'_> {
        let proxy = match url.scheme() {
            "https" => &self.https,
            _ => &self.http,
        };
        let Some(proxy) = proxy else { return Route::Direct };
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_ascii_lowercase();
        if crate::host::is_loopback(&host) {
            return Route::Loopback;
        }
        match self.exceptions.iter().find(|exception| exception.fits(&host, url.port_or_known_default())) {
            Some(exception) => Route::Excepted(&exception.text),
            None => Route::Through(proxy),
        }
    }

    /// The same for the HTTP library.
    pub(super) fn for_library(&self) -> reqwest::Proxy {
        let routes = self.clone();
        reqwest::Proxy::custom(move |url: &Url| match routes.to(url) {
            Route::Through(proxy) => Some(proxy.clone()),
            Route::Direct | Route::Loopback | Route::Excepted(_) => None,
        })
    }
}

fn proxy(scheme: &'static str, address: &str) -> Result<Url> {
    let with_scheme = if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
    let known = |url: &Url| matches!(url.scheme(), "http" | "https" | "socks5" | "socks5h") && url.has_host();
    Url::parse(&with_scheme).ok().filter(known).ok_or(DistributionError::Proxy { scheme })
}

fn exception(text: &str) -> Option<Exception> {
    let text = text.trim().to_ascii_lowercase();
    let parsed = |text: String, hosts, port| Some(Exception { text, hosts, port });
    if text == "*" {
        return parsed(text, Hosts::All, None);
    }
    if let Some((address, bits)) = text.split_once('/') {
        let (address, bits) = (address.parse().ok()?, bits.parse().ok()?);
        return parsed(text, Hosts::Network(address, bits), None);
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return parsed(text, Hosts::Network(address, 128), None);
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !text.ends_with(']') => (host, Some(port.parse().ok()?)),
        _ => (text.as_str(), None),
    };
    let host = host.trim_matches(['[', ']']);
    let hosts = match host.parse::<IpAddr>() {
        Ok(address) => Hosts::Network(address, 128),
        Err(_) => Hosts::Domain(host.strip_prefix('*').unwrap_or(host).to_owned()),
    };
    if host.is_empty() { None } else { parsed(text, hosts, port) }
}

impl Exception {
    fn fits(&self, host: &str, port: Option<u16>) -> bool {
        if self.port.is_some() && self.port != port {
            return false;
        }
        match &self.hosts {
            Hosts::All => true,
            Hosts::Network(network, length) => {
                host.parse().is_ok_and(|address| is_within(address, *network, *length))
            }
            Hosts::Domain(domain) => match domain.strip_prefix('.') {
                Some(_) => host.ends_with(domain.as_str()),
                None => {
                    let above = host.strip_suffix(domain.as_str());
                    above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
                }
            },
        }
    }
}

/// Whether the leading bits of two addresses of one kind are the same.
fn is_within(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    let same = |one: u128, other: u128, width: u32| {
        let rest = width.saturating_sub(u32::from(bits));
        one.checked_shr(rest).unwrap_or(0) == other.checked_shr(rest).unwrap_or(0)
    };
    let number = |address: Ipv4Addr| u128::from(u32::from(address));
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => same(number(address), number(network), Ipv4Addr::BITS),
        (IpAddr::V6(address), IpAddr::V6(network)) => same(address.into(), network.into(), Ipv6Addr::BITS),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(no_proxy: &str) -> Routes {
        let proxies = Proxies {
            http: Some("proxy.example:3128".to_owned()),
            https: Some("http://anna:s3cret@proxy.example:3128".to_owned()),
            no_proxy: Some(no_proxy.to_owned()),
        };
        Routes::new(&proxies).expect("addresses")
    }

    #[test]
    fn rc_047_loopback_is_never_proxied_and_everything_else_is() {
        let routes = routes("");
        for (address, direct) in [
            ("https://registry.example/v2/", false),
            ("http://registry.example/v2/", false),
            ("http://127.0.0.1:5000/v2/", true),
            ("http://127.1.2.3/", true),
            ("https://localhost/", true),
            ("https://[::1]:5000/", true),
            ("https://a.localhost/", true),
        ] {
            let url = Url::parse(address).expect("an address");
            assert_eq!(routes.to(&url) == Route::Loopback, direct, "{address}");
            assert_eq!(matches!(routes.to(&url), Route::Through(_)), !direct, "{address}");
        }
        let none = Routes::new(&Proxies::default()).expect("none");
        assert_eq!(none.to(&Url::parse("https://registry.example/").expect("an address")), Route::Direct);
    }

    #[test]
    fn rc_047_what_no_proxy_excepts() {
        for (no_proxy, address, expected) in [
            ("*", "https://a.example", true),
            ("example.com", "https://example.com", true),
            ("example.com", "https://EXAMPLE.com", true),
            ("example.com", "https://a.example.com", true),
            ("example.com", "https://notexample.com", false),
            (".example.com", "https://a.example.com", true),
            (".example.com", "https://example.com", false),
            ("*.example.com", "https://a.example.com", true),
            ("a, b ,c", "https://b", true),
            ("a:5000", "https://a:5000", true),
            ("a:443", "https://a", true),
            ("a:5000", "https://a", false),
            ("10.0.0.0/8", "https://10.9.8.7", true),
            ("10.0.0.0/8", "https://11.0.0.1", false),
            ("10.0.0.0/0", "https://11.0.0.1", true),
            ("10.0.0.1", "https://10.0.0.1:5000", true),
            ("10.0.0.1:5000", "https://10.0.0.1:5000", true),
            ("10.0.0.1:5001", "https://10.0.0.1:5000", false),
            ("fd00::/8", "https://[fd00::1]", true),
            ("fd00::/8", "https://[fe00::1]", false),
            ("[fd00::1]:5000", "https://[fd00::1]:5000", true),
            ("fd00::1", "https://[fd00::1]:5000", true),
            ("[fd00::1]", "https://[fd00::1]:5000", true),
            ("", "https://a", false),
            (",,:,/8,a/b", "https://a", false),
        ] {
            let url = Url::parse(address).expect("an address");
            let routes = routes(no_proxy);
            let excepted = matches!(routes.to(&url), Route::Excepted(_));
            assert_eq!(excepted, expected, "{no_proxy:?} {address}");
        }
    }

    #[test]
    fn rc_047_what_a_proxy_is_and_that_its_password_is_not_told() {
        for (address, is_one) in [
            ("proxy:3128", true),
            ("http://proxy", true),
            ("https://proxy", true),
            ("socks5://proxy:1080", true),
            ("socks5h://proxy", true),
            ("ftp://anna:s3cret@proxy", false),
            ("http://", false),
        ] {
            let proxies = Proxies { https: Some(address.to_owned()), ..Proxies::default() };
            let made = Routes::new(&proxies);
            assert_eq!(made.is_ok(), is_one, "{address}");
            if let Err(error) = made {
                assert!(!format!("{error} {error:?}").contains("s3cret"));
            }
        }
    }
}
