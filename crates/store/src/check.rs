//! `check`: is everything whole?

mod references;
mod repositories;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::path::Path;

use base::events::{Unit, VertexId};
use base::{Cancel, Events, IoContext};
use image::{Algorithm, DiffId, Digest, Digester};

use crate::layers::{chain_owner, digest_from_hex, recorded_blobs};
use crate::open::DIRECTORIES;
use crate::table::Table;
use crate::{Layer, Result, Store, StoreError, files, trees};

/// How much is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Sizes, records and references; trees are compared with their tables by `stat`.
    Quick,
    /// All bytes as well.
    Full,
}

/// One damage.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// What sort of damage it is.
    pub kind: FindingKind,
    /// What is damaged: `blob sha256:…`, `layer sha256:…: usr/bin/cc`, `name debian:bookworm`.
    pub what: String,
    /// How.
    pub problem: String,
    /// Whether it can be made again from other things in the store (and a repair does so, or drops it), or what is lost with it.
    pub remedy: String,
}

/// The sorts of damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum FindingKind {
    /// A blob's bytes are not those of its name, or not as many as were recorded.
    Blob,
    /// A layer's table is missing or damaged.
    Table,
    /// A tree is not what its table says.
    Tree,
    /// The contents of a layer are nowhere.
    NoForm,
    /// Something refers to what is not there.
    Missing,
    /// A record cannot be read.
    Record,
    /// A file that does not belong where it is.
    Stray,
}

impl Store {
    /// Finds and names every damage; changes nothing.
    ///
    /// Other processes may work meanwhile: what they finish or remove while this looks is not a damage, and unfinished or left
    /// temporary things are none either.
    pub fn check(&self, depth: Depth, events: &Events, cancel: &Cancel) -> Result<Vec<Finding>> {
        let mut check =
            Check { store: self, depth, events, cancel, findings: Vec::new(), bad: HashMap::new(), done: 0 };
        check.strays()?;
        check.mounts()?;
        check.blobs()?;
        check.layers()?;
        check.chains()?;
        check.references()?;
        Ok(check.findings)
    }
}

struct Check<'a> {
    store: &'a Store,
    depth: Depth,
    events: &'a Events,
    cancel: &'a Cancel,
    findings: Vec<Finding>,
    /// Blobs that are damaged: that they are was said once.
    bad: HashMap<Digest, ()>,
    done: u64,
}

