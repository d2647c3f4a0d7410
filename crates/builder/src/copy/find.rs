//! Finding the sources: names, wildcards, directories (DF-110 … DF-117, DF-128, DF-129).

use std::collections::{BTreeMap, BTreeSet};

use base::Cancel;
use dockerfile::glob::{Pattern, is_pattern};
use dockerfile::ignore::IgnoreFile;
use dockerfile::{Span, suggest};

use super::collect::Collector;
use super::item::{Group, Shape};
use super::order::{ancestors, base_name};
use super::pattern::{Component, SourcePattern, unescape};
use super::tree::{Lookup, There, Tree};
use super::{CheckedOut, CopyError, CopySource, CopyStep, Downloaded, Selection, Thing};
use crate::context::{Below, Filter, join};

/// What looks for the sources of one step.
pub(super) struct Finder<'a> {
    input: &'a Tree,
    step: &'a CopyStep,
    exclude: Filter,
    cancel: &'a Cancel,
    collector: Collector<'a>,
    /// The first wildcard that matched nothing.
    unmatched: Option<(String, Span)>,
    /// Matches that were excluded.
    excluded: usize,
}

/// How files from above the context get into a build.
const OUTSIDE: &str = "`..` ends at the top of the build context: build with the directory above as the context and name this Dockerfile with -f";

/// One match of a source: the path as it was named, and what it leads to.
struct Match {
    named: Vec<u8>,
    there: There,
}

/// A source on the way.
struct Source<'s> {
    written: &'s str,
    span: Span,
    pattern: SourcePattern,
}

impl<'a> Finder<'a> {
    pub fn new(input: &'a Tree, step: &'a CopyStep, cancel: &'a Cancel) -> Result<Self, CopyError> {
        let patterns = IgnoreFile::of_patterns(step.exclude.iter().map(String::as_str));
        let patterns = patterns.map_err(|error| CopyError::Pattern {
            pattern: error.text,
            reason: error.reason.to_string(),
            span: step.span,
        })?;
        Ok(Self {
            input,
            step,
            exclude: Filter::new(String::new(), patterns),
            cancel,
            collector: Collector::new(input, step.chmod.as_ref()),
            unmatched: None,
            excluded: 0,
        })
    }

    pub fn find(
        mut self,
        downloads: &[Downloaded],
        checkouts: &[CheckedOut],
    ) -> Result<Selection, CopyError> {
        let (mut downloads, mut checkouts) = (downloads.iter(), checkouts.iter());
        for source in &self.step.sources {
            match source {
                CopySource::Heredoc { name, content } => {
                    self.collector.heredoc(name, content, self.step.span);
                }
                CopySource::Url { url, unpack, span, .. } => match downloads.next() {
                    Some(file) => self.collector.download(url, file, *unpack, *span),
                    None => {
                        let url = super::download::shown(url);
                        return Err(CopyError::NotDownloaded { url, span: *span });
                    }
                },
                CopySource::Git(repository) => match checkouts.next() {
                    Some(found) => {
                        let exclude = Below { filter: &self.exclude, prefix: b"" };
                        self.collector.checkout(found, exclude, repository.span, self.cancel)?;
                    }
                    None => {
                        let (url, span) = (repository.text.clone(), repository.span);
                        return Err(CopyError::NotDownloaded { url, span });
                    }
                },
                CopySource::Path { pattern, span } => {
                    let parsed = SourcePattern::parse(pattern, self.step.parents);
                    self.source(&Source { written: pattern, span: *span, pattern: parsed })?;
                }
            }
        }
        let checkouts = std::mem::take(&mut self.collector.checkouts);
        let (groups, contents) = self.collector.finish();
        if let Some((pattern, span)) = self.unmatched.filter(|_| groups.is_empty()) {
            let place = self.input.place();
            return Err(CopyError::NothingMatched { pattern, place, excluded: self.excluded, span });
        }
        let chown = self.step.chown.as_ref().map(|(text, _)| text.clone());
        Ok(Selection { input: self.input.clone(), groups, contents, archives: Vec::new(), checkouts, chown })
    }

    fn source(&mut self, source: &Source<'_>) -> Result<(), CopyError> {
        let (matches, is_literal) = match source.pattern.literal() {
            Some(path) => (vec![self.literal(source, &path)?], true),
            None => (self.wildcard(source)?, false),
        };
        let mut parents = BTreeMap::new();
        let mut found = Vec::new();
        for one in matches {
            self.cancel.check()?;
            if let Some(group) = self.group(source, &one, is_literal)? {
                if self.step.parents {
                    self.parents_of(source, &one.named, &mut parents)?;
                }
                found.push(group);
            }
        }
        if found.is_empty() {
            self.unmatched.get_or_insert_with(|| (source.written.to_owned(), source.span));
        }
        self.collector.parents(parents, source.span)?;
        for group in found {
            self.collector.add(group);
        }
        Ok(())
    }

