//! The vocabulary of container images: digests, references, platforms, descriptors, manifests, configs.
//!
//! Pure values: parsing and writing, no I/O. A manifest or config that came from outside keeps its raw
//! bytes beside the parsed view ([`Raw`]), because its digest covers the bytes, not the meaning.

pub mod choice;
pub mod config;
pub mod descriptor;
pub mod digest;
mod json;
pub mod manifest;
pub mod media_type;
pub mod platform;
pub mod raw;
pub mod reference;
pub mod timestamp;

pub use choice::{NoSuchPlatform, choose};
pub use config::{Config, ContainerConfig, Healthcheck, History, RootFs};
pub use descriptor::Descriptor;
pub use digest::{Algorithm, ChainId, DiffId, Digest, Digester, ImageId};
pub use manifest::{Document, Index, Manifest};
pub use media_type::MediaType;
pub use platform::{Platform, PlatformError};
pub use raw::{ParseError, Raw};
pub use reference::{Reference, ReferenceError};
pub use timestamp::Timestamp;
