//! Ports as EXPOSE has them (DF-149).

use std::fmt;
use std::ops::RangeInclusive;

use super::ValueError;

/// A transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP, the usual one.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Sctp => "sctp",
        })
    }
}

/// One word of EXPOSE: a port or a range of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortSpec {
    /// The ports.
    pub ports: RangeInclusive<u16>,
    /// Their transport.
    pub protocol: Protocol,
    /// Whether it was written like a mapping (`ip:host:container`), of which only the last part counts.
    pub has_host: bool,
    /// Whether the transport was not written in small letters.
    pub unusual_case: bool,
}

impl PortSpec {
    /// The ports one by one, as an image's configuration names them: `80/tcp`.
    pub fn expanded(&self) -> impl Iterator<Item = String> + use<> {
        let protocol = self.protocol;
        self.ports.clone().map(move |port| format!("{port}/{protocol}"))
    }
}

/// Reads `[[ip:]host:]port[-end][/protocol]`.
pub fn parse_port(text: &str) -> Result<PortSpec, ValueError> {
    parse(text).map_err(|detail| ValueError::Port { text: text.to_owned(), detail })
}

fn parse(text: &str) -> Result<PortSpec, &'static str> {
    let (ports, protocol) = match text.split_once('/') {
        // As docker takes `80/${PROTOCOL}` without a value.
        Some((ports, "")) => (ports, "tcp"),
        Some((ports, protocol)) => (ports, protocol),
        None => (text, "tcp"),
    };
    let lower = protocol.to_ascii_lowercase();
    let unusual_case = lower != protocol;
    let protocol = match lower.as_str() {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "sctp" => Protocol::Sctp,
        _ => return Err("the protocol has to be tcp, udp or sctp"),
    };
    let (host, container) = match ports.rsplit_once(':') {
        Some((host, container)) => (Some(host), container),
        None => (None, ports),
    };
    let ports = range(container)?;
    if let Some(host) = host {
        mapping(host, &ports)?;
    }
    Ok(PortSpec { ports, protocol, has_host: host.is_some_and(|host| !host.is_empty()), unusual_case })
}

/// Checks what stands before the container's port.
fn mapping(host: &str, ports: &RangeInclusive<u16>) -> Result<(), &'static str> {
    let (address, host_ports) = host.rsplit_once(':').unwrap_or(("", host));
    let address = address.strip_prefix('[').and_then(|address| address.strip_suffix(']')).unwrap_or(address);
    if !address.is_empty() && address.parse::<std::net::IpAddr>().is_err() {
        return Err("the address is not an IP address");
    }
    if host_ports.is_empty() {
        return Ok(());
    }
    let host_ports = range(host_ports)?;
    // A single container port may be given a whole range to choose from.
    if ports.len() > 1 && host_ports.len() != ports.len() {
        return Err("the ranges differ in length");
    }
    Ok(())
}

fn range(text: &str) -> Result<RangeInclusive<u16>, &'static str> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (number(first)?, number(last)?);
    if last < first { Err("the range ends before it begins") } else { Ok(first..=last) }
}

fn number(text: &str) -> Result<u16, &'static str> {
    if text.is_empty() {
        return Err("no port");
    }
    if !text.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err("a port is a number");
    }
    text.parse().map_err(|_| "a port is at most 65535")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn df_149_ports() {
        for (text, expected, has_host, unusual_case) in [
            ("80", vec!["80/tcp"], false, false),
            ("0", vec!["0/tcp"], false, false),
            ("53/udp", vec!["53/udp"], false, false),
            ("80/", vec!["80/tcp"], false, false),
            ("53/UDP", vec!["53/udp"], false, true),
            ("8000-8002/sctp", vec!["8000/sctp", "8001/sctp", "8002/sctp"], false, false),
            ("8080:80", vec!["80/tcp"], true, false),
            ("127.0.0.1:8080:80/tcp", vec!["80/tcp"], true, false),
            ("127.0.0.1::80", vec!["80/tcp"], true, false),
            ("[::1]:8080:80", vec!["80/tcp"], true, false),
            (":80", vec!["80/tcp"], false, false),
            ("65535", vec!["65535/tcp"], false, false),
        ] {
            let port = parse_port(text).expect(text);
            assert_eq!(port.expanded().collect::<Vec<_>>(), expected, "{text}");
            assert_eq!((port.has_host, port.unusual_case), (has_host, unusual_case), "{text}");
        }
        for text in [
            "",
            "x",
            "80/icmp",
            "65536",
            "-1",
            "3-2",
            "1-",
            "80/tcp/udp",
            "a:80:80",
            "1-2:80-85",
            "$PORT",
            "+1",
        ] {
            assert!(parse_port(text).is_err(), "{text}");
        }
    }
}
