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
/// No colours, whatever the terminal (no-color.org).
pub const NO_COLOR: &str = "NO_COLOR";

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
NO_COLOR            no colours
HTTP_PROXY, HTTPS_PROXY, FTP_PROXY, NO_PROXY, ALL_PROXY (in either case)
                    not taken over from the environment: give them with --build-arg";

/// The directory of the store when nobody names one.
pub fn default_root() -> Option<PathBuf> {
    if rustix::process::geteuid().is_root() {
        return Some(PathBuf::from("/var/lib/lapstrake"));
    }
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let data = absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(".local/share")))?;
    Some(data.join("lapstrake"))
}
