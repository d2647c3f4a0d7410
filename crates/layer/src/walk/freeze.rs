//! One pass over an upper directory: every entry goes to the packer, and is left as its layer has it.

use std::collections::HashMap;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use base::{Cancel, Cancellable, IoContext};
use rustix::fs::{AtFlags, FileType, Stat};
use store::Ownership;
use store::table::{self, EntryKind};

use super::attributes::{Attributes, NO_OVERLAY, Target};
use super::holes::HoleReader;
use super::owners::{Origin, Owner, Owners};
use crate::apply::{make_other, make_whiteout};
use crate::limits::{MAX_DEPTH, MAX_PATH};
use crate::packer::{Meta, Packer, Special};
use crate::plain::Changes;
use crate::rooted::{self, Rooted};
use crate::{LayerError, Result, View};

/// Packs all that is in `tree`, and freezes it.
pub(crate) fn freeze(
    packer: &mut Packer,
    tree: &Path,
    surroundings: Surroundings<'_>,
    cancel: &Cancel,
) -> Result<()> {
    let rooted = Rooted::open(tree, surroundings.ownership)?;
    let mut freezer = Freezer { packer, rooted, surroundings, links: HashMap::new(), cancel };
    let mut open = vec![freezer.root()?];
    let mut path = Vec::new();
    while let Some(directory) = open.last_mut() {
        cancel.check()?;
        path.truncate(directory.length);
        let Some(name) = directory.names.next() else {
            freezer.leave(&path, directory.mtime)?;
            open.pop();
            continue;
        };
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(&name);
        let (hidden, holds_whiteouts) = (directory.hidden, directory.holds_whiteouts);
        if path.len() > MAX_PATH || open.len() > MAX_DEPTH {
            return Err(wrong(&path, "its path is longer than a path may be"));
        }
        open.extend(freezer.visit(&path, hidden, holds_whiteouts)?);
    }
    Ok(())
}

/// What an upper directory is judged by.
pub(crate) struct Surroundings<'a> {
    /// What lies below.
    pub below: &'a View,
    /// Whose the files are in the layer.
    pub owners: &'a Owners,
    /// Whose they are on the disk.
    pub ownership: Ownership,
    /// The latest time that an entry may have.
    pub clamp: Option<i64>,
    /// What of a plain directory the layer holds; an upper directory is held whole.
    pub changes: Option<&'a Changes>,
}

fn wrong(path: &[u8], reason: &'static str) -> LayerError {
    LayerError::Unwritable { path: path.to_vec(), reason }
}

/// A directory that we are in.
struct Open {
    /// How long its path is.
    length: usize,
    names: std::vec::IntoIter<Vec<u8>>,
    /// Whether what lies below does not show through here.
    hidden: bool,
    /// Whether empty files with a certain attribute are whiteouts.
    holds_whiteouts: bool,
    mtime: i64,
}

struct Freezer<'a> {
    packer: &'a mut Packer,
    rooted: Rooted,
    surroundings: Surroundings<'a>,
    /// Files with several names: device and inode → the first name.
    links: HashMap<(u64, u64), First>,
    cancel: &'a Cancel,
}

