//! What steps wrote: one file a step, whole, as long as its record is there. That of a step that failed stays until the cache is collected.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use base::IoContext;

use crate::cache::StepKey;
use crate::{Result, Store, files};

/// The logs of a store.
pub struct Logs {
    store: Store,
}

impl Logs {
    pub(crate) fn new(store: Store) -> Self {
        Self { store }
    }

    /// Where the log of a step is, when it wrote anything.
    pub fn path(&self, step: &StepKey) -> PathBuf {
        self.store.at("logs").join(step.to_string())
    }

    /// Begins a log.
    pub fn begin(&self) -> Result<LogWriter> {
        let path = self.store.unfinished()?;
        let file = files::create(&path, 0o600)?;
        Ok(LogWriter { store: self.store.clone(), file, path, length: 0 })
    }

    /// The logs of all steps but some.
    pub(crate) fn besides(&self, is_kept: impl Fn(&StepKey) -> bool) -> Result<Vec<PathBuf>> {
        let names = files::names_in(&self.store.at("logs"))?;
        let others = names
            .iter()
            .filter(|name| name.to_str().and_then(StepKey::parse).is_some_and(|step| !is_kept(&step)));
        Ok(others.map(|name| self.store.at("logs").join(name)).collect())
    }
}

/// A log that is being written; without a name until it is kept.
pub struct LogWriter {
    store: Store,
    file: File,
    path: PathBuf,
    length: u64,
}

impl LogWriter {
    /// Adds what came.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).context("write", &self.path)?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Gives it its name, in the place of what the step wrote before. Nothing is kept of a step that wrote nothing.
    pub fn keep(self, step: &StepKey) -> Result<()> {
        let place = self.store.logs().path(step);
        let _publishing = self.store.publishing()?;
        if self.length > 0 {
            return Ok(fs::rename(&self.path, &place).context("rename to", &place)?);
        }
        remove(&place);
        Ok(())
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        // It has gone when it was kept.
        remove(&self.path);
    }
}

/// What stays is removed with the directory that it is in, or by the next collection.
fn remove(path: &Path) {
    let _ = fs::remove_file(path);
}
