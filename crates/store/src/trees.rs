//! Trees: how they get to their place, and whether they are what their table says.

use std::cell::RefCell;
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata};
use std::io;
use std::ops::ControlFlow;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use base::{Cancel, IoContext, IoError};
use rustix::fs::{FlockOperation, Mode, OFlags};

use crate::check::Depth;
use crate::table::{ContentDigest, Entry, EntryKind, Table};
use crate::{Ownership, Result, Store, StoreError, TempDir, files, lock};

/// The file beside a tree that says in which boot it was made, until it has reached the disk.
pub(crate) const MARK: &str = "tree.unsynced";
/// What that file is called afterwards. Where there is neither, marks were lost in a power cut, and the tree may be torn.
pub(crate) const SYNCED: &str = "tree.synced";

/// Longer paths begin in an open directory: Linux takes 4095 bytes.
const LONG: usize = 3800;

/// The mark of a tree that this process made.
pub(crate) struct Mark {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Mark {
    /// Writes the mark for a tree that is about to be put into `directory`. It need not reach the disk: without it, or with only its name,
    /// the tree is not trusted in another boot.
    pub fn write(store: &Store, directory: &Path) -> Result<Self> {
        let path = directory.join(MARK);
        remove_marks(directory)?;
        let unfinished = store.unfinished()?;
        fs::write(&unfinished, files::boot_id()?).context("write", &path)?;
        fs::rename(&unfinished, &path).context("rename to", &path)?;
        let metadata = fs::symlink_metadata(&path).context("stat", &path)?;
        Ok(Self { path, device: metadata.dev(), inode: metadata.ino() })
    }

    /// The same mark, when the directory has been renamed.
    pub fn moved_to(self, directory: &Path) -> Self {
        Self { path: directory.join(MARK), ..self }
    }

