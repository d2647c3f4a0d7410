//! Collecting what was found into groups of items.

use std::collections::{BTreeMap, HashMap};

use base::Cancel;
use dockerfile::Span;
use dockerfile::value::Mode;
use layer::packer::Special;
use layer::view::Node;
use layer::{FIXED_TIME, View};
use store::table::{Entry, EntryKind};

use super::item::{Content, Group, Item, ItemKind, Shape};
use super::sieve::Sieve;
use super::tree::{At, There, Tree};
use super::{CheckedOut, CopyError, Downloaded, Thing, download};
use crate::context::{Below, Context, Kind, Opener, Status, Walked, Xattrs};

/// The mode of a heredoc (DF-033).
const HEREDOC_MODE: u32 = 0o644;
/// The mode of a downloaded file (DF-138).
const DOWNLOAD_MODE: u32 = 0o600;

/// What makes items of what was found.
pub(super) struct Collector<'a> {
    input: &'a Tree,
    chmod: Option<&'a Mode>,
    groups: Vec<Group>,
    contents: Vec<Content>,
    /// Contents of files with several names, by what identifies them.
    inodes: HashMap<(u64, u64), usize>,
    nodes: HashMap<Node, usize>,
    /// Whether what comes now was reached through a link: then it is a copy, and no other name of the file that the link leads to.
    is_followed: bool,
    /// The commits that are copied from, and the one whose files come now.
    pub(super) checkouts: Vec<CheckedOut>,
    pub(super) checkout: Option<usize>,
}

impl<'a> Collector<'a> {
    pub fn new(input: &'a Tree, chmod: Option<&'a Mode>) -> Self {
        Self {
            input,
            chmod,
            groups: Vec::new(),
            contents: Vec::new(),
            inodes: HashMap::new(),
            nodes: HashMap::new(),
            is_followed: false,
            checkouts: Vec::new(),
            checkout: None,
        }
    }

    pub fn finish(self) -> (Vec<Group>, Vec<Content>) {
        let Self { groups, mut contents, .. } = self;
        // Contents were made before anybody knew where their items would be.
        let mut placed = vec![false; contents.len()];
        for (group_place, group) in (0..).zip(&groups) {
            for (item_place, item) in (0..).zip(&group.items) {
                let ItemKind::File(place) = item.kind else { continue };
                let Some(done) = placed.get_mut(place).filter(|done| !**done) else { continue };
                *done = true;
                if let Some(Content::Context { item, .. } | Content::Checkout { item, .. }) =
                    contents.get_mut(place)
                {
                    *item = (group_place, item_place);
                }
            }
        }
        (groups, contents)
    }

    pub fn add(&mut self, group: Group) {
        self.groups.push(group);
    }

    /// A file that stands in the Dockerfile.
    pub fn heredoc(&mut self, name: &str, content: &[u8], span: Span) {
        let place = self.contents.len();
        self.contents.push(Content::Inline(content.to_vec()));
        let item = Item {
            path: Box::default(),
            kind: ItemKind::File(place),
            mode: self.mode(HEREDOC_MODE, false),
            uid: 0,
            gid: 0,
            mtime: FIXED_TIME,
            xattrs: Xattrs::default(),
        };
        let name = name.as_bytes().to_vec();
        self.groups.push(Group { shape: Shape::Single, name, source: Vec::new(), items: vec![item], span });
    }

    /// A file of the web (DF-138).
    pub fn download(&mut self, url: &str, file: &Downloaded, unpack: bool, span: Span) {
        let place = self.contents.len();
        let shown = download::shown(url);
        self.contents.push(Content::Download { file: file.clone(), unpack, url: shown, span });
        let item = Item {
            path: Box::default(),
            kind: ItemKind::File(place),
            mode: self.mode(DOWNLOAD_MODE, false),
            uid: 0,
            gid: 0,
            mtime: file.mtime,
            xattrs: Xattrs::default(),
        };
        let name = download::name_of(url);
        self.groups.push(Group { shape: Shape::Single, name, source: Vec::new(), items: vec![item], span });
    }

