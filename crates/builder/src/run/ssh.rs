//! An SSH agent for a command (DF-102): a socket of the command's own, behind which the requests are passed on.
//!
//! ```text
//! command ── socket, owner and mode as asked ── a thread a connection ── the agent's socket
//!            (bind-mounted)                      lists keys, signs: nothing else
//! ```
//!
//! The agent's own socket would not do: it is another user's, and agents answer nobody else. And a step is not trusted with more than it needs: what
//! would add keys (and load libraries into the agent), remove or lock them is answered with a failure, as BuildKit does.

use std::fs::{File, Permissions};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;

use base::{IoContext, IoError};
use rustix::net::{Shutdown as How, shutdown};
use store::TempDir;

/// The name of the socket in its directory.
const SOCKET: &str = "agent";

/// How many connections a command has at a time: each is a thread here and a connection to the agent. Every `ssh` has one.
const MAX_CONNECTIONS: usize = 64;

/// The longest message that OpenSSH's agent takes or gives.
const MAX_MESSAGE: usize = 256 << 10;

/// What a command may ask an agent (draft-ietf-sshm-ssh-agent): which keys there are, and for a signature.
const ALLOWED: [u8; 2] = [11, 13];

/// The answer to everything else.
const FAILURE: [u8; 1] = [5];

/// A socket that leads to an agent, until this is dropped.
pub(super) struct Forwarding {
    listener: Arc<UnixListener>,
    connections: Arc<Connections>,
    thread: Option<JoinHandle<()>>,
    place: TempDir,
}

/// The connections that are open.
type Connections = Mutex<Vec<Weak<Connection>>>;

impl Forwarding {
    /// Listens in a private directory for a command that wants to talk to the agent.
    pub fn start(
        agent: &Path,
        place: TempDir,
        mode: u32,
        owner: Option<(u32, u32)>,
    ) -> Result<Self, IoError> {
        // An agent that does not answer is better known before the command runs.
        UnixStream::connect(agent).context("connect to the agent at", agent)?;
        let path = place.path().join(SOCKET);
        let directory = File::open(place.path()).context("open", place.path())?;
        // The path of a socket has 107 bytes at most; that of a store may have more.
        let short = format!("/proc/self/fd/{}/{SOCKET}", directory.as_raw_fd());
        let listener = Arc::new(UnixListener::bind(short).context("listen on", &path)?);
        if let Some((uid, gid)) = owner {
            chown(&path, Some(uid), Some(gid)).context("set the owner of", &path)?;
        }
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).context("set the mode of", &path)?;
        let connections = Arc::new(Connections::default());
        let thread = std::thread::spawn({
            let (listener, connections, agent) = (listener.clone(), connections.clone(), agent.to_owned());
            move || accept(&listener, &connections, &agent)
        });
        Ok(Self { listener, connections, thread: Some(thread), place })
    }

    /// Where it listens.
    pub fn socket(&self) -> PathBuf {
        self.place.path().join(SOCKET)
    }
}

impl Drop for Forwarding {
    fn drop(&mut self) {
        // The thread that waits for connections wakes up with an error.
        let _ = shutdown(&self.listener, How::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.iter().filter_map(Weak::upgrade).for_each(|connection| connection.close());
    }
}

/// Takes connections until the listener is shut down.
fn accept(listener: &UnixListener, connections: &Connections, agent: &Path) {
    loop {
        let client = match listener.accept() {
            Ok((client, _)) => client,
            Err(error)
                if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted) =>
            {
                continue;
            }
            Err(_) => return,
        };
        let mut open = connections.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|connection| connection.strong_count() > 0);
        if open.len() >= MAX_CONNECTIONS {
            continue;
        }
        // A client whose connection is closed says that the agent does not answer, which is so.
        let Ok(agent) = UnixStream::connect(agent) else { continue };
        let connection = Arc::new(Connection { client, agent });
        open.push(Arc::downgrade(&connection));
        drop(open);
        std::thread::spawn(move || {
            // Either end may hang up at any time: that is the end, not an error.
            let _ = connection.pass();
            connection.close();
        });
    }
}

/// A command's connection, and the one to the agent that belongs to it.
struct Connection {
    client: UnixStream,
    agent: UnixStream,
}

impl Connection {
    /// Passes on requests and replies, which come in turns.
    fn pass(&self) -> io::Result<()> {
        loop {
            let request = receive(&self.client)?;
            let may_pass = request.first().is_some_and(|kind| ALLOWED.contains(kind));
            let reply = if may_pass {
                send(&self.agent, &request)?;
                receive(&self.agent)?
            } else {
                FAILURE.to_vec()
            };
            send(&self.client, &reply)?;
        }
    }

    fn close(&self) {
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.agent.shutdown(Shutdown::Both);
    }
}

fn receive(mut stream: &UnixStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > MAX_MESSAGE {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut message = vec![0; length];
    stream.read_exact(&mut message)?;
    Ok(message)
}

fn send(mut stream: &UnixStream, message: &[u8]) -> io::Result<()> {
    let length = u32::try_from(message.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), message].concat())
}

#[cfg(test)]
mod tests {
    use store::Store;

    use super::*;

    /// An agent that answers everything with what it was asked, once a connection.
    fn agent(path: &Path) -> JoinHandle<()> {
        let listener = UnixListener::bind(path).expect("a socket");
        std::thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                match receive(&client) {
                    Ok(request) if request == b"\x0bend" => return,
                    Ok(request) => send(&client, &[b"asked ", &request[..]].concat()).expect("sent"),
                    Err(_) => {}
                }
            }
        })
    }

    #[test]
    fn df_102_what_passes_and_what_does_not() {
        let directory = tempfile::tempdir().expect("a directory");
        // A path that no socket address takes.
        let store = Store::open(directory.path().join("s".repeat(120))).expect("a store");
        let at = directory.path().join("agent");
        let agent = agent(&at);
        let place = store.temp_dir("ssh").expect("a directory");
        let forwarding = Forwarding::start(&at, place, 0o640, None).expect("it listens");
        let mode = std::fs::metadata(forwarding.socket()).expect("a socket").permissions().mode();
        assert_eq!(mode & 0o7777, 0o640);
        let directory = File::open(forwarding.place.path()).expect("opened");
        let short = format!("/proc/self/fd/{}/{SOCKET}", directory.as_raw_fd());
        let connect = || UnixStream::connect(&short).expect("connected");
        let ask = |client: &UnixStream, request: &[u8]| {
            send(client, request).expect("sent");
            receive(client).expect("an answer")
        };
        assert_eq!(ask(&connect(), b"\x0blist"), b"asked \x0blist");
        let client = connect();
        for refused in [&b""[..], b"\x11add", b"\x13remove all", b"\x16lock", b"\x1bextension"] {
            assert_eq!(ask(&client, refused), FAILURE, "{refused:?}");
        }
        assert_eq!(ask(&client, b"\x0dsign"), b"asked \x0dsign", "it goes on after a refusal");
        let mut client = connect();
        client.write_all(&u32::MAX.to_be_bytes()).expect("sent");
        assert!(receive(&client).is_err(), "a message that is too long ends the connection");
        let open = connect();
        drop(forwarding);
        assert!(receive(&open).is_err(), "what is open is closed");
        assert!(UnixStream::connect(&short).is_err());
        send(&UnixStream::connect(&at).expect("connected"), b"\x0bend").expect("sent");
        agent.join().expect("no panic");
    }
}
