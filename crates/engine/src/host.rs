//! What containers take over from the machine: name resolution.

use std::path::Path;

use base::{IoContext, IoError};

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
