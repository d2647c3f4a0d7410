//! Layers: a table, and the forms that the contents have.

use std::path::PathBuf;

use image::{ChainId, Descriptor, DiffId};

use crate::table::{NewTable, Table};
use crate::{Lease, Result, TempDir};

/// The layers of a store.
#[derive(Clone)]
pub struct Layers {}

impl Layers {
    /// The layer, held; `None` when the store has no table of it.
    pub fn get(&self, diff_id: &DiffId) -> Result<Option<Layer>> {
        let _ = diff_id;
        todo!()
    }

    /// Adds a layer: its table, and its tree when there is one already. When the layer is there, it stays (and gains the tree).
    ///
    /// The contents must be there in at least one form: the given tree, or a blob.
    pub fn add(&self, lease: &Lease, table: NewTable, tree: Option<TempDir>) -> Result<Layer> {
        let _ = (lease, table, tree);
        todo!()
    }

    /// All layers.
    pub fn list(&self) -> Result<Vec<DiffId>> {
        todo!()
    }
}

/// A layer that is in use: while this value (or a descriptor from [`Layer::hold`]) lives, its forms stay.
#[derive(Clone)]
pub struct Layer {}

/// A blob that holds a layer.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerBlob {
    /// How it was made: the name of an encoding (`gzip-2` …), or `as-came` and its digest.
    pub encoding: String,
    /// The blob.
    pub descriptor: Descriptor,
}

impl Layer {
    /// Its identity.
    pub fn diff_id(&self) -> DiffId {
        todo!()
    }

    /// What is in it.
    pub fn table(&self) -> &Table {
        todo!()
    }

    /// The tree, when there is one that can be trusted (a tree that had not reached the disk when the power was cut is verified first, or dropped).
    ///
    /// `below` is the chain of the layers below: it matters only for layers that need them.
    pub fn tree(&self, below: Option<&ChainId>) -> Result<Option<PathBuf>> {
        let _ = below;
        todo!()
    }

    /// Adds the tree. One that is there already stays.
    pub fn add_tree(&self, below: Option<&ChainId>, tree: TempDir) -> Result<PathBuf> {
        let _ = (below, tree);
        todo!()
    }

    /// Whether the pack is in the store.
    pub fn has_pack(&self) -> Result<bool> {
        todo!()
    }

    /// The blobs that are known to hold this layer and are in the store.
    pub fn blobs(&self) -> Result<Vec<LayerBlob>> {
        todo!()
    }

    /// Remembers that a blob holds this layer.
    pub fn add_blob(&self, blob: &LayerBlob) -> Result<()> {
        let _ = blob;
        todo!()
    }

    /// A descriptor with the shared lock, to be inherited by processes that use the layer.
    pub fn hold(&self) -> std::os::fd::BorrowedFd<'_> {
        todo!()
    }
}
