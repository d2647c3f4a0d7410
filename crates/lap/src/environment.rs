//! Every environment variable that the command reads, in one place.

use std::path::PathBuf;

/// Where the store is; `--root` wins.
pub const ROOT: &str = "LAPSTRAKE_ROOT";
/// How commands are contained; `--isolation` wins.
pub const ISOLATION: &str = "LAPSTRAKE_ISOLATION";
/// How commands get their filesystems; `--snapshot` wins.
pub const SNAPSHOT: &str = "LAPSTRAKE_SNAPSHOT";
/// What makes the containers; `--runtime` wins.
pub const RUNTIME: &str = "LAPSTRAKE_RUNTIME";
/// The newest time that anything written may have, in seconds since 1970 (reproducible-builds.org).
pub const SOURCE_DATE_EPOCH: &str = "SOURCE_DATE_EPOCH";
/// Where an SSH agent listens.
pub const SSH_AUTH_SOCK: &str = "SSH_AUTH_SOCK";
/// No colours, whatever the terminal (no-color.org).
pub const NO_COLOR: &str = "NO_COLOR";

/// Registries that may speak plain HTTP, with commas between them; `--insecure` adds to them.
pub const INSECURE_REGISTRIES: &str = "LAPSTRAKE_INSECURE_REGISTRIES";
/// The text of a file with credentials (docker, GitLab).
pub const DOCKER_AUTH_CONFIG: &str = "DOCKER_AUTH_CONFIG";

/// The text of `lap help environment`.
pub const HELP: &str = "\
LAPSTRAKE_ROOT      the directory of the store (--root wins; else /var/lib/lapstrake as root,
                    $XDG_DATA_HOME/lapstrake or ~/.local/share/lapstrake as an ordinary user)
LAPSTRAKE_ISOLATION how commands are contained: namespaces, or chroot (--isolation wins; else the best
                    that this machine allows)
LAPSTRAKE_SNAPSHOT  how commands get their filesystems: overlay, or copy (--snapshot wins; else the best
                    that this machine and the store's filesystem allow)
LAPSTRAKE_RUNTIME   lap build, lap run: the OCI runtime that makes the containers (--runtime wins)
SOURCE_DATE_EPOCH   lap build: no time that is written is later than this (seconds since 1970)
SSH_AUTH_SOCK       lap build --ssh default: where the SSH agent listens
NO_COLOR            no colours
TMPDIR              where lap serve --ephemeral and lap serve LAYOUT have their stores (else /tmp)
LAPSTRAKE_INSECURE_REGISTRIES
                    registries that may speak plain HTTP or have certificates that nobody vouches
                    for, with commas between them
DOCKER_AUTH_CONFIG  credentials for registries: the text of a file in docker's format
REGISTRY_AUTH_FILE  the file with credentials (--authfile wins); else these are read, the first one that
                    knows the registry counts: $DOCKER_CONFIG/config.json or ~/.docker/config.json,
                    $XDG_RUNTIME_DIR/containers/auth.json, ~/.config/containers/auth.json
SSL_CERT_FILE, SSL_CERT_DIR
                    the authorities that servers' certificates may come from, instead of the
                    system's; those of one registry lie in /etc/docker/certs.d/HOST[:PORT]/
HTTP_PROXY, HTTPS_PROXY, NO_PROXY, ALL_PROXY (in either case)
                    proxies to registries, and to what ADD fetches; not taken over by RUN: give them
                    with --build-arg";

/// What `git` is given: where programs are, proxies, whom to trust; each with the name that git has for it.
const GIT: [(&str, &str); 11] = [
    ("PATH", "PATH"),
    ("HTTP_PROXY", "HTTP_PROXY"),
    ("HTTPS_PROXY", "HTTPS_PROXY"),
    ("NO_PROXY", "NO_PROXY"),
    ("ALL_PROXY", "ALL_PROXY"),
    ("http_proxy", "http_proxy"),
    ("https_proxy", "https_proxy"),
    ("no_proxy", "no_proxy"),
    ("all_proxy", "all_proxy"),
    ("SSL_CERT_FILE", "GIT_SSL_CAINFO"),
    ("SSL_CERT_DIR", "GIT_SSL_CAPATH"),
];

/// What `git` is given: that, and the servers that the user knows; nothing else.
pub fn git() -> git::Outside {
    let given = |(name, to): &(&str, &str)| Some(((*to).into(), std::env::var_os(name)?));
    let known_hosts = absolute("HOME").map(|home| home.join(".ssh/known_hosts"));
    git::Outside { environment: GIT.iter().filter_map(given).collect(), agent: None, known_hosts }
}

/// Absolute paths only: what is relative would mean something else in each directory.
fn absolute(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute())
}

