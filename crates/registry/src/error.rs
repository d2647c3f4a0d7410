//! Why the registry cannot be started, or has ended.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use base::{Classified, IoError, Kind};
use store::StoreError;

/// An error of the registry as a whole. (A single request never ends it.)
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The system refused something.
    #[error("cannot {action}")]
    System {
        /// A verb and its object.
        action: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// A file cannot be read.
    #[error(transparent)]
    Io(#[from] IoError),
    /// The store refused something.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A layout or an archive cannot be read.
    #[error(transparent)]
    Layout(#[from] archive::ArchiveError),
    /// A file that was given says something that cannot be understood.
    #[error("{} cannot be used: {reason}", base::text::path(.path))]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl Classified for ServeError {
    fn kind(&self) -> Kind {
        match self {
            ServeError::Listen { source, .. } if source.kind() == io::ErrorKind::AddrInUse => Kind::Conflict,
            ServeError::Listen { source, .. } | ServeError::System { source, .. } => Kind::of_io(source),
            ServeError::Io(error) => error.kind(),
            ServeError::Store(error) => error.kind(),
            ServeError::Layout(error) => error.kind(),
            ServeError::File { .. } => Kind::Invalid,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            ServeError::Listen { source, .. } => match source.kind() {
                io::ErrorKind::AddrInUse => {
                    Some("another program has this port: choose one with --addr".to_owned())
                }
                io::ErrorKind::PermissionDenied => {
                    Some("ports below 1024 are root's: choose one with --addr".to_owned())
                }
                io::ErrorKind::AddrNotAvailable => {
                    Some("no interface of this machine has this address".to_owned())
                }
                _ => None,
            },
            ServeError::Store(error) => error.hint(),
            ServeError::Layout(error) => error.hint(),
            ServeError::Io(error) if error.action == "read" => {
                Some("check the path, and that it is a file which this user may read".to_owned())
            }
            ServeError::File { .. } => Some("`lap serve --help` says what each file has in it".to_owned()),
            _ => self.kind().hint().map(str::to_owned),
        }
    }
}
