//! Following symbolic links inside of a context, as the kernel would in a chroot (DF-116, DF-117).
//!
//! In userland, since the path without links is what the ignore file speaks about. That it is read, component by component, from a
//! directory that others may change does no harm: whatever is opened afterwards is opened without following links.

use std::collections::VecDeque;

use base::{IoContext, IoError};
use rustix::fs::OFlags;

use super::{Context, Kind, Status};

/// As many symbolic links as the kernel follows.
const MAX_LINKS: usize = 40;

/// Where a path of the context leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Named {
    /// Something that is there: its path without links.
    There { path: Vec<u8>, status: Status },
    /// Nothing: as far as there was something, and the name that was missing there.
    Missing { directory: Vec<u8>, name: Vec<u8>, through_link: bool },
    /// A part of the path is something else than a directory.
    NotADirectory { path: Vec<u8> },
    /// Links lead to links.
    TooManyLinks,
}

impl Context {
    /// Follows a path: `..` ends at the root, links stay inside of it.
    pub(crate) fn resolve(&self, path: &[u8]) -> Result<Named, IoError> {
        let mut ahead: VecDeque<Vec<u8>> = components(path).collect();
        let mut here: Vec<u8> = Vec::new();
        let mut links = 0;
        while let Some(name) = ahead.pop_front() {
            if name == b".." {
                here.truncate(here.iter().rposition(|byte| *byte == b'/').unwrap_or(0));
                continue;
            }
            let parent = here.len();
            if parent > 0 {
                here.push(b'/');
            }
            here.extend_from_slice(&name);
            match self.status(&here)?.map(|status| status.kind) {
                None => {
                    here.truncate(parent);
                    return Ok(Named::Missing { directory: here, name, through_link: links > 0 });
                }
                Some(Kind::Symlink) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Ok(Named::TooManyLinks);
                    }
                    let target = self.link_target(&here)?;
                    here.truncate(if target.starts_with(b"/") { 0 } else { parent });
                    for component in components(&target).rev() {
                        ahead.push_front(component);
                    }
                }
                Some(Kind::Directory) => {}
                Some(_) if ahead.is_empty() => {}
                Some(_) => return Ok(Named::NotADirectory { path: here }),
            }
        }
        match self.status(&here)? {
            Some(status) => Ok(Named::There { path: here, status }),
            None => Ok(Named::Missing { directory: Vec::new(), name: here, through_link: links > 0 }),
        }
    }

    fn link_target(&self, path: &[u8]) -> Result<Vec<u8>, IoError> {
        let link = self.open(path, OFlags::PATH).context("open", self.full_path(path))?;
        let target =
            rustix::fs::readlinkat(link, "", Vec::new()).context("read the link", self.full_path(path))?;
        Ok(target.into_bytes())
    }

    /// The names in a directory (a path without links), sorted, with what each is.
    pub(crate) fn list(&self, path: &[u8]) -> Result<Vec<(Vec<u8>, Kind)>, IoError> {
        let directory =
            self.open(path, OFlags::RDONLY | OFlags::DIRECTORY).context("open", self.full_path(path))?;
        let mut names = Vec::new();
        super::walk::for_each_name(&directory, |name| {
            if let Some(status) = super::walk::status_at(&directory, name)? {
                names.push((name.to_bytes().to_vec(), status.kind));
            }
            Ok(())
        })
        .context("list", self.full_path(path))?;
        names.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        Ok(names)
    }
}

/// The names of a path; `.` and doubled slashes say nothing.
pub(crate) fn components(path: &[u8]) -> impl DoubleEndedIterator<Item = Vec<u8>> {
    path.split(|byte| *byte == b'/').filter(|name| !name.is_empty() && *name != b".").map(<[u8]>::to_vec)
}