    /// Something that is no directory; `is_followed` when a link was named, and this is what it leads to (DF-117).
    pub fn single(
        &mut self,
        there: &There,
        is_followed: bool,
        (shape, name): (Shape, &[u8]),
        span: Span,
    ) -> Result<Group, CopyError> {
        self.is_followed = is_followed;
        let item = self.item(there, b"");
        self.is_followed = false;
        let item = item?;
        let (name, source) = (name.to_vec(), there.path.clone());
        Ok(Group { shape, name, source, items: vec![item], span })
    }

    /// A directory itself.
    pub fn directory(&mut self, there: &There, path: &[u8]) -> Result<Item, CopyError> {
        self.item(there, path)
    }

    /// `--parents`: directories above what is copied, each once.
    pub fn parents(&mut self, parents: BTreeMap<Vec<u8>, There>, span: Span) -> Result<(), CopyError> {
        if parents.is_empty() {
            return Ok(());
        }
        let items: Result<Vec<Item>, CopyError> =
            parents.iter().map(|(path, there)| self.item(there, path)).collect();
        let mut items = items?;
        items.sort_by(|one, other| super::order::compare((&one.path, b""), (&other.path, b"")));
        self.groups.push(Group { shape: Shape::Kept, name: Vec::new(), source: Vec::new(), items, span });
        Ok(())
    }

    /// Everything below a directory that is not left out.
    pub fn walk(
        &mut self,
        there: &There,
        exclude: Below<'_>,
        cancel: &Cancel,
    ) -> Result<Vec<Item>, CopyError> {
        match self.input {
            Tree::Context(context) => {
                let mut items = Vec::new();
                context.walk(&there.path, exclude, cancel, |walked| items.extend(self.of_walked(walked)))?;
                Ok(items)
            }
            Tree::View(view) => self.walk_view(view, &there.path, exclude, cancel),
        }
    }

    fn walk_view(
        &mut self,
        view: &View,
        start: &[u8],
        exclude: Below<'_>,
        cancel: &Cancel,
    ) -> Result<Vec<Item>, CopyError> {
        let skip = if start.is_empty() { 0 } else { start.len() + 1 };
        let mut sieve = Sieve::new(exclude);
        let mut items = Vec::new();
        for (path, node) in view.walk(start).skip(1) {
            cancel.check()?;
            let path = path.get(skip..).unwrap_or_default();
            let file = view.file(node);
            let entry = view.entry(file);
            if sieve.admits(path, matches!(entry.kind, EntryKind::Directory { .. }), &mut items) {
                items.extend(self.of_entry(file, &entry, path));
            }
        }
        sieve.finish(&mut items);
        Ok(items)
    }

    /// Whether a group is one archive that ADD would unpack (DF-135).
    pub fn is_archive(&self, group: &Group) -> Result<bool, CopyError> {
        let (Tree::Context(context), [Item { kind: ItemKind::File(place), .. }]) =
            (self.input, group.items.as_slice())
        else {
            return Ok(false);
        };
        let Some(Content::Context { stamp, .. }) = self.contents.get(*place) else { return Ok(false) };
        let file = Opener::new(context).open(&group.source, stamp)?;
        Ok(layer::unpack::is_archive(Box::new(file)))
    }

    /// Makes a group an archive. No other file shares a content with it: what is in it takes its place.
    pub fn archive(&mut self, group: Group) -> Group {
        if let [Item { kind: ItemKind::File(place), .. }] = group.items.as_slice() {
            self.inodes.retain(|_, known| known != place);
        }
        Group { shape: Shape::Archive, name: Vec::new(), ..group }
    }

    fn item(&mut self, there: &There, path: &[u8]) -> Result<Item, CopyError> {
        let item = match (self.input, there.at) {
            (Tree::Context(context), At::Context(status)) => {
                let walked = Self::walked(context, there, status, path)?;
                self.of_walked(walked)
            }
            (Tree::View(view), At::View(node)) => self.of_entry(node, &view.entry(node), path),
            _ => None,
        };
        // Sockets are refused before, and nothing else is dropped.
        item.ok_or_else(|| CopyError::Changed { path: there.path.clone() })
    }

