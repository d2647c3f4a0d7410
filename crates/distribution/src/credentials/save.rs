//! Keeping credentials, and forgetting them (RC-034).

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use base::{Cancel, IoContext};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::fields::{Field, Fields};
use super::file::{Parsed, normalized, read_text};
use super::{Secret, helper};
use crate::config::AuthFile;
use crate::host::Host;
use crate::{DistributionError, Result};

/// Where credentials were kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Saved {
    /// By a helper.
    Helper(String),
    /// In a file, readable for whoever can read the file.
    File(PathBuf),
}

/// Keeps who one is on a registry: with the helper that the file names for it, else in the file.
pub fn save(path: &Path, host: &Host, secret: &Secret, cancel: &Cancel) -> Result<Saved> {
    let mut document = Document::read(path)?;
    if let Some(helper) = document.helper(path, host)? {
        helper::store(&helper, host.key(), secret, cancel)?;
        // docker's mark that the helper has it.
        document.set(host, Fields::default());
        document.write()?;
        return Ok(Saved::Helper(helper::program(&helper)));
    }
    let encoded;
    let entry = match secret {
        Secret::Password { user, password } => {
            encoded = STANDARD.encode(format!("{user}:{password}"));
            Fields::of_texts(&[("auth", encoded.as_str())])
        }
        Secret::Identity { token } => Fields::of_texts(&[("auth", ""), ("identitytoken", token)]),
        Secret::Bearer { token } => Fields::of_texts(&[("auth", ""), ("registrytoken", token)]),
    };
    document.set(host, entry);
    document.write()?;
    Ok(Saved::File(path.to_owned()))
}

/// Forgets who one is on a registry; whether anything was there to forget.
pub fn erase(path: &Path, host: &Host, cancel: &Cancel) -> Result<bool> {
    let mut document = Document::read(path)?;
    let helper = document.helper(path, host)?;
    if let Some(helper) = &helper {
        helper::erase(helper, host.key(), cancel)?;
    }
    let removed = document.remove(host);
    if removed {
        document.write()?;
    }
    Ok(removed || helper.is_some())
}

/// The file, with all that others keep in it, in its order.
struct Document {
    path: PathBuf,
    fields: Fields,
    indent: Vec<u8>,
}

impl Document {
    fn read(path: &Path) -> Result<Self> {
        // Whoever keeps it elsewhere and links to it wants it there.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let text = read_text(&path)?.unwrap_or_default();
        let wrong = |reason: String| DistributionError::File { path: path.clone(), reason };
        let fields = if text.trim().is_empty() {
            Fields::default()
        } else {
            serde_json::from_str(&text)
                .map_err(|error| wrong(format!("it is not JSON, at line {}", error.line())))?
        };
        let indent = text
            .lines()
            .nth(1)
            .map(|line| line.bytes().take_while(|byte| matches!(byte, b' ' | b'\t')).collect::<Vec<_>>())
            .filter(|indent| !indent.is_empty());
        Ok(Self { path, fields, indent: indent.unwrap_or_else(|| b"\t".to_vec()) })
    }

    fn helper(&self, path: &Path, host: &Host) -> Result<Option<String>> {
        let parsed = Parsed::read(&AuthFile::Path(path.to_owned()))?;
        Ok(parsed.and_then(|parsed| parsed.helper_for(host, "")))
    }

    fn set(&mut self, host: &Host, entry: Fields) {
        self.remove(host);
        if let Some(auths) = self.fields.object_or_new("auths") {
            auths.push(host.key(), Field::Object(entry));
        }
    }

    /// Removes all that is said of the host, in any spelling; whether there was something.
    fn remove(&mut self, host: &Host) -> bool {
        self.fields.object("auths").is_some_and(|auths| auths.remove(|key| normalized(key) == host.name()))
    }

    /// Writes it beside its place, for its owner only, and renames it.
    fn write(&self) -> Result<()> {
        let path = &self.path;
        if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(directory)
                .context("create the directory", directory)?;
        }
        let mut bytes = Vec::new();
        let formatter = serde_json::ser::PrettyFormatter::with_indent(&self.indent);
        serde::Serialize::serialize(
            &self.fields,
            &mut serde_json::Serializer::with_formatter(&mut bytes, formatter),
        )
        .map_err(std::io::Error::other)
        .context("encode", path)?;
        bytes.push(b'\n');
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.partial", std::process::id()));
        let partial = path.with_file_name(name);
        let written = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&partial)
            .and_then(|mut file| file.write_all(&bytes).and_then(|()| file.sync_all()))
            .context("write", &partial)
            .and_then(|()| fs::rename(&partial, path).context("rename to", path));
        if written.is_err() {
            // What matters is why it failed.
            let _ = fs::remove_file(&partial);
        }
        Ok(written?)
    }
}
