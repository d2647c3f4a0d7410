//! Archives that nobody would make.

use proptest::prelude::*;

use super::*;

/// Anything that may stand in an archive, valid or not.
fn any_member() -> impl Strategy<Value = Raw> {
    let name = prop::sample::select(vec![
        "a",
        "a/",
        "./a",
        "a/b",
        "a/b/c",
        "b",
        "b/c",
        "/b",
        "a/.wh.b",
        ".wh.a",
        "a/.wh..wh..opq",
        ".",
        "b/../c",
        "l/x",
        "l",
        ".wh..wh.plnk/1",
    ]);
    let flag =
        prop::sample::select(vec![b'0', b'0', b'0', 0, b'1', b'1', b'2', b'5', b'5', b'6', b'7', b'Z', b'3']);
    let target = prop::sample::select(vec!["a", "b", "a/b", "..", "/", "c", "l", ".wh..wh.plnk/1"]);
    let data = prop::collection::vec(any::<u8>(), 0..1200);
    (name, flag, target, data, any::<bool>()).prop_map(|(name, flag, target, data, pax)| {
        let has_data = matches!(flag, b'0' | 0 | b'7' | b'Z');
        let data = if has_data { &data[..] } else { b"" };
        let raw = if pax { Raw::default().pax(&[("mtime", "1.5"), ("path", name)]) } else { Raw::default() };
        let link = if matches!(flag, b'1' | b'2') { target.as_bytes() } else { b"" };
        raw.put(
            Header { name: if pax { b"hidden" } else { name.as_bytes() }, flag, link, ..Header::default() },
            data,
        )
    })
}

proptest! {
    /// Whatever is accepted can be made again to the byte, and its table is one that can be applied.
    #[test]
    fn st_066_every_accepted_archive_can_be_made_again(
        members in prop::collection::vec(any_member(), 0..12),
        tail in prop::collection::vec(any::<u8>(), 0..700),
        mark in any::<bool>(),
    ) {
        let mut tar = members.iter().fold(Vec::new(), |tar, member| [&tar[..], &member.0].concat());
        if mark {
            tar.extend_from_slice(&[0; 1024]);
            tar.extend_from_slice(&tail);
        }
        let Ok((entries, _)) = scanned(&tar) else { return Ok(()) };
        let kinds: BTreeMap<_, _> = entries.iter().cloned().collect();
        prop_assert_eq!(kinds.len(), entries.len());
        for (path, line) in &entries {
            for (slash, _) in path.match_indices('/') {
                let parent = kinds.get(&path[..slash]);
                prop_assert!(parent.is_none_or(|kind| kind.starts_with("dir")), "{:?} is below {:?}", path, parent);
            }
            if let Some(target) = line.strip_prefix("link ") {
                let target = kinds.get(target.split(" @").next().unwrap_or_default());
                prop_assert!(target.is_none_or(|kind| kind.starts_with("file")), "{:?} {:?}", path, target);
            }
        }
    }

    /// Damage anywhere is an error or another archive, and never a panic.
    #[test]
    fn damaged_archives_do_no_harm(
        members in prop::collection::vec(any_member(), 1..6),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut tar = members.iter().fold(Vec::new(), |tar, member| [&tar[..], &member.0].concat());
        for (place, byte) in damage {
            let place = place.index(tar.len());
            tar[place] = byte;
        }
        tar.truncate(cut.index(tar.len()) + 1);
        let _ = scanned(&tar);
    }
}
