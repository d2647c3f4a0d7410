//! What containers take over from the machine: name resolution.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use base::{IoContext, IoError};
use sandbox::{Files, Network};

/// The machine's own files, as far as containers see them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostFiles {
    /// `/etc/hosts`.
    pub hosts: String,
    /// `/etc/resolv.conf`.
    pub resolv_conf: String,
}

/// More than any sensible `/etc/hosts` has.
const MAX_SIZE: u64 = 4 << 20;

impl HostFiles {
    /// Reads them; containers that share the machine's network resolve names as the machine does (CT-51, CT-52). A file that is missing is empty.
    pub fn read() -> Result<Self, IoError> {
        Ok(Self { hosts: read(Path::new("/etc/hosts"))?, resolv_conf: read(Path::new("/etc/resolv.conf"))? })
    }

    /// For a container without a network: it knows itself, and nobody to ask.
    pub fn isolated(hostname: &str) -> Self {
        Self { hosts: format!("{LOCALHOST}127.0.0.1\t{hostname}\n"), resolv_conf: String::new() }
    }
}

/// The files of a container: with the machine's network, names are resolved as on the machine.
pub fn files(network: Network, hostname: &str, extra: &[ExtraHost]) -> Result<Files, IoError> {
    let host = match network {
        Network::Host => HostFiles::read()?,
        Network::None => HostFiles::isolated(hostname),
    }
    .with(extra);
    Ok(Files {
        hosts: Some(host.hosts),
        resolv_conf: Some(host.resolv_conf),
        hostname: Some(format!("{hostname}\n")),
    })
}

/// A name that `--add-host` gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtraHost {
    /// The name.
    pub name: String,
    /// Its address; `None` for this machine (`host-gateway`).
    pub address: Option<IpAddr>,
}

impl HostFiles {
    /// With more names, which come last.
    ///
    /// This machine is the loopback address: containers share its network, or have nobody to talk to.
    #[must_use]
    pub fn with(mut self, extra: &[ExtraHost]) -> Self {
        if !extra.is_empty() && !self.hosts.is_empty() && !self.hosts.ends_with('\n') {
            self.hosts.push('\n');
        }
        for host in extra {
            let address = host.address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
            self.hosts.push_str(&format!("{address}\t{}\n", host.name));
        }
        self
    }
}

/// What docker writes at the top of every `/etc/hosts`.
const LOCALHOST: &str = "127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::\tip6-localnet
ff00::\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
";

fn read(path: &Path) -> Result<String, IoError> {
    use std::io::Read as _;
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(IoError { action: "open", path: path.to_owned(), source: error }),
    };
    let mut bytes = Vec::new();
    file.take(MAX_SIZE).read_to_end(&mut bytes).context("read", path)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn df_107_hosts_are_added_at_the_end() {
        let extra = [
            ExtraHost { name: "db".to_owned(), address: Some("::1".parse().expect("an address")) },
            ExtraHost { name: "machine".to_owned(), address: None },
        ];
        let files = HostFiles { hosts: "1.2.3.4 x".to_owned(), resolv_conf: String::new() };
        assert_eq!(files.with(&extra).hosts, "1.2.3.4 x\n::1\tdb\n127.0.0.1\tmachine\n");
        assert_eq!(HostFiles::default().with(&[]).hosts, "");
    }
}
