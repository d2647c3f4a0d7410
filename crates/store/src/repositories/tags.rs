//! Tags: of what was pushed, and of images that have a name in the store. What was said last counts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use image::{Descriptor, Digest};
use serde::{Deserialize, Serialize};

use super::{RECORD_VERSION, Repository, TAGS, is_tag};
use crate::names::{NameRecord, forget};
use crate::{Result, files};

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
        let before = self.tag(tag)?;
        if before.is_none() {
            return Ok(false);
        }
        if let Some(reference) = self.name.reference(tag) {
            self.store.names().remove(&reference)?;
        }
        self.forget_pushed_tag(tag)?;
        Ok(true)
    }

    /// The tag is the name of an image now, with the same target: the name alone says what it means from here on.
    /// One that was pushed again meanwhile stays.
    pub fn settle_tag(&self, tag: &str, target: &Digest) -> Result<()> {
        let _changing = self.change()?;
        let _publishing = self.store.publishing()?;
        match self.pushed_tag(tag)? {
            Some(pushed) if pushed.target.digest == *target => Ok(forget(&self.root(), &self.tag_path(tag))?),
            _ => Ok(()),
        }
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

    pub(super) fn forget_pushed_tag(&self, tag: &str) -> Result<()> {
        let _changing = self.change()?;
        let _publishing = self.store.publishing()?;
        forget(&self.root(), &self.tag_path(tag))
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
