//! `--exclude` over the walk of an image, where directories come before what is in them.

use dockerfile::ignore::Verdict;

use super::item::Item;
use super::order::is_below;
use crate::context::{Below, Fate};

/// Lets through what is not excluded, and takes back excluded directories in which nothing was found (DF-187).
pub(super) struct Sieve<'a> {
    exclude: Below<'a>,
    /// The directories that the present path is in.
    open: Vec<Directory>,
    /// An excluded path: nothing below it is looked at.
    hidden: Option<Vec<u8>>,
}

struct Directory {
    path: Vec<u8>,
    verdict: Verdict,
    /// Its place among the items, when it is there only if something in it is.
    tentative: Option<usize>,
}

impl<'a> Sieve<'a> {
    pub fn new(exclude: Below<'a>) -> Self {
        Self { exclude, open: Vec::new(), hidden: None }
    }

    /// Whether a path is copied; `items` are those that were found so far.
    pub fn admits(&mut self, path: &[u8], is_directory: bool, items: &mut Vec<Item>) -> bool {
        if self.hidden.as_ref().is_some_and(|hidden| is_below(path, hidden)) {
            return false;
        }
        self.close(items, |directory| !is_below(path, directory));
        let above = self.open.last().map_or_else(|| self.exclude.start(), |directory| directory.verdict);
        let (verdict, fate) = self.exclude.judge(above, path);
        if fate == Fate::Excluded || (fate == Fate::ExcludedItself && !is_directory) {
            self.hidden = Some(path.to_vec());
            return false;
        }
        if is_directory {
            let tentative = (fate != Fate::Included).then_some(items.len());
            self.open.push(Directory { path: path.to_vec(), verdict, tentative });
        }
        true
    }

    /// Ends the walk.
    pub fn finish(mut self, items: &mut Vec<Item>) {
        self.close(items, |_| true);
    }

    /// Leaves directories, the innermost first.
    fn close(&mut self, items: &mut Vec<Item>, is_left: impl Fn(&[u8]) -> bool) {
        while let Some(directory) = self.open.pop_if(|directory| is_left(&directory.path)) {
            if directory.tentative.is_some_and(|own| own + 1 == items.len()) {
                items.pop();
            }
        }
    }
}
