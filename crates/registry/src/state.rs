//! What all requests share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use image::Digester;
use store::Store;

use crate::Options;
use crate::access::Access;
use crate::adopt::Adopter;
use crate::metrics::Metrics;

/// Digests of more uploads than these are not remembered: such an upload is read again when it is finished.
const MAX_DIGESTS: usize = 4096;

/// The registry.
pub(crate) struct State {
    pub store: Store,
    pub options: Options,
    pub access: Access,
    pub adopter: Adopter,
    pub metrics: Metrics,
    /// Of uploads that wait for their next piece: how far they are, and the digest of that.
    digests: Mutex<HashMap<String, (u64, Digester)>>,
    requests: AtomicU64,
}

impl State {
    pub fn new(store: Store, options: Options, access: Access, adopter: Adopter) -> Self {
        Self {
            store,
            options,
            access,
            adopter,
            metrics: Metrics::default(),
            digests: Mutex::default(),
            requests: AtomicU64::new(0),
        }
    }

    /// A name for a request, in replies and in the log.
    pub fn next_id(&self) -> String {
        format!("{:x}-{}", std::process::id(), self.requests.fetch_add(1, Ordering::Relaxed))
    }

    /// Remembers the digest of what has come of an upload.
    pub fn remember(&self, id: &str, digest: Option<(u64, Digester)>) {
        let mut digests = self.digests();
        if let Some(digest) = digest.filter(|_| digests.len() < MAX_DIGESTS) {
            digests.insert(id.to_owned(), digest);
        }
    }

    /// Gives the digest of what has come of an upload, and forgets it.
    pub fn recall(&self, id: &str) -> Option<(u64, Digester)> {
        self.digests().remove(id)
    }

    /// Forgets the digests of uploads that are gone.
    pub fn forget_digests(&self, is_gone: impl Fn(&str) -> bool) {
        self.digests().retain(|id, _| !is_gone(id));
    }

    fn digests(&self) -> MutexGuard<'_, HashMap<String, (u64, Digester)>> {
        self.digests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