    /// What is to be said of a source that would lie above the context: it was looked for in the context (DF-116).
    fn outside(&self, source: &Source<'_>) -> Option<String> {
        let is_context = matches!(self.input, Tree::Context(_));
        (is_context && is_outside(source.written)).then(|| OUTSIDE.to_owned())
    }

    /// A source without wildcards: it has to be there (DF-114).
    fn literal(&self, source: &Source<'_>, path: &[u8]) -> Result<Match, CopyError> {
        let in_input = join(&source.pattern.pivot, path);
        let mut lookup = self.input.lookup(&in_input)?;
        let mut named = path.to_vec();
        let plain = unescape(path);
        if plain != path && matches!(lookup, Lookup::Missing { .. }) {
            let again = self.input.lookup(&join(&source.pattern.pivot, &plain))?;
            if matches!(again, Lookup::There(_)) {
                (lookup, named) = (again, plain);
            }
        }
        match lookup {
            Lookup::There(there) if there.thing == Thing::Socket => Err(CopyError::NotCopyable {
                source_path: source.written.to_owned(),
                thing: there.thing,
                span: source.span,
            }),
            Lookup::There(there) => {
                self.check_visible(source, &in_input, &there)?;
                Ok(Match { named, there })
            }
            Lookup::Missing { directory, name, detail } => Err(CopyError::Missing {
                source_path: source.written.to_owned(),
                place: self.input.place(),
                suggestion: if detail.is_none() { self.suggestion(&directory, &name) } else { None },
                detail: detail.or_else(|| self.outside(source)),
                span: source.span,
            }),
        }
    }

    /// Refuses what the ignore file excludes, by the name that was written or by the one that links lead to. A directory is looked into first: something in it may be there.
    fn check_visible(&self, source: &Source<'_>, in_input: &[u8], there: &There) -> Result<(), CopyError> {
        let Some(filter) = self.input.filter() else { return Ok(()) };
        let is_directory = there.thing == Thing::Directory;
        match [in_input, &there.path].into_iter().find(|path| !filter.may_show(path, is_directory)) {
            Some(path) => Err(self.excluded_error(source, path)),
            None => Ok(()),
        }
    }

    fn excluded_error(&self, source: &Source<'_>, path: &[u8]) -> CopyError {
        let source_path = source.written.to_owned();
        match self.input.exclusion(path) {
            Some(exclusion) => CopyError::Excluded {
                source_path,
                pattern: exclusion.pattern,
                line: exclusion.line,
                file: exclusion.file,
                span: source.span,
            },
            None => CopyError::NothingMatched {
                pattern: source_path,
                place: self.input.place(),
                excluded: 1,
                span: source.span,
            },
        }
    }

    /// The nearest name to one that is missing, as it would have to be written.
    fn suggestion(&self, directory: &[u8], name: &[u8]) -> Option<String> {
        let names = self.input.list(directory).ok()?;
        let names: Vec<&str> = names.iter().filter_map(|(name, _)| std::str::from_utf8(name).ok()).collect();
        let nearest = suggest::nearest(std::str::from_utf8(name).ok()?, names)?;
        String::from_utf8(join(directory, nearest.as_bytes())).ok()
    }

    /// All matches of a wildcard, in order.
    fn wildcard(&self, source: &Source<'_>) -> Result<Vec<Match>, CopyError> {
        let mut found = BTreeSet::new();
        let pivot = &source.pattern.pivot;
        let mut components = source.pattern.components.as_slice();
        // The names before the first wildcard are looked up like any other path: links in them are followed.
        let mut start = Vec::new();
        while let Some((Component::Literal(name), rest)) = components.split_first() {
            start = join(&start, &unescape(name));
            components = rest;
        }
        if let Lookup::There(there) = self.input.lookup(&join(pivot, &start))?
            && there.thing == Thing::Directory
        {
            let patterns = compile(source, components)?;
            self.expand(&there.path, &start, &patterns, &mut found)?;
        }
        let mut matches = Vec::new();
        for named in found {
            // A match is followed to what it leads to (DF-117); a link that leads nowhere can't be copied.
            match self.input.lookup(&join(pivot, &named))? {
                Lookup::There(there) if there.thing == Thing::Socket => {}
                Lookup::There(there) => matches.push(Match { named, there }),
                Lookup::Missing { detail, .. } => {
                    return Err(CopyError::Missing {
                        source_path: String::from_utf8_lossy(&named).into_owned(),
                        place: self.input.place(),
                        suggestion: None,
                        detail,
                        span: source.span,
                    });
                }
            }
        }
        matches.sort_by(|one, other| super::order::compare((&one.named, b""), (&other.named, b"")));
        Ok(matches)
    }

