//! Containers: running a command in an image.
//!
//! [`merge`] puts a container together from an image's config and what the user asked for (pure); [`run::start`] runs it over
//! an overlay of the image's trees; what it changed goes away with it.

pub mod error;
pub mod host;
pub mod merge;
pub mod rootfs;
pub mod run;
pub mod users;

pub use error::EngineError;
