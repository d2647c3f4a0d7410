//! Which server the host of a name means (RC-002, RC-010, RC-044).

use std::net::{Ipv4Addr, Ipv6Addr};

use image::Reference;

use crate::{DistributionError, Result};

/// The registry that names without a host belong to, and where its API is.
const HUB: &str = "docker.io";
const HUB_API: &str = "registry-1.docker.io";
/// By this key credentials for it are kept, since before it had the other names.
pub(crate) const HUB_KEY: &str = "https://index.docker.io/v1/";

/// A registry, by the host that stands in names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Host {
    name: String,
}

impl Host {
    /// The registry of a name.
    pub fn of(reference: &Reference) -> Self {
        Self { name: reference.host().to_owned() }
    }

    /// The registry of an image that is not here. `localhost:5000` is an image of Docker Hub to the letter; there is none of that name, and it is not what is meant.
    pub(crate) fn of_image(reference: &Reference) -> Result<Self> {
        let host = Self::of(reference);
        let name = reference.path().strip_prefix("library/").unwrap_or_default();
        let is_port = reference.tag().is_some_and(|tag| tag.parse::<u16>().is_ok());
        if host.is_hub() && is_port && (name == "localhost" || name.contains('.')) {
            return Err(DistributionError::NoImage(reference.familiar()));
        }
        Ok(host)
    }

    /// The registry that a user names (for `lap login`): a host, maybe as an address; Docker Hub when it is one of its names.
    pub fn parse(text: &str) -> Option<Self> {
        let bare = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or(text);
        let bare = bare.split('/').next().unwrap_or_default();
        if matches!(bare, "docker.io" | "index.docker.io" | "registry-1.docker.io" | "hub.docker.com") {
            return Some(Self { name: HUB.to_owned() });
        }
        // What can stand before the path of a name is a host. A word alone (a machine of the local network) is taken for one, too.
        let as_host = |text: &str| Reference::parse(&format!("{text}/x/y")).ok().map(|name| Self::of(&name));
        as_host(bare).filter(|host| host.name == bare).or_else(|| as_host(&format!("{bare}:443")))
    }

    /// As it stands in names.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The server, with its port if it is not the usual one: what stands behind `https://`.
    pub fn authority(&self) -> &str {
        if self.name == HUB { HUB_API } else { &self.name }
    }

    /// By which key its credentials are kept and helpers are asked.
    pub fn key(&self) -> &str {
        if self.name == HUB { HUB_KEY } else { &self.name }
    }

    /// Whether it is Docker Hub.
    pub fn is_hub(&self) -> bool {
        self.name == HUB
    }

    /// Whether it is this machine, where plain HTTP does no harm.
    pub fn is_loopback(&self) -> bool {
        is_loopback(self.name_without_port())
    }

    fn name_without_port(&self) -> &str {
        match self.name.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None => self.name.split(':').next().unwrap_or_default(),
        }
    }
}

impl std::fmt::Display for Host {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.name)
    }
}

/// Whether a host (without brackets and port) is this machine.
pub(crate) fn is_loopback(name: &str) -> bool {
    name.eq_ignore_ascii_case("localhost")
        || name.to_ascii_lowercase().ends_with(".localhost")
        || name.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
        || name.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str) -> Host {
        Host::of(&Reference::parse(name).unwrap_or_else(|error| panic!("{error}")))
    }

    #[test]
    fn rc_010_a_host_with_a_port_is_no_image() {
        for (name, is_host) in [
            ("localhost:5000", true),
            ("127.0.0.1:5000", true),
            ("registry.example:443", true),
            ("localhost", false),
            ("debian:12", false),
            ("localhost:5000/app", false),
            ("registry.example:443/app:1", false),
            ("registry.example:latest", false),
            ("team/a.b:1", false),
        ] {
            let found = Host::of_image(&Reference::parse(name).expect(name));
            assert_eq!(found.is_err(), is_host, "{name}");
        }
    }

    #[test]
    fn rc_002_the_hub_has_many_names_and_one_server() {
        for name in
            ["debian", "docker.io/library/debian", "index.docker.io/debian", "registry-1.docker.io/debian"]
        {
            let host = host(name);
            assert_eq!(
                (host.name(), host.authority(), host.key()),
                ("docker.io", HUB_API, HUB_KEY),
                "{name}"
            );
        }
        let other = host("quay.io/x/y");
        assert_eq!((other.name(), other.authority(), other.key()), ("quay.io", "quay.io", "quay.io"));
    }

    #[test]
    fn rc_044_loopback_is_told_apart() {
        for (name, expected) in [
            ("localhost:5000/x", true),
            ("127.0.0.1:5000/x", true),
            ("127.9.9.9/x", true),
            ("[::1]:5000/x", true),
            ("a.localhost/x", true),
            ("10.0.0.1/x", false),
            ("localhost.example.com/x", false),
            ("debian", false),
        ] {
            assert_eq!(host(name).is_loopback(), expected, "{name}");
        }
    }

    #[test]
    fn what_users_log_in_to() {
        for (text, expected) in [
            ("https://index.docker.io/v1/", Some("docker.io")),
            ("docker.io", Some("docker.io")),
            ("quay.io", Some("quay.io")),
            ("https://registry.example.com/v2/", Some("registry.example.com")),
            ("localhost:5000", Some("localhost:5000")),
            ("[::1]:5000", Some("[::1]:5000")),
            ("a b", None),
            ("", None),
        ] {
            let host = Host::parse(text);
            assert_eq!(host.as_ref().map(Host::name), expected, "{text:?}");
        }
    }
}
