//! A layout in a directory, to be added to (ST-033): blobs first, each whole under its name or not at all, then `index.json`, under a lock.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use base::task::Count;
use base::{Cancel, IoContext};
use image::Descriptor;
use serde_json::{Value, json};

use super::{documents, open_file};
use crate::documents::{Found, check_version};
use crate::format::{BLOBS, INDEX, LAYOUT, REF_NAME, blob_path};
use crate::partial::{self, Partial};
use crate::{ArchiveError, verified};
use image::manifest::MAX_MANIFEST_SIZE;

/// A layout that can be added to.
pub struct Directory {
    path: PathBuf,
}

impl Directory {
    /// Opens a layout, or makes one in a directory that is empty or not there. Another directory is left alone.
    pub fn open(path: &Path) -> Result<Self, ArchiveError> {
        let directory = Self { path: path.to_owned() };
        fs::create_dir_all(path).context("create the directory", path)?;
        let version = path.join(LAYOUT);
        if !version.exists() {
            let mut is_other = false;
            for entry in fs::read_dir(path).context("read", path)? {
                // Somebody else may be about to make it one.
                let name = entry.context("read", path)?.file_name();
                is_other |= name != LAYOUT && !name.as_encoded_bytes().ends_with(b".partial");
            }
            // Whoever makes one begins with this file: it may have come meanwhile, and blobs after it.
            if is_other && !version.exists() {
                let reason = "it is not empty, and has no file oci-layout";
                return Err(ArchiveError::NoLayout { path: path.to_owned(), reason });
            }
            // Not over one that has come meanwhile: its lock may be held.
            let (partial, mut file) = Partial::create(&version)?;
            file.write_all(&documents::version()?).context("write", &version)?;
            partial.commit_new()?;
        }
        let bytes = directory.read(LAYOUT)?.into();
        let found = Found { path: LAYOUT.as_bytes().to_vec(), bytes };
        check_version(&found).map_err(|error| error.within(&directory.called()))?;
        Ok(directory)
    }

    /// What it is called in messages.
    pub fn called(&self) -> String {
        format!("the OCI image layout {}", base::text::path(&self.path))
    }

    /// Removes what others left in it that were killed while they wrote, and says so. What is not of us stays.
    pub fn clear(&self, say: impl FnOnce(&str)) {
        let blobs = self.path.join(BLOBS);
        // What cannot be looked at stays.
        let algorithms = fs::read_dir(&blobs).into_iter().flatten().flatten().map(|entry| entry.path());
        partial::clear_all(&self.path, algorithms.chain([self.path.clone()]), say);
    }

    /// Whether a blob is there. Its contents are not looked at, only its size.
    pub fn has(&self, blob: &Descriptor) -> bool {
        let metadata = self.place(blob).metadata();
        metadata.is_ok_and(|metadata| metadata.is_file() && metadata.len() == blob.size)
    }

    /// Adds a blob; it is there when it is whole.
    pub fn add(
        &self,
        blob: &Descriptor,
        contents: &mut dyn Read,
        count: &mut Count,
        cancel: &Cancel,
    ) -> Result<(), ArchiveError> {
        let (partial, mut file) = self.create(blob)?;
        let copied = verified::copy((&blob.digest, blob.size), contents, &mut file, count, cancel);
        copied.map_err(|error| match error {
            error @ ArchiveError::Stream { action: "write", .. } => error.within(&self.called()),
            other => other,
        })?;
        Ok(partial.commit()?)
    }

    /// Adds a blob that is at hand, unless the same bytes are there. Says whether it was added.
    pub fn put(&self, blob: &Descriptor, bytes: &[u8]) -> Result<bool, ArchiveError> {
        if self.has(blob) && fs::read(self.place(blob)).is_ok_and(|there| there == bytes) {
            return Ok(false);
        }
        let (partial, mut file) = self.create(blob)?;
        file.write_all(bytes).context("write", partial.place())?;
        partial.commit()?;
        Ok(true)
    }

