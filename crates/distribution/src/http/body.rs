//! What is sent: bytes, or a stream of a known length that is read while it is sent.

use std::io::{self, Read};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::sync::mpsc;

use crate::Result;

/// How much is read at a time, and how many pieces may wait for the network.
const PIECE: usize = 256 << 10;
const WAITING: usize = 4;

/// The body of a request. It can be sent again: it is opened anew each time.
pub(crate) enum Body {
    Bytes(Bytes),
    Stream {
        length: u64,
        /// Gives the bytes from the beginning.
        open: Box<dyn Fn() -> Result<Box<dyn Read + Send>> + Send + Sync>,
    },
}

/// How far the sending has come.
#[derive(Default)]
pub(crate) struct Sent {
    pub bytes: AtomicU64,
    pub ended: AtomicBool,
    failure: Mutex<Option<io::Error>>,
}

impl Sent {
    /// Why the body could not be read.
    pub(crate) fn failure(&self) -> Option<io::Error> {
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.as_ref().map(|error| io::Error::new(error.kind(), error.to_string()))
    }
}

impl Body {
    pub(crate) fn empty() -> Self {
        Self::Bytes(Bytes::new())
    }

    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::Bytes(bytes) if bytes.is_empty())
    }

    /// Begins to send it.
    pub(super) fn open(&self) -> Result<(reqwest::Body, Arc<Sent>)> {
        let sent = Arc::new(Sent::default());
        match self {
            Body::Bytes(bytes) => {
                sent.ended.store(true, Ordering::Relaxed);
                Ok((reqwest::Body::from(bytes.clone()), sent))
            }
            Body::Stream { length, open } => {
                let reader = open()?;
                let (to, pieces) = mpsc::channel(WAITING);
                let progress = sent.clone();
                let length = *length;
                // Ends when everything is read, and when nobody wants the rest.
                std::thread::Builder::new()
                    .name("upload".to_owned())
                    .spawn(move || read(reader, length, &to, &progress))
                    .map_err(|source| crate::DistributionError::Start { source })?;
                Ok((reqwest::Body::wrap(Stream { pieces, left: length, sent: sent.clone() }), sent))
            }
        }
    }
}

/// Reads pieces and hands them on.
fn read(mut reader: Box<dyn Read + Send>, length: u64, to: &mpsc::Sender<Bytes>, sent: &Sent) {
    let mut left = length;
    while left > 0 {
        let mut piece = vec![0; PIECE.min(usize::try_from(left).unwrap_or(PIECE))];
        if let Err(error) = reader.read_exact(&mut piece) {
            *sent.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            return;
        }
        left -= piece.len() as u64;
        if to.blocking_send(piece.into()).is_err() {
            return;
        }
    }
}

/// Pieces on their way to the network.
struct Stream {
    pieces: mpsc::Receiver<Bytes>,
    left: u64,
    sent: Arc<Sent>,
}

impl http_body::Body for Stream {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.left == 0 {
            self.sent.ended.store(true, Ordering::Relaxed);
            return Poll::Ready(None);
        }
        let Poll::Ready(piece) = self.pieces.poll_recv(context) else { return Poll::Pending };
        Poll::Ready(Some(match piece {
            Some(piece) => {
                self.left = self.left.saturating_sub(piece.len() as u64);
                self.sent.bytes.fetch_add(piece.len() as u64, Ordering::Relaxed);
                if self.left == 0 {
                    self.sent.ended.store(true, Ordering::Relaxed);
                }
                Ok(Frame::data(piece))
            }
            None => Err(io::Error::other("what was to be sent cannot be read")),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
