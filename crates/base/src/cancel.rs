//! Cancellation: one flag that everything long looks at.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Classified, Kind};

/// A cancellation flag, cheap to clone; all clones are one flag.
///
/// Work that loops calls [`Cancel::check`] at least every few milliseconds; work that waits on
/// something which can be woken registers a waker with [`Cancel::on_cancel`].
#[derive(Clone, Default)]
pub struct Cancel(Arc<Inner>);

#[derive(Default)]
struct Inner {
    cancelled: AtomicBool,
    wakers: Mutex<Wakers>,
}

#[derive(Default)]
struct Wakers {
    next: u64,
    waiting: Vec<(u64, Box<dyn FnOnce() + Send>)>,
}

/// A reader that fails when the work is cancelled: for what reads as long as there is something. Whoever uses it asks the flag afterwards, since the error
/// may have become another one.
pub struct Cancellable<'a, R> {
    /// What is read.
    pub reader: R,
    /// The flag.
    pub cancel: &'a Cancel,
}

impl<R: Read> Read for Cancellable<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.cancel.check().map_err(io::Error::other)?;
        self.reader.read(buffer)
    }
}

/// The work was asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cancelled")]
pub struct Cancelled;

impl Classified for Cancelled {
    fn kind(&self) -> Kind {
        Kind::Cancelled
    }
}

impl Cancel {
    /// A flag that is not set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the flag and runs every registered waker, once.
    pub fn cancel(&self) {
        self.0.cancelled.store(true, Ordering::SeqCst);
        let wakers = std::mem::take(&mut self.wakers().waiting);
        for (_, wake) in wakers {
            wake();
        }
    }

    /// Whether the flag is set.
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::SeqCst)
    }

    /// `Err` when the flag is set, to be used with `?` inside loops.
    pub fn check(&self) -> Result<(), Cancelled> {
        if self.is_cancelled() { Err(Cancelled) } else { Ok(()) }
    }

    /// Runs `wake` when the flag is set, or at once when it is set already.
    ///
    /// Dropping the returned registration forgets the waker.
    pub fn on_cancel(&self, wake: impl FnOnce() + Send + 'static) -> Registration {
        let mut wakers = self.wakers();
        let id = wakers.next;
        wakers.next += 1;
        wakers.waiting.push((id, Box::new(wake)));
        drop(wakers);
        if self.is_cancelled() {
            // `cancel` may have run between our caller's last check and the push.
            self.cancel();
        }
        Registration { flag: self.clone(), id }
    }

    fn wakers(&self) -> std::sync::MutexGuard<'_, Wakers> {
        self.0.wakers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps a waker registered; see [`Cancel::on_cancel`].
#[must_use = "dropping the registration forgets the waker"]
pub struct Registration {
    flag: Cancel,
    id: u64,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.flag.wakers().waiting.retain(|(id, _)| *id != self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_is_the_same_flag() {
        let cancel = Cancel::new();
        let other = cancel.clone();
        assert_eq!(other.check(), Ok(()));
        cancel.cancel();
        assert_eq!(other.check(), Err(Cancelled));
    }

    #[test]
    fn wakers_run_once_and_late_ones_at_once() {
        let cancel = Cancel::new();
        let count = Arc::new(std::sync::atomic::AtomicU32::new(0));
        let bump = |count: &Arc<std::sync::atomic::AtomicU32>| {
            let count = count.clone();
            move || {
                count.fetch_add(1, Ordering::SeqCst);
            }
        };
        let _kept = cancel.on_cancel(bump(&count));
        drop(cancel.on_cancel(bump(&count)));
        cancel.cancel();
        cancel.cancel();
        assert_eq!(count.load(Ordering::SeqCst), 1);
        let _late = cancel.on_cancel(bump(&count));
        assert_eq!(count.load(Ordering::SeqCst), 2);
    }
}
