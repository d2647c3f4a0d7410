//! Tags: of what was pushed, and of images that have a name in the store. What was said last counts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use image::{Descriptor, ImageId};
use serde::{Deserialize, Serialize};

use super::{RECORD_VERSION, Repository, TAGS, is_tag};
use crate::names::{NameRecord, forget};
use crate::{Lease, Result, files};

/// What a tag means.
#[derive(Debug, Clone, PartialEq)]
pub struct Tag {
    /// The tag.
    pub name: String,
    /// The manifest or index.
    pub target: Descriptor,
    /// Since when.
    pub since: SystemTime,
}

/// A record of a pushed tag as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    version: u32,
    target: Descriptor,
    /// Nanoseconds since 1970.
    since: u64,
}

impl Repository {
    /// What a tag means.
    pub fn tag(&self, tag: &str) -> Result<Option<Tag>> {
        if !is_tag(tag) {
            return Ok(None);
        }
        let named = match self.name.reference(tag) {
            Some(reference) => self.store.names().get(&reference)?.and_then(of_name),
            None => None,
        };
        Ok(later(self.pushed_tag(tag)?, named))
    }

    /// All tags, in order of their bytes.
    pub fn tags(&self) -> Result<Vec<Tag>> {
        let mut tags: BTreeMap<String, Tag> = BTreeMap::new();
        for tag in self.pushed_tags()?.into_iter().chain(self.named()?.into_iter().filter_map(of_name)) {
            let before = tags.remove(&tag.name);
            tags.extend(later(before, Some(tag)).map(|tag| (tag.name.clone(), tag)));
        }
        Ok(tags.into_values().collect())
    }

    /// Forgets a tag, and so the name of an image that it stands for. What it meant stays.
    pub fn remove_tag(&self, tag: &str) -> Result<bool> {
        let _changing = self.change()?;
        self.remove_tag_changing(tag)
    }

    /// Forgets a tag. The caller may change the repository.
    pub(super) fn remove_tag_changing(&self, tag: &str) -> Result<bool> {
        if self.tag(tag)?.is_none() {
            return Ok(false);
        }
        if let Some(reference) = self.name.reference(tag) {
            self.store.names().remove(&reference)?;
        }
        self.forget_pushed(tag)?;
        Ok(true)
    }

    /// What was pushed is an image of the store: from here on the name alone says what the tag means. Nothing happens, and the answer is no, when
    /// the tag was removed or means something else meanwhile; while this looks and names, nobody can do that.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoImage`](crate::StoreError::NoImage): somebody removed the image.
    pub fn settle_tag(&self, lease: &Lease, tag: &Tag, image: ImageId) -> Result<bool> {
        let Some(reference) = self.name.reference(&tag.name) else { return Ok(false) };
        let _changing = self.change()?;
        if self.tag(&tag.name)?.is_none_or(|now| now.target.digest != tag.target.digest) {
            return Ok(false);
        }
        self.store.names().set(lease, &reference, image, &tag.target)?;
        self.forget_pushed(&tag.name)?;
        Ok(true)
    }

    /// Forgets what was pushed as a tag. The caller may change the repository.
    fn forget_pushed(&self, tag: &str) -> Result<()> {
        let _publishing = self.store.publishing()?;
        forget(&self.root(), &self.tag_path(tag))
    }

    /// Tags that were pushed, and are not the names of images.
    pub fn pushed_tags(&self) -> Result<Vec<Tag>> {
        let names = files::names_in(&self.at(TAGS))?;
        let tags = names.iter().filter_map(|name| name.to_str()).filter(|name| is_tag(name));
        tags.filter_map(|tag| self.pushed_tag(tag).transpose()).collect()
    }

    /// The images that are named here.
    pub(super) fn named(&self) -> Result<Vec<NameRecord>> {
        self.store.names().of_repository(&self.name)
    }

    pub(super) fn pushed_tag(&self, tag: &str) -> Result<Option<Tag>> {
        let path = self.tag_path(tag);
        let kept: Option<Kept> = files::read_record(self.store.root(), &path, RECORD_VERSION)?;
        Ok(kept.map(|kept| Tag {
            name: tag.to_owned(),
            target: kept.target,
            since: files::from_nanoseconds(kept.since),
        }))
    }

    /// Writes a tag. The caller may change the repository, and publish.
    pub(super) fn write_tag(&self, tag: &str, target: &Descriptor) -> Result<()> {
        let path = self.tag_path(tag);
        let since = files::to_nanoseconds(SystemTime::now());
        let bytes =
            files::record_bytes(&path, &Kept { version: RECORD_VERSION, target: target.clone(), since })?;
        self.make_parents(&path)?;
        Ok(self.store.replace(&path, &bytes)?)
    }

    pub(super) fn tag_path(&self, tag: &str) -> PathBuf {
        self.at(TAGS).join(tag)
    }

    pub(super) fn make_parents(&self, path: &Path) -> Result<()> {
        crate::names::make_parents(&self.root(), path)
    }
}

fn of_name(record: NameRecord) -> Option<Tag> {
    let name = record.reference.tag()?.to_owned();
    Some(Tag { name, target: record.target, since: record.since })
}

fn later(left: Option<Tag>, right: Option<Tag>) -> Option<Tag> {
    match (left, right) {
        (Some(left), Some(right)) => Some(if right.since >= left.since { right } else { left }),
        (left, right) => left.or(right),
    }
}
