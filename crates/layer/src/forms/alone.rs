//! One thread of a process at a time makes a certain form; the others wait, and find it made.

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use base::{Cancel, Cancelled};
use image::{ChainId, DiffId};

/// What is being made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Work {
    Pack(DiffId),
    Blob(DiffId, String),
    Tree(DiffId, Option<ChainId>),
}

static UNDER_WAY: Mutex<BTreeSet<Work>> = Mutex::new(BTreeSet::new());
static ENDED: Condvar = Condvar::new();

/// How long it takes at most until a waiting thread sees that it is cancelled.
const PATIENCE: Duration = Duration::from_millis(100);

/// While it lives, nobody else in this process does the same work.
pub(super) struct Alone(Work);

/// Waits until nobody else does this work.
pub(super) fn alone(work: Work, cancel: &Cancel) -> Result<Alone, Cancelled> {
    let mut under_way = UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner);
    while !under_way.insert(work.clone()) {
        cancel.check()?;
        under_way = ENDED.wait_timeout(under_way, PATIENCE).unwrap_or_else(PoisonError::into_inner).0;
    }
    Ok(Alone(work))
}

impl Drop for Alone {
    fn drop(&mut self) {
        UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.0);
        ENDED.notify_all();
    }
}
