//! What was pushed: whether records can be read, and what they refer to is there.

use image::Document;
use image::manifest::MAX_MANIFEST_SIZE;

use super::{Check, FindingKind};
use crate::{Repository, Result, StoreError};

const PUSH_AGAIN: &str = "push it again, or delete it from the repository";

impl Check<'_> {
    pub(super) fn repositories(&mut self) -> Result<()> {
        let repositories = self.store.repositories();
        for path in repositories.strays()? {
            self.stray(&path);
        }
        for repository in repositories.pushed()? {
            self.progress("repositories")?;
            self.repository(&repository)?;
        }
        Ok(())
    }

    fn repository(&mut self, repository: &Repository) -> Result<()> {
        let what = format!("repository {}", repository.name());
        match repository.manifests() {
            Ok(records) => {
                for record in records {
                    self.size_of_blob(&record.digest, record.size)?;
                    self.parts(&format!("{what}: manifest {}", record.digest), &record.digest)?;
                }
            }
            Err(StoreError::Damaged { path, reason }) => self.damaged_record(&what, &path, reason),
            Err(error) => return Err(error),
        }
        match repository.pushed_tags() {
            Ok(tags) => {
                for tag in tags {
                    if repository.manifest(&tag.target.digest)?.is_none() {
                        let problem =
                            format!("its tag {} means {}, which is missing", tag.name, tag.target.digest);
                        self.find(FindingKind::Missing, what.clone(), problem, PUSH_AGAIN);
                    }
                }
            }
            Err(StoreError::Damaged { path, reason }) => self.damaged_record(&what, &path, reason),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn damaged_record(&mut self, what: &str, path: &std::path::Path, reason: String) {
        let inside = path.strip_prefix(self.store.root()).unwrap_or(path);
        let what = format!("{what}: {}", base::text::path(inside));
        self.find(FindingKind::Record, what, reason, "remove the file, and push again");
    }

    /// The blobs that a manifest was pushed with. (One that was deleted on purpose is missing as well: the manifest cannot be pulled.)
    fn parts(&mut self, what: &str, digest: &image::Digest) -> Result<()> {
        let blobs = self.store.blobs();
        let bytes = match blobs.read(digest, MAX_MANIFEST_SIZE) {
            Ok(bytes) => bytes,
            Err(StoreError::NoBlob(_)) => {
                self.find(FindingKind::Missing, what.to_owned(), "it is missing", PUSH_AGAIN);
                return Ok(());
            }
            Err(StoreError::Mismatch { found, .. }) => {
                self.bad_blob(digest, &format!("its bytes have the digest {found}"));
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        match Document::parse(&bytes) {
            Ok(Document::Manifest(manifest)) => {
                for part in manifest.value().blobs() {
                    let is_elsewhere = part.media_type.is_foreign();
                    if self.size_of_blob(&part.digest, part.size)?.is_none() && !is_elsewhere {
                        let problem = format!("its blob {} is missing", part.digest);
                        self.find(FindingKind::Missing, what.to_owned(), problem, PUSH_AGAIN);
                    }
                }
            }
            // What of an index was deleted is not pulled either.
            Ok(Document::Index(_)) => {}
            Err(error) => {
                let problem = format!("it is not valid: {}", error.source);
                self.find(FindingKind::Record, what.to_owned(), problem, PUSH_AGAIN);
            }
        }
        Ok(())
    }
}
