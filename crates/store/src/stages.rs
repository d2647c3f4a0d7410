//! Which steps a stage had when it was last built: what `--explain` compares with.
//!
//! The steps are named by the keys of their records, which are in the cache as long as they are. What cannot be read is as good as none.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::cache::StepKey;
use crate::{Result, Store, StoreError, files};

const VERSION: u32 = 1;

/// What is kept of a stage.
#[derive(Serialize, Deserialize)]
struct Kept {
    version: u32,
    steps: Vec<(String, String)>,
}

/// The stages that were built in a store.
pub struct Stages {
    store: Store,
}

impl Stages {
    pub(crate) fn new(store: Store) -> Self {
        Self { store }
    }

    fn path(&self, stage: &StepKey) -> PathBuf {
        self.store.at("stages").join(stage.to_string())
    }

    /// Definition and key of each step of a stage, as it was last built; none when it never was.
    pub fn get(&self, stage: &StepKey) -> Result<Vec<(StepKey, StepKey)>> {
        let kept: Kept = match files::read_record(self.store.root(), &self.path(stage), VERSION) {
            Ok(Some(kept)) => kept,
            Ok(None)
            | Err(StoreError::Damaged { .. } | StoreError::TooNew { .. } | StoreError::TooLarge { .. }) => {
                return Ok(Vec::new());
            }
            Err(error) => return Err(error),
        };
        let keys =
            |(definition, key): &(String, String)| Some((StepKey::parse(definition)?, StepKey::parse(key)?));
        Ok(kept.steps.iter().filter_map(keys).collect())
    }

    /// Remembers the steps of a stage in the place of what was known of it.
    pub fn put(&self, stage: &StepKey, steps: &[(StepKey, StepKey)]) -> Result<()> {
        let path = self.path(stage);
        let steps = steps.iter().map(|(definition, key)| (definition.to_string(), key.to_string())).collect();
        let bytes = files::record_bytes(&path, &Kept { version: VERSION, steps })?;
        let _publishing = self.store.publishing()?;
        Ok(self.store.replace_unsynced(&path, &bytes)?)
    }

    /// The files of stages none of whose steps has a record any more.
    pub(crate) fn without_records(&self) -> Result<Vec<PathBuf>> {
        let all = self.store.at("stages");
        let cache = self.store.cache();
        let mut found = Vec::new();
        for name in files::names_in(&all)? {
            let Some(stage) = name.to_str().and_then(StepKey::parse) else { continue };
            let mut has_record = false;
            for (definition, key) in self.get(&stage)? {
                has_record = has_record || files::exists(&cache.path(&definition, &key))?;
            }
            if !has_record {
                found.push(all.join(name));
            }
        }
        Ok(found)
    }
}