/// The first name of a file that has several; every one of them has the attributes.
struct First {
    path: Vec<u8>,
    owner: Owner,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

fn identity(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

impl Freezer<'_> {
    fn root(&mut self) -> Result<Open> {
        let (ownership, overlay) = (self.surroundings.ownership, self.overlay());
        let full = self.rooted.name(b"");
        let directory = self.rooted.directory(b"")?;
        let stat = rustix::fs::fstat(directory).context("examine", &full)?;
        let target = Target::Open(directory);
        let attributes = Attributes::take(&target, overlay).context("read the attributes of", &full)?;
        if attributes.opaque {
            target
                .remove(ownership.opaque_attribute().to_bytes())
                .context("change the attributes of", &full)?;
        }
        let names = match self.surroundings.changes {
            None => rooted::names(directory).context("read", &full)?,
            Some(changes) => changes.names(b"").unwrap_or_default(),
        };
        let owner = self.owner(b"", &stat, &attributes, false);
        let meta = meta(&stat, owner, attributes.kept);
        let known = self.surroundings.below.find(b"").map(|node| self.surroundings.below.entry(node));
        let is_same = known.as_ref().is_some_and(|known| {
            let xattrs = meta.xattrs.iter().map(|(name, value)| (name.as_slice(), value.as_slice()));
            (known.mode, known.uid, known.gid) == (meta.mode, meta.uid, meta.gid)
                && known.xattrs.iter().copied().eq(xattrs)
        });
        // When something was made in it is no change of the root.
        let mtime = known.map_or(meta.mtime, |known| known.mtime);
        if !is_same {
            self.packer.directory(b"", &Meta { mtime, ..meta }, false)?;
        }
        Ok(Open {
            length: 0,
            names: names.into_iter(),
            hidden: false,
            holds_whiteouts: attributes.holds_whiteouts,
            mtime,
        })
    }

    /// Packs and freezes what is at a path; gives a directory to go into.
    fn visit(&mut self, path: &[u8], hidden: bool, holds_whiteouts: bool) -> Result<Option<Open>> {
        if self.surroundings.changes.is_some_and(|changes| changes.is_removed(path)) {
            self.packer.whiteout(path)?;
            return Ok(None);
        }
        let full = self.rooted.name(path);
        let (parent, name) = self.rooted.parent(path)?;
        let stat = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).context("examine", &full)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => return self.directory(path, hidden).map(Some),
            // It is left out; what it replaced does not come back.
            FileType::Socket => self.become_whiteout(path, hidden)?,
            FileType::CharacterDevice if stat.st_rdev == 0 && !self.is_plain() => {
                self.whiteout(path, hidden)?;
            }
            FileType::CharacterDevice if stat.st_rdev == 0 => self.become_whiteout(path, hidden)?,
            FileType::RegularFile if self.is_hardlink(path, &stat)? => {}
            FileType::RegularFile => self.file(path, hidden, holds_whiteouts)?,
            FileType::Symlink => self.symlink(path, &stat, hidden)?,
            kind => self.special(path, &stat, kind, hidden)?,
        }
        Ok(None)
    }

    /// Packs another name of a file that was packed before.
    fn is_hardlink(&mut self, path: &[u8], stat: &Stat) -> Result<bool> {
        let Some(first) = self.links.get(&identity(stat)) else { return Ok(false) };
        self.packer.hardlink(path, &meta(stat, first.owner, first.xattrs.clone()), &first.path)?;
        Ok(true)
    }

    fn directory(&mut self, path: &[u8], hidden: bool) -> Result<Open> {
        let (ownership, overlay) = (self.surroundings.ownership, self.overlay());
        let full = self.rooted.name(path);
        let directory = self.rooted.directory(path)?;
        let stat = rustix::fs::fstat(directory).context("examine", &full)?;
        let target = Target::Open(directory);
        let attributes = Attributes::take(&target, overlay).context("read the attributes of", &full)?;
        refuse_elsewhere(path, &attributes)?;
        let merges = !hidden && is_directory(self.surroundings.below, path);
        // Overlayfs marks every new directory; where nothing lies below, the mark says nothing.
        let replaced = self.surroundings.changes.is_some_and(|changes| changes.is_opaque(path));
        let opaque = (attributes.opaque || replaced) && merges;
        if attributes.opaque && !opaque {
            target
                .remove(ownership.opaque_attribute().to_bytes())
                .context("change the attributes of", &full)?;
        }
        let names = match self.surroundings.changes.and_then(|changes| changes.names(path)) {
            None => rooted::names(directory).context("read", &full)?,
            Some(names) => names,
        };
        let owner = self.owner(path, &stat, &attributes, hidden || opaque);
        self.packer.directory(path, &meta(&stat, owner, attributes.kept), opaque)?;
        Ok(Open {
            length: path.len(),
            names: names.into_iter(),
            hidden: opaque || !merges,
            holds_whiteouts: attributes.holds_whiteouts,
            mtime: stat.st_mtime,
        })
    }

    /// Sets a directory's time, when nothing will be changed in it any more.
    fn leave(&mut self, path: &[u8], mtime: i64) -> Result<()> {
        let times = rooted::times(self.clamped(mtime));
        let full = self.rooted.name(path);
        rustix::fs::futimens(self.rooted.directory(path)?, &times).context("set the time of", full)?;
        Ok(())
    }

    fn file(&mut self, path: &[u8], hidden: bool, holds_whiteouts: bool) -> Result<()> {
        let full = self.rooted.name(path);
        let file = self.rooted.read(path)?;
        let stat = rustix::fs::fstat(&file).context("examine", &full)?;
        let attributes = Attributes::take(&Target::Open(file.as_fd()), self.overlay())
            .context("read the attributes of", &full)?;
        if holds_whiteouts && attributes.whiteout && stat.st_size == 0 {
            return self.become_whiteout(path, hidden);
        }
        refuse_elsewhere(path, &attributes)?;
        let owner = self.owner(path, &stat, &attributes, hidden);
        if stat.st_nlink > 1 {
            let first = First { path: path.to_vec(), owner, xattrs: attributes.kept.clone() };
            self.links.insert(identity(&stat), first);
        }
        let size = u64::try_from(stat.st_size).unwrap_or_default();
        let time = rooted::times(self.clamped(stat.st_mtime));
        let handle = file.try_clone().context("open", &full)?;
        let contents: Box<dyn Read> = if (stat.st_blocks as u64).saturating_mul(512) < size {
            Box::new(HoleReader::new(file, size))
        } else {
            Box::new(file)
        };
        let mut contents = Cancellable { reader: contents, cancel: self.cancel };
        let packed = self.packer.file(path, &meta(&stat, owner, attributes.kept), size, &mut contents);
        self.cancel.check()?;
        packed?;
        rustix::fs::futimens(&handle, &time).context("set the time of", full)?;
        Ok(())
    }

    fn symlink(&mut self, path: &[u8], stat: &Stat, hidden: bool) -> Result<()> {
        let full = self.rooted.name(path);
        let (parent, name) = self.rooted.parent(path)?;
        let target = rustix::fs::readlinkat(parent, name, Vec::new()).context("read", &full)?;
        let target = target.to_bytes();
        let meta = self.freeze_closed(path, stat, EntryKind::Symlink { target }, hidden)?;
        self.packer.symlink(path, &meta, target)
    }

    fn special(&mut self, path: &[u8], stat: &Stat, kind: FileType, hidden: bool) -> Result<()> {
        let (major, minor) = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
        let (special, kind) = match kind {
            FileType::CharacterDevice => {
                (Special::CharacterDevice { major, minor }, EntryKind::CharacterDevice { major, minor })
            }
            FileType::BlockDevice => {
                (Special::BlockDevice { major, minor }, EntryKind::BlockDevice { major, minor })
            }
            FileType::Fifo => (Special::Fifo, EntryKind::Fifo),
            _ => return Err(wrong(path, "it is of a type that no layer can hold")),
        };
        let meta = self.freeze_closed(path, stat, kind, hidden)?;
        self.packer.special(path, &meta, special)
    }

    /// Freezes what cannot be opened; gives its metadata. When it has several names, each becomes one of its own: in a layer, only files have hardlinks.
    fn freeze_closed(&mut self, path: &[u8], stat: &Stat, kind: EntryKind<'_>, hidden: bool) -> Result<Meta> {
        let mtime = self.clamped(stat.st_mtime);
        let overlay = self.overlay();
        let full = self.rooted.name(path);
        let (parent, name) = self.rooted.parent(path)?;
        let attributes = Attributes::take(&Target::name(parent, name.as_bytes()), overlay)
            .context("read the attributes of", &full)?;
        refuse_elsewhere(path, &attributes)?;
        if stat.st_nlink > 1 {
            self.remove(path)?;
            let xattrs =
                attributes.kept.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect();
            let (mode, uid, gid) = (stat.st_mode & 0o7777, stat.st_uid, stat.st_gid);
            make_other(&mut self.rooted, &table::Entry { path, kind, mode, uid, gid, mtime, xattrs })?;
        } else {
            rustix::fs::utimensat(parent, name, &rooted::times(mtime), AtFlags::SYMLINK_NOFOLLOW)
                .context("set the time of", full)?;
        }
        let owner = self.owner(path, stat, &attributes, hidden);
        Ok(meta(stat, owner, attributes.kept))
    }

    fn whiteout(&mut self, path: &[u8], hidden: bool) -> Result<()> {
        if !hidden && self.surroundings.below.find(path).is_some() {
            return self.packer.whiteout(path);
        }
        self.remove(path)
    }

    /// Replaces something by a whiteout, or removes it when a whiteout says nothing.
    fn become_whiteout(&mut self, path: &[u8], hidden: bool) -> Result<()> {
        self.remove(path)?;
        if !hidden && self.surroundings.below.find(path).is_some() {
            if !self.is_plain() {
                let full = self.rooted.name(path);
                let (parent, name) = self.rooted.parent(path)?;
                make_whiteout(parent, name).context("create", full)?;
            }
            self.packer.whiteout(path)?;
        }
        Ok(())
    }

    fn remove(&mut self, path: &[u8]) -> Result<()> {
        let full = self.rooted.name(path);
        let (parent, name) = self.rooted.parent(path)?;
        rustix::fs::unlinkat(parent, name, AtFlags::empty()).context("remove", full)?;
        Ok(())
    }

    /// Whose an entry is.
    fn owner(&self, path: &[u8], stat: &Stat, attributes: &Attributes, hidden: bool) -> Owner {
        let is_kept = self.surroundings.changes.is_some_and(|changes| changes.is_kept(path));
        let origin = Origin { opaque: attributes.opaque, copied: attributes.copied || is_kept };
        self.surroundings.owners.of(path, stat, origin, self.surroundings.below, hidden)
    }

    /// Whether this is a plain directory, in which nothing is overlayfs' own.
    fn is_plain(&self) -> bool {
        self.surroundings.changes.is_some()
    }

    fn overlay(&self) -> &'static [u8] {
        if self.is_plain() { NO_OVERLAY } else { self.surroundings.ownership.overlay_attributes() }
    }

    fn clamped(&self, mtime: i64) -> i64 {
        self.surroundings.clamp.map_or(mtime, |clamp| mtime.min(clamp))
    }
}

fn is_directory(view: &View, path: &[u8]) -> bool {
    view.find(path).is_some_and(|node| matches!(view.entry(node).kind, EntryKind::Directory { .. }))
}

fn meta(stat: &Stat, (uid, gid): Owner, xattrs: Vec<(Vec<u8>, Vec<u8>)>) -> Meta {
    Meta { mode: stat.st_mode & 0o7777, uid, gid, mtime: stat.st_mtime, xattrs }
}

fn refuse_elsewhere(path: &[u8], attributes: &Attributes) -> Result<()> {
    if attributes.elsewhere {
        return Err(wrong(
            path,
            "its overlay was mounted with `redirect_dir` or `metacopy`: what is in it lies elsewhere",
        ));
    }
    Ok(())
}
