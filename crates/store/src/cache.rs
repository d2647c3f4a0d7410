//! The build cache: records of steps that were built.
//!
//! What a step is, is the builder's; here it is two keys, a layer, and a JSON document.

use image::DiffId;
use serde_json::Value;

use crate::{Lease, Result};

/// A key of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StepKey(pub [u8; 32]);

/// A step that was built.
#[derive(Debug, Clone, PartialEq)]
pub struct StepRecord {
    /// What was asked for, without the contents of its inputs.
    pub definition: StepKey,
    /// What was asked for, with the contents of its inputs: what makes a hit.
    pub key: StepKey,
    /// The layer that it gave.
    pub layer: Option<DiffId>,
    /// The builder's own: canonical, versioned.
    pub document: Value,
}

/// The build cache of a store.
#[derive(Clone)]
pub struct Cache {}

/// The right to execute a step: while it is held, nobody else (in this process or another) executes the same one.
pub struct StepLock {}

impl Cache {
    /// The record of a step, when its layer is still there.
    pub fn get(&self, lease: &Lease, definition: &StepKey, key: &StepKey) -> Result<Option<StepRecord>> {
        let _ = (lease, definition, key);
        todo!()
    }

    /// All records of one definition, the newest first.
    pub fn of_definition(&self, definition: &StepKey) -> Result<Vec<StepRecord>> {
        let _ = definition;
        todo!()
    }

    /// Remembers a step.
    pub fn put(&self, lease: &Lease, record: &StepRecord) -> Result<()> {
        let _ = (lease, record);
        todo!()
    }

    /// Waits for the right to execute a step; `waiting` is called once when somebody else has it.
    pub fn lock(&self, key: &StepKey, cancel: &base::Cancel, waiting: &mut dyn FnMut()) -> Result<StepLock> {
        let _ = (key, cancel, waiting);
        todo!()
    }
}
