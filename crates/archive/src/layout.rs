//! OCI image layouts as they lie there, directories or archives: which images are in one, and any of its blobs from any place on (ST-030 … ST-036).
//!
//! ```text
//! directory ─────────────────────────────┐
//! tar that can be read anywhere ─ index ─┼▶ Layout ─▶ find · documents · blobs
//! docker's archive: a manifest is made ──┘
//! blobs ─▶ Directory (blobs, then the index)     blobs ─▶ Archive (the index first, all in one stream)
//! ```
//!
//! Nothing is unpacked and nothing is kept: whoever wants an image in the store loads or pulls it.

mod archive;
mod directory;
mod docker;
mod documents;
mod files;
mod find;

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::path::Path;

use base::{Cancel, IoContext};
use image::manifest::MAX_MANIFEST_SIZE;
use image::{Descriptor, Digest, Document};

use crate::documents::{Documents, invalid};
use crate::format::{INDEX, MANIFEST, blob_path};
use crate::names::Annotated;
use crate::{ArchiveError, verified};

pub use self::archive::Archive;
pub use self::directory::Directory;
pub use self::documents::{Docker, called, name, named};
pub use self::files::Contents;
pub use self::find::Which;

use self::files::{Files, Part};

/// How deep indexes lie in indexes, and how many documents are looked at.
const MAX_DEPTH: usize = 8;
const MAX_DOCUMENTS: usize = 10_000;

/// A layout that can be read.
pub struct Layout {
    /// `the OCI image layout /x`, `the archive /x.tar`.
    called: String,
    files: Files,
    entries: Vec<Descriptor>,
    /// What docker's archives lack or keep elsewhere: blobs by their digests.
    beside: BTreeMap<Digest, Part>,
}

/// What stands where an image is looked for.
#[derive(Debug, Clone)]
pub struct Listed {
    /// How another document, or `index.json`, describes it.
    pub descriptor: Descriptor,
    /// The manifest or the index.
    pub document: Document,
}

impl Layout {
    /// Opens a directory.
    pub fn directory(path: &Path) -> Result<Self, ArchiveError> {
        let called = format!("the OCI image layout {}", base::text::path(path));
        Self::of(called, Files::directory(path)?)
    }

    /// Opens an archive; it has to be a file, since it is read here and there.
    pub fn archive(path: &Path, file: File, cancel: &Cancel) -> Result<Self, ArchiveError> {
        let called = format!("the archive {}", base::text::path(path));
        let files = Files::archive(path, file, cancel).map_err(|error| error.within(&called))?;
        if files.part(INDEX.as_bytes())?.is_none() {
            let reason = "it has no index.json";
            return Err(ArchiveError::NoLayout { path: path.to_owned(), reason });
        }
        Self::of(called, files)
    }

    /// Opens one of docker's archives for the sake of one image: that which `manifest.json` names so. Gives also what describes it.
    ///
    /// Where there is a manifest of it, that one is taken. Else one is made, the same that loading makes; for this, layers whose digest nothing says are
    /// read.
    pub fn docker(
        path: &Path,
        file: File,
        which: &Which,
        cancel: &Cancel,
    ) -> Result<(Self, Descriptor), ArchiveError> {
        let called = format!("the archive {}", base::text::path(path));
        let files = Files::archive(path, file, cancel).map_err(|error| error.within(&called))?;
        let mut layout = Self { called, files, entries: Vec::new(), beside: BTreeMap::new() };
        let root = layout.take_docker(which, cancel).map_err(|error| error.within(&layout.called))?;
        Ok((layout, root))
    }

    fn of(called: String, files: Files) -> Result<Self, ArchiveError> {
        let entries = files.index().map_err(|error| error.within(&called))?.value().manifests.clone();
        Ok(Self { called, files, entries, beside: BTreeMap::new() })
    }

    /// Whether it has `manifest.json`, too: docker goes by that one.
    pub fn is_docker_s(&self) -> Result<bool, ArchiveError> {
        self.files.part(MANIFEST.as_bytes()).map(|part| part.is_some())
    }

    /// What it is called in messages.
    pub fn called(&self) -> &str {
        &self.called
    }

    /// What `index.json` names.
    pub fn entries(&self) -> &[Descriptor] {
        &self.entries
    }