    /// Matches names in a directory. Links are not gone into, and what matched is not either.
    fn expand(
        &self,
        directory: &[u8],
        named: &[u8],
        patterns: &[NamePattern],
        found: &mut BTreeSet<Vec<u8>>,
    ) -> Result<(), CopyError> {
        self.cancel.check()?;
        let Some((first, rest)) = patterns.split_first() else { return Ok(()) };
        if let (NamePattern::AnyDepth, false) = (first, rest.is_empty()) {
            // No directory at all.
            self.expand(directory, named, rest, found)?;
        }
        for (name, thing) in self.input.list(directory)? {
            let (path, name_path) = (join(directory, &name), join(named, &name));
            match first {
                NamePattern::AnyDepth if rest.is_empty() => drop(found.insert(name_path)),
                NamePattern::AnyDepth if thing == Thing::Directory => {
                    self.expand(&path, &name_path, patterns, found)?;
                }
                NamePattern::Name(pattern) if pattern.matches(&name) => {
                    if rest.is_empty() {
                        found.insert(name_path);
                    } else if thing == Thing::Directory {
                        self.expand(&path, &name_path, rest, found)?;
                    }
                }
                NamePattern::AnyDepth | NamePattern::Name(_) => {}
            }
        }
        Ok(())
    }

    /// Makes a match a group; `None` when nothing of it is there.
    fn group(
        &mut self,
        source: &Source<'_>,
        one: &Match,
        is_literal: bool,
    ) -> Result<Option<Group>, CopyError> {
        let parents = self.step.parents;
        let is_directory = one.there.thing == Thing::Directory;
        let base = base_name(&one.named);
        let for_exclude = if parents { one.named.as_slice() } else { base };
        // The patterns are relative to a directory that is copied: the name of a directory that was written out is above them.
        let applies = parents || !is_directory || !is_literal;
        if applies && !self.exclude.may_show(for_exclude, is_directory) {
            self.excluded += 1;
            return Ok(None);
        }
        if !is_directory {
            let shown = self.input.filter().is_none_or(|filter| filter.may_show(&one.there.path, false));
            if !shown {
                self.excluded += 1;
                return Ok(None);
            }
            let (shape, name) =
                if parents { (Shape::Kept, one.named.as_slice()) } else { (Shape::Single, base) };
            let is_followed = one.there.path != join(&source.pattern.pivot, &one.named);
            let group = self.collector.single(&one.there, is_followed, (shape, name), source.span)?;
            let is_archive = self.step.unpack && self.collector.is_archive(&group)?;
            return Ok(Some(if is_archive { self.collector.archive(group) } else { group }));
        }
        let below = Below { filter: &self.exclude, prefix: if parents { &one.named } else { b"" } };
        let items = self.collector.walk(&one.there, below, self.cancel)?;
        let path = &one.there.path;
        if items.is_empty() && self.input.filter().is_some_and(|filter| !filter.may_show(path, false)) {
            if is_literal {
                return Err(self.excluded_error(source, path));
            }
            self.excluded += 1;
            return Ok(None);
        }
        let (shape, name) =
            if parents { (Shape::Kept, one.named.clone()) } else { (Shape::Contents, Vec::new()) };
        let mut group = Group { shape, name, source: path.clone(), items, span: source.span };
        if parents && !group.name.is_empty() {
            group.items.insert(0, self.collector.directory(&one.there, b"")?);
        }
        Ok(Some(group))
    }

    /// `--parents`: the directories above a match, with their own metadata.
    fn parents_of(
        &self,
        source: &Source<'_>,
        named: &[u8],
        parents: &mut BTreeMap<Vec<u8>, There>,
    ) -> Result<(), CopyError> {
        for parent in ancestors(named) {
            if parents.contains_key(parent) {
                continue;
            }
            if let Lookup::There(there) = self.input.lookup(&join(&source.pattern.pivot, parent))? {
                parents.insert(parent.to_vec(), there);
            }
        }
        Ok(())
    }
}

/// A wildcard for one name, or for directories.
enum NamePattern {
    Name(Pattern),
    AnyDepth,
}

fn compile(source: &Source<'_>, components: &[Component]) -> Result<Vec<NamePattern>, CopyError> {
    let compile_one = |component: &Component| match component {
        Component::AnyDepth => Ok(NamePattern::AnyDepth),
        Component::Literal(name) | Component::Wild(name) => {
            let pattern = Pattern::parse(name).map_err(|error| CopyError::Pattern {
                pattern: source.written.to_owned(),
                reason: error.to_string(),
                span: source.span,
            })?;
            Ok(NamePattern::Name(pattern))
        }
    };
    debug_assert!(components.is_empty() || is_pattern(source.written.as_bytes()));
    components.iter().map(compile_one).collect()
}

/// Whether a path leaves the directory that it starts in.
fn is_outside(path: &str) -> bool {
    let mut depth = 0_usize;
    for name in path.split('/') {
        depth = match name {
            "" | "." => depth,
            ".." if depth == 0 => return true,
            ".." => depth - 1,
            _ => depth + 1,
        };
    }
    false
}
