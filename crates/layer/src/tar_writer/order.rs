//! The order of entries: component by component, each path once.

use std::cmp::Ordering;

use store::table::compare_paths;

use super::WHITEOUT;
use crate::{LayerError, Result};

/// Remembers the entry before.
#[derive(Default)]
pub(super) struct Order {
    last: Option<Vec<u8>>,
    last_is_directory: bool,
}

impl Order {
    /// Whether an entry may come now.
    pub(super) fn check(&mut self, path: &[u8], directory: bool) -> Result<()> {
        if path.is_empty() && !directory || path.contains(&0) {
            return Err(LayerError::Order { path: path.to_vec() });
        }
        if path.starts_with(WHITEOUT) || contains(path, b"/.wh.") {
            let reason = "names that begin with .wh. mean removals there";
            return Err(LayerError::Unwritable { path: path.to_vec(), reason });
        }
        if let Some(last) = &self.last {
            let inside_file = !self.last_is_directory
                && path.strip_prefix(last.as_slice()).is_some_and(|rest| rest.starts_with(b"/"));
            if compare_paths(last, path) != Ordering::Less || inside_file {
                return Err(LayerError::Order { path: path.to_vec() });
            }
        }
        let last = self.last.get_or_insert_default();
        last.clear();
        last.extend_from_slice(path);
        self.last_is_directory = directory;
        Ok(())
    }
}

fn contains(path: &[u8], part: &[u8]) -> bool {
    path.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_component_by_component() {
        let orders: &[(&[(&str, bool)], bool)] = &[
            (&[("", true), ("a", true), ("a/b", false), ("a-b", false), ("a.b", false), ("b", false)], true),
            (&[("a-b", false), ("a", true)], false),
            (&[("a-b", true), ("a/b", true)], false),
            (&[("a", true), ("a", true)], false),
            (&[("a", false), ("a/b", false)], false),
            (&[("", false)], false),
            (&[("a/.wh.b", false)], false),
            (&[("a.wh.b", false)], true),
        ];
        for (entries, good) in orders {
            let mut order = Order::default();
            let result =
                entries.iter().try_for_each(|(path, directory)| order.check(path.as_bytes(), *directory));
            assert_eq!(result.is_ok(), *good, "{entries:?}");
        }
    }
}