    /// Adds entries to `index.json`. One with a name takes the place of those that have it; one without is added where nothing names it yet.
    /// Everything else stays, also what is not understood. Says whether anything has changed.
    pub fn name(&self, entries: &[Descriptor]) -> Result<bool, ArchiveError> {
        let lock = self.path.join(LAYOUT);
        let held = File::open(&lock).context("open", &lock)?;
        held.lock().context("lock", &lock)?;
        let place = self.path.join(INDEX);
        let mut index = match place.exists() {
            true => self.index(&place)?,
            false => json!({
                "schemaVersion": 2,
                "mediaType": image::MediaType::OCI_INDEX.as_str(),
                "manifests": [],
            }),
        };
        let before = index.clone();
        let Some(manifests) = index.get_mut("manifests").and_then(Value::as_array_mut) else {
            let reason = "its index.json has no list of manifests".to_owned();
            return Err(ArchiveError::Refused(reason).within(&self.called()));
        };
        for entry in entries {
            merge(manifests, entry).map_err(|source| ArchiveError::Stream { action: "write", source })?;
        }
        if index == before {
            return Ok(false);
        }
        let (partial, mut file) = Partial::create(&place)?;
        file.write_all(index.to_string().as_bytes()).context("write", &place)?;
        partial.commit()?;
        Ok(true)
    }

    /// The index as it stands there, once it is known to be one.
    fn index(&self, place: &Path) -> Result<Value, ArchiveError> {
        let bytes = self.read(INDEX)?;
        let invalid = |source| {
            ArchiveError::Document { entry: INDEX.as_bytes().to_vec(), source }.within(&self.called())
        };
        image::Document::parse(&bytes).map_err(invalid)?;
        let mut index: Value =
            serde_json::from_slice(&bytes).map_err(std::io::Error::from).context("read", place)?;
        // Go writes an index of nothing with `null`.
        if index.get("manifests").is_some_and(Value::is_null) {
            index["manifests"] = json!([]);
        }
        Ok(index)
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, ArchiveError> {
        let path = self.path.join(name);
        let mut bytes = Vec::new();
        open_file(&path)?.take(MAX_MANIFEST_SIZE + 1).read_to_end(&mut bytes).context("read", &path)?;
        if bytes.len() as u64 > MAX_MANIFEST_SIZE {
            let entry = name.as_bytes().to_vec();
            return Err(ArchiveError::TooLarge { entry, limit: MAX_MANIFEST_SIZE }.within(&self.called()));
        }
        Ok(bytes)
    }

    fn place(&self, blob: &Descriptor) -> PathBuf {
        self.path.join(blob_path(&blob.digest))
    }

    fn create(&self, blob: &Descriptor) -> Result<(Partial, File), ArchiveError> {
        let place = self.place(blob);
        if let Some(parent) = place.parent() {
            fs::create_dir_all(parent).context("create the directory", parent)?;
        }
        Ok(Partial::create(&place)?)
    }
}

/// Puts an entry among the others.
fn merge(manifests: &mut Vec<Value>, entry: &Descriptor) -> Result<(), std::io::Error> {
    let name_of = |value: &Value| value["annotations"][REF_NAME].as_str().map(str::to_owned);
    let name = entry.annotations.get(REF_NAME);
    let digest = entry.digest.to_string();
    let is_same = |value: &Value| value["digest"].as_str() == Some(&digest);
    match name {
        None if manifests.iter().any(is_same) => return Ok(()),
        None => {}
        Some(name) => {
            let mut with_name = manifests.iter().filter(|value| name_of(value).as_ref() == Some(name));
            // Whatever else is said of it there stays.
            if with_name.next().is_some_and(is_same) && with_name.next().is_none() {
                return Ok(());
            }
            manifests.retain(|value| name_of(value).as_ref() != Some(name));
        }
    }
    manifests.push(serde_json::to_value(entry)?);
    Ok(())
}
