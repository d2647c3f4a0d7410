//! All that belongs to an image: its documents, and the blobs that they name.

use std::collections::HashSet;

use image::{Descriptor, Digest, Document, MediaType};

use crate::Result;
use crate::manifests::Fetched;
use crate::source::{Source, strange};

/// How many documents one copy may have, and how many bytes: the largest indexes have some hundred, and all are in memory.
const MAX_DOCUMENTS: usize = 10_000;
const MAX_BYTES: u64 = 64 << 20;
/// Docker's format before 2016, as indexes may still name it (RC-082).
const SCHEMA_1: &str = "application/vnd.docker.distribution.manifest.v1+";

/// What a copy consists of.
#[derive(Default)]
pub(super) struct Graph {
    /// The documents: what one names comes before it.
    pub documents: Vec<Fetched>,
    /// The blobs that they name, each once.
    pub blobs: Vec<Descriptor>,
    /// The documents that refer to others, in the order in which they can be put: behind those that they name.
    pub referrers: Vec<Fetched>,
    /// Documents under tags that are made of the digest of another.
    pub digest_tags: Vec<(String, Fetched)>,
    seen: HashSet<Digest>,
    bytes: u64,
}

impl Graph {
    /// Everything below a document, and the document.
    pub(super) fn of(source: &dyn Source, root: &Fetched) -> Result<Self> {
        let mut graph = Self::default();
        let mut documents = Vec::new();
        graph.walk(source, root, &mut documents)?;
        graph.documents = documents;
        Ok(graph)
    }

    /// What refers to the documents, and to what refers to them (RC-094).
    pub(super) fn add_referrers(&mut self, source: &dyn Source) -> Result<()> {
        let mut subjects: Vec<Digest> =
            self.documents.iter().map(|document| document.descriptor.digest).collect();
        let mut next = 0;
        while let Some(subject) = subjects.get(next).copied() {
            next += 1;
            let mut found = Vec::new();
            for referrer in source.referrers(&subject)? {
                if !self.seen.contains(&referrer.digest) {
                    let fetched = source.document(&referrer)?;
                    self.walk(source, &fetched, &mut found)?;
                }
            }
            subjects.extend(found.iter().map(|document| document.descriptor.digest));
            self.referrers.append(&mut found);
            for (tag, fetched) in source.digest_tags(&subject)? {
                let mut below = Vec::new();
                self.walk(source, &fetched, &mut below)?;
                // What is below comes first; the one with the tag is put by its tag.
                below.retain(|document| document.descriptor.digest != fetched.descriptor.digest);
                self.referrers.append(&mut below);
                self.digest_tags.push((tag, fetched));
            }
        }
        Ok(())
    }

    /// All documents; what one names comes before it.
    pub(super) fn all_documents(&self) -> impl Iterator<Item = &Fetched> {
        let tagged = self.digest_tags.iter().map(|(_, document)| document);
        self.documents.iter().chain(&self.referrers).chain(tagged)
    }

    fn walk(&mut self, source: &dyn Source, document: &Fetched, into: &mut Vec<Fetched>) -> Result<()> {
        if !self.seen.insert(document.descriptor.digest) {
            return Ok(());
        }
        self.bytes += document.bytes().len() as u64;
        if self.seen.len() > MAX_DOCUMENTS || self.bytes > MAX_BYTES {
            return Err(strange(source, "give the image", "it has more manifests than anybody needs"));
        }
        match &document.document {
            Document::Manifest(manifest) => self.add_blobs(manifest.value().blobs()),
            Document::Index(index) => {
                for child in &index.value().manifests {
                    self.child(source, child, into)?;
                }
            }
        }
        into.push(document.clone());
        Ok(())
    }

    /// What an index names: another document as a rule, anything else in indexes of other sorts (as BuildKit's caches).
    fn child(&mut self, source: &dyn Source, child: &Descriptor, into: &mut Vec<Fetched>) -> Result<()> {
        if !is_document(&child.media_type) {
            self.add_blobs([child].into_iter());
            return Ok(());
        }
        if self.seen.contains(&child.digest) {
            return Ok(());
        }
        // No cycle is possible among digests; the number of documents is what ends a chain.
        let fetched = source.document(child)?;
        self.walk(source, &fetched, into)
    }

    fn add_blobs<'a>(&mut self, blobs: impl Iterator<Item = &'a Descriptor>) {
        for blob in blobs {
            if self.seen.insert(blob.digest) {
                self.blobs.push(blob.clone());
            }
        }
    }
}

/// Also what is refused as soon as it is read, with its reason.
fn is_document(media_type: &MediaType) -> bool {
    media_type.is_document() || media_type.as_str().starts_with(SCHEMA_1)
}
