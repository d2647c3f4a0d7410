//! Layers: a table, and the forms that the contents have.

use std::fs::{self, File};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use base::IoContext;
use image::{Algorithm, ChainId, Descriptor, DiffId, Digest};
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use crate::lease::Note;
use crate::table::{NewTable, Table};
use crate::{Lease, Result, Store, StoreError, TempDir, files, lock, trees};

/// How many open tables a process remembers. They cost address space, not memory.
const REMEMBERED_TABLES: usize = 512;
const BLOB_RECORD_VERSION: u32 = 1;

/// The layers of a store.
#[derive(Clone)]
pub struct Layers {
    store: Store,
}

/// A table that was opened before, and which file it was.
pub(crate) struct OpenTable {
    device: u64,
    inode: u64,
    table: Arc<Table>,
}

impl Layers {
    pub(crate) fn new(store: Store) -> Self {
        Self { store }
    }

    pub(crate) fn path(&self, diff_id: &DiffId) -> PathBuf {
        self.store.at("layers").join(diff_id.0.hex())
    }

    /// The layer, held; `None` when the store has no table of it.
    pub fn get(&self, diff_id: &DiffId) -> Result<Option<Layer>> {
        let path = self.path(diff_id);
        let Some(lock) = hold(&path)? else { return Ok(None) };
        let Some(table) = self.table(diff_id, &path)? else { return Ok(None) };
        Ok(Some(self.layer(*diff_id, path, lock, table)))
    }

    fn layer(&self, diff_id: DiffId, path: PathBuf, lock: OwnedFd, table: Arc<Table>) -> Layer {
        Layer(Arc::new(Inner { store: self.store.clone(), diff_id, path, lock, table }))
    }

