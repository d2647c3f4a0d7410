//! The sources of a step, found.

use base::Cancel;
use layer::View;
use layer::view::Node;
use store::table::ContentDigest;

use super::find::Finder;
use super::item::{Content, Group};
use super::tree::Tree;
use super::{CheckedOut, CopyError, CopyStep, Downloaded, Input, key};
use crate::context::Stamp;

/// The sources of a step, found: what the content key is made of, and what is executed. Wildcards are resolved, directories are walked (through the
/// ignore file), nothing is read yet.
pub struct Selection {
    pub(super) input: Tree,
    pub(super) groups: Vec<Group>,
    pub(super) contents: Vec<Content>,
    /// The archives that were unpacked.
    pub(super) archives: Vec<View>,
    /// The commits that are copied from.
    pub(super) checkouts: Vec<CheckedOut>,
    /// `--chown`, as it was written.
    pub(super) chown: Option<String>,
}

impl Selection {
    /// Finds the sources. A missing literal source is an error that says whether it is absent or excluded, and by which line of which ignore file.
    pub fn find(input: Input<'_>, step: &CopyStep, cancel: &Cancel) -> Result<Self, CopyError> {
        Self::with_fetched(input, step, &[], &[], cancel)
    }

    /// The same, where some sources are files of the web, or repositories: what is known of each, in their order.
    pub fn with_fetched(
        input: Input<'_>,
        step: &CopyStep,
        downloads: &[Downloaded],
        checkouts: &[CheckedOut],
        cancel: &Cancel,
    ) -> Result<Self, CopyError> {
        let tree = Tree::from(input);
        Finder::new(&tree, step, cancel)?.find(downloads, checkouts)
    }

    /// The identity of what is copied (DF-174): per path type, mode, owner, size, link target, xattrs and content, never times. Reads only files whose digest is not
    /// remembered.
    ///
    /// It does not depend on the base: where things go, and who the users named in `--chown` are, is for the base's identity to say.
    pub fn content_key(&self, cancel: &Cancel) -> Result<ContentDigest, CopyError> {
        let digests = key::digests(self, cancel)?;
        Ok(key::content_key(self, &digests))
    }

    /// How many files, directories and links are copied.
    pub fn entries(&self) -> usize {
        self.groups.iter().map(|group| group.items.len()).sum()
    }

    /// How many bytes the files have; those with several names count once.
    pub fn size(&self) -> u64 {
        self.contents.iter().map(Content::size).fold(0, u64::saturating_add)
    }

    /// Where a content is that is in a layer.
    pub(super) fn in_layer(&self, content: &Content) -> Option<(&View, Node)> {
        match (content, &self.input) {
            (Content::View { node, .. }, Tree::View(view)) => Some((view, *node)),
            (Content::Unpacked { archive, node, .. }, _) => Some((self.archives.get(*archive)?, *node)),
            _ => None,
        }
    }

    /// Whether a file of a context was seen, with this very stamp, to have no attributes.
    pub(super) fn is_plain(&self, place: usize, stamp: &Stamp) -> bool {
        let Some(Content::Context { stamp: found, item: (group, item) }) = self.contents.get(place) else {
            return false;
        };
        let item = self.groups.get(*group as usize).and_then(|group| group.items.get(*item as usize));
        found == stamp && item.is_some_and(|item| item.xattrs.as_slice().is_empty())
    }

    /// The path of a context's file in its context.
    pub(super) fn context_path(&self, (group, item): (u32, u32)) -> Vec<u8> {
        let Some(group) = self.groups.get(group as usize) else { return Vec::new() };
        let path = group.items.get(item as usize).map(|item| item.path.as_ref()).unwrap_or_default();
        crate::context::join(&group.source, path)
    }
}
