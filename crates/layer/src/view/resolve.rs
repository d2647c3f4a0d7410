//! Following paths inside of a view.

use std::collections::VecDeque;

use store::table::EntryKind;

use super::{Node, Resolved, View};
use crate::{LayerError, Result};

/// As many symbolic links as the kernel follows.
const MAX_LINKS: usize = 40;

/// What is left to do of a path.
struct Walker<'a> {
    view: &'a View,
    /// Components to come. One that ends a path with a slash is followed by an empty one: it must be a directory.
    ahead: VecDeque<Vec<u8>>,
    /// Where we are: without links.
    path: Vec<u8>,
    /// What is there.
    node: Option<Node>,
    links: usize,
}

pub(super) fn resolve(view: &View, path: &[u8], follow: bool) -> Result<Resolved> {
    let mut walker =
        Walker { view, ahead: components(path).collect(), path: Vec::new(), node: view.find(b""), links: 0 };
    while let Some(component) = walker.ahead.pop_front() {
        walker
            .step(&component, follow)
            .map_err(|reason| LayerError::Resolve { path: path.to_vec(), reason })?;
    }
    Ok(Resolved { path: walker.path, node: walker.node })
}

impl Walker<'_> {
    fn step(&mut self, component: &[u8], follow: bool) -> Result<(), &'static str> {
        if self.node.is_some_and(|node| !self.is_directory(node)) {
            return Err("a part of it is not a directory");
        }
        match component {
            b"" | b"." => {}
            b".." => {
                let parent = self.path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
                self.path.truncate(parent);
                self.node = self.view.find(&self.path);
            }
            name => {
                let mut path = self.path.clone();
                if !path.is_empty() {
                    path.push(b'/');
                }
                path.extend_from_slice(name);
                let node = self.view.find(&path);
                let target = node.and_then(|node| self.link_target(node));
                match target {
                    Some(target) if follow || !self.ahead.is_empty() => self.follow(&target)?,
                    _ => (self.path, self.node) = (path, node),
                }
            }
        }
        Ok(())
    }

    /// Puts what a link says before what is left of the path.
    fn follow(&mut self, target: &[u8]) -> Result<(), &'static str> {
        self.links += 1;
        if self.links > MAX_LINKS {
            return Err("there are too many symbolic links in it");
        }
        if target.is_empty() {
            return Err("a symbolic link in it is empty");
        }
        if target.starts_with(b"/") {
            self.path.clear();
            self.node = self.view.find(b"");
        }
        for component in components(target).rev() {
            self.ahead.push_front(component);
        }
        Ok(())
    }

    fn is_directory(&self, node: Node) -> bool {
        matches!(self.view.entry(node).kind, EntryKind::Directory { .. })
    }

    /// What a symbolic link (or another name of one) says.
    fn link_target(&self, node: Node) -> Option<Vec<u8>> {
        match self.view.entry(self.view.file(node)).kind {
            EntryKind::Symlink { target } => Some(target.to_vec()),
            _ => None,
        }
    }
}

fn components(path: &[u8]) -> impl DoubleEndedIterator<Item = Vec<u8>> {
    let last_is_slash = path.ends_with(b"/");
    let names = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).map(<[u8]>::to_vec);
    names.chain(last_is_slash.then(Vec::new))
}