    /// Opens a table, or takes the one that was opened before.
    fn table(&self, diff_id: &DiffId, directory: &Path) -> Result<Option<Arc<Table>>> {
        let path = directory.join("table");
        let file = match File::open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            result => result.context("open", &path)?,
        };
        let metadata = file.metadata().context("stat", &path)?;
        let tables = || self.store.0.tables.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = tables().get(diff_id)
            && (open.device, open.inode) == (metadata.dev(), metadata.ino())
        {
            return Ok(Some(open.table.clone()));
        }
        let table = Table::of(self.store.root(), &path, &file)?;
        if table.diff_id() != *diff_id {
            let reason = format!("it is the table of layer {}", table.diff_id());
            return Err(StoreError::Damaged { path, reason });
        }
        let table = Arc::new(table);
        let mut tables = tables();
        if tables.len() >= REMEMBERED_TABLES {
            tables.clear();
        }
        let open = OpenTable { device: metadata.dev(), inode: metadata.ino(), table: table.clone() };
        tables.insert(*diff_id, open);
        Ok(Some(table))
    }

    /// Adds a layer: its table, and its tree when there is one already. When the layer is there, it stays (and gains the tree).
    ///
    /// The contents must be there in at least one form: the given tree, the pack, or a blob that was named with [`NewTable::with_blob`].
    pub fn add(&self, lease: &Lease, table: NewTable, tree: Option<TempDir>) -> Result<Layer> {
        let diff_id = table.diff_id();
        let mut tree = tree;
        let blobs = self.store.blobs();
        let mut has_blob = blobs.keep(lease, &diff_id.0)?;
        for blob in &table.blobs {
            has_blob |= blobs.keep(lease, &blob.descriptor.digest)?;
        }
        loop {
            if let Some(layer) = self.existing(&table)? {
                return self.complete(lease, layer, &table, tree, has_blob);
            }
            if tree.is_none() && !has_blob {
                return Err(StoreError::NoForm(diff_id));
            }
            match self.publish(lease, &table, tree.take())? {
                Ok(layer) => return Ok(layer),
                // Somebody else has just added the layer.
                Err(given_back) => tree = given_back,
            }
        }
    }

    /// The layer if it is there; a damaged table is replaced.
    fn existing(&self, table: &NewTable) -> Result<Option<Layer>> {
        let diff_id = table.diff_id();
        match self.get(&diff_id) {
            Err(StoreError::Damaged { .. }) => {}
            Ok(None) => {}
            result => return result,
        }
        let path = self.path(&diff_id);
        let Some(_held) = hold(&path)? else { return Ok(None) };
        let unfinished = self.store.unfinished()?;
        // Images that are known may need it: it is as safe as it was.
        write_table(&unfinished, table)?.sync_all().context("write", &unfinished)?;
        let place = path.join("table");
        fs::rename(&unfinished, &place).context("rename to", &place)?;
        files::sync_directory(&path)?;
        self.get(&diff_id)
    }

    /// Adds what is new to a layer that is there.
    fn complete(
        &self,
        lease: &Lease,
        layer: Layer,
        table: &NewTable,
        tree: Option<TempDir>,
        has_blob: bool,
    ) -> Result<Layer> {
        {
            // It is held, and therefore stays until it is noted.
            let _publishing = self.store.publishing()?;
            lease.note(Note::Layer(layer.diff_id()))?;
        }
        for blob in &table.blobs {
            layer.add_blob(blob)?;
        }
        match tree {
            Some(tree) => drop(layer.add_tree(None, tree)?),
            None if has_blob || layer.has_form()? => {}
            None => return Err(StoreError::NoForm(layer.diff_id())),
        }
        Ok(layer)
    }

    /// Makes the layer's directory and renames it into place; gives the tree back when there is one already.
    fn publish(
        &self,
        lease: &Lease,
        table: &NewTable,
        tree: Option<TempDir>,
    ) -> Result<Result<Layer, Option<TempDir>>> {
        let diff_id = table.diff_id();
        let place = self.path(&diff_id);
        let directory = self.store.temp_dir("layer")?;
        write_table(&directory.path().join("table"), table)?;
        files::make_directory(&directory.path().join("blobs"))?;
        for blob in &table.blobs {
            write_blob_record(&self.store, directory.path(), blob)?;
        }
        let mut mark = None;
        if let Some(tree) = tree {
            mark = Some(trees::Mark::write(&self.store, directory.path())?);
            tree.publish(&directory.path().join("tree"))?;
        }
        let published = {
            let _publishing = self.store.publishing()?;
            lease.note(Note::Layer(diff_id))?;
            publish_or_give_back(directory, &place, mark.is_some())?
        };
        let lock = match published {
            Ok(lock) => lock,
            Err(given_back) => return Ok(Err(given_back)),
        };
        self.store.unsynced().extend(mark.map(|mark| mark.moved_to(&place)));
        // Nobody else could have it while it was a temporary directory; from now on it is shared.
        lock::wait(&lock, FlockOperation::LockShared).context("lock", &place)?;
        let Some(table) = self.table(&diff_id, &place)? else {
            return Err(StoreError::Damaged { path: place, reason: "its table has gone".to_owned() });
        };
        Ok(Ok(self.layer(diff_id, place, lock, table)))
    }

    /// All layers.
    pub fn list(&self) -> Result<Vec<DiffId>> {
        let names = files::names_in(&self.store.at("layers"))?;
        Ok(names.iter().filter_map(|name| digest_from_hex(name.to_str()?)).map(DiffId).collect())
    }
}

type Published = Result<OwnedFd, Option<TempDir>>;

fn publish_or_give_back(directory: TempDir, place: &Path, has_tree: bool) -> Result<Published> {
    if !files::exists(place)? {
        return Ok(match directory.publish(place)? {
            Some(lock) => Ok(lock),
            // Lost by a hair, and the tree with it: the layer that is there has its contents.
            None => Err(None),
        });
    }
    Ok(Err(if has_tree { Some(directory.detach("tree")?) } else { None }))
}

/// Takes the shared lock of a layer's directory; `None` when there is none.
pub(crate) fn hold(path: &Path) -> Result<Option<OwnedFd>> {
    loop {
        let Some(directory) = lock::open_if_there(path)? else { return Ok(None) };
        lock::wait(&directory, FlockOperation::LockShared).context("lock", path)?;
        if lock::is_linked(&directory, path)? {
            return Ok(Some(directory));
        }
    }
}

/// A digest from its hexadecimal digits alone: their number tells the algorithm.
pub(crate) fn digest_from_hex(hex: &str) -> Option<Digest> {
    let algorithm = Algorithm::ALL.into_iter().find(|algorithm| algorithm.size() * 2 == hex.len())?;
    Digest::from_hex(algorithm, hex).ok()
}

