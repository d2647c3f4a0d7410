//! COPY from end to end: real directories, real stores, real layers.

mod destination;
mod errors;
mod keys;
mod metadata;
mod sources;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use base::Cancel;
use dockerfile::Span;
use dockerfile::ignore::IgnoreFile;
use layer::packer::{PackOptions, Special};
use layer::{Meta, Packer, View};
use store::table::{ContentDigest, EntryKind};
use store::{Layer, Lease, Store};
use tempfile::TempDir;

use super::{CopyError, CopySource, CopyStep, Input, Selection, execute};
use crate::context::Context;

/// A time that no test has by accident.
pub const TIME: i64 = 1_000_000_000;

/// A store, and a directory that is copied from.
pub struct World {
    directory: TempDir,
    pub store: Store,
    pub lease: Lease,
}

impl World {
    pub fn new() -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let store = Store::open(directory.path().join("store")).expect("a store");
        let lease = store.lease("test").expect("a lease");
        fs::create_dir(directory.path().join("context")).expect("a directory");
        Self { directory, store, lease }
    }

    /// A world whose context has these files, directories (`a/`) and links (`a -> b`); a file's contents are its path.
    pub fn with(entries: &[&str]) -> Self {
        let world = Self::new();
        for entry in entries {
            if let Some((link, target)) = entry.split_once(" -> ") {
                world.make_parent(link);
                symlink(target, world.path(link)).expect("a link");
            } else if let Some(directory) = entry.strip_suffix('/') {
                fs::create_dir_all(world.path(directory)).expect("a directory");
            } else {
                world.write(entry, entry);
            }
        }
        world
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.directory.path().join("context").join(path)
    }

    fn make_parent(&self, path: &str) {
        fs::create_dir_all(self.path(path).parent().expect("a parent")).expect("a directory");
    }

    pub fn write(&self, path: &str, text: &str) {
        self.make_parent(path);
        fs::write(self.path(path), text).expect("a file");
    }

    pub fn mode(&self, path: &str, mode: u32) {
        fs::set_permissions(self.path(path), fs::Permissions::from_mode(mode)).expect("a mode");
    }

    pub fn set_time(&self, path: &str, seconds: i64) {
        let time = rustix::fs::Timespec { tv_sec: seconds, tv_nsec: 5 };
        let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
        let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
        rustix::fs::utimensat(rustix::fs::CWD, self.path(path), &times, flags).expect("a time");
    }

    pub fn context(&self) -> Context {
        Context::new(&self.store, &self.path(""), None).expect("a context")
    }

    pub fn ignoring(&self, lines: &str) -> Context {
        let ignore = IgnoreFile::parse(lines.as_bytes()).expect("an ignore file");
        Context::new(&self.store, &self.path(""), Some((".dockerignore".to_owned(), ignore)))
            .expect("a context")
    }

    /// A view of one layer.
    pub fn view(&self, entries: &[Made<'_>]) -> View {
        View::new(&[self.layer(entries)])
    }

    pub fn layer(&self, entries: &[Made<'_>]) -> Layer {
        let mut packer =
            Packer::to_store(&self.store, &self.lease, PackOptions::default()).expect("a packer");
        for Made(path, mode, (uid, gid), kind) in entries {
            let meta = Meta { mode: *mode, uid: *uid, gid: *gid, mtime: TIME, xattrs: Vec::new() };
            let path = path.as_bytes();
            match kind {
                What::Directory => packer.directory(path, &meta, false).expect("an entry"),
                What::File(text) => {
                    packer.file(path, &meta, text.len() as u64, &mut text.as_bytes()).expect("an entry");
                }
                What::Link(target) => packer.symlink(path, &meta, target.as_bytes()).expect("an entry"),
                What::Hardlink(target) => packer.hardlink(path, &meta, target.as_bytes()).expect("an entry"),
                What::Fifo => packer.special(path, &meta, Special::Fifo).expect("an entry"),
            }
        }
        packer.finish(None).expect("a layer")
    }

    /// Copies from a context into a base; the key is the same whichever way it is computed.
    pub fn copy(&self, context: &Context, base: &View, step: &CopyStep) -> Result<Layer, CopyError> {
        self.copy_from(Input::Context(context), base, step)
    }

    pub fn copy_from(&self, input: Input<'_>, base: &View, step: &CopyStep) -> Result<Layer, CopyError> {
        let cancel = Cancel::new();
        let selection = Selection::find(input, step, &cancel)?;
        let options = PackOptions::default();
        let (layer, learned) = execute(&self.store, &self.lease, step, &selection, base, options, &cancel)?;
        let again = Selection::find(input, step, &cancel)?;
        assert_eq!(learned, again.content_key(&cancel)?, "the key of what was copied");
        Ok(layer)
    }

    /// Copies into an empty base, and lists what the layer has.
    pub fn copied(&self, step: &CopyStep) -> Vec<String> {
        let layer = self.copy(&self.context(), &empty(), step);
        list(&layer.unwrap_or_else(|error| panic!("{error}")))
    }

    pub fn key(&self, step: &CopyStep) -> ContentDigest {
        let cancel = Cancel::new();
        let context = self.context();
        let selection = Selection::find(Input::Context(&context), step, &cancel).expect("sources");
        selection.content_key(&cancel).expect("a key")
    }

    /// The contents of a file of a layer.
    pub fn text(&self, layer: &Layer, path: &str) -> String {
        let view = View::new(std::slice::from_ref(layer));
        let bytes = view.read(&self.store, &self.lease, path.as_bytes(), 1 << 20).expect("readable");
        String::from_utf8(bytes.expect("a file")).expect("text")
    }
}

/// An entry of a layer for tests: path, mode, owner, kind.
pub struct Made<'a>(pub &'a str, pub u32, pub (u32, u32), pub What<'a>);

pub enum What<'a> {
    Directory,
    File(&'a str),
    Link(&'a str),
    Hardlink(&'a str),
    Fifo,
}

pub fn dir(path: &str) -> Made<'_> {
    Made(path, 0o755, (0, 0), What::Directory)
}

pub fn file(path: &str) -> Made<'_> {
    Made(path, 0o644, (0, 0), What::File(path))
}

pub fn link<'a>(path: &'a str, target: &'a str) -> Made<'a> {
    Made(path, 0o777, (0, 0), What::Link(target))
}

pub fn empty() -> View {
    View::new(&[])
}

/// COPY of words: the last one is the destination.
pub fn copy(words: &str) -> CopyStep {
    let mut words: Vec<&str> = words.split_whitespace().collect();
    let destination = words.pop().unwrap_or_default().to_owned();
    let sources = words.iter().zip(1..).map(|(word, number)| CopySource::Path {
        pattern: (*word).to_owned(),
        span: Span { start: number, line: 1, ..Span::default() },
    });
    CopyStep {
        sources: sources.collect(),
        destination,
        destination_span: Span { start: 100, line: 1, ..Span::default() },
        working_directory: "/work".to_owned(),
        chown: None,
        chmod: None,
        parents: false,
        link: false,
        exclude: Vec::new(),
        add: false,
        unpack: false,
        span: Span::default(),
    }
}

pub fn excluding(words: &str, patterns: &[&str]) -> CopyStep {
    CopyStep { exclude: patterns.iter().map(|pattern| (*pattern).to_owned()).collect(), ..copy(words) }
}

pub fn parents(words: &str) -> CopyStep {
    CopyStep { parents: true, ..copy(words) }
}

pub fn chmod(words: &str, mode: &str) -> CopyStep {
    CopyStep { chmod: Some(dockerfile::value::Mode::parse(mode).expect("a mode")), ..copy(words) }
}

pub fn chown(words: &str, owner: &str) -> CopyStep {
    let span = Span { start: 50, line: 1, ..Span::default() };
    CopyStep { chown: Some((owner.to_owned(), span)), ..copy(words) }
}

/// The paths of a layer: directories with a slash, links with where they lead.
pub fn list(layer: &Layer) -> Vec<String> {
    let line = |entry: store::table::Entry<'_>| {
        let path = String::from_utf8_lossy(entry.path).into_owned();
        match entry.kind {
            EntryKind::Directory { implied, .. } => {
                assert!(!implied, "{path} is implied");
                format!("{path}/")
            }
            EntryKind::Symlink { target } => format!("{path} -> {}", String::from_utf8_lossy(target)),
            EntryKind::Hardlink { target } => format!("{path} = {}", String::from_utf8_lossy(target)),
            _ => path,
        }
    };
    // A table always has the root.
    layer.table().entries().filter(|entry| !entry.path.is_empty()).map(line).collect()
}

/// Mode, owner and time of an entry.
pub fn meta(layer: &Layer, path: &str) -> (u32, (u32, u32), i64) {
    let entry = layer.table().find(path.as_bytes()).and_then(|index| layer.table().entry(index));
    let entry = entry.unwrap_or_else(|| panic!("no {path} in {:?}", list(layer)));
    (entry.mode, (entry.uid, entry.gid), entry.mtime)
}

pub fn make_fifo(path: &Path) {
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, 0o640.into(), 0)
        .expect("a named pipe");
}