    /// What `index.json` calls so (`org.opencontainers.image.ref.name`), to the letter.
    pub fn with_ref_name<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Descriptor> {
        self.entries.iter().filter(move |entry| Annotated::new(entry).ref_name == Some(name))
    }

    /// Whether a blob is there: a layout may lack some (ST-030).
    pub fn has(&self, digest: &Digest) -> Result<bool, ArchiveError> {
        self.part(digest).map(|part| part.is_some())
    }

    /// A manifest or an index, verified.
    pub fn document(&self, descriptor: &Descriptor) -> Result<Document, ArchiveError> {
        self.read_document(descriptor).map_err(|error| error.within(&self.called))
    }

    fn read_document(&self, descriptor: &Descriptor) -> Result<Document, ArchiveError> {
        let (path, limit) = (blob_path(&descriptor.digest).into_bytes(), MAX_MANIFEST_SIZE);
        if descriptor.size > limit {
            return Err(ArchiveError::TooLarge { entry: path, limit });
        }
        let bytes = self.require(descriptor)?.bytes(limit)?;
        verified::check(descriptor, &bytes)?;
        Document::parse(&bytes).map_err(|source| invalid(&path, source))
    }

    /// A blob from a place on. Its size is that of the descriptor; its digest is for whoever reads all of it.
    pub fn blob(&self, descriptor: &Descriptor, position: u64) -> Result<Contents, ArchiveError> {
        let part = self.require(descriptor).map_err(|error| error.within(&self.called))?;
        Ok(part.contents(position))
    }

    /// All documents that can be reached from `index.json`, each once. What is not there is passed over.
    pub fn documents(&self) -> Result<Vec<Listed>, ArchiveError> {
        let mut found = Vec::new();
        let mut seen = HashSet::new();
        self.walk(&self.entries, 0, &mut seen, &mut found).map_err(|error| error.within(&self.called))?;
        Ok(found)
    }

    fn walk(
        &self,
        entries: &[Descriptor],
        depth: usize,
        seen: &mut HashSet<Digest>,
        found: &mut Vec<Listed>,
    ) -> Result<(), ArchiveError> {
        for descriptor in entries {
            let is_document = descriptor.media_type.is_document();
            if !is_document || !seen.insert(descriptor.digest) || self.part(&descriptor.digest)?.is_none() {
                continue;
            }
            if depth > MAX_DEPTH || seen.len() > MAX_DOCUMENTS {
                let reason = "it has more manifests, or deeper indexes, than anybody needs";
                return Err(ArchiveError::Refused(reason.to_owned()));
            }
            let document = self.read_document(descriptor)?;
            let children = match &document {
                Document::Index(index) => index.value().manifests.clone(),
                Document::Manifest(_) => Vec::new(),
            };
            found.push(Listed { descriptor: descriptor.clone(), document });
            self.walk(&children, depth + 1, seen, found)?;
        }
        Ok(())
    }

    fn part(&self, digest: &Digest) -> Result<Option<Part>, ArchiveError> {
        match self.beside.get(digest) {
            Some(part) => Ok(Some(part.clone())),
            None => self.files.part(blob_path(digest).as_bytes()),
        }
    }

    /// A blob that has to be there, of the size that it should have.
    fn require(&self, descriptor: &Descriptor) -> Result<Part, ArchiveError> {
        let path = blob_path(&descriptor.digest);
        let missing = || ArchiveError::Damaged(format!("{path} is not in it"));
        let part = self.part(&descriptor.digest)?.ok_or_else(missing)?;
        if part.size() != descriptor.size {
            let (is, should) = (part.size(), descriptor.size);
            return Err(ArchiveError::Damaged(format!("{path} has {is} bytes, and should have {should}")));
        }
        Ok(part)
    }
}

/// Opens a file that is one: a pipe would keep whoever opens it waiting, and cannot be read here and there.
pub fn open_file(path: &Path) -> Result<File, ArchiveError> {
    use std::os::unix::fs::OpenOptionsExt;
    let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = File::options().read(true).custom_flags(flags).open(path).context("open", path)?;
    if !file.metadata().context("look at", path)?.is_file() {
        return Err(ArchiveError::NoFile(path.to_owned()));
    }
    Ok(file)
}