/// Writes a table, without waiting for the disk: its checksum tells when it is torn.
fn write_table(path: &Path, table: &NewTable) -> Result<File> {
    let mut file = files::create(path, 0o600)?;
    table.write_to(&mut file).context("write", path)?;
    file.set_permissions(fs::Permissions::from_mode(0o444)).context("change the mode of", path)?;
    Ok(file)
}

/// A layer that is in use: while this value (or a descriptor from [`Layer::hold`]) lives, its forms stay.
#[derive(Clone)]
pub struct Layer(Arc<Inner>);

struct Inner {
    store: Store,
    diff_id: DiffId,
    path: PathBuf,
    lock: OwnedFd,
    table: Arc<Table>,
}

/// A blob that holds a layer.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerBlob {
    /// How it was made: the name of an encoding (`gzip-2` …), or `as-came` and its digest.
    pub encoding: String,
    /// The blob.
    pub descriptor: Descriptor,
}

#[derive(Serialize, Deserialize)]
struct BlobRecord {
    version: u32,
    encoding: String,
    descriptor: Descriptor,
}

impl LayerBlob {
    /// Whether the blob came from outside: then nobody can make it again.
    pub fn is_as_came(&self) -> bool {
        self.encoding.starts_with("as-came")
    }
}

impl Layer {
    /// Its identity.
    pub fn diff_id(&self) -> DiffId {
        self.0.diff_id
    }

    /// What is in it.
    pub fn table(&self) -> &Table {
        &self.0.table
    }

    /// The tree, when there is one that can be trusted (a tree that had not reached the disk when the power was cut is verified first, or dropped).
    ///
    /// `below` is the chain of the layers below: it matters only for layers that need them.
    pub fn tree(&self, below: Option<&ChainId>) -> Result<Option<PathBuf>> {
        let may_drop = self.has_blob()?;
        trees::settle(&self.0.store, &self.tree_directory(below), self.table(), may_drop)
    }

    /// Adds the tree. One that is there already stays.
    pub fn add_tree(&self, below: Option<&ChainId>, tree: TempDir) -> Result<PathBuf> {
        let directory = self.tree_directory(below);
        if directory != self.0.path {
            self.make_chain(&directory)?;
        }
        // The new tree is a form: one that turns out to be damaged need not stay.
        if let Some(there) = trees::settle(&self.0.store, &directory, self.table(), true)? {
            return Ok(there);
        }
        trees::install(&self.0.store, &directory, tree)
    }

    /// Where its tree belongs.
    fn tree_directory(&self, below: Option<&ChainId>) -> PathBuf {
        match below {
            Some(below) if self.table().needs_lower() => {
                let chain = Digest::sha256(format!("{below} {}", self.diff_id()).as_bytes());
                self.0.store.at("chains").join(chain.hex())
            }
            _ => self.0.path.clone(),
        }
    }

    /// The directory of a tree that needs what lies below: it says whose tree it is, and goes with the layer.
    fn make_chain(&self, directory: &Path) -> Result<()> {
        if files::exists(directory)? {
            return Ok(());
        }
        let unfinished = self.0.store.temp_dir("chain")?;
        let layer = unfinished.path().join("layer");
        fs::write(&layer, format!("{}\n", self.diff_id())).context("write", &layer)?;
        let _publishing = self.0.store.publishing()?;
        unfinished.publish(directory)?;
        Ok(())
    }

    /// Whether the pack is in the store.
    pub fn has_pack(&self) -> Result<bool> {
        Ok(self.0.store.blobs().size(&self.diff_id().0)? == Some(self.table().tar_size()))
    }

    /// Whether there is any form of the contents.
    pub(crate) fn has_form(&self) -> Result<bool> {
        Ok(self.has_blob()? || files::exists(&self.0.path.join("tree"))? || !self.chains()?.is_empty())
    }

