//! Importing: a root filesystem as a tar → an image of one layer (ST-042).

use std::io::Read;

use base::{Cancel, Events};
use image::{ContainerConfig, Descriptor, ImageId, Platform, Reference};
use store::{Lease, Store};

use crate::ArchiveError;

/// What the image will be.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Its name.
    pub name: Option<Reference>,
    /// How containers of it run (`--change`, applied already).
    pub config: ContainerConfig,
    /// `--message`: the comment of its history.
    pub message: String,
    /// Where it runs.
    pub platform: Platform,
}

/// An image that was imported.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    /// Which.
    pub image: ImageId,
    /// Its manifest.
    pub manifest: Descriptor,
    /// What deserves a word.
    pub warnings: Vec<String>,
}

/// Imports a tar in any compression. Its time of creation is that of its newest entry: the same tar gives the same image everywhere.
pub fn import(
    store: &Store,
    lease: &Lease,
    tar: Box<dyn Read + Send + '_>,
    request: &Request,
    events: &Events,
    cancel: &Cancel,
) -> Result<Imported, ArchiveError> {
    let _ = (store, lease, tar, request, events, cancel);
    todo!()
}
