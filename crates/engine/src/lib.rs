//! Containers: running a command in an image.
//!
//! [`merge`] puts a container together from an image and what the user asked for (pure); it runs over
//! an overlay of the image's trees; what it changed goes away with it.

pub mod host;
pub mod merge;
pub mod users;
