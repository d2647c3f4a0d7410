//! Where images come from: a registry, a layout, an archive, the store. Pulls and copies read all of them alike.

use std::io::{Cursor, Read};

use base::IoError;
use image::config::MAX_CONFIG_SIZE;
use image::{Config, Descriptor, Digest, Digester, Document, Manifest, Platform, Raw, Reference};

use crate::download::Download;
use crate::foreign::{self, Foreign};
use crate::manifests::{self, Fetched};
use crate::referrers;
use crate::registry::{Registry, shown};
use crate::{DistributionError, Result};

/// How much of a blob is read at a time.
const PIECE: usize = 256 << 10;
/// Indexes in indexes in indexes: nobody needs more (RC-088).
pub(crate) const MAX_DEPTH: usize = 8;
/// Under which tags cosign keeps what it knows of an image: signatures, attestations, lists of parts.
pub(crate) const COSIGN_SUFFIXES: [&str; 3] = ["sig", "att", "sbom"];

/// One image, or several under one name, at one place.
pub(crate) trait Source: Sync {
    /// What it is called in messages: `the image localhost:5000/app:1`.
    fn called(&self) -> String;

    /// Who gives it, for messages.
    fn keeper(&self) -> String;

    /// What its name means there.
    fn first(&self) -> Result<Fetched>;

    /// A document that another one of it describes; verified.
    fn document(&self, descriptor: &Descriptor) -> Result<Fetched>;

    /// A blob, from a place on. Whoever reads verifies.
    fn blob(&self, descriptor: &Descriptor, position: u64) -> Result<Box<dyn Incoming + '_>>;

    /// Which manifests are about one of it (RC-092).
    fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>>;

    /// What stands there under tags that are made of a manifest's digest.
    fn digest_tags(&self, _subject: &Digest) -> Result<Vec<(String, Fetched)>> {
        Ok(Vec::new())
    }

    /// The error when bytes are not those that it names.
    fn mismatch(&self, what: String, expected: String, found: String) -> DistributionError {
        DistributionError::Mismatch { host: self.keeper(), what, expected, found }
    }

    /// The registry and repository, if it is one.
    fn repository(&self) -> Option<&Registry<'_>> {
        None
    }
}

/// A blob on its way here.
pub(crate) trait Incoming: Read + Send {
    /// Why reading failed, if that was not the reader's fault.
    fn failure(&mut self) -> Option<DistributionError> {
        None
    }
}

impl Incoming for Download<'_> {
    fn failure(&mut self) -> Option<DistributionError> {
        Download::failure(self)
    }
}

impl<T: AsRef<[u8]> + Send> Incoming for Cursor<T> {}
impl Incoming for Box<dyn Read + Send> {}
impl Incoming for std::fs::File {}
impl Incoming for archive::layout::Contents {}

/// A repository of a registry.
pub(crate) struct Remote<'a> {
    pub registry: Registry<'a>,
    pub reference: Reference,
}

impl Source for Remote<'_> {
    fn called(&self) -> String {
        shown(&self.reference)
    }

    fn keeper(&self) -> String {
        self.registry.host.name().to_owned()
    }

    fn first(&self) -> Result<Fetched> {
        manifests::get(&self.registry, &self.reference)
    }

    fn document(&self, descriptor: &Descriptor) -> Result<Fetched> {
        manifests::get_described(&self.registry, &self.reference, descriptor)
    }

    fn blob(&self, descriptor: &Descriptor, position: u64) -> Result<Box<dyn Incoming + '_>> {
        self.incoming(descriptor, position, false)
    }

    fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>> {
        referrers::list(&self.registry, &self.reference, subject, None)
    }

    fn digest_tags(&self, subject: &Digest) -> Result<Vec<(String, Fetched)>> {
        let mut found = Vec::new();
        for suffix in COSIGN_SUFFIXES {
            let tag = format!("{}.{suffix}", referrers::tag(subject));
            let Ok(name) = self.reference.with_tag(&tag) else { continue };
            match manifests::get(&self.registry, &name) {
                Ok(fetched) => found.push((tag, fetched)),
                Err(DistributionError::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    fn repository(&self) -> Option<&Registry<'_>> {
        Some(&self.registry)
    }
}

impl Remote<'_> {
    /// A blob from a place on; in one stream, if that is asked for.
    pub(crate) fn incoming(
        &self,
        descriptor: &Descriptor,
        position: u64,
        is_whole: bool,
    ) -> Result<Box<dyn Incoming + '_>> {
        // What is not to be distributed is rarely there, and has places of its own.
        if foreign::is_elsewhere(descriptor) && !self.has(descriptor)? {
            return Ok(Box::new(Foreign::new(&self.registry, descriptor, position)));
        }
        Ok(Box::new(Download::new(&self.registry, descriptor, position, is_whole)))
    }

    fn has(&self, descriptor: &Descriptor) -> Result<bool> {
        crate::upload::is_there(&self.registry, descriptor, "pull")
    }
}

