//! Names in an archive → paths of a table (ST-070, ST-072, ST-075).

use crate::limits::{MAX_DEPTH, MAX_NAME, MAX_PATH};
use crate::tar_writer::{OPAQUE, WHITEOUT};

type Reason = &'static str;

/// What a name means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// An entry of this path.
    Entry(Vec<u8>),
    /// This path is removed.
    Whiteout(Vec<u8>),
    /// This directory hides what is below.
    Opaque(Vec<u8>),
    /// Something that AUFS kept for itself; hardlinks may name it.
    Aufs(Vec<u8>),
}

/// The path that a name means: relative, without empty components, `.` and `..` (taken together with what is before
/// it, as everybody's readers do; a name that leads out of the archive is refused).
pub(super) fn clean(name: &[u8]) -> Result<Vec<u8>, Reason> {
    if name.contains(&0) {
        return Err("there is a NUL in its name");
    }
    let mut path = Vec::with_capacity(name.len());
    let mut depth = 0;
    for component in name.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." if depth == 0 => return Err("its name leads out of the layer"),
            b".." => {
                depth -= 1;
                path.truncate(path.iter().rposition(|byte| *byte == b'/').unwrap_or(0));
            }
            _ if component.len() > MAX_NAME => return Err("a part of its name is longer than 255 bytes"),
            _ => {
                if depth > 0 {
                    path.push(b'/');
                }
                path.extend_from_slice(component);
                depth += 1;
            }
        }
    }
    match path.len() {
        ..=MAX_PATH if depth <= MAX_DEPTH => Ok(path),
        ..=MAX_PATH => Err("it lies too deep: below more than 2047 directories"),
        _ => Err("its name is longer than 4095 bytes"),
    }
}

/// What the name of an entry means.
pub(super) fn interpret(name: &[u8]) -> Result<Name, Reason> {
    let path = clean(name)?;
    if !path.starts_with(WHITEOUT) && !path.windows(5).any(|window| window == b"/.wh.") {
        return Ok(Name::Entry(path));
    }
    if path.starts_with(b".wh..wh.plnk")
        || path.starts_with(b".wh..wh.aufs")
        || path.starts_with(b".wh..wh.orph")
    {
        return Ok(Name::Aufs(path));
    }
    let slash = path.iter().rposition(|byte| *byte == b'/');
    let (parent, last) = match slash {
        Some(slash) => (path.get(..slash).unwrap_or_default(), path.get(slash + 1..).unwrap_or_default()),
        None => (&b""[..], path.as_slice()),
    };
    if parent.split(|byte| *byte == b'/').any(|component| component.starts_with(WHITEOUT)) {
        return Err("it lies below a removal (.wh.)");
    }
    if last == OPAQUE {
        return Ok(Name::Opaque(parent.to_vec()));
    }
    match last.strip_prefix(WHITEOUT) {
        Some(b"" | b"." | b"..") => Err("it removes nothing that can have a name (.wh.)"),
        Some(removed) if removed.starts_with(WHITEOUT) => Err("it is a removal (.wh.) of an unknown kind"),
        Some(removed) if parent.is_empty() => Ok(Name::Whiteout(removed.to_vec())),
        Some(removed) => Ok(Name::Whiteout([parent, b"/", removed].concat())),
        None => Ok(Name::Entry(path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str) -> Option<Name> {
        Some(Name::Entry(path.into()))
    }

    #[test]
    fn st_070_names() {
        for (name, expected) in [
            ("a", entry("a")),
            ("./a//b/", entry("a/b")),
            ("/etc/passwd", entry("etc/passwd")),
            ("", entry("")),
            ("./", entry("")),
            ("/", entry("")),
            ("a/../b", entry("b")),
            ("a/b/../../c", entry("c")),
            ("a/b/..", entry("a")),
            ("..", None),
            ("a/../../b", None),
            ("/../b", None),
            ("a\0b", None),
        ] {
            assert_eq!(interpret(name.as_bytes()).ok(), expected, "{name:?}");
        }
    }

    #[test]
    fn st_072_removals() {
        for (name, expected) in [
            (".wh.a", Some(Name::Whiteout(b"a".to_vec()))),
            ("a/.wh.b", Some(Name::Whiteout(b"a/b".to_vec()))),
            ("a/.wh..wh..opq", Some(Name::Opaque(b"a".to_vec()))),
            (".wh..wh..opq", Some(Name::Opaque(Vec::new()))),
            (".wh..wh.plnk/1.2", Some(Name::Aufs(b".wh..wh.plnk/1.2".to_vec()))),
            (".wh..wh.aufs", Some(Name::Aufs(b".wh..wh.aufs".to_vec()))),
            ("a.wh.b", entry("a.wh.b")),
            (".wh.", None),
            (".wh..", None),
            (".wh...", None),
            (".wh.a/b", None),
            ("x/.wh.a/.wh.b", None),
            ("a/.wh..wh.b", None),
        ] {
            assert_eq!(interpret(name.as_bytes()).ok(), expected, "{name:?}");
        }
    }

    #[test]
    fn st_075_limits() {
        assert!(interpret(&[b'a'; 255]).is_ok());
        assert!(interpret(&[b'a'; 256]).is_err());
        let path = |depth: usize| vec!["a"; depth].join("/").into_bytes();
        assert!(interpret(&path(2047)).is_ok());
        assert!(interpret(&path(2048)).is_err());
        let wide = vec!["a".repeat(255); 16].join("/").into_bytes();
        assert_eq!(wide.len(), 4095);
        assert!(interpret(&wide).is_ok());
        assert!(interpret(&[&wide[..], b"a"].concat()).is_err());
    }
}
