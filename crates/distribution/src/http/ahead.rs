//! Bodies that come in while something else is read.

use base::Cancel;
use bytes::Bytes;
use reqwest::Url;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::AbortHandle;

use super::{Answer, Fault, Http, next_piece};
use crate::Result;

/// A body on its way. What has come of it waits in memory: it has to be known how much that can be.
pub(crate) struct Ahead<'a> {
    http: &'a Http,
    cancel: &'a Cancel,
    pieces: UnboundedReceiver<Result<Bytes, Fault>>,
    /// Whose body it is, for messages.
    url: Url,
    task: AbortHandle,
}

impl<'a> Answer<'a> {
    /// Reads the body from now on, but never more than `limit` bytes of it; a longer one ends there.
    pub(crate) fn ahead(self, limit: u64) -> Ahead<'a> {
        let Answer { http, mut response, cancel } = self;
        let url = response.url().clone();
        let (to, pieces) = unbounded_channel();
        let idle = http.config.patience.idle;
        let work = async move {
            let mut left = limit;
            while left > 0 {
                let Some(mut piece) = next_piece(&mut response, idle).await.transpose() else { return };
                if let Ok(piece) = &mut piece {
                    piece.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                    left -= piece.len() as u64;
                    // A piece keeps all of the buffer that it was read into, which is often many times as large.
                    *piece = Bytes::copy_from_slice(piece);
                }
                let is_end = piece.is_err();
                if to.send(piece).is_err() || is_end {
                    return;
                }
            }
            // The end of the body: then the connection can be used again.
            let _ = next_piece(&mut response, idle).await;
        };
        let task = http.runtime.spawn(work).abort_handle();
        Ahead { http, cancel, pieces, url, task }
    }
}

impl Ahead<'_> {
    /// The next piece of the body; `None` at its end.
    pub(crate) fn piece(&mut self) -> Result<Option<Bytes>> {
        let next = self.http.wait(self.cancel, self.pieces.recv())?;
        next.transpose().map_err(|fault| self.http.trouble(&self.url, fault).into())
    }
}

impl Drop for Ahead<'_> {
    /// Nobody wants the rest.
    fn drop(&mut self) {
        self.task.abort();
    }
}
