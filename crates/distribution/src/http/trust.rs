//! What is believed of one server beyond what holds for all, and what it is shown.

use std::path::PathBuf;
use std::time::Duration;

/// How one server is reached. It holds for this server alone, and only where it is configured.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Trust {
    /// Files with authorities that may vouch for it.
    pub authorities: Vec<PathBuf>,
    /// The files of the certificate and the key that it is shown.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Nobody has to vouch for it.
    pub anybody: bool,
    /// How long to wait for a connection to it.
    pub connect: Option<Duration>,
}
