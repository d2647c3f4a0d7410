//! What an archive holds, by path: files, and links between them (ST-011).

use std::collections::BTreeMap;

use base::Cancel;

use crate::entries::{Entries, EntryKind, Stream};
use crate::{ArchiveError, paths};

/// Entries of an archive: far more than layers of all images that somebody saves at once.
const MAX_ENTRIES: usize = 200_000;
/// How many links are followed from one to the next.
const MAX_LINKS: usize = 16;

/// What the archive holds at a path.
enum Member<F> {
    /// A file.
    File(F),
    /// A link to a path.
    Link(Vec<u8>),
    /// A directory, or something else without contents that matter.
    Other,
}

/// Everything in an archive; `F` is what is known of a file.
pub(crate) struct Members<F>(BTreeMap<Vec<u8>, Member<F>>);

impl<F> Members<F> {
    /// Reads an archive to its end. `keep` gets each file: its path, its size, and where its contents are read. What comes again has to be the same.
    pub(crate) fn read<S: Stream>(
        mut entries: Entries<S>,
        cancel: &Cancel,
        mut keep: impl FnMut(&[u8], u64, &mut Entries<S>) -> Result<F, ArchiveError>,
        is_same: impl Fn(&F, &F) -> Result<bool, ArchiveError>,
    ) -> Result<Self, ArchiveError> {
        let mut members = Self(BTreeMap::new());
        while let Some(entry) = entries.next()? {
            cancel.check()?;
            let refused = |reason: &str| {
                ArchiveError::Refused(format!("its entry {} {reason}", base::text::bytes(&entry.name)))
            };
            let path = paths::normalize(&entry.name).map_err(refused)?;
            let member = match entry.kind {
                EntryKind::File(size) => Member::File(keep(&path, size, &mut entries)?),
                EntryKind::Symlink(target) => Member::Link(paths::follow(&path, &target).map_err(refused)?),
                EntryKind::Hardlink(target) => Member::Link(paths::normalize(&target).map_err(refused)?),
                EntryKind::Directory | EntryKind::Other(_) => Member::Other,
            };
            members.add(path, member, &is_same)?;
            if members.0.len() > MAX_ENTRIES {
                return Err(ArchiveError::Refused(format!("it has more than {MAX_ENTRIES} entries")));
            }
        }
        Ok(members)
    }

    /// Adds a member. What comes again has to be the same: some tools take the first, others the last (ST-022c).
    fn add(
        &mut self,
        path: Vec<u8>,
        member: Member<F>,
        is_same: impl Fn(&F, &F) -> Result<bool, ArchiveError>,
    ) -> Result<(), ArchiveError> {
        let is_same = match (self.0.get(&path), &member) {
            (None, _) | (Some(Member::Other), Member::Other) => true,
            (Some(Member::File(one)), Member::File(other)) => is_same(one, other)?,
            (Some(Member::Link(one)), Member::Link(other)) => one == other,
            _ => false,
        };
        if !is_same {
            let path = base::text::bytes(&path).into_owned();
            return Err(ArchiveError::Refused(format!("{path} is in it twice, with different contents")));
        }
        self.0.insert(path, member);
        Ok(())
    }

    /// Whether there is anything at a path.
    pub(crate) fn has(&self, path: &[u8]) -> bool {
        self.0.contains_key(path)
    }

    /// The file at a path, links followed; an error when a link leads nowhere.
    pub(crate) fn file(&self, path: &[u8]) -> Result<Option<&F>, ArchiveError> {
        let mut at = path;
        for _ in 0..=MAX_LINKS {
            match self.0.get(at) {
                Some(Member::File(file)) => return Ok(Some(file)),
                Some(Member::Link(target)) => at = target,
                None if at == path => return Ok(None),
                None | Some(Member::Other) => {
                    let (path, at) = (base::text::bytes(path), base::text::bytes(at));
                    let reason = if path == at {
                        "is not a file".to_owned()
                    } else {
                        format!("leads to {at}, which is no file in it")
                    };
                    return Err(ArchiveError::Refused(format!("its entry {path} {reason}")));
                }
            }
        }
        Err(ArchiveError::Refused(format!(
            "its entry {} leads through too many links",
            base::text::bytes(path)
        )))
    }
}