    /// Says that the tree has reached the disk, unless the mark is another one by now.
    pub fn settle(&self) -> Result<(), IoError> {
        match fs::symlink_metadata(&self.path) {
            Ok(metadata) if (metadata.dev(), metadata.ino()) == (self.device, self.inode) => {
                let settled = self.path.with_file_name(SYNCED);
                fs::rename(&self.path, &settled).or_else(ignore_missing).context("rename to", settled)
            }
            Ok(_) => Ok(()),
            Err(error) => ignore_missing(error).context("stat", &self.path),
        }
    }
}

/// Removes what is said of a tree that is not there, or will not be.
pub(crate) fn remove_marks(directory: &Path) -> Result<(), IoError> {
    [MARK, SYNCED].iter().try_for_each(|name| {
        let path = directory.join(name);
        fs::remove_file(&path).or_else(ignore_missing).context("remove", path)
    })
}

fn ignore_missing(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// Renames a tree into its directory. One that is there already stays.
pub(crate) fn install(store: &Store, directory: &Path, tree: TempDir) -> Result<PathBuf> {
    let place = directory.join("tree");
    let _publishing = store.publishing()?;
    if files::exists(&place)? {
        return Ok(place);
    }
    let mark = Mark::write(store, directory)?;
    if tree.publish(&place)?.is_some() {
        store.unsynced().push(mark);
    }
    Ok(place)
}

/// The tree in `directory`, if it can be trusted. One that was made in another boot and did not certainly reach the disk is compared with
/// its table first; when it differs, it is dropped if it may be, and an error otherwise.
pub(crate) fn settle(
    store: &Store,
    directory: &Path,
    table: &Table,
    may_drop: bool,
) -> Result<Option<PathBuf>> {
    let place = directory.join("tree");
    if !files::exists(&place)? {
        return Ok(None);
    }
    if is_trusted(directory)? {
        return Ok(Some(place));
    }
    // One process compares; the others wait, and find it done.
    let Some(comparing) = lock::open_if_there(&place)? else { return Ok(None) };
    if !lock::take_linked(&comparing, &place)? {
        return settle(store, directory, table, may_drop);
    }
    if is_trusted(directory)? {
        return Ok(Some(place));
    }
    let Some((path, problem)) = first_difference(store, table, &place)? else {
        if !store.0.read_only {
            // It was read from the disk, so it is there.
            remember_trust(store, directory)?;
        }
        return Ok(Some(place));
    };
    if !may_drop {
        return Err(StoreError::Damaged { path, reason: problem });
    }
    drop_tree(store, directory, &place)?;
    Ok(None)
}

/// Whether the tree in `directory` has reached the disk, or this is still the boot in which it was made.
fn is_trusted(directory: &Path) -> Result<bool> {
    match files::read_limited(&directory.join(MARK), 4096)? {
        Some(boot) => Ok(boot == files::boot_id()?.as_bytes()),
        None => Ok(files::exists(&directory.join(SYNCED))?),
    }
}

fn remember_trust(store: &Store, directory: &Path) -> Result<()> {
    let (mark, synced) = (directory.join(MARK), directory.join(SYNCED));
    store.replace_unsynced(&synced, b"")?;
    Ok(fs::remove_file(&mark).or_else(ignore_missing).context("remove", mark)?)
}

fn drop_tree(store: &Store, directory: &Path, place: &Path) -> Result<()> {
    let trash = TempDir::create(&store.at("trash"), "tree")?;
    let lock_path = store.at("lock");
    let alone = lock::open(&lock_path)?;
    lock::wait(&alone, FlockOperation::LockExclusive).context("lock", &lock_path)?;
    fs::rename(place, trash.path().join("tree")).context("rename", place)?;
    Ok(remove_marks(directory)?)
}

fn first_difference(store: &Store, table: &Table, place: &Path) -> Result<Option<(PathBuf, String)>> {
    let mut first = None;
    compare(store.ownership(), table, place, Depth::Full, &Cancel::new(), &mut |path, problem| {
        first = Some((place.join(OsStr::from_bytes(path)), problem));
        ControlFlow::Break(())
    })?;
    Ok(first)
}

/// Takes a path in the tree and what is wrong there; says whether to go on.
pub(crate) type Found<'a> = dyn FnMut(&[u8], String) -> ControlFlow<()> + 'a;

/// Compares a tree with its table: kind, mode, owner, size, time, link target; with [`Depth::Full`] contents and attributes as well.
pub(crate) fn compare(
    ownership: Ownership,
    table: &Table,
    tree: &Path,
    depth: Depth,
    cancel: &Cancel,
    found: &mut Found<'_>,
) -> Result<()> {
    let mut comparison =
        Comparison { ownership, table, tree, depth, seen: HashSet::new(), open: RefCell::default() };
    let mut directories = vec![Vec::new()];
    let Some(root) = table.find(b"") else {
        // Nothing is in the layer: nothing may be in the tree.
        for name in files::names_in(tree)? {
            if found(name.as_bytes(), "it is not in the layer".to_owned()).is_break() {
                return Ok(());
            }
        }
        return Ok(());
    };
    if comparison.visit(root, b"", found)?.is_break() {
        return Ok(());
    }
    while let Some(directory) = directories.pop() {
        for name in files::names_in(&comparison.place(&directory))? {
            cancel.check()?;
            let path = join(&directory, name.as_bytes());
            let flow = match table.find(&path) {
                None => found(&path, "it is not in the layer".to_owned()),
                Some(index) => {
                    if matches!(table.entry(index), Some(Entry { kind: EntryKind::Directory { .. }, .. }))
                        && comparison.is_directory(&path)?
                    {
                        directories.push(path.clone());
                    }
                    comparison.visit(index, &path, found)?
                }
            };
            if flow.is_break() {
                return Ok(());
            }
        }
    }
    for index in (0..table.len()).filter(|index| !comparison.seen.contains(index)) {
        let path = table.path(index).unwrap_or_default();
        if found(path, "it is missing".to_owned()).is_break() {
            return Ok(());
        }
    }
    Ok(())
}

fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    if directory.is_empty() {
        return name.to_vec();
    }
    [directory, b"/", name].concat()
}

struct Comparison<'a> {
    ownership: Ownership,
    table: &'a Table,
    tree: &'a Path,
    depth: Depth,
    seen: HashSet<usize>,
    /// A directory of the tree in which long paths begin.
    open: RefCell<Option<(Vec<u8>, OwnedFd)>>,
}

