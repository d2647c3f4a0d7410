//! What a context's ignore file, or `--exclude`, leaves out.

use dockerfile::ignore::{IgnoreFile, Verdict};

use super::walk::join;

/// Patterns that exclude paths, in the order of an ignore file: the last one that matches counts.
#[derive(Default)]
pub(crate) struct Filter {
    /// What the file is called in messages.
    name: String,
    patterns: IgnoreFile,
}

/// What becomes of a path; the worse, the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fate {
    /// It is there.
    Included,
    /// It is not; but if it is a directory, something below it may be (DF-187).
    ExcludedItself,
    /// Neither it nor anything below it is.
    Excluded,
}

/// Why a path is excluded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Exclusion {
    /// The ignore file.
    pub file: String,
    /// The line of the pattern.
    pub line: u32,
    /// The pattern.
    pub pattern: String,
}

impl Filter {
    /// The filter of an ignore file (with its name), or of `--exclude` patterns (without one).
    pub fn new(name: String, patterns: IgnoreFile) -> Self {
        Self { name, patterns }
    }

    /// What the patterns say of a path (relative, clean). The root is never excluded (DF-189).
    pub fn verdict(&self, path: &[u8]) -> Verdict {
        if path.is_empty() { Verdict::default() } else { self.patterns.verdict(path) }
    }

    /// The same, given the verdict on the directory that it is in.
    pub fn verdict_below(&self, directory: Verdict, path: &[u8]) -> Verdict {
        self.patterns.verdict_below(directory, path)
    }

    /// What becomes of a path, given the verdict on it.
    pub fn fate(&self, verdict: Verdict, path: &[u8]) -> Fate {
        if !verdict.is_excluded {
            Fate::Included
        } else if self.patterns.could_include_below_with(verdict, path) {
            Fate::ExcludedItself
        } else {
            Fate::Excluded
        }
    }

    /// Whether a path is there, as far as one can say without looking into a directory.
    pub fn may_show(&self, path: &[u8], is_directory: bool) -> bool {
        match self.fate(self.verdict(path), path) {
            Fate::Included => true,
            Fate::ExcludedItself => is_directory,
            Fate::Excluded => false,
        }
    }

    /// Which line excludes a path.
    pub fn exclusion(&self, path: &[u8]) -> Option<Exclusion> {
        let verdict = self.verdict(path);
        let pattern = self.patterns.pattern(verdict).filter(|_| verdict.is_excluded)?;
        Some(Exclusion { file: self.name.clone(), line: pattern.line(), pattern: pattern.text.clone() })
    }
}

/// A filter for what is below a directory, by paths that begin there or at another prefix.
#[derive(Clone, Copy)]
pub(crate) struct Below<'a> {
    /// The patterns.
    pub filter: &'a Filter,
    /// What stands before the paths below the directory, for the patterns.
    pub prefix: &'a [u8],
}

impl Below<'_> {
    /// The verdict on the directory itself.
    pub fn start(&self) -> Verdict {
        self.filter.verdict(self.prefix)
    }

    /// The verdict on a path below the directory, given the one on the directory that it is in; and what becomes of it.
    pub fn judge(&self, directory: Verdict, path: &[u8]) -> (Verdict, Fate) {
        if self.filter.patterns.is_empty() {
            return (directory, Fate::Included);
        }
        let path = join(self.prefix, path);
        let verdict = self.filter.verdict_below(directory, &path);
        (verdict, self.filter.fate(verdict, &path))
    }
}
