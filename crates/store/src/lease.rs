//! Leases: what a running process needs stays.
//!
//! A lease is a file in `leases/`, locked as long as it lives: a line that says what it is (`lapstrake lease 1`), a line
//! with its purpose, and from then on a line for each thing that is kept. Lines are written under the shared lock of the store, so a collection
//! sees either the line, or a store in which what the line names has gone already.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use base::{IoContext, IoError};
use image::{DiffId, Digest, ImageId};
use rustix::fs::FlockOperation;

use crate::cache::StepKey;
use crate::{Result, StoreError, files, lock};

const TITLE: &str = "lapstrake lease ";
const VERSION: u32 = 1;

/// A running piece of work. Blobs, layers, images and records that are written or looked up under a lease stay while it lives;
/// it ends when it is dropped, or when the process dies.
#[derive(Clone)]
pub struct Lease(Arc<Inner>);

struct Inner {
    /// Not there in a store that cannot be written: nothing can be removed from it either.
    file: Option<(PathBuf, File)>,
    noted: Mutex<HashSet<Note>>,
}

/// One thing that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Note {
    /// A blob.
    Blob(Digest),
    /// A layer with all its forms.
    Layer(DiffId),
    /// An image with all that it needs.
    Image(ImageId),
    /// A record of the build cache, by definition and key.
    Step(StepKey, StepKey),
}

impl Lease {
    pub(crate) fn create(directory: &Path, purpose: &str) -> Result<Self> {
        loop {
            let path = directory.join(files::unique());
            let Some(mut file) = lock::create(&path)? else { continue };
            let purpose = purpose.replace(|character: char| character.is_control(), " ");
            file.write_all(format!("{TITLE}{VERSION}\n{purpose}\n").as_bytes()).context("write", &path)?;
            return Ok(Self::with(Some((path, file))));
        }
    }

    /// A lease on a store that cannot be written.
    pub(crate) fn without_file() -> Self {
        Self::with(None)
    }

    fn with(file: Option<(PathBuf, File)>) -> Self {
        Self(Arc::new(Inner { file, noted: Mutex::default() }))
    }

    /// Keeps something. The caller has the store's shared lock, and has seen that it is there (or puts it there before giving the lock back).
    pub(crate) fn note(&self, note: Note) -> Result<(), IoError> {
        let Some((path, file)) = &self.0.file else { return Ok(()) };
        let mut noted = self.0.noted.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.contains(&note) {
            return Ok(());
        }
        // The line break comes first: what a full disk may have cut off is a line of its own then.
        let mut file = file;
        file.write_all(format!("\n{note}").as_bytes()).context("write", path)?;
        noted.insert(note);
        Ok(())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some((path, _)) = &self.file {
            // Unlinked while it is still locked; if that fails, the next process does it.
            let _ = fs::remove_file(path);
        }
    }
}

impl std::fmt::Display for Note {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Note::Blob(digest) => write!(formatter, "blob {digest}"),
            Note::Layer(diff_id) => write!(formatter, "layer {diff_id}"),
            Note::Image(id) => write!(formatter, "image {id}"),
            Note::Step(definition, key) => write!(formatter, "step {definition} {key}"),
        }
    }
}

impl Note {
    fn parse(line: &str) -> Option<Self> {
        let (what, name) = line.split_once(' ')?;
        let digest = || Digest::parse(name).ok();
        match what {
            "blob" => digest().map(Note::Blob),
            "layer" => digest().map(|digest| Note::Layer(DiffId(digest))),
            "image" => digest().map(|digest| Note::Image(ImageId(digest))),
            "step" => {
                let (definition, key) = name.split_once(' ')?;
                Some(Note::Step(StepKey::parse(definition)?, StepKey::parse(key)?))
            }
            _ => None,
        }
    }
}

/// What a lease that lives says.
#[derive(Debug)]
pub(crate) struct Noted {
    pub purpose: String,
    pub notes: Vec<Note>,
}

/// What all leases that live keep. A lease of a newer version is refused: nobody here knows what it keeps.
pub(crate) fn live(root: &Path, directory: &Path) -> Result<Vec<Noted>> {
    let mut live = Vec::new();
    for name in files::names_in(directory)? {
        let path = directory.join(name);
        // Ended meanwhile. Whatever else keeps a lease from being read, it may be one that lives.
        let Some(file) = lock::open_if_there(&path)? else { continue };
        if !lock::attempt(&file, FlockOperation::NonBlockingLockShared).context("lock", &path)?
            && let Some(bytes) = files::read_limited(&path, u64::MAX)?
        {
            live.extend(parse(root, &path, &String::from_utf8_lossy(&bytes))?);
        }
    }
    Ok(live)
}

fn parse(root: &Path, path: &Path, text: &str) -> Result<Option<Noted>> {
    let Some((title, rest)) = text.split_once('\n') else {
        // Just begun: it keeps nothing yet.
        return Ok(None);
    };
    let mut lines = rest.lines();
    let version = title.strip_prefix(TITLE).and_then(|version| version.parse().ok());
    match version {
        Some(VERSION) => {}
        Some(found) if found > VERSION => {
            return Err(StoreError::TooNew { root: root.to_owned(), found, known: VERSION });
        }
        _ => {
            return Err(StoreError::Damaged {
                path: path.to_owned(),
                reason: "it is not a lease".to_owned(),
            });
        }
    }
    let purpose = lines.next().unwrap_or_default().to_owned();
    // A line that is cut off was never relied on: writing it failed.
    Ok(Some(Noted { purpose, notes: lines.filter_map(Note::parse).collect() }))
}