impl Comparison<'_> {
    /// Where something of the tree is. Its path in the tree may be as long as the kernel takes one, and the tree lies somewhere, too: so a long one
    /// begins in an open directory on the way.
    fn place(&self, path: &[u8]) -> PathBuf {
        // An empty path would add a slash, and so follow a link.
        if path.is_empty() {
            return self.tree.to_owned();
        }
        let whole = self.tree.join(OsStr::from_bytes(path));
        if whole.as_os_str().len() <= LONG {
            return whole;
        }
        let middle = path.get(..LONG / 2).and_then(|half| half.iter().rposition(|byte| *byte == b'/'));
        let (above, rest) = path.split_at(middle.unwrap_or_default());
        let mut open = self.open.borrow_mut();
        if open.as_ref().is_none_or(|(last, _)| last != above) {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let directory = rustix::fs::open(self.tree.join(OsStr::from_bytes(above)), flags, Mode::empty());
            *open = directory.ok().map(|directory| (above.to_vec(), directory));
        }
        match open.as_ref() {
            Some((_, directory)) => {
                let mut place = format!("/proc/self/fd/{}", directory.as_raw_fd()).into_bytes();
                place.extend_from_slice(rest);
                PathBuf::from(OsString::from_vec(place))
            }
            // Whoever uses it is told what is wrong.
            None => whole,
        }
    }

    fn stat(&self, path: &[u8]) -> Result<Metadata, IoError> {
        let place = self.place(path);
        fs::symlink_metadata(&place).context("stat", place)
    }

    fn is_directory(&self, path: &[u8]) -> Result<bool, IoError> {
        Ok(self.stat(path)?.is_dir())
    }

    fn visit(&mut self, index: usize, path: &[u8], found: &mut Found<'_>) -> Result<ControlFlow<()>> {
        self.seen.insert(index);
        let Some(entry) = self.table.entry(index) else {
            return Ok(found(path, "its entry in the table cannot be read".to_owned()));
        };
        let stat = self.stat(path)?;
        let problem = match self.wrong_kind(&entry, &stat)? {
            None => self.wrong_metadata(&entry, &stat)?,
            wrong => wrong,
        };
        Ok(problem.map_or(ControlFlow::Continue(()), |problem| found(path, problem)))
    }

    /// What is wrong with what the entry is, besides its metadata.
    fn wrong_kind(&self, entry: &Entry<'_>, stat: &Metadata) -> Result<Option<String>> {
        let kind = stat.file_type();
        let device = (rustix::fs::major(stat.rdev()), rustix::fs::minor(stat.rdev()));
        let right = match &entry.kind {
            EntryKind::File { size, content, .. } => {
                if kind.is_file() && stat.len() != *size {
                    return Ok(Some(format!("it has {} bytes instead of {size}", stat.len())));
                }
                if kind.is_file() && self.depth == Depth::Full && self.content(entry.path)? != *content {
                    return Ok(Some("its contents are not the layer's".to_owned()));
                }
                kind.is_file()
            }
            EntryKind::Hardlink { target } => self.is_link_to(target, stat)?,
            EntryKind::Symlink { target } => {
                let place = self.place(entry.path);
                kind.is_symlink()
                    && fs::read_link(&place).context("read the link", &place)?.as_os_str().as_bytes()
                        == *target
            }
            EntryKind::Directory { opaque, .. } => {
                if kind.is_dir() && *opaque != self.is_opaque(entry.path)? {
                    return Ok(Some(if *opaque { "it is not opaque" } else { "it is opaque" }.to_owned()));
                }
                kind.is_dir()
            }
            EntryKind::CharacterDevice { .. } | EntryKind::BlockDevice { .. }
                if !self.ownership.has_devices() =>
            {
                kind.is_char_device() && device == (0, 0)
            }
            EntryKind::CharacterDevice { major, minor } => {
                kind.is_char_device() && device == (*major, *minor)
            }
            EntryKind::BlockDevice { major, minor } => kind.is_block_device() && device == (*major, *minor),
            EntryKind::Fifo => kind.is_fifo(),
            EntryKind::Whiteout => kind.is_char_device() && device == (0, 0),
        };
        Ok((!right).then(|| format!("it is not the {}", kind_name(&entry.kind))))
    }

    /// Whether a file is what a hardlink names: the same inode, where the target is in this layer.
    fn is_link_to(&self, target: &[u8], stat: &Metadata) -> Result<bool, IoError> {
        if self.table.find(target).is_none() {
            return Ok(stat.is_file());
        }
        let place = self.place(target);
        match fs::symlink_metadata(&place) {
            Ok(other) => Ok((other.dev(), other.ino()) == (stat.dev(), stat.ino())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(IoError { action: "stat", path: place, source }),
        }
    }

    fn wrong_metadata(&self, entry: &Entry<'_>, stat: &Metadata) -> Result<Option<String>> {
        let has_none = match &entry.kind {
            // What a hardlink has is its target's.
            EntryKind::Whiteout | EntryKind::Hardlink { .. } => true,
            EntryKind::Directory { implied, .. } => *implied,
            // What stands for it is a whiteout.
            EntryKind::CharacterDevice { .. } | EntryKind::BlockDevice { .. } => {
                !self.ownership.has_devices()
            }
            _ => false,
        };
        if has_none {
            return Ok(None);
        }
        let mode = stat.mode() & 0o7777;
        if !stat.is_symlink() && mode != entry.mode {
            return Ok(Some(format!("its mode is {mode:o} instead of {:o}", entry.mode)));
        }
        if self.ownership.is_in_trees() && (stat.uid(), stat.gid()) != (entry.uid, entry.gid) {
            let (uid, gid) = (stat.uid(), stat.gid());
            return Ok(Some(format!("its owner is {uid}:{gid} instead of {}:{}", entry.uid, entry.gid)));
        }
        if (stat.mtime(), stat.mtime_nsec()) != (entry.mtime, 0) {
            return Ok(Some(format!("its time is {} instead of {}", stat.mtime(), entry.mtime)));
        }
        if self.depth == Depth::Full {
            return self.wrong_attribute(entry);
        }
        Ok(None)
    }

    fn wrong_attribute(&self, entry: &Entry<'_>) -> Result<Option<String>> {
        for (name, value) in &entry.xattrs {
            if self.attribute(entry.path, name)?.as_deref() != Some(*value) {
                return Ok(Some(format!("its attribute {} is not the layer's", base::text::bytes(name))));
            }
        }
        Ok(None)
    }

    fn is_opaque(&self, path: &[u8]) -> Result<bool, IoError> {
        Ok(self.attribute(path, self.ownership.opaque_attribute().to_bytes())?.as_deref() == Some(b"y"))
    }

    fn attribute(&self, path: &[u8], name: &[u8]) -> Result<Option<Vec<u8>>, IoError> {
        use rustix::io::Errno;
        let place = self.place(path);
        let mut value = Vec::with_capacity(64);
        loop {
            let room = rustix::buffer::spare_capacity(&mut value);
            match rustix::fs::lgetxattr(&place, OsStr::from_bytes(name), room) {
                Ok(_) => return Ok(Some(value)),
                Err(Errno::NODATA | Errno::NOTSUP) => return Ok(None),
                // The largest value that Linux knows has 64 KiB.
                Err(Errno::RANGE) if value.capacity() < 64 << 10 => value.reserve(64 << 10),
                Err(error) => return Err(error).context("read an attribute of", place),
            }
        }
    }

    fn content(&self, path: &[u8]) -> Result<ContentDigest, IoError> {
        let place = self.place(path);
        let mut hasher = blake3::Hasher::new();
        File::open(&place).and_then(|file| hasher.update_reader(file).map(|_| ())).context("read", &place)?;
        Ok(ContentDigest(*hasher.finalize().as_bytes()))
    }
}

fn kind_name(kind: &EntryKind<'_>) -> &'static str {
    match kind {
        EntryKind::File { .. } => "regular file that the layer has",
        EntryKind::Hardlink { .. } => "hardlink that the layer has",
        EntryKind::Symlink { .. } => "symbolic link that the layer has",
        EntryKind::Directory { .. } => "directory that the layer has",
        EntryKind::CharacterDevice { .. } => "character device that the layer has",
        EntryKind::BlockDevice { .. } => "block device that the layer has",
        EntryKind::Fifo => "named pipe that the layer has",
        EntryKind::Whiteout => "whiteout that the layer has",
    }
}
