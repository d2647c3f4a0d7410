//! The wildcards of COPY and ADD: Go's `filepath.Match` over a whole path (DF-115).

pub use crate::wildcard::BadPattern;
use crate::wildcard::{DoubleStar, Tokens};

/// A pattern for paths without a slash at the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(Tokens);

impl Pattern {
    /// Reads a pattern: `*` and `?` do not match a slash, `[…]` is a class, a backslash escapes.
    pub fn parse(pattern: &[u8]) -> Result<Self, BadPattern> {
        Tokens::parse(pattern, DoubleStar::Ordinary).map(Self)
    }

    /// The same, and `**` matches any number of directories: for `--parents`.
    pub fn parse_recursive(pattern: &[u8]) -> Result<Self, BadPattern> {
        Tokens::parse(pattern, DoubleStar::Directories).map(Self)
    }

    /// Whether the whole path matches.
    pub fn matches(&self, path: &[u8]) -> bool {
        self.0.matches(path)
    }

    /// The only path that matches, without escapes, when there are no wildcards.
    pub fn as_literal(&self) -> Option<&[u8]> {
        self.0.as_literal()
    }

    /// The directory that all matches are in, as far as it can be told: where to begin to look.
    pub fn directory(&self) -> &[u8] {
        let start = self.0.as_literal().unwrap_or_else(|| self.0.literal_start());
        let end = start.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        start.get(..end).unwrap_or_default()
    }

    /// Whether something within a directory could match, so that it is worth to look. Never wrongly false.
    pub fn could_match_below(&self, directory: &[u8]) -> bool {
        directory.is_empty() || self.0.could_match_longer(&[directory, b"/"].concat())
    }
}

/// Whether a COPY's source is a pattern rather than a path.
pub fn is_pattern(source: &[u8]) -> bool {
    let mut bytes = source.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => drop(bytes.next()),
            b'*' | b'?' | b'[' => return true,
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Patterns, paths, and whether they match: Go's own cases.
    const CASES: &[(&str, &str, bool)] = &[
        ("abc", "abc", true),
        ("*", "abc", true),
        ("*c", "abc", true),
        ("a*", "a", true),
        ("a*", "abc", true),
        ("a*", "ab/c", false),
        ("a*/b", "abc/b", true),
        ("a*/b", "a/c/b", false),
        ("a*b*c*d*e*/f", "axbxcxdxe/f", true),
        ("a*b*c*d*e*/f", "axbxcxdxexxx/f", true),
        ("a*b*c*d*e*/f", "axbxcxdxe/xxx/f", false),
        ("a*b*c*d*e*/f", "axbxcxdxexxx/fff", false),
        ("a*b?c*x", "abxbbxdbxebxczzx", true),
        ("a*b?c*x", "abxbbxdbxebxczzy", false),
        ("ab[c]", "abc", true),
        ("ab[b-d]", "abc", true),
        ("ab[e-g]", "abc", false),
        ("ab[^c]", "abc", false),
        ("ab[^b-d]", "abc", false),
        ("ab[^e-g]", "abc", true),
        ("a\\*b", "a*b", true),
        ("a\\*b", "ab", false),
        ("a?b", "a☺b", true),
        ("a[^a]b", "a☺b", true),
        ("a???b", "a☺b", false),
        ("a[^a][^a][^a]b", "a☺b", false),
        ("*[^é]", "é", false),
        ("[a-ζ]*", "α", true),
        ("*[a-ζ]", "A", false),
        ("a?b", "a/b", false),
        ("a*b", "a/b", false),
        ("[\\]a]", "]", true),
        ("[\\-]", "-", true),
        ("[x\\-]", "x", true),
        ("[x\\-]", "-", true),
        ("[x\\-]", "z", false),
        ("[\\-x]", "a", false),
        ("*x", "xxx", true),
        ("arr[[]0].txt", "arr[0].txt", true),
        ("**", "a/b", false),
        ("", "", true),
        ("", "a", false),
    ];

    #[test]
    fn df_115_gos_matches() {
        for (pattern, path, expected) in CASES {
            let parsed = Pattern::parse(pattern.as_bytes()).expect(pattern);
            assert_eq!(parsed.matches(path.as_bytes()), *expected, "{pattern} {path}");
        }
        assert!(Pattern::parse(b"a?").expect("parses").matches(b"a\xff"));
    }

    #[test]
    fn df_115_malformed() {
        for pattern in [
            "[]a]", "[-]", "[x-]", "[-x]", "[a-b-c]", "[", "[^", "[^bc", "a[", "\\", "a\\", "[a", "[a-",
            "[\\",
        ] {
            assert!(Pattern::parse(pattern.as_bytes()).is_err(), "{pattern}");
        }
    }

    #[test]
    fn df_128_double_stars() {
        for (pattern, path, expected) in [
            ("**/x", "x", true),
            ("**/x", "a/b/x", true),
            ("**/x", "ax", false),
            ("a/**/x", "a/x", true),
            ("a/**/x", "a/b/c/x", true),
            ("a/**", "a/b/c", true),
            ("a/**", "b/c", false),
            ("**/*.txt", "a/b.txt", true),
        ] {
            let parsed = Pattern::parse_recursive(pattern.as_bytes()).expect(pattern);
            assert_eq!(parsed.matches(path.as_bytes()), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn where_to_look() {
        for (pattern, directory) in
            [("a/b/*.c", "a/b"), ("a/b/c", "a/b"), ("*", ""), ("a*", ""), ("a/b*/c", "a")]
        {
            assert_eq!(
                Pattern::parse(pattern.as_bytes()).expect(pattern).directory(),
                directory.as_bytes(),
                "{pattern}"
            );
        }
        for (pattern, directory, expected) in [
            ("a/b/*.c", "a", true),
            ("a/b/*.c", "a/b", true),
            ("a/b/*.c", "a/bc", false),
            ("a/b/*.c", "a/b/c", false),
            ("*/x", "any", true),
            ("*/x", "any/more", false),
            ("x", "", true),
            ("x", "x", false),
        ] {
            let parsed = Pattern::parse(pattern.as_bytes()).expect(pattern);
            assert_eq!(parsed.could_match_below(directory.as_bytes()), expected, "{pattern} {directory}");
        }
        for (source, expected) in
            [("a", false), ("a*", true), ("a\\*", false), ("a\\\\*", true), ("[a]", true), ("a]", false)]
        {
            assert_eq!(is_pattern(source.as_bytes()), expected, "{source}");
        }
    }
}