/// The manifest for a platform, from an index to the next; and what describes it.
pub(crate) fn choose(
    source: &dyn Source,
    first: Fetched,
    platform: &Platform,
) -> Result<(Raw<Manifest>, Descriptor)> {
    let mut next = first;
    for _ in 0..MAX_DEPTH {
        let index = match next.document {
            Document::Manifest(manifest) => return Ok((manifest, next.descriptor)),
            Document::Index(index) => index,
        };
        let chosen = image::choice::require(index.value(), platform)
            .map_err(|error| DistributionError::Platform { what: source.called(), source: error })?;
        next = source.document(chosen)?;
    }
    Err(endless(source))
}

/// The error of a source whose indexes are deeper than [`MAX_DEPTH`].
pub(crate) fn endless(source: &dyn Source) -> DistributionError {
    strange(source, "give the manifest", "its indexes lead from one to the next without an end")
}

/// The config of an image; verified.
pub(crate) fn config(source: &dyn Source, described: &Descriptor) -> Result<Raw<Config>> {
    if described.size > MAX_CONFIG_SIZE {
        let what = format!("the config of {}", source.called());
        return Err(DistributionError::TooLarge { what, limit: MAX_CONFIG_SIZE });
    }
    let mut bytes = Vec::new();
    read(source, described, |piece| {
        bytes.extend_from_slice(piece);
        Ok(())
    })?;
    parsed_config(source, bytes)
}

/// Reads a blob, and gives it piece by piece to `take`: all of it was right when this succeeds.
pub(crate) fn read(
    source: &dyn Source,
    blob: &Descriptor,
    mut take: impl FnMut(&[u8]) -> Result<(), IoError>,
) -> Result<()> {
    let mut incoming = source.blob(blob, 0)?;
    let mut digester = Digester::new(blob.digest.algorithm());
    let mut piece = vec![0; PIECE];
    loop {
        let count = match incoming.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) => {
                return Err(incoming.failure().unwrap_or(DistributionError::Body { source: error }));
            }
        };
        let bytes = piece.get(..count).unwrap_or_default();
        digester.update(bytes);
        take(bytes)?;
    }
    let found = digester.finish();
    if found != blob.digest {
        let (expected, found) = (blob.digest.to_string(), found.to_string());
        return Err(mismatch(source, format!("the blob {expected}"), expected, found));
    }
    Ok(())
}

/// Reads a config that is whole.
pub(crate) fn parsed_config(source: &dyn Source, bytes: Vec<u8>) -> Result<Raw<Config>> {
    Raw::parse("config", bytes).map_err(|error| DistributionError::Document {
        what: format!("the config of {} cannot be used", source.called()),
        source: error,
    })
}

/// The error of a source that does not keep to the formats.
pub(crate) fn strange(source: &dyn Source, action: &str, reason: &str) -> DistributionError {
    DistributionError::Protocol {
        host: source.keeper(),
        action: action.to_owned(),
        reason: reason.to_owned(),
    }
}

/// The error of a source whose bytes are not those that it names.
pub(crate) fn mismatch(
    source: &dyn Source,
    what: String,
    expected: String,
    found: String,
) -> DistributionError {
    source.mismatch(what, expected, found)
}
