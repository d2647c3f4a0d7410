//! What the command supplies: where credentials and certificates are, which hosts are special, how patient to be.

use std::path::PathBuf;
use std::time::Duration;

/// Everything that the client has to know beforehand.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// How the client introduces itself, as in `lap/1.0`.
    pub agent: String,
    /// Files with credentials, those that count first in front; such as are not there are passed over. All have docker's format, which is podman's too.
    pub auth_files: Vec<AuthFile>,
    /// Hosts (with their ports, as they stand in names) that may speak plain HTTP, or have certificates that nobody vouches for.
    pub insecure: Vec<String>,
    /// Directories like `/etc/docker/certs.d`: `HOST[:PORT]/*.crt` are authorities, `*.cert` with `*.key` what the client shows (RC-041).
    pub certificates: Vec<PathBuf>,
    /// Directories like `/etc/containerd/certs.d`: `HOST[:PORT]/hosts.toml` says where images of a host may be had (RC-042).
    pub hosts: Vec<PathBuf>,
    /// Files like `/etc/containers/registries.conf`, and directories of them; what stands in a later one counts (RC-043).
    pub registries: Vec<PathBuf>,
    /// Through which proxies.
    pub proxies: Proxies,
    /// How long to wait for what.
    pub patience: Patience,
    /// Ask as nobody, whoever one could be.
    pub anonymous: bool,
}

/// A file with credentials.
#[derive(Debug, Clone)]
pub enum AuthFile {
    /// A file of the disk.
    Path(PathBuf),
    /// The text of one, and what it is called in messages (`DOCKER_AUTH_CONFIG`).
    Text {
        /// Its name.
        name: String,
        /// What it holds.
        text: String,
    },
}

/// The usual settings of proxies (RC-047). Loopback is never proxied.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    /// For plain HTTP.
    pub http: Option<String>,
    /// For HTTPS.
    pub https: Option<String>,
    /// Hosts, domains and networks that are reached directly, with commas between them.
    pub no_proxy: Option<String>,
}

/// How long to wait for what. There is no limit on the whole of a transfer (RC-048).
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For a connection.
    pub connect: Duration,
    /// For the next byte, in either direction; then the connection is given up, and the transfer goes on over another one.
    pub idle: Duration,
    /// For an answer, from the last byte of the request: a registry may have to hash, and to move, what it got.
    pub answer: Duration,
    /// The first pause before something is tried again; the following ones are longer (RC-061).
    pub first_pause: Duration,
    /// The longest of these pauses.
    pub longest_pause: Duration,
    /// How often something is tried again without any progress.
    pub retries: u32,
    /// The longest pause that a registry can ask for; when it asks for a longer one, that is the end (RC-062).
    pub longest_asked_pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(20),
            idle: Duration::from_secs(60),
            answer: Duration::from_secs(300),
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(30),
            retries: 5,
            longest_asked_pause: Duration::from_secs(300),
        }
    }
}
