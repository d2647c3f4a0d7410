//! What the caller and the runner say to each other, and how descriptors travel with it.
//!
//! The runner finds one end of a `SOCK_SEQPACKET` pair as its standard input. The first messages to it carry
//! descriptors: the description (in memory), standard streams, and what is to be kept open. Nothing is
//! inherited by number, so another thread of the caller that starts a process at the same time gets none of
//! it.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Seek, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::retry_on_intr;
use rustix::net::{
    self, AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::Failure;
use crate::oci::Runtime;
use crate::running::{CreatedMountPoint, Status};

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

/// What the caller sends first, with the descriptors of: the description, standard input, output and error.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Hello {
    /// How many further descriptors follow, which the runner keeps open.
    pub(crate) keep: usize,
    /// What makes the contained process instead of the runner itself.
    pub(crate) runtime: Option<Runtime>,
}

/// What the caller sends with descriptors that the runner keeps open.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Keep;

/// What the runner says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// The command has been executed; with the descriptor of its process, and the terminal's master if there
    /// is one.
    Started {
        /// The process, as the host sees it.
        process: u32,
    },
    /// The command was not executed, and nothing is left.
    Failed(Failure),
    /// The process and all that it left behind have ended. With a descriptor: [`OwnerClaim`](crate::OwnerClaim)s, in memory.
    Exited {
        /// How.
        status: Status,
        /// What had to be created in the root.
        created: Vec<CreatedMountPoint>,
        /// Whether something in its group was killed since the group's memory was used up.
        out_of_memory: bool,
    },
}

/// How many descriptors one message carries at most (the kernel takes 253).
pub(crate) const DESCRIPTORS: usize = 200;

/// How long a message may be. Descriptions do not travel in messages, so all of them are short.
const MESSAGE: usize = 64 << 10;

/// Puts something into memory that may be longer than a message.
pub(crate) fn memory(name: &str, value: &impl Serialize) -> io::Result<OwnedFd> {
    let mut text = File::from(memfd_create(name, MemfdFlags::CLOEXEC)?);
    text.write_all(&serde_json::to_vec(value)?)?;
    Ok(text.into())
}

/// Reads what [`memory`] wrote; the default value when no descriptor came.
pub(crate) fn read_memory<T: DeserializeOwned + Default>(descriptors: Vec<OwnedFd>) -> io::Result<T> {
    let Some(descriptor) = descriptors.into_iter().next() else { return Ok(T::default()) };
    let mut file = File::from(descriptor);
    file.rewind()?;
    Ok(serde_json::from_reader(io::BufReader::new(file))?)
}

/// A pair of connected sockets that keep messages apart and are not inherited.
pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC;
    Ok(net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?)
}

/// Sends a message with at most [`DESCRIPTORS`] descriptors.
pub(crate) fn send(socket: impl AsFd, message: &impl Serialize, with: &[BorrowedFd<'_>]) -> io::Result<()> {
    let text = serde_json::to_vec(message)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !with.is_empty() && !control.push(SendAncillaryMessage::ScmRights(with)) {
        return Err(io::Error::other("too many descriptors for one message"));
    }
    let parts = [IoSlice::new(&text)];
    retry_on_intr(|| net::sendmsg(&socket, &parts, &mut control, SendFlags::NOSIGNAL))?;
    Ok(())
}

/// Receives a message and its descriptors, none of which will be inherited; `None` when the other side is gone.
pub(crate) fn receive<T: DeserializeOwned>(socket: impl AsFd) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut text = vec![0; MESSAGE];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = retry_on_intr(|| {
        let mut parts = [IoSliceMut::new(&mut text)];
        net::recvmsg(&socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC)
    });
    let received = match received {
        // The other side ended with something from us unread.
        Err(rustix::io::Errno::CONNRESET) => return Ok(None),
        other => other?,
    };
    let mut descriptors = Vec::new();
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = part {
            descriptors.extend(rights);
        }
    }
    if received.bytes == 0 {
        return Ok(None);
    }
    if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(io::Error::other("a message was cut off"));
    }
    Ok(Some((serde_json::from_slice(&text[..received.bytes])?, descriptors)))
}

/// Receives one descriptor, with whatever bytes come along.
pub(crate) fn receive_descriptor(socket: impl AsFd) -> io::Result<OwnedFd> {
    let mut text = [0; 4096];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    retry_on_intr(|| {
        net::recvmsg(&socket, &mut [IoSliceMut::new(&mut text)], &mut control, RecvFlags::CMSG_CLOEXEC)
    })?;
    let descriptors = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    descriptors.flatten().next().ok_or_else(|| io::Error::other("no descriptor came"))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    #[test]
    fn messages_stay_apart_and_descriptors_travel() {
        let (here, there) = pair().expect("a pair");
        let (mut reader, writer) = std::io::pipe().expect("a pipe");
        send(&here, &Hello { keep: 3, runtime: None }, &[writer.as_fd()]).expect("sent");
        send(&here, &Keep, &[]).expect("sent");
        drop(writer);
        let (hello, mut descriptors) = receive::<Hello>(&there).expect("received").expect("a message");
        assert_eq!((hello.keep, descriptors.len()), (3, 1));
        let mut writer = std::fs::File::from(descriptors.remove(0));
        writer.write_all(b"x").expect("written");
        drop(writer);
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("read");
        assert_eq!(text, "x");
        assert!(receive::<Keep>(&there).expect("received").is_some());
        drop(here);
        assert!(receive::<Keep>(&there).expect("received").is_none());
    }

    #[test]
    fn paths_need_not_be_text() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Paths(#[serde(with = "super::paths")] Vec<PathBuf>);
        let odd = PathBuf::from(std::ffi::OsString::from_vec(b"/a\xff".to_vec()));
        let paths = Paths(vec![odd, "/b".into()]);
        let json = serde_json::to_string(&paths).expect("JSON");
        assert_eq!(json, "[[47,97,255],\"/b\"]");
        assert_eq!(serde_json::from_str::<Paths>(&json).expect("paths"), paths);
    }
}
