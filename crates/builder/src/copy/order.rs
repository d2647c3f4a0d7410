//! The order of a table: component by component, so that a directory is followed by all that is below it.

use std::cmp::Ordering;

/// Compares two paths that are given in two parts each: a prefix, and what is below it. Either may be empty.
pub(super) fn compare(one: (&[u8], &[u8]), other: (&[u8], &[u8])) -> Ordering {
    if one.0 == other.0 {
        return keys(one.1).cmp(keys(other.1));
    }
    joined(one).cmp(joined(other))
}

/// A slash ends a component: it is less than whatever could continue it. No name has a NUL.
fn keys(path: &[u8]) -> impl Iterator<Item = u8> {
    path.iter().map(|byte| if *byte == b'/' { 0 } else { *byte })
}

fn joined<'a>((prefix, path): (&'a [u8], &'a [u8])) -> impl Iterator<Item = u8> + use<'a> {
    let slash = (!prefix.is_empty() && !path.is_empty()).then_some(0);
    keys(prefix).chain(slash).chain(keys(path))
}

/// The directories above a path, the topmost first, without the root.
pub(super) fn ancestors(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.iter().enumerate().filter(|(_, byte)| **byte == b'/').filter_map(|(slash, _)| path.get(..slash))
}

/// Whether `path` is below `directory`.
pub(super) fn is_below(path: &[u8], directory: &[u8]) -> bool {
    directory.is_empty() && !path.is_empty()
        || path.strip_prefix(directory).is_some_and(|rest| rest.starts_with(b"/"))
}

/// The last name of a path.
pub(super) fn base_name(path: &[u8]) -> &[u8] {
    path.iter().rposition(|byte| *byte == b'/').and_then(|slash| path.get(slash + 1..)).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_followed_by_what_is_below_them() {
        let mut paths: Vec<&[u8]> = vec![b"a.b", b"a/c", b"a", b"a-b", b"b", b"", b"a/b/c"];
        paths.sort_by(|one, other| compare((one, b""), (b"", other)));
        assert_eq!(paths, [b"".as_slice(), b"a", b"a/b/c", b"a/c", b"a-b", b"a.b", b"b"]);
        assert_eq!(compare((b"a", b"b/c"), (b"a/b", b"c")), Ordering::Equal);
        assert_eq!(compare((b"a", b""), (b"", b"a")), Ordering::Equal);
    }

    #[test]
    fn parts_of_paths() {
        assert_eq!(ancestors(b"a/b/c").collect::<Vec<_>>(), [b"a".as_slice(), b"a/b"]);
        assert!(
            is_below(b"a/b", b"a") && is_below(b"a", b"") && !is_below(b"ab", b"a") && !is_below(b"a", b"a")
        );
        assert_eq!(base_name(b"a/b"), b"b");
        assert_eq!(base_name(b"b"), b"b");
    }
}
