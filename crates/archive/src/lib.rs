//! Images as tar archives, in and out, streamed; and OCI layouts, as directories or archives, read where they lie and added to ([`layout`]).
//!
//! ```text
//! store ─▶ save ─▶ OCI layout + manifest.json in a tar, readable by every tool       (ST-020, ST-021)
//! tar   ─▶ load ─▶ store: every shape that is found in the wild                     (ST-001 … ST-023)
//! tar   ─▶ import ─▶ an image of one layer                                           (ST-042)
//! ```

mod documents;
mod entries;
pub mod error;
mod format;
pub mod import;
pub mod layout;
pub mod load;
mod members;
mod names;
pub mod partial;
mod paths;
pub mod save;
mod verified;
mod writer;

pub use error::ArchiveError;
