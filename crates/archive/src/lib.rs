//! Images as tar archives, in and out, streamed.
//!
//! ```text
//! store ─▶ save ─▶ OCI layout + manifest.json in a tar, readable by every tool       (ST-020, ST-021)
//! tar   ─▶ load ─▶ store: every shape that is found in the wild                     (ST-001 … ST-023)
//! tar   ─▶ import ─▶ an image of one layer                                           (ST-042)
//! ```

mod entries;
pub mod error;
mod format;
pub mod import;
pub mod load;
mod paths;
pub mod save;
mod writer;

pub use error::ArchiveError;
