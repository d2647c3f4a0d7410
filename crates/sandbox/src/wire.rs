//! What the caller and the runner say to each other, and how descriptors travel with it.
//!
//! The runner finds one end of a `SOCK_SEQPACKET` pair as its standard input. The first messages to it carry
//! descriptors: the description (in memory), standard streams, and what is to be kept open. Nothing
//! is inherited by number, so another thread of the caller that starts a process at the same time gets none of it.

use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A path in JSON: text where it is text, an array of bytes where it is not.
pub(crate) mod path {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(path: &std::path::Path, to: S) -> Result<S::Ok, S::Error> {
        WirePath::from(path).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<PathBuf, D::Error> {
        WirePath::deserialize(from).map(PathBuf::from)
    }
}

/// As [`path`], for many.
pub(crate) mod paths {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(paths: &[PathBuf], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(paths.iter().map(|path| WirePath::from(path.as_path())))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<PathBuf>, D::Error> {
        Ok(Vec::<WirePath>::deserialize(from)?.into_iter().map(PathBuf::from).collect())
    }
}

/// As [`path`], for one that may be missing.
pub(crate) mod optional_path {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(path: &Option<PathBuf>, to: S) -> Result<S::Ok, S::Error> {
        path.as_deref().map(WirePath::from).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<PathBuf>, D::Error> {
        Ok(Option::<WirePath>::deserialize(from)?.map(PathBuf::from))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum WirePath {
    Text(String),
    Bytes(Vec<u8>),
}

impl From<&std::path::Path> for WirePath {
    fn from(path: &std::path::Path) -> Self {
        use std::os::unix::ffi::OsStrExt;
        match path.to_str() {
            Some(text) => WirePath::Text(text.to_owned()),
            None => WirePath::Bytes(path.as_os_str().as_bytes().to_vec()),
        }
    }
}

impl From<WirePath> for PathBuf {
    fn from(path: WirePath) -> Self {
        use std::os::unix::ffi::OsStringExt;
        match path {
            WirePath::Text(text) => PathBuf::from(text),
            WirePath::Bytes(bytes) => PathBuf::from(std::ffi::OsString::from_vec(bytes)),
        }
    }
}