    fn walked(context: &Context, there: &There, status: Status, path: &[u8]) -> Result<Walked, CopyError> {
        let xattrs = match there.thing {
            Thing::File | Thing::Directory => context.xattrs(&there.path)?,
            _ => Xattrs::default(),
        };
        Ok(Walked { path: path.into(), status, target: Box::default(), xattrs })
    }

    /// `None` for a socket: no layer holds those (DF-132).
    pub(super) fn of_walked(&mut self, walked: Walked) -> Option<Item> {
        let Walked { path, status, target, xattrs } = walked;
        let kind = match status.kind {
            Kind::Directory => ItemKind::Directory,
            Kind::File => ItemKind::File(self.context_content(&status)),
            Kind::Symlink => ItemKind::Symlink(target),
            Kind::CharacterDevice { major, minor } => {
                ItemKind::Special(Special::CharacterDevice { major, minor })
            }
            Kind::BlockDevice { major, minor } => ItemKind::Special(Special::BlockDevice { major, minor }),
            Kind::Fifo => ItemKind::Special(Special::Fifo),
            Kind::Socket => return None,
        };
        let mode = self.mode_of(&kind, status.mode);
        Some(Item { path, kind, mode, uid: 0, gid: 0, mtime: status.stamp.mtime.0, xattrs })
    }

    fn context_content(&mut self, status: &Status) -> usize {
        let place = self.contents.len();
        let (stamp, item) = (status.stamp, (0, 0));
        let content = match self.checkout {
            None => Content::Context { stamp, item },
            Some(checkout) => Content::Checkout { checkout, stamp, item },
        };
        if status.is_shared && !self.is_followed {
            let identity = (status.stamp.device, status.stamp.inode);
            if let Some(known) = self.inodes.insert(identity, place) {
                self.inodes.insert(identity, known);
                return known;
            }
        }
        self.contents.push(content);
        place
    }

    pub fn of_entry(&mut self, node: Node, entry: &Entry<'_>, path: &[u8]) -> Option<Item> {
        let kind = match entry.kind {
            EntryKind::Directory { .. } => ItemKind::Directory,
            EntryKind::File { size, .. } => ItemKind::File(self.view_content(node, size)),
            EntryKind::Symlink { target } => ItemKind::Symlink(target.into()),
            EntryKind::CharacterDevice { major, minor } => {
                ItemKind::Special(Special::CharacterDevice { major, minor })
            }
            EntryKind::BlockDevice { major, minor } => {
                ItemKind::Special(Special::BlockDevice { major, minor })
            }
            EntryKind::Fifo => ItemKind::Special(Special::Fifo),
            // A hardlink that means nothing is no file; a whiteout is never visible.
            EntryKind::Hardlink { .. } | EntryKind::Whiteout => return None,
        };
        let mode = self.mode_of(&kind, entry.mode);
        let xattrs = entry.xattrs.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
        Some(Item {
            path: path.into(),
            kind,
            mode,
            uid: entry.uid,
            gid: entry.gid,
            mtime: entry.mtime,
            xattrs,
        })
    }

    fn view_content(&mut self, node: Node, size: u64) -> usize {
        let place = self.contents.len();
        let known = if self.is_followed { place } else { *self.nodes.entry(node).or_insert(place) };
        if known == place {
            self.contents.push(Content::View { node, size });
        }
        known
    }

    /// What `--chmod` makes of a mode; links have none (DF-126).
    fn mode_of(&self, kind: &ItemKind, mode: u32) -> u32 {
        match kind {
            ItemKind::Symlink(_) => 0o777,
            _ => self.mode(mode, matches!(kind, ItemKind::Directory)),
        }
    }

    fn mode(&self, mode: u32, is_directory: bool) -> u32 {
        self.chmod.map_or(mode, |change| change.apply(mode, is_directory))
    }
}