impl Check<'_> {
    fn find(&mut self, kind: FindingKind, what: String, problem: impl ToString, remedy: &str) {
        self.findings.push(Finding { kind, what, problem: problem.to_string(), remedy: remedy.to_owned() });
    }

    /// One more thing was looked at.
    fn progress(&mut self, name: &str) -> Result<()> {
        self.cancel.check()?;
        self.done += 1;
        self.events.status(VertexId(0), name, (self.done, None), Unit::Items, false);
        Ok(())
    }

    fn stray(&mut self, path: &Path) {
        // Somebody may have removed it since it was seen.
        if fs::symlink_metadata(path).is_err() {
            return;
        }
        let inside = path.strip_prefix(self.store.root()).unwrap_or(path);
        let what = format!("file {}", base::text::path(inside));
        let remedy = "nothing uses it: look what it is, and remove it";
        self.find(FindingKind::Stray, what, "it does not belong there", remedy);
    }

    fn strays(&mut self) -> Result<()> {
        for name in files::names_in(self.store.root())? {
            let text = name.to_string_lossy();
            let known = DIRECTORIES.contains(&text.as_ref())
                || matches!(text.as_ref(), "version" | crate::ids::FILE | "lock" | "lost+found")
                || text.starts_with(crate::open::UNFINISHED);
            if !known {
                self.stray(&self.store.at(&name));
            }
        }
        for name in files::names_in(&self.store.at("blobs"))? {
            if !Algorithm::ALL.iter().any(|algorithm| name == algorithm.name()) {
                self.stray(&self.store.at("blobs").join(name));
            }
        }
        Ok(())
    }

    /// What is in a cache is the steps' own: only what is around it can be wrong.
    fn mounts(&mut self) -> Result<()> {
        for stray in self.store.mounts().strays()? {
            self.stray(&stray);
        }
        Ok(())
    }

    fn blobs(&mut self) -> Result<()> {
        for algorithm in Algorithm::ALL {
            let directory = self.store.at("blobs").join(algorithm.name());
            for name in files::names_in(&directory)? {
                let path = directory.join(&name);
                let Some(digest) = name.to_str().and_then(|hex| Digest::from_hex(algorithm, hex).ok()) else {
                    self.stray(&path);
                    continue;
                };
                self.progress("blobs")?;
                let metadata = match fs::symlink_metadata(&path) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    result => result.context("stat", &path)?,
                };
                if !metadata.is_file() {
                    self.bad_blob(&digest, "it is not a regular file");
                } else if self.depth == Depth::Full {
                    self.read_blob(&digest, &path)?;
                }
            }
        }
        Ok(())
    }

    fn read_blob(&mut self, digest: &Digest, path: &Path) -> Result<()> {
        match hash_of(path, digest.algorithm(), self.cancel) {
            Ok(None) => {}
            Ok(Some(found)) if found == *digest => {}
            Ok(Some(found)) => self.bad_blob(digest, &format!("its bytes have the digest {found}")),
            Err(StoreError::Io(error)) => {
                self.bad_blob(digest, &format!("it cannot be read: {}", error.source));
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn bad_blob(&mut self, digest: &Digest, problem: &str) {
        if self.bad.insert(*digest, ()).is_some() {
            return;
        }
        let is_layer = files::exists(&self.store.layers().path(&DiffId(*digest))).unwrap_or(false);
        let remedy = if is_layer {
            "it is the pack of a layer: remove the file, and it is made again from another form of the layer, if there is one"
        } else {
            "remove the file, and build, load or pull again what needs it"
        };
        self.find(FindingKind::Blob, format!("blob {digest}"), problem, remedy);
    }

    /// Says when a blob does not have the size that something recorded. A blob that is not there is not this one's matter.
    fn size_of_blob(&mut self, digest: &Digest, recorded: u64) -> Result<Option<bool>> {
        let size = match self.store.blobs().size(digest) {
            Err(StoreError::Damaged { .. }) => return Ok(Some(false)),
            result => result?,
        };
        if let Some(size) = size
            && size != recorded
        {
            self.bad_blob(digest, &format!("it has {size} bytes instead of {recorded}"));
            return Ok(Some(false));
        }
        Ok(size.map(|_| !self.bad.contains_key(digest)))
    }

    fn layers(&mut self) -> Result<()> {
        let all = self.store.at("layers");
        for name in files::names_in(&all)? {
            let Some(diff_id) = name.to_str().and_then(digest_from_hex).map(DiffId) else {
                self.stray(&all.join(name));
                continue;
            };
            self.progress("layers")?;
            self.layer(&diff_id)?;
        }
        Ok(())
    }

    fn layer(&mut self, diff_id: &DiffId) -> Result<()> {
        let path = self.store.layers().path(diff_id);
        // Read from the disk, not from what this process remembers of it.
        let held = crate::layers::hold(&path)?;
        if held.is_none() {
            return Ok(());
        }
        self.strays_in_layer(&path)?;
        let remedy = "load or pull what needs the layer again, and the table is made again";
        let broken = match Table::open(self.store.root(), &path.join("table")) {
            Ok(table) if table.diff_id() == *diff_id => None,
            Ok(table) => Some(format!("it is the table of layer {}", table.diff_id())),
            Err(StoreError::Io(error)) if error.source.kind() == io::ErrorKind::NotFound => {
                Some("it is missing".to_owned())
            }
            Err(StoreError::Damaged { reason, .. }) => Some(reason),
            Err(error) => return Err(error),
        };
        if let Some(problem) = broken {
            self.find(FindingKind::Table, format!("table of layer {diff_id}"), problem, remedy);
            return Ok(());
        }
        let Some(layer) = self.store.layers().get(diff_id)? else { return Ok(()) };
        let has_blob = self.forms(&layer, &path)?;
        let tree = path.join("tree");
        let has_tree = files::exists(&tree)?;
        if has_tree {
            self.tree(&layer, &tree, has_blob)?;
        }
        if !has_blob && !has_tree && !layer.has_form()? {
            let remedy = "build, load or pull again what needs it";
            self.find(FindingKind::NoForm, format!("layer {diff_id}"), "its contents are nowhere", remedy);
        }
        Ok(())
    }

    fn strays_in_layer(&mut self, path: &Path) -> Result<()> {
        for name in files::names_in(path)? {
            if !["table", "tree", trees::MARK, trees::SYNCED, "blobs"].iter().any(|known| name == *known) {
                self.stray(&path.join(name));
            }
        }
        Ok(())
    }

    /// Looks at the blobs of a layer; says whether there is a good one.
    fn forms(&mut self, layer: &Layer, path: &Path) -> Result<bool> {
        let diff_id = layer.diff_id();
        let mut is_there = self.size_of_blob(&diff_id.0, layer.table().tar_size())? == Some(true);
        for blob in recorded_blobs(self.store, path)? {
            match blob {
                Ok(blob) => {
                    let descriptor = &blob.descriptor;
                    is_there |= self.size_of_blob(&descriptor.digest, descriptor.size)? == Some(true);
                }
                Err(StoreError::Damaged { path, reason }) => {
                    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                    let what = format!("record {} of layer {diff_id}", base::text::line(&name));
                    let remedy = "remove the file: the blob is found by its manifest, or made again";
                    self.find(FindingKind::Record, what, reason, remedy);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(is_there)
    }

    fn tree(&mut self, layer: &Layer, tree: &Path, has_blob: bool) -> Result<()> {
        let remedy = if has_blob {
            "remove the layer's directory \"tree\", and it is made again from the blob"
        } else {
            "this tree is all that there is of the layer: build again what made it"
        };
        let mut found = Vec::new();
        let compared = trees::compare(
            self.store.ownership(),
            layer.table(),
            tree,
            self.depth,
            self.cancel,
            &mut |path, problem| {
                found.push((path.to_vec(), problem));
                ControlFlow::Continue(())
            },
        );
        if let Err(StoreError::Io(error)) = compared {
            let problem = format!("{error}: {}", error.source);
            self.find(FindingKind::Tree, format!("layer {}", layer.diff_id()), problem, remedy);
        } else {
            compared?;
        }
        for (path, problem) in found {
            let what = format!("layer {}: {}", layer.diff_id(), base::text::bytes(&path));
            self.find(FindingKind::Tree, what, problem, remedy);
        }
        Ok(())
    }

    fn chains(&mut self) -> Result<()> {
        let all = self.store.at("chains");
        for name in files::names_in(&all)? {
            let path = all.join(name);
            self.progress("trees")?;
            let layer = match chain_owner(&path)? {
                // A damaged table was named already.
                Some(owner) => match self.store.layers().get(&owner) {
                    Err(StoreError::Damaged { .. }) => continue,
                    result => result?,
                },
                None => None,
            };
            match layer {
                None if !files::exists(&path)? => {}
                None => self.stray(&path),
                Some(layer) if files::exists(&path.join("tree"))? => {
                    let has_blob = layer.has_pack()? || !layer.blobs()?.is_empty();
                    self.tree(&layer, &path.join("tree"), has_blob)?;
                }
                Some(_) => {}
            }
        }
        Ok(())
    }
}

/// The digest of a file; `None` when it is not there any more.
fn hash_of(path: &Path, algorithm: Algorithm, cancel: &Cancel) -> Result<Option<Digest>> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        result => result.context("open", path)?,
    };
    let mut digester = Digester::new(algorithm);
    let mut buffer = vec![0; 1 << 20];
    loop {
        cancel.check()?;
        let count = file.read(&mut buffer).context("read", path)?;
        match buffer.get(..count) {
            Some([]) | None => return Ok(Some(digester.finish())),
            Some(bytes) => digester.update(bytes),
        }
    }
}
