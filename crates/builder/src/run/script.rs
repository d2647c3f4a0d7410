//! Heredocs that are executed themselves (DF-035).

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use base::IoContext;
use sandbox::Mount;
use store::TempDir;

use super::RunError;
use crate::plan::Script;

/// Writes the script beside the snapshot, to be shown at its place, read-only.
pub(super) fn mount(place: &TempDir, script: Option<&Script>) -> Result<Option<Mount>, RunError> {
    let Some(script) = script else { return Ok(None) };
    let path = place.path().join("script");
    fs::write(&path, &script.content).context("write", &path)?;
    fs::set_permissions(&path, Permissions::from_mode(0o755)).context("set the mode of", &path)?;
    Ok(Some(Mount { read_only: true, ..Mount::bind(path, &script.path) }))
}
