//! Layers: a filesystem change ↔ a tar stream ↔ a table of contents.
//!
//! ```text
//!            packer                    scan
//!  entries ─────────▶ tar + table    tar ─────▶ table         (one pass each, the DiffID computed on the way)
//!            walk                      apply
//!  tree    ─────────▶ entries        tar + table ─────▶ tree
//!            compress                  decompress
//!  tar     ─────────▶ blob           blob ─────▶ tar
//! ```
//!
//! [`forms`] puts these together: whatever form a layer has, it gives the one that is asked for, checked against the DiffID.
//! [`view`] merges the tables of a stack into the filesystem that they make.

pub mod apply;
pub mod changes;
pub mod compress;
pub mod decompress;
pub mod difference;
mod digest_reader;
mod digest_writer;
pub mod error;
pub mod forms;
pub mod ingest;
pub mod limits;
pub mod output;
pub mod packer;
pub mod plain;
#[cfg(test)]
mod races;
mod rooted;
pub mod scan;
pub mod tar_writer;
#[cfg(test)]
mod testing;
pub mod unpack;
pub mod view;
pub mod walk;

pub use compress::Encoding;
pub use difference::difference;
pub use error::LayerError;
pub use packer::{Meta, Packer};
pub use tar_writer::TarWriter;
pub use view::View;

/// What this crate's operations give.
pub type Result<T, E = LayerError> = std::result::Result<T, E>;

/// The time of everything that the builder itself creates (directories of WORKDIR, created parents, heredocs, undated downloads): 2 January 1980, UTC.
/// The first day whose local date is representable in a ZIP archive in every time zone: Python's zipfile, among others, refuses earlier ones.
pub const FIXED_TIME: i64 = 315_619_200;
