//! What of the repositories a collection keeps.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::PathBuf;
use std::time::SystemTime;

use base::IoContext;
use image::manifest::MAX_MANIFEST_SIZE;
use image::{Descriptor, Digest, Document};

use super::blobs::GRACE;
use super::{BLOBS, ManifestRecord, Repositories, Repository, RepositoryName, digest_of_name};
use crate::{Result, StoreError, files};

/// What of the repositories stays, and what goes.
#[derive(Default)]
pub(crate) struct Chosen {
    /// Manifests that stay, with what needs them.
    pub manifests: Vec<(RepositoryName, Descriptor)>,
    /// Blobs that were pushed, or asked for, a moment ago.
    pub fresh: Vec<(RepositoryName, Digest)>,
    /// Manifests that go.
    pub forgotten: Vec<(Repository, Digest)>,
    /// That blobs can be seen where nothing refers to them.
    pub links: Vec<PathBuf>,
}

impl Repositories {
    /// Decides. With `untagged`, manifests go that no tag, no index and no subject keeps. The caller keeps others from publishing.
    pub(crate) fn choose(&self, untagged: bool, now: SystemTime) -> Result<Chosen> {
        let mut chosen = Chosen::default();
        for repository in self.pushed()? {
            repository.choose(untagged, now, &mut chosen)?;
        }
        Ok(chosen)
    }

    /// Forgets a manifest that was chosen to go.
    pub(crate) fn forget(&self, repository: &Repository, digest: &Digest) -> Result<()> {
        repository.forget_manifest(digest)
    }
}

impl Repository {
    fn choose(&self, untagged: bool, now: SystemTime, chosen: &mut Chosen) -> Result<()> {
        let records: HashMap<Digest, ManifestRecord> =
            self.manifests()?.into_iter().map(|record| (record.digest, record)).collect();
        let kept = if untagged { self.tagged(&records, now)? } else { records.keys().copied().collect() };
        let mut parts = HashSet::new();
        for record in records.into_values() {
            if !kept.contains(&record.digest) {
                chosen.forgotten.push((self.clone(), record.digest));
                continue;
            }
            parts.extend(self.parts(&record.digest)?);
            let descriptor = Descriptor::new(record.media_type, record.digest, record.size);
            chosen.manifests.push((self.name.clone(), descriptor));
        }
        for name in files::names_in(&self.at(BLOBS))? {
            let path = self.at(BLOBS).join(&name);
            let Some(digest) = digest_of_name(&name) else { continue };
            let asked =
                fs::symlink_metadata(&path).and_then(|data| data.modified()).context("stat", &path)?;
            if is_fresh(asked, now) {
                chosen.fresh.push((self.name.clone(), digest));
            } else if !parts.contains(&digest) {
                chosen.links.push(path);
            }
        }
        Ok(())
    }

    /// What tags mean, what was pushed a moment ago, what those consist of, and what is about any of it.
    fn tagged(&self, records: &HashMap<Digest, ManifestRecord>, now: SystemTime) -> Result<HashSet<Digest>> {
        let mut waiting: Vec<Digest> = self.tags()?.into_iter().map(|tag| tag.target.digest).collect();
        waiting.extend(
            records.values().filter(|record| is_fresh(record.pushed, now)).map(|record| record.digest),
        );
        let mut about: HashMap<Digest, Vec<Digest>> = HashMap::new();
        for record in records.values() {
            if let Some(subject) = record.subject {
                about.entry(subject).or_default().push(record.digest);
            }
        }
        let mut kept = HashSet::new();
        while let Some(digest) = waiting.pop() {
            if !kept.insert(digest) {
                continue;
            }
            waiting.extend(about.get(&digest).into_iter().flatten());
            if records.contains_key(&digest) {
                waiting.extend(self.parts(&digest)?.into_iter().filter(|part| records.contains_key(part)));
            }
        }
        Ok(kept)
    }

    /// What a manifest refers to.
    fn parts(&self, digest: &Digest) -> Result<Vec<Digest>> {
        let bytes = match self.store.blobs().read(digest, MAX_MANIFEST_SIZE) {
            // Then it refers to nothing; `check` names it.
            Err(StoreError::NoBlob(_)) => return Ok(Vec::new()),
            result => result?,
        };
        Ok(match Document::parse(&bytes)? {
            Document::Index(index) => index.value().manifests.iter().map(|part| part.digest).collect(),
            Document::Manifest(manifest) => manifest.value().blobs().map(|part| part.digest).collect(),
        })
    }
}

/// Whether something is so new that what needs it may still be on its way. What is from the future is.
fn is_fresh(time: SystemTime, now: SystemTime) -> bool {
    now.duration_since(time).map_or(true, |age| age < GRACE)
}
