//! Looking around in what is copied from.

use layer::view::Node;
use layer::{LayerError, View};
use store::table::EntryKind;

use super::{CopyError, Input, Thing};
use crate::context::{Context, Exclusion, Filter, Kind, Named, Status};

/// What is copied from.
#[derive(Clone)]
pub(super) enum Tree {
    Context(Context),
    View(View),
}

impl From<Input<'_>> for Tree {
    fn from(input: Input<'_>) -> Self {
        match input {
            Input::Context(context) => Tree::Context(context.clone()),
            Input::View(view) => Tree::View(view.clone()),
        }
    }
}

/// What a path of the input leads to.
pub(super) enum Lookup {
    There(There),
    Missing {
        /// The deepest directory that is there.
        directory: Vec<u8>,
        /// What is missing in it.
        name: Vec<u8>,
        /// What else is to be said.
        detail: Option<String>,
    },
}

/// Something that is there.
#[derive(Clone)]
pub(super) struct There {
    /// Its path without links.
    pub path: Vec<u8>,
    pub thing: Thing,
    pub at: At,
}

/// Where something is.
#[derive(Clone, Copy)]
pub(super) enum At {
    Context(Status),
    View(Node),
}

impl Tree {
    /// What it is called in messages.
    pub(super) fn place(&self) -> &'static str {
        match self {
            Tree::Context(_) => "the build context",
            Tree::View(_) => "the image that is copied from",
        }
    }

    /// Follows a path inside of the input.
    pub(super) fn lookup(&self, path: &[u8]) -> Result<Lookup, CopyError> {
        match self {
            Tree::Context(context) => Ok(match context.resolve(path)? {
                Named::There { path, status } => {
                    Lookup::There(There { path, thing: thing_of(status.kind), at: At::Context(status) })
                }
                Named::Missing { directory, name, through_link } => {
                    let detail = through_link.then(|| "a symbolic link on the way leads nowhere".to_owned());
                    Lookup::Missing { directory, name, detail }
                }
                Named::NotADirectory { path: file } => {
                    missing(path, format!("{} is a file, not a directory", base::text::bytes(&file)))
                }
                Named::TooManyLinks => missing(path, "its symbolic links lead in circles".to_owned()),
            }),
            Tree::View(view) => {
                let resolved = match view.resolve(path, true) {
                    Ok(resolved) => resolved,
                    Err(LayerError::Resolve { reason, .. }) => return Ok(missing(path, reason.to_owned())),
                    Err(error) => return Err(error.into()),
                };
                let Some(node) = resolved.node else {
                    return Ok(missing_in_view(view, &resolved.path));
                };
                let node = view.file(node);
                let thing = thing_of_entry(&view.entry(node).kind);
                Ok(Lookup::There(There { path: resolved.path, thing, at: At::View(node) }))
            }
        }
    }

    /// The names in a directory, sorted; those that an ignore file excludes with all that is below them are left out.
    pub(super) fn list(&self, directory: &[u8]) -> Result<Vec<(Vec<u8>, Thing)>, CopyError> {
        match self {
            Tree::Context(context) => {
                let mut names = context.list(directory)?;
                let filter = context.filter();
                names.retain(|(name, kind)| {
                    filter.may_show(&crate::context::join(directory, name), *kind == Kind::Directory)
                });
                Ok(names.into_iter().map(|(name, kind)| (name, thing_of(kind))).collect())
            }
            Tree::View(view) => Ok(view
                .children(directory)
                .into_iter()
                .map(|(name, node)| (name.to_vec(), thing_of_entry(&view.entry(view.file(node)).kind)))
                .collect()),
        }
    }

    /// Why a path is not seen, although it may be there.
    pub(super) fn exclusion(&self, path: &[u8]) -> Option<Exclusion> {
        self.filter()?.exclusion(path)
    }

    /// The ignore file.
    pub(super) fn filter(&self) -> Option<&Filter> {
        match self {
            Tree::Context(context) => Some(context.filter()),
            Tree::View(_) => None,
        }
    }
}

fn missing(path: &[u8], detail: String) -> Lookup {
    Lookup::Missing { directory: Vec::new(), name: path.to_vec(), detail: Some(detail) }
}

fn missing_in_view(view: &View, path: &[u8]) -> Lookup {
    let mut directory: &[u8] = b"";
    let mut rest = path;
    for ancestor in super::order::ancestors(path) {
        if view.find(ancestor).is_none() {
            break;
        }
        directory = ancestor;
        rest = path.get(ancestor.len() + 1..).unwrap_or_default();
    }
    let name = rest.split(|byte| *byte == b'/').next().unwrap_or_default();
    Lookup::Missing { directory: directory.to_vec(), name: name.to_vec(), detail: None }
}

pub(super) fn thing_of(kind: Kind) -> Thing {
    match kind {
        Kind::Directory => Thing::Directory,
        Kind::File => Thing::File,
        Kind::Symlink => Thing::Symlink,
        Kind::CharacterDevice { .. } | Kind::BlockDevice { .. } => Thing::Device,
        Kind::Fifo => Thing::Fifo,
        Kind::Socket => Thing::Socket,
    }
}

pub(super) fn thing_of_entry(kind: &EntryKind<'_>) -> Thing {
    match kind {
        EntryKind::Directory { .. } => Thing::Directory,
        EntryKind::File { .. } | EntryKind::Hardlink { .. } | EntryKind::Whiteout => Thing::File,
        EntryKind::Symlink { .. } => Thing::Symlink,
        EntryKind::CharacterDevice { .. } | EntryKind::BlockDevice { .. } => Thing::Device,
        EntryKind::Fifo => Thing::Fifo,
    }
}
