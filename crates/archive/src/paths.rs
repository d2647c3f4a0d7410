//! Paths inside an archive (ST-011): relative, and never leading out of it.

/// An entry's name without `.` and doubled slashes; an error says what is wrong with it.
pub(crate) fn normalize(name: &[u8]) -> Result<Vec<u8>, &'static str> {
    if name.starts_with(b"/") {
        return Err("has an absolute name");
    }
    if name.contains(&0) {
        return Err("has a name with a NUL in it");
    }
    let mut path = Vec::with_capacity(name.len());
    for component in components(name) {
        if component == b".." {
            return Err("has a name that leads upwards");
        }
        push(&mut path, component);
    }
    Ok(path)
}

/// Where a symbolic link at `path` leads.
pub(crate) fn follow(path: &[u8], target: &[u8]) -> Result<Vec<u8>, &'static str> {
    if target.starts_with(b"/") {
        return Err("is a link with an absolute target");
    }
    let mut parents: Vec<&[u8]> = components(path).collect();
    parents.pop();
    for component in components(target) {
        match component {
            b".." => drop(parents.pop().ok_or("is a link that leads out of the archive")?),
            component => parents.push(component),
        }
    }
    let mut path = Vec::new();
    parents.into_iter().for_each(|component| push(&mut path, component));
    Ok(path)
}

fn components(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|component| !component.is_empty() && *component != b".")
}

fn push(path: &mut Vec<u8>, component: &[u8]) {
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(component);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn st_011_names_are_cleaned_and_stay_inside() {
        for (name, expected) in [
            ("manifest.json", Ok("manifest.json")),
            ("./manifest.json", Ok("manifest.json")),
            ("././/blobs//sha256/./x", Ok("blobs/sha256/x")),
            ("blobs/", Ok("blobs")),
            ("./", Ok("")),
            ("..a/b..", Ok("..a/b..")),
            ("/manifest.json", Err("has an absolute name")),
            ("../x", Err("has a name that leads upwards")),
            ("a/../b", Err("has a name that leads upwards")),
            ("a\0b", Err("has a name with a NUL in it")),
        ] {
            let expected = expected.map(|path| path.as_bytes().to_vec());
            assert_eq!(normalize(name.as_bytes()), expected, "{name}");
        }
    }

    #[test]
    fn st_011_links_are_followed_inside_only() {
        for (path, target, expected) in [
            ("a/layer.tar", "../b/layer.tar", Ok("b/layer.tar")),
            ("a/layer.tar", "layer2.tar", Ok("a/layer2.tar")),
            ("a", "./x/./y", Ok("x/y")),
            ("a/b/c", "../../d", Ok("d")),
            ("a/layer.tar", "../../etc/passwd", Err("is a link that leads out of the archive")),
            ("a", "..", Err("is a link that leads out of the archive")),
            ("a", "/etc/passwd", Err("is a link with an absolute target")),
        ] {
            let expected = expected.map(|path| path.as_bytes().to_vec());
            assert_eq!(follow(path.as_bytes(), target.as_bytes()), expected, "{path} -> {target}");
        }
    }
}
