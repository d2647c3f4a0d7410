//! What names, images and records refer to.

use image::config::MAX_CONFIG_SIZE;
use image::manifest::MAX_MANIFEST_SIZE;
use image::{Config, Digest, ImageId, Manifest, Raw};
use serde::de::DeserializeOwned;

use super::{Check, FindingKind};
use crate::{ImageRecord, Result, StoreError, contexts, files};

const REPLACE_IMAGE: &str = "build, load or pull the image again, or remove it";

impl Check<'_> {
    pub(super) fn references(&mut self) -> Result<()> {
        // Nothing is taken away while references are followed.
        let _publishing = self.store.publishing()?;
        self.images()?;
        self.names()?;
        self.repositories()?;
        self.steps()?;
        self.contexts()
    }

    fn images(&mut self) -> Result<()> {
        let all = self.store.at("images");
        for name in files::names_in(&all)? {
            let Some(digest) = name.to_str().and_then(crate::layers::digest_from_hex) else {
                self.stray(&all.join(name));
                continue;
            };
            self.progress("images")?;
            match self.store.images().get(&ImageId(digest)) {
                Ok(Some(record)) => self.image(&record)?,
                Ok(None) => {}
                Err(StoreError::Damaged { reason, .. }) => {
                    self.find(
                        FindingKind::Record,
                        format!("record of image {digest}"),
                        reason,
                        REPLACE_IMAGE,
                    );
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn image(&mut self, record: &ImageRecord) -> Result<()> {
        let what = format!("image {}", record.id);
        for descriptor in &record.manifests {
            self.size_of_blob(&descriptor.digest, descriptor.size)?;
            let manifest: Option<Raw<Manifest>> =
                self.document(&what, "manifest", &descriptor.digest, MAX_MANIFEST_SIZE)?;
            let Some(manifest) = manifest else { continue };
            for layer in &manifest.value().layers {
                // A layer need not be there in the encoding of the manifest, but if it is, its size is known.
                self.size_of_blob(&layer.digest, layer.size)?;
            }
        }
        let Some(config) = self.document::<Config>(&what, "config", &record.id.0, MAX_CONFIG_SIZE)? else {
            return Ok(());
        };
        for diff_id in &config.value().rootfs.diff_ids {
            if !files::exists(&self.store.layers().path(diff_id))? {
                self.find(
                    FindingKind::Missing,
                    what.clone(),
                    format!("its layer {diff_id} is missing"),
                    REPLACE_IMAGE,
                );
            }
        }
        Ok(())
    }

    /// Reads a manifest or a config; says when it is not there, or not valid.
    pub(super) fn document<T: DeserializeOwned>(
        &mut self,
        what: &str,
        part: &'static str,
        digest: &Digest,
        limit: u64,
    ) -> Result<Option<Raw<T>>> {
        let bytes = match self.store.blobs().read(digest, limit) {
            Ok(bytes) => bytes,
            Err(StoreError::NoBlob(_)) => {
                self.find(
                    FindingKind::Missing,
                    what.to_owned(),
                    format!("its {part} {digest} is missing"),
                    REPLACE_IMAGE,
                );
                return Ok(None);
            }
            Err(StoreError::Mismatch { found, .. }) => {
                self.bad_blob(digest, &format!("its bytes have the digest {found}"));
                return Ok(None);
            }
            Err(error @ StoreError::TooLarge { .. }) => {
                self.bad_blob(digest, &error.to_string());
                return Ok(None);
            }
            Err(StoreError::Io(error)) => {
                self.bad_blob(digest, &format!("it cannot be read: {}", error.source));
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        match Raw::parse(part, bytes) {
            Ok(document) => Ok(Some(document)),
            Err(error) => {
                let problem = format!("its {part} {digest} is not valid: {}", error.source);
                self.find(FindingKind::Record, what.to_owned(), problem, REPLACE_IMAGE);
                Ok(None)
            }
        }
    }

    fn names(&mut self) -> Result<()> {
        const GIVE_AGAIN: &str = "give the name again with `lap tag`, or remove the file";
        for (path, name) in self.store.names().list_all()? {
            match name {
                Ok(name) => {
                    let image = self.store.images().path(&name.image);
                    // Unless both have just been removed.
                    if !files::exists(&image)? && files::exists(&path)? {
                        let what = format!("name {}", name.reference.familiar());
                        let problem = format!("its image {} is missing", name.image);
                        self.find(
                            FindingKind::Missing,
                            what,
                            problem,
                            "remove the name, or give it again with `lap tag`",
                        );
                    }
                }
                Err(StoreError::Damaged { reason, .. }) => {
                    let inside = path.strip_prefix(self.store.root()).unwrap_or(&path);
                    self.find(
                        FindingKind::Record,
                        format!("name in {}", base::text::path(inside)),
                        reason,
                        GIVE_AGAIN,
                    );
                }
                Err(error) => return Err(error),
            }
        }
        for path in self.store.names().strays()? {
            self.stray(&path);
        }
        Ok(())
    }

    fn steps(&mut self) -> Result<()> {
        let cache = self.store.cache();
        for path in cache.strays()? {
            self.stray(&path);
        }
        for (definition, key) in cache.keys()? {
            self.progress("records")?;
            if let Some(reason) = cache.damage(&definition, &key)? {
                let what = format!("record of step {key}");
                self.find(FindingKind::Record, what, reason, "none is needed: the step is built again");
            }
        }
        Ok(())
    }

    fn contexts(&mut self) -> Result<()> {
        for name in files::names_in(&self.store.at("contexts"))? {
            let path = self.store.at("contexts").join(&name);
            if contexts::is_damaged(&path)? {
                let what = format!("digests of context {}", base::text::bytes(name.as_encoded_bytes()));
                let problem = "the checksum does not match the contents";
                self.find(FindingKind::Record, what, problem, "none is needed: the files are read again");
            }
        }
        Ok(())
    }
}
