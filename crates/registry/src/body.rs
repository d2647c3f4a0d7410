//! What replies consist of: bytes, and parts of files that are read while they are sent.

use std::collections::VecDeque;
use std::fs::File;
use std::future::Future;
use std::io;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper::body::{Body as HttpBody, Bytes, Frame, Incoming, SizeHint};
use tokio::task::{JoinHandle, spawn_blocking};

/// How much of a file is read at a time: this, and as much again that is on its way, is what a download needs.
const PIECE: u64 = 256 << 10;

/// The body of a reply. Its length is always known.
pub struct Body {
    parts: VecDeque<Part>,
    /// The piece of a file that is being read.
    reading: Option<JoinHandle<io::Result<Bytes>>>,
    left: u64,
}

enum Part {
    Bytes(Bytes),
    File { file: Arc<File>, from: u64, to: u64 },
}

impl Body {
    /// Nothing.
    pub fn empty() -> Self {
        Self { parts: VecDeque::new(), reading: None, left: 0 }
    }

    /// Some bytes.
    pub fn bytes(bytes: impl Into<Bytes>) -> Self {
        let mut body = Self::empty();
        body.push_bytes(bytes);
        body
    }

    /// Adds bytes.
    pub fn push_bytes(&mut self, bytes: impl Into<Bytes>) {
        let bytes = bytes.into();
        self.left += bytes.len() as u64;
        if !bytes.is_empty() {
            self.parts.push_back(Part::Bytes(bytes));
        }
    }

    /// Adds a part of a file.
    pub fn push_file(&mut self, file: &Arc<File>, part: std::ops::Range<u64>) {
        let (from, to) = (part.start, part.end);
        if from < to {
            self.left += to - from;
            self.parts.push_back(Part::File { file: file.clone(), from, to });
        }
    }

    /// How many bytes it has.
    pub fn len(&self) -> u64 {
        self.left
    }

    /// Begins to read the next piece of a file, if one comes next.
    fn read_on(&mut self) {
        if self.reading.is_some() {
            return;
        }
        let Some(Part::File { file, from, to }) = self.parts.front_mut() else { return };
        let (file, at, count) = (file.clone(), *from, PIECE.min(*to - *from));
        *from += count;
        if from >= to {
            self.parts.pop_front();
        }
        self.reading = Some(spawn_blocking(move || {
            let mut piece = vec![0; count as usize];
            file.read_exact_at(&mut piece, at)?;
            Ok(piece.into())
        }));
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.read_on();
        let bytes = match &mut self.reading {
            Some(reading) => {
                let read = ready!(Pin::new(reading).poll(context));
                self.reading = None;
                read.map_err(io::Error::other).and_then(|read| read)
            }
            None => match self.parts.pop_front() {
                Some(Part::Bytes(bytes)) => Ok(bytes),
                _ => return Poll::Ready(None),
            },
        };
        if let Ok(bytes) = &bytes {
            self.left = self.left.saturating_sub(bytes.len() as u64);
            // The next piece is read while this one is sent.
            self.read_on();
        }
        Poll::Ready(Some(bytes.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// The next bytes of what a client sends; `None` at its end.
pub async fn next(body: &mut Incoming) -> Option<Result<Bytes, hyper::Error>> {
    use http_body_util::BodyExt as _;
    loop {
        match body.frame().await? {
            Ok(frame) => match frame.into_data() {
                Ok(bytes) => return Some(Ok(bytes)),
                // Trailers say nothing here.
                Err(_) => continue,
            },
            Err(error) => return Some(Err(error)),
        }
    }
}