/// A variable that is written in upper or in lower case; empty counts as not set.
pub fn either_case(name: &str) -> Option<String> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    set(name).or_else(|| set(&name.to_ascii_lowercase()))
}

/// Where an SSH agent listens, if one does.
pub fn ssh_agent() -> Option<PathBuf> {
    std::env::var_os(SSH_AUTH_SOCK).filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// Registries that may be insecure.
pub fn insecure_registries() -> Vec<String> {
    let text = std::env::var(INSECURE_REGISTRIES).unwrap_or_default();
    text.split(',').map(str::trim).filter(|host| !host.is_empty()).map(str::to_owned).collect()
}

/// Credentials that lie in the environment itself.
pub fn docker_auth_config() -> Option<String> {
    std::env::var(DOCKER_AUTH_CONFIG).ok().filter(|text| !text.is_empty())
}

/// The user who started the command, also from within a user namespace of its own.
fn user_outside() -> u32 {
    let inside = rustix::process::geteuid().as_raw();
    let read = |name: &str| std::fs::read_to_string(name).unwrap_or_default();
    let ids = base::IdMap::parse(&read("/proc/self/uid_map"), &read("/proc/self/gid_map"));
    let outside = ids.and_then(|ids| {
        let range = ids.users.into_iter().find(|range| range.contains(inside))?;
        range.outside.checked_add(inside - range.inside)
    });
    outside.unwrap_or(inside)
}

/// The files with credentials, docker's first.
pub fn auth_files() -> Vec<PathBuf> {
    if let Some(file) = std::env::var_os("REGISTRY_AUTH_FILE").filter(|file| !file.is_empty()) {
        return vec![PathBuf::from(file)];
    }
    let runtime = absolute("XDG_RUNTIME_DIR")
        .unwrap_or_else(|| PathBuf::from(format!("/run/containers/{}", user_outside())));
    let config = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")));
    login_file()
        .into_iter()
        .chain([runtime.join("containers/auth.json")])
        .chain(config.map(|config| config.join("containers/auth.json")))
        .collect()
}

/// Docker's file of credentials (or the one that is named for all tools).
pub fn login_file() -> Option<PathBuf> {
    if let Some(file) = std::env::var_os("REGISTRY_AUTH_FILE").filter(|file| !file.is_empty()) {
        return Some(PathBuf::from(file));
    }
    let directory = std::env::var_os("DOCKER_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from);
    Some(directory.or_else(|| Some(absolute("HOME")?.join(".docker")))?.join("config.json"))
}

/// Where certificates of single registries lie.
pub fn certificates() -> Vec<PathBuf> {
    let config = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")));
    let own = config
        .into_iter()
        .flat_map(|config| [config.join("containers/certs.d"), config.join("docker/certs.d")]);
    let system = ["/etc/containers/certs.d", "/etc/docker/certs.d"].map(PathBuf::from);
    own.chain(system).collect()
}

/// Where containerd (and nerdctl, and BuildKit) keep which servers are asked for the images of a host; the user's own first.
pub fn hosts() -> Vec<PathBuf> {
    let config = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")));
    let own = config
        .into_iter()
        .flat_map(|config| [config.join("containerd/certs.d"), config.join("docker/certs.d")]);
    let system = ["/etc/containerd/certs.d", "/etc/docker/certs.d"].map(PathBuf::from);
    own.chain(system).collect()
}

/// podman's files of registries and mirrors. The user's own replaces the system's; what users put into their directory adds to either.
pub fn registries() -> Vec<PathBuf> {
    let config = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")));
    let named = |directory: PathBuf| (directory.join("registries.conf"), directory.join("registries.conf.d"));
    let (file, parts) = named(PathBuf::from("/etc/containers"));
    match config.map(|config| named(config.join("containers"))) {
        Some((own_file, own_parts)) if own_file.exists() => vec![own_file, own_parts],
        own => [file, parts].into_iter().chain(own.map(|(_, own_parts)| own_parts)).collect(),
    }
}

/// Where files go that nobody needs later.
pub fn temporary_directory() -> PathBuf {
    std::env::temp_dir()
}

/// The directory of the store when nobody names one.
pub fn default_root() -> Option<PathBuf> {
    if rustix::process::geteuid().is_root() {
        return Some(PathBuf::from("/var/lib/lapstrake"));
    }
    let data = absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(".local/share")))?;
    Some(data.join("lapstrake"))
}
