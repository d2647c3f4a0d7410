//! Sources as they are written: paths and wildcards (DF-115, DF-128).

use dockerfile::glob::is_pattern;

use crate::context::components;

/// A source, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SourcePattern {
    /// `--parents`: the directory before `/./`, which is not kept.
    pub pivot: Vec<u8>,
    /// What comes behind it.
    pub components: Vec<Component>,
}

/// One name of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Component {
    /// This name.
    Literal(Vec<u8>),
    /// A wildcard for one name.
    Wild(Vec<u8>),
    /// `**` (with `--parents`): any number of directories.
    AnyDepth,
}

impl SourcePattern {
    /// Takes a source apart. `..` is resolved as text, and ends at the root (DF-116).
    pub fn parse(pattern: &str, parents: bool) -> Self {
        let (pivot, rest) = match pattern.split_once("/./") {
            Some((pivot, rest)) if parents => (clean(pivot.as_bytes()), rest),
            _ => (Vec::new(), pattern),
        };
        let names = clean(rest.as_bytes());
        let components = names.into_iter().map(|name| match name.as_slice() {
            b"**" if parents => Component::AnyDepth,
            wild if is_pattern(wild) => Component::Wild(name),
            _ => Component::Literal(name),
        });
        Self { components: components.collect(), pivot: pivot.join(&b'/') }
    }

    /// The path, when there are no wildcards.
    pub fn literal(&self) -> Option<Vec<u8>> {
        let names = self.components.iter().map(|component| match component {
            Component::Literal(name) => Some(name.as_slice()),
            Component::Wild(_) | Component::AnyDepth => None,
        });
        Some(names.collect::<Option<Vec<_>>>()?.join(&b'/'))
    }
}

fn clean(path: &[u8]) -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = Vec::new();
    for name in components(path) {
        if name == b".." {
            names.pop();
        } else {
            names.push(name);
        }
    }
    names
}

/// A path without the backslashes that escape.
pub(super) fn unescape(path: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(path.len());
    let mut bytes = path.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => plain.extend(bytes.next()),
            _ => plain.push(*byte),
        }
    }
    plain
}

/// A path as a pattern that matches nothing else.
pub(super) fn escape(path: &str) -> String {
    path.chars()
        .flat_map(|one| matches!(one, '*' | '?' | '[' | '\\').then_some('\\').into_iter().chain([one]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn df_115_df_116_df_128_sources_are_taken_apart() {
        let literal = |name: &str| Component::Literal(name.into());
        let wild = |name: &str| Component::Wild(name.into());
        for (pattern, parents, pivot, components) in [
            ("a/b", false, "", vec![literal("a"), literal("b")]),
            ("/a//./b/", false, "", vec![literal("a"), literal("b")]),
            ("../../a", false, "", vec![literal("a")]),
            ("a/../b", false, "", vec![literal("b")]),
            (".", false, "", vec![]),
            ("*.txt", false, "", vec![wild("*.txt")]),
            ("arr[[]0].txt", false, "", vec![wild("arr[[]0].txt")]),
            ("a\\*b", false, "", vec![literal("a\\*b")]),
            ("**/x", false, "", vec![wild("**"), literal("x")]),
            ("**/x", true, "", vec![Component::AnyDepth, literal("x")]),
            ("a/./b/c", true, "a", vec![literal("b"), literal("c")]),
            ("a/./b/c", false, "", vec![literal("a"), literal("b"), literal("c")]),
        ] {
            let expected = SourcePattern { pivot: pivot.into(), components };
            assert_eq!(SourcePattern::parse(pattern, parents), expected, "{pattern}");
        }
    }

    #[test]
    fn an_escaped_path_is_a_literal() {
        for path in ["/a/b", "/a*/[b]?/**", "/a\\b"] {
            let escaped = SourcePattern::parse(&escape(path), true).literal().map(|path| unescape(&path));
            assert_eq!(escaped.as_deref(), path.strip_prefix('/').map(str::as_bytes), "{path}");
        }
    }

    #[test]
    fn a_literal_loses_its_escapes() {
        assert_eq!(unescape(b"a\\*b"), b"a*b");
        assert_eq!(unescape(b"a\\"), b"a");
    }
}
