//! WORKDIR: a directory that has to be there (DF-151).
//!
//! The directory is made over the tables: no mount, no tree. When it is there already there is no layer (unlike BuildKit, DF-152, which then makes an
//! empty one).

use engine::users::Users;
use layer::packer::PackOptions;
use layer::{FIXED_TIME, LayerError, Meta, Packer, View};
use store::table::EntryKind;
use store::{Layer, Lease, Store};

use crate::plan::WorkdirStep;
use crate::run::RunError;

/// Makes the directory and its missing parents; `None` when it is there.
pub(crate) fn make(
    store: &Store,
    lease: &Lease,
    step: &WorkdirStep,
    view: &View,
    options: PackOptions,
) -> Result<Option<Layer>, RunError> {
    let wanted = step.path.trim_matches('/').as_bytes();
    let resolved = view.resolve(wanted, true)?;
    if let Some(node) = resolved.node {
        return match view.entry(node).kind {
            EntryKind::Directory { .. } => Ok(None),
            _ => Err(LayerError::Resolve { path: step.path.clone().into(), reason: "it is not a directory" }
                .into()),
        };
    }
    let (uid, gid) = match step.user.as_str() {
        "" => (0, 0),
        user => Users::read(store, lease, view).owner(user.trim_end_matches(':'))?,
    };
    let fresh = Meta { mode: 0o755, uid, gid, mtime: FIXED_TIME, xattrs: Vec::new() };
    let mut packer = Packer::to_store(store, lease, options)?;
    for path in prefixes(&resolved.path) {
        let meta = view.find(path).map_or_else(|| fresh.clone(), |node| Meta::from(&view.entry(node)));
        packer.directory(path, &meta, false)?;
    }
    Ok(Some(packer.finish(None)?))
}

/// `a`, `a/b`, `a/b/c`.
fn prefixes(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    ends.chain([path.len()]).filter_map(|end| path.get(..end)).filter(|prefix| !prefix.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_of_paths() {
        let all = |path: &'static str| prefixes(path.as_bytes()).collect::<Vec<_>>();
        assert_eq!(all("a/b/c"), [&b"a"[..], b"a/b", b"a/b/c"]);
        assert_eq!(all("a"), [b"a"]);
        assert!(all("").is_empty());
    }
}
