//! Containers: running a command in an image.
//!
//! [`merge`] puts a container together from an image's config and what the user asked for (pure); [`run::start`] runs it in
//! a [`snapshot`] of the image's filesystem; what it changed goes away with it.

mod cdi;
pub mod devices;
pub mod error;
pub mod host;
pub mod layers;
pub mod merge;
pub mod resources;
pub mod run;
pub mod snapshot;
pub mod users;

pub use error::EngineError;
