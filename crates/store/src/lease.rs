//! Leases: what a running process needs stays.

/// A running piece of work. Blobs, layers, images and records that are written or looked up under a lease stay while it lives;
/// it ends when it is dropped, or when the process dies.
#[derive(Clone)]
pub struct Lease {}