    /// Whether the contents can be relied on: in a blob, or in a tree that has certainly reached the disk or is found to be whole.
    pub(crate) fn is_usable(&self) -> Result<bool> {
        if self.has_blob()? {
            return Ok(true);
        }
        let mut directories = vec![self.0.path.clone()];
        directories.extend(self.chains()?);
        for directory in directories {
            match trees::settle(&self.0.store, &directory, self.table(), false) {
                Ok(None) | Err(StoreError::Damaged { .. }) => {}
                Ok(Some(_)) => return Ok(true),
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    fn has_blob(&self) -> Result<bool> {
        Ok(self.has_pack()? || !self.blobs()?.is_empty())
    }

    /// The directories of the trees that it has on layers below.
    fn chains(&self) -> Result<Vec<PathBuf>> {
        if !self.table().needs_lower() {
            return Ok(Vec::new());
        }
        chains_of(&self.0.store, &self.diff_id())
    }

    /// The blobs that are known to hold this layer and are in the store.
    pub fn blobs(&self) -> Result<Vec<LayerBlob>> {
        let mut blobs = Vec::new();
        for blob in recorded_blobs(&self.0.store, &self.0.path)? {
            // A record that cannot be read is `check`'s to name; the blob can be found, or made, again.
            let Ok(blob) = blob else { continue };
            if self.0.store.blobs().size(&blob.descriptor.digest)? == Some(blob.descriptor.size) {
                blobs.push(blob);
            }
        }
        Ok(blobs)
    }

    /// The blobs that are known to hold this layer, whether they are in the store or not.
    pub fn recorded(&self) -> Result<Vec<LayerBlob>> {
        Ok(recorded_blobs(&self.0.store, &self.0.path)?.into_iter().flatten().collect())
    }

    /// Remembers that a blob holds this layer.
    pub fn add_blob(&self, blob: &LayerBlob) -> Result<()> {
        let known = recorded_blobs(&self.0.store, &self.0.path)?;
        if known.iter().any(|known| known.as_ref().is_ok_and(|known| known == blob)) {
            return Ok(());
        }
        files::make_directory(&self.0.path.join("blobs"))?;
        write_blob_record(&self.0.store, &self.0.path, blob)
    }

    /// A descriptor with the shared lock, to be inherited by processes that use the layer.
    pub fn hold(&self) -> BorrowedFd<'_> {
        self.0.lock.as_fd()
    }
}

/// The directories of the trees that a layer has on layers below.
pub(crate) fn chains_of(store: &Store, diff_id: &DiffId) -> Result<Vec<PathBuf>> {
    let all = store.at("chains");
    let mut chains = Vec::new();
    for name in files::names_in(&all)? {
        let directory = all.join(name);
        if chain_owner(&directory)? == Some(*diff_id) {
            chains.push(directory);
        }
    }
    Ok(chains)
}

/// Whose tree is in a directory of `chains`; `None` when it does not say.
pub(crate) fn chain_owner(directory: &Path) -> Result<Option<DiffId>> {
    let text = files::read_limited(&directory.join("layer"), 4096)?;
    Ok(text.and_then(|text| Digest::parse(std::str::from_utf8(&text).ok()?.trim_end()).ok()).map(DiffId))
}

/// What is recorded of the blobs that hold a layer, whether they are in the store or not.
pub(crate) fn recorded_blobs(store: &Store, layer: &Path) -> Result<Vec<Result<LayerBlob>>> {
    let directory = layer.join("blobs");
    let mut blobs = Vec::new();
    for name in files::names_in(&directory)? {
        match files::read_record(store.root(), &directory.join(name), BLOB_RECORD_VERSION) {
            Ok(None) => {}
            Ok(Some(BlobRecord { encoding, descriptor, .. })) => {
                blobs.push(Ok(LayerBlob { encoding, descriptor }))
            }
            Err(error) => blobs.push(Err(error)),
        }
    }
    Ok(blobs)
}

fn write_blob_record(store: &Store, layer: &Path, blob: &LayerBlob) -> Result<()> {
    let path = layer.join("blobs").join(file_name(&blob.encoding));
    let record = BlobRecord {
        version: BLOB_RECORD_VERSION,
        encoding: blob.encoding.clone(),
        descriptor: blob.descriptor.clone(),
    };
    Ok(store.replace_unsynced(&path, &files::record_bytes(&path, &record)?)?)
}

/// The name of an encoding as the name of a file: what cannot stand in one is replaced, and the name then told apart by its digest.
fn file_name(encoding: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_+=.:".contains(character);
    if encoding.chars().all(plain) && !encoding.starts_with('.') && (1..=200).contains(&encoding.len()) {
        return encoding.to_owned();
    }
    format!("encoding-{}", Digest::sha256(encoding.as_bytes()).hex())
}
