//! Connections: accepting them, telling TLS from plain HTTP, and stopping.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use base::Cancel;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use store::Store;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore};
use tokio::time::{sleep, timeout};

use crate::access::Access;
use crate::adopt::{Adopter, Adoption, Tell};
use crate::state::State;
use crate::tls::Tls;
use crate::{Options, ServeError, service};

/// More connections than this wait until others end.
const MAX_CONNECTIONS: usize = 2048;
/// How many threads wait for the disk at a time.
const MAX_BLOCKING: usize = 64;
/// How long a client may take for its first byte, and for the head of a request.
const HEAD: Duration = Duration::from_secs(30);
/// How long what is running may take to end when the registry is stopped. (An upload that is cut off can be taken up again.)
const STOPPING: Duration = Duration::from_secs(5);
/// How long an upload may be idle before it is dropped (RS-131), and how often that is looked at.
const IDLE_UPLOAD: Duration = Duration::from_secs(24 * 60 * 60);
const LOOK_AT_UPLOADS: Duration = Duration::from_secs(60 * 60);
/// The first byte of a TLS connection.
const TLS_HANDSHAKE: u8 = 0x16;

/// A registry that listens, and does not answer yet.
pub struct Server {
    listener: TcpListener,
    state: Arc<State>,
    adoption: Adoption,
    tls: Option<Arc<Tls>>,
}

impl Server {
    /// Begins to listen.
    pub fn bind(store: Store, options: Options) -> Result<Self, ServeError> {
        let tls = options.tls.clone().map(Tls::load).transpose()?.map(Arc::new);
        let access = Access::load(&options)?;
        let address = options.address;
        let listener = TcpListener::bind(address).map_err(|source| ServeError::Listen { address, source })?;
        let (adopter, adoption) = Adopter::new();
        let state = Arc::new(State::new(store, options, access, adopter));
        Ok(Self { listener, state, adoption, tls })
    }

    /// Where it listens.
    pub fn address(&self) -> Result<SocketAddr, ServeError> {
        self.listener
            .local_addr()
            .map_err(|source| ServeError::System { action: "ask for the own address", source })
    }

    /// Answers until cancelled; then lets what is running end, for a while.
    pub fn run(self, cancel: &Cancel) -> Result<(), ServeError> {
        let system = |action| move |source| ServeError::System { action, source };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .max_blocking_threads(MAX_BLOCKING)
            .enable_all()
            .build()
            .map_err(system("start threads"))?;
        let Self { listener, state, adoption, tls } = self;
        let adopting = {
            let (state, cancel) = (state.clone(), cancel.clone());
            let tell: Tell = {
                let state = state.clone();
                Arc::new(move |text| (state.options.tell)(text))
            };
            // Where nothing is pushed, nothing needs to be taken in.
            let work = move || {
                if !state.options.read_only {
                    adoption.run(&state.store, &cancel, &tell);
                }
            };
            std::thread::Builder::new()
                .name("adopt".to_owned())
                .spawn(work)
                .map_err(system("start a thread"))?
        };
        let stop = Arc::new(Notify::new());
        let _registration = {
            let stop = stop.clone();
            cancel.on_cancel(move || stop.notify_one())
        };
        listener.set_nonblocking(true).map_err(system("listen"))?;
        let served = runtime.block_on(accept(listener, state.clone(), tls, stop));
        runtime.shutdown_timeout(STOPPING);
        state.adopter.stop();
        // It looks at the flag between two pieces of what it reads.
        let _ = adopting.join();
        served
    }
}

async fn accept(
    listener: TcpListener,
    state: Arc<State>,
    tls: Option<Arc<Tls>>,
    stop: Arc<Notify>,
) -> Result<(), ServeError> {
    let listener = tokio::net::TcpListener::from_std(listener)
        .map_err(|source| ServeError::System { action: "listen", source })?;
    let graceful = GracefulShutdown::new();
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    tokio::spawn(purge(state.clone()));
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { break };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.notified() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // The one that could not be accepted is gone; or there are too many, and some will end.
                (state.options.tell)(&format!("cannot accept a connection: {error}"));
                sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let (state, tls, watcher) = (state.clone(), tls.clone(), graceful.watcher());
        tokio::spawn(async move {
            connection(stream, peer, state, tls, watcher).await;
            drop(permit);
        });
    }
    drop(listener);
    // What takes longer is cut off.
    let _ = timeout(STOPPING, graceful.shutdown()).await;
    Ok(())
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    state: Arc<State>,
    tls: Option<Arc<Tls>>,
    watcher: Watcher,
) {
    // Without it, small replies wait for acknowledgements.
    let _ = stream.set_nodelay(true);
    let mut first = [0];
    let Ok(Ok(1)) = timeout(HEAD, stream.peek(&mut first)).await else { return };
    let is_tls = first == [TLS_HANDSHAKE];
    match tls {
        Some(tls) if is_tls => {
            let (acceptor, word) = tls.acceptor();
            if let Some(word) = word {
                (state.options.tell)(&word);
            }
            match timeout(HEAD, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => talk(stream, peer, state, watcher).await,
                Ok(Err(error)) => (state.options.tell)(&format!("{peer}: no TLS: {error}")),
                Err(_) => {}
            }
        }
        Some(_) => misunderstood(stream, "this port of the registry speaks HTTPS, not plain HTTP").await,
        // Clients that try TLS first go on without it only when they see the beginning of an HTTP reply (RS-006b).
        None if is_tls => {
            misunderstood(stream, "this port of the registry speaks plain HTTP, not HTTPS").await
        }
        None => talk(stream, peer, state, watcher).await,
    }
}

async fn talk(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    peer: SocketAddr,
    state: Arc<State>,
    watcher: Watcher,
) {
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let (state, peer) = (state.clone(), peer.to_string());
        async move { Ok::<_, std::convert::Infallible>(service::serve(state, request, peer).await) }
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(HEAD).max_concurrent_streams(128);
    let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
    // Why a connection broke is the client's matter; what a request came to is in the log.
    let _ = watcher.watch(connection).await;
}

/// Answers somebody who speaks another protocol, and waits a moment until that was read.
async fn misunderstood(mut stream: TcpStream, text: &str) {
    let body = format!("{{\"errors\":[{{\"code\":\"UNSUPPORTED\",\"message\":\"{text}\"}}]}}\n");
    let head = "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nConnection: close\r\n";
    let reply = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
    let answer = async {
        stream.write_all(reply.as_bytes()).await?;
        stream.shutdown().await?;
        let mut rest = [0; 4096];
        while stream.read(&mut rest).await? > 0 {}
        io::Result::Ok(())
    };
    let _ = timeout(Duration::from_secs(1), answer).await;
}

/// Drops uploads that nobody goes on with.
async fn purge(state: Arc<State>) {
    loop {
        let state = state.clone();
        let purged = tokio::task::spawn_blocking(move || {
            if state.options.read_only {
                return;
            }
            let uploads = state.store.repositories().uploads();
            match uploads.purge(IDLE_UPLOAD) {
                Ok(0) => {}
                Ok(count) => (state.options.tell)(&format!("{count} idle uploads were dropped")),
                Err(error) => (state.options.tell)(&format!("idle uploads cannot be dropped: {error}")),
            }
            state.forget_digests(|id| !uploads.exists(id));
        });
        let _ = purged.await;
        sleep(LOOK_AT_UPLOADS).await;
    }
}
