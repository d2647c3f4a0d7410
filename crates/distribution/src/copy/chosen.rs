//! What of a source is copied: all of it as it is, the image for a platform, some images of an index; and in which form.

use std::io::Cursor;

use image::{Descriptor, Digest, Document, Platform, Raw};

use super::rewrite::{Rewrite, written};
use super::{Copied, Wish};
use crate::manifests::Fetched;
use crate::registry::Registry;
use crate::source::{self, Incoming, Source};
use crate::{DistributionError, Result};

/// A source that shows what is chosen of another one.
pub(super) struct Chosen<'a> {
    source: &'a dyn Source,
    root: Fetched,
    /// What the source has, when the root is another document.
    instead_of: Option<Digest>,
    rewrite: Rewrite<'a>,
}

impl<'a> Chosen<'a> {
    /// What a wish means of a source.
    pub fn of(source: &'a dyn Source, wish: &'a Wish) -> Result<Self> {
        let first = source.first()?;
        let named = first.descriptor.digest;
        let (there, root) = match wish.platforms.as_slice() {
            [] => (named, first),
            [platform] => {
                let (manifest, descriptor) = source::choose(source, first, platform)?;
                (descriptor.digest, Fetched::from((manifest, descriptor)))
            }
            several => (named, some_of(source, first, several)?),
        };
        let mut rewrite = Rewrite::new(source, wish);
        let root = rewrite.all(&root)?;
        let instead_of = Some(there).filter(|there| *there != root.descriptor.digest);
        if instead_of.is_some() && wish.referrers {
            return Err(DistributionError::Unsupported {
                what: source.called(),
                action: "copied with what refers to it",
                reason: "referrers name it by its digest, and what is copied has another one".to_owned(),
            });
        }
        Ok(Self { source, root, instead_of, rewrite })
    }

    /// Says of a copy how it differs from what is at the source.
    pub fn told(&self, copied: Copied) -> Copied {
        let attestations_left = self.rewrite.attestations_left;
        Copied { instead_of: self.instead_of, attestations_left, ..copied }
    }
}

impl Source for Chosen<'_> {
    fn called(&self) -> String {
        self.source.called()
    }

    fn keeper(&self) -> String {
        self.source.keeper()
    }

    fn first(&self) -> Result<Fetched> {
        Ok(self.root.clone())
    }

    fn document(&self, descriptor: &Descriptor) -> Result<Fetched> {
        match self.rewrite.documents.get(&descriptor.digest) {
            Some(document) => Ok(document.clone()),
            None => self.source.document(descriptor),
        }
    }

    fn blob(&self, descriptor: &Descriptor, position: u64) -> Result<Box<dyn Incoming + '_>> {
        match self.rewrite.configs.get(&descriptor.digest) {
            Some(config) => {
                let mut bytes = Cursor::new(config.bytes());
                bytes.set_position(position);
                Ok(Box::new(bytes))
            }
            None => self.source.blob(descriptor, position),
        }
    }

    fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>> {
        self.source.referrers(subject)
    }

    fn digest_tags(&self, subject: &Digest) -> Result<Vec<(String, Fetched)>> {
        self.source.digest_tags(subject)
    }

    fn mismatch(&self, what: String, expected: String, found: String) -> DistributionError {
        self.source.mismatch(what, expected, found)
    }

    fn repository(&self) -> Option<&Registry<'_>> {
        self.source.repository()
    }
}

/// An index with the images for some platforms alone, and what attests them.
fn some_of(source: &dyn Source, first: Fetched, platforms: &[Platform]) -> Result<Fetched> {
    let Document::Index(index) = &first.document else {
        return Err(DistributionError::Unsupported {
            what: source.called(),
            action: "copied for several platforms",
            reason: "it is one image, for one platform".to_owned(),
        });
    };
    let mut kept = Vec::new();
    for platform in platforms {
        let chosen = image::choice::require(index.value(), platform)
            .map_err(|error| DistributionError::Platform { what: source.called(), source: error })?;
        kept.push(chosen.digest);
    }
    let mut some = index.value().clone();
    let is_kept = |entry: &Descriptor| {
        kept.contains(&entry.digest) || image::choice::attested(entry).is_some_and(|of| kept.contains(&of))
    };
    some.manifests.retain(is_kept);
    if some.manifests.len() == index.value().manifests.len() {
        return Ok(first);
    }
    some.media_type = Some(first.descriptor.media_type.clone());
    written(source, Raw::write(some).map(Document::Index))
}
