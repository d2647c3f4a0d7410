//! Repositories of git: an address → a commit → its files in a directory.
//!
//! ```text
//! text ─▶ Source::parse ─▶ Source ─▶ Git::resolve ─▶ Resolved: the commit, without fetching anything
//!                                                       │
//!                            clone::checkout: fetched, as little as the server allows, into a clone that is kept
//!                                                       │
//!                                                       ▼
//!                            a directory of files: modes 0644 and 0755, the time of the commit
//! ```
//!
//! The work is done by the program `git` (2.31 or newer), which is run without anybody's configuration, hooks, helpers and prompts, and may use the network
//! protocols of [`Transport`] only ([`program`]). What it is given from outside (proxies, say) is in [`Outside`]; nothing is read from the environment here.

pub mod authorization;
pub mod clone;
pub mod error;
pub mod program;
pub mod source;

mod kept;
mod plain;
mod refs;

pub use authorization::{Authorization, Secret};
pub use clone::{Order, checkout};
pub use error::GitError;
pub use program::{Git, Outside};
pub use refs::Resolved;
pub use source::{Remote, Source, SourceError, Transport, shown};
